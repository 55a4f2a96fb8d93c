"""Drives the `google-genai` SDK.

https://github.com/googleapis/python-genai
"""

from __future__ import annotations

from collections.abc import Sequence

from google import genai
from google.genai import errors, types

from .driver import CLIENT_KEY, Answer, Call, Conversation, Driver, SdkError, Settings, Usage, UserTurn
from .recording import Recorder, Recording
from .validator import strict_validator

STOPS = {"end": "STOP", "tool": "STOP", "length": "MAX_TOKENS"}


def _function(name: str, description: str, *arguments: str) -> types.FunctionDeclaration:
    if not arguments:
        return types.FunctionDeclaration(name=name, description=description)
    return types.FunctionDeclaration(
        name=name,
        description=description,
        parameters=types.Schema(
            type=types.Type.OBJECT,
            properties={argument: types.Schema(type=types.Type.STRING) for argument in arguments},
            required=list(arguments),
        ),
    )


TOOLS: dict[str, types.FunctionDeclaration] = {
    "search": _function("search", "Search the web.", "query"),
    "weather": _function("weather", "The weather in a city.", "city"),
    "clock": _function("clock", "The time of day."),
    "lookup": _function("lookup", "Look up a person.", "who"),
    "ring": _function("ring", "Ring a number.", "number"),
}


# ---- requests --------------------------------------------------------------------------------------------------------


def client(base_url: str, recording: Recording) -> genai.Client:
    return genai.Client(
        api_key=CLIENT_KEY,
        http_options=types.HttpOptions(base_url=base_url, client_args={"transport": Recorder(recording)}),
    )


def add_turn(conversation: Conversation, new: UserTurn, before: Answer | None) -> Conversation:
    if new.text is not None:
        return [*conversation, types.Content(role="user", parts=[types.Part.from_text(text=new.text)])]
    assert before is not None
    results = [
        types.Part(
            function_response=types.FunctionResponse(
                id=call.id, name=call.name, response={"error" if output.failed else "output": output.text}
            )
        )
        for call, output in zip(before.calls, new.outputs, strict=True)
    ]
    return [*conversation, types.Content(role="user", parts=results)]


def send(sdk: genai.Client, conversation: Conversation, settings: Settings) -> Answer:
    config = _config(settings)
    if not settings.stream:
        return _parse_reply(sdk.models.generate_content(model=settings.model, contents=conversation, config=config))
    return _join_stream(
        list(sdk.models.generate_content_stream(model=settings.model, contents=conversation, config=config))
    )


def send_with_helper(sdk: genai.Client, conversation: Conversation, settings: Settings) -> Answer:
    """Uses a chat, which keeps the history itself, and checks that history against the chunks."""
    *history, last = conversation
    chat = sdk.chats.create(model=settings.model, config=_config(settings), history=history)
    answer = _join_stream(list(chat.send_message_stream(last.parts)))
    kept = chat.get_history()
    assert [content.parts for content in kept[: len(conversation)]] == [content.parts for content in conversation]
    parts = [part for content in kept[len(conversation) :] for part in content.parts or ()]
    assert "".join(part.text or "" for part in parts) == answer.text
    assert [part.function_call.name for part in parts if part.function_call] == [call.name for call in answer.calls]
    return answer


async def send_async(base_url: str, conversation: Conversation, settings: Settings) -> Answer:
    options = types.HttpOptions(base_url=base_url)
    config = _config(settings)
    async with genai.Client(api_key=CLIENT_KEY, http_options=options).aio as sdk:
        if not settings.stream:
            return _parse_reply(
                await sdk.models.generate_content(model=settings.model, contents=conversation, config=config)
            )
        chunks = await sdk.models.generate_content_stream(model=settings.model, contents=conversation, config=config)
        return _join_stream([chunk async for chunk in chunks])


def _config(settings: Settings) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(
        system_instruction=settings.system,
        tools=[types.Tool(function_declarations=[TOOLS[name] for name in settings.tools])] if settings.tools else None,
        max_output_tokens=settings.max_tokens,
    )


# ---- answers ---------------------------------------------------------------------------------------------------------


def _parse_reply(response: types.GenerateContentResponse) -> Answer:
    return _join_stream([response])


def _join_stream(chunks: Sequence[types.GenerateContentResponse]) -> Answer:
    parts: list[types.Part] = []
    stop: str | None = None
    usage: types.GenerateContentResponseUsageMetadata | None = None
    for chunk in chunks:
        usage = chunk.usage_metadata or usage
        for candidate in chunk.candidates or ():
            assert stop is None, "candidate after the finish reason"
            stop = candidate.finish_reason.value if candidate.finish_reason else None
            if candidate.content is not None:
                assert candidate.content.role == "model"
                parts.extend(candidate.content.parts or ())
    calls = [part.function_call for part in parts if part.function_call is not None]
    return Answer(
        "".join(part.text or "" for part in parts if not part.thought),
        tuple(Call(call.name or "", call.args, call.id) for call in calls),
        stop,
        _usage(usage),
        chunks[0].model_version,
        (types.Content(role="model", parts=parts),),
    )


def _usage(usage: types.GenerateContentResponseUsageMetadata | None) -> Usage:
    """Adds the thoughts, which are counted apart from the candidates. https://ai.google.dev/api/generate-content#UsageMetadata"""
    if usage is None:
        return Usage(None, None)
    output = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
    assert usage.total_token_count == (usage.prompt_token_count or 0) + output
    return Usage(usage.prompt_token_count, output, usage.cached_content_token_count)


# ---- validation ------------------------------------------------------------------------------------------------------

# The SDK removes unknown keys before it validates; its types reject them.
REPLY = EVENT = strict_validator(types.GenerateContentResponse)


def parse_error(error: Exception) -> SdkError:
    assert isinstance(error, errors.APIError)
    details = error.details["error"]
    assert details["message"] == error.message
    assert details["code"] == error.code
    headers = getattr(error.response, "headers", {})
    return SdkError(
        type(error).__name__,
        str(error.message),
        error.code,
        headers.get("retry-after"),
        error.status,
        headers.get("x-request-id"),
    )


DRIVER = Driver(
    name="gemini",
    stop_reasons=STOPS,
    features=frozenset({"tool_error"}),
    client=client,
    add_turn=add_turn,
    send=send,
    send_with_helper=send_with_helper,
    send_async=send_async,
    errors=errors.APIError,
    parse_error=parse_error,
    validate_reply=REPLY,
    validate_event=EVENT,
)
