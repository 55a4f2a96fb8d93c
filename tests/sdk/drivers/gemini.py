"""The `google-genai` SDK. It knows nothing of the server that answers.

https://github.com/googleapis/python-genai
"""

from __future__ import annotations

from collections.abc import Sequence

from google import genai
from google.genai import errors, types

from .driver import CLIENT_KEY, Answer, Ask, Call, Driver, Failed, Native, Settings, Usage
from .judge import judge
from .tape import Recorder, Tape

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


# ---- asking ----------------------------------------------------------------------------------------------------------


def client(base_url: str, tape: Tape) -> genai.Client:
    return genai.Client(
        api_key=CLIENT_KEY,
        http_options=types.HttpOptions(base_url=base_url, client_args={"transport": Recorder(tape)}),
    )


def say(conversation: Native, ask: Ask, before: Answer | None) -> Native:
    if ask.words is not None:
        return [*conversation, types.Content(role="user", parts=[types.Part.from_text(text=ask.words)])]
    assert before is not None
    results = [
        types.Part(
            function_response=types.FunctionResponse(
                id=call.id, name=call.name, response={"error" if output.failed else "output": output.text}
            )
        )
        for call, output in zip(before.calls, ask.outputs, strict=True)
    ]
    return [*conversation, types.Content(role="user", parts=results)]


def turn(sdk: genai.Client, conversation: Native, settings: Settings) -> Answer:
    config = _config(settings)
    if not settings.stream:
        return _whole(sdk.models.generate_content(model=settings.model, contents=conversation, config=config))
    return _folded(list(sdk.models.generate_content_stream(model=settings.model, contents=conversation, config=config)))


def helped(sdk: genai.Client, conversation: Native, settings: Settings) -> Answer:
    """A chat keeps the history itself, out of the chunks that it streamed."""
    *history, last = conversation
    chat = sdk.chats.create(model=settings.model, config=_config(settings), history=history)
    answer = _folded(list(chat.send_message_stream(last.parts)))
    kept = chat.get_history()
    assert [content.parts for content in kept[: len(conversation)]] == [content.parts for content in conversation]
    parts = [part for content in kept[len(conversation) :] for part in content.parts or ()]
    assert "".join(part.text or "" for part in parts) == answer.text
    assert [part.function_call.name for part in parts if part.function_call] == [call.name for call in answer.calls]
    return answer


async def async_turn(base_url: str, conversation: Native, settings: Settings) -> Answer:
    options = types.HttpOptions(base_url=base_url)
    config = _config(settings)
    async with genai.Client(api_key=CLIENT_KEY, http_options=options).aio as sdk:
        if not settings.stream:
            return _whole(await sdk.models.generate_content(model=settings.model, contents=conversation, config=config))
        chunks = await sdk.models.generate_content_stream(model=settings.model, contents=conversation, config=config)
        return _folded([chunk async for chunk in chunks])


def _config(settings: Settings) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(
        system_instruction=settings.system,
        tools=[types.Tool(function_declarations=[TOOLS[name] for name in settings.tools])] if settings.tools else None,
        max_output_tokens=settings.max_tokens,
    )


# ---- understanding ---------------------------------------------------------------------------------------------------


def _whole(response: types.GenerateContentResponse) -> Answer:
    return _folded([response])


def _folded(chunks: Sequence[types.GenerateContentResponse]) -> Answer:
    parts: list[types.Part] = []
    stop: str | None = None
    usage: types.GenerateContentResponseUsageMetadata | None = None
    for chunk in chunks:
        usage = chunk.usage_metadata or usage
        for candidate in chunk.candidates or ():
            assert stop is None, "nothing comes after the finish reason"
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
    """Thoughts are counted beside the candidates. https://ai.google.dev/api/generate-content#UsageMetadata"""
    if usage is None:
        return Usage(None, None)
    output = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
    assert usage.total_token_count == (usage.prompt_token_count or 0) + output
    return Usage(usage.prompt_token_count, output, usage.cached_content_token_count)


# ---- judging ---------------------------------------------------------------------------------------------------------

# The SDK takes out what it does not know before it validates; its types themselves refuse that.
REPLY = EVENT = judge(types.GenerateContentResponse)


def failed(error: Exception) -> Failed:
    assert isinstance(error, errors.APIError)
    details = error.details["error"]
    assert details["message"] == error.message
    assert details["code"] == error.code
    headers = getattr(error.response, "headers", {})
    return Failed(
        type(error).__name__,
        str(error.message),
        error.code,
        headers.get("retry-after"),
        error.status,
        headers.get("x-request-id"),
    )


DRIVER = Driver(
    name="gemini",
    stops=STOPS,
    says=frozenset({"tool_error"}),
    client=client,
    say=say,
    turn=turn,
    helped=helped,
    async_turn=async_turn,
    errors=errors.APIError,
    failed=failed,
    judge_reply=REPLY,
    judge_event=EVENT,
)
