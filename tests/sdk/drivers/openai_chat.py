"""Drives the `openai` SDK over Chat Completions.

https://github.com/openai/openai-python
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx2
import openai
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.completion_usage import CompletionUsage

from .driver import CLIENT_KEY, Answer, Call, Conversation, Driver, SdkError, Settings, Usage, UserTurn
from .recording import Recorder, Recording
from .validator import strict_validator

EXTRA_KEYS = frozenset({"provider", "choices[].native_finish_reason", "choices[].message.reasoning"})
"""Keys that OpenRouter adds and the proxy relays. https://openrouter.ai/docs/api-reference/overview"""

STOPS = {"end": "stop", "tool": "tool_calls", "length": "length"}


def _function(name: str, description: str, *arguments: str) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {argument: {"type": "string"} for argument in arguments},
                "required": list(arguments),
                "additionalProperties": False,
            },
        },
    }


TOOLS: dict[str, Any] = {
    "search": _function("search", "Search the web.", "query"),
    "weather": _function("weather", "The weather in a city.", "city"),
    "clock": _function("clock", "The time of day."),
    "lookup": _function("lookup", "Look up a person.", "who"),
    "ring": _function("ring", "Ring a number.", "number"),
}


# ---- requests --------------------------------------------------------------------------------------------------------


def client(base_url: str, recording: Recording) -> openai.OpenAI:
    return openai.OpenAI(
        api_key=CLIENT_KEY,
        base_url=f"{base_url}/v1",
        max_retries=0,
        http_client=httpx2.Client(transport=Recorder(recording)),
        _strict_response_validation=True,
    )


def add_turn(conversation: Conversation, new: UserTurn, before: Answer | None) -> Conversation:
    if new.text is not None:
        return [*conversation, {"role": "user", "content": new.text}]
    assert before is not None
    return [
        *conversation,
        *(
            {"role": "tool", "tool_call_id": call.id, "content": output.text}
            for call, output in zip(before.calls, new.outputs, strict=True)
        ),
    ]


def send(sdk: openai.OpenAI, conversation: Conversation, settings: Settings) -> Answer:
    if not settings.stream:
        return _parse_reply(sdk.chat.completions.create(**_arguments(conversation, settings)))
    chunks = sdk.chat.completions.create(
        **_arguments(conversation, settings), stream=True, stream_options={"include_usage": True}
    )
    return _join_stream(list(chunks))


def send_with_helper(sdk: openai.OpenAI, conversation: Conversation, settings: Settings) -> Answer:
    """Uses `stream()`, which joins the chunks and parses the arguments of strict tools."""
    arguments = _arguments(conversation, settings) | {"stream_options": {"include_usage": True}}
    with sdk.chat.completions.stream(**arguments) as events:
        kinds = [event.type for event in events]
        completion = events.get_final_completion()
    answer = _parse_reply(completion)
    assert kinds.count("tool_calls.function.arguments.done") == len(answer.calls)
    assert kinds.count("content.done") == (1 if answer.text else 0)
    return answer


async def send_async(base_url: str, conversation: Conversation, settings: Settings) -> Answer:
    async with openai.AsyncOpenAI(api_key=CLIENT_KEY, base_url=f"{base_url}/v1", max_retries=0) as sdk:
        if not settings.stream:
            return _parse_reply(await sdk.chat.completions.create(**_arguments(conversation, settings)))
        chunks = await sdk.chat.completions.create(
            **_arguments(conversation, settings), stream=True, stream_options={"include_usage": True}
        )
        return _join_stream([chunk async for chunk in chunks])


def _arguments(conversation: Conversation, settings: Settings) -> dict[str, Any]:
    arguments: dict[str, Any] = {"model": settings.model, "messages": conversation}
    if settings.system is not None:
        arguments["messages"] = [{"role": "system", "content": settings.system}, *conversation]
    if settings.tools:
        arguments["tools"] = [TOOLS[name] for name in settings.tools]
    if settings.max_tokens is not None:
        arguments["max_completion_tokens"] = settings.max_tokens
    return arguments


# ---- answers ---------------------------------------------------------------------------------------------------------


def _parse_reply(completion: ChatCompletion) -> Answer:
    (choice,) = completion.choices
    calls = tuple(
        Call(call.function.name, json.loads(call.function.arguments), call.id)
        for call in choice.message.tool_calls or ()
        if call.type == "function"
    )
    return Answer(
        choice.message.content or "",
        calls,
        choice.finish_reason,
        _usage(completion.usage),
        completion.model,
        (choice.message,),
    )


def _join_stream(chunks: Sequence[ChatCompletionChunk]) -> Answer:
    text = ""
    calls: dict[int, dict[str, Any]] = {}
    stop: str | None = None
    usage: CompletionUsage | None = None
    for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            assert stop is None or not choice.delta.content, "text after the finish reason"
            text += choice.delta.content or ""
            stop = choice.finish_reason or stop
            for piece in choice.delta.tool_calls or ():
                call = calls.setdefault(
                    piece.index, {"id": None, "type": "function", "function": {"name": "", "arguments": ""}}
                )
                call["id"] = piece.id or call["id"]
                if piece.function is not None:
                    call["function"]["name"] += piece.function.name or ""
                    call["function"]["arguments"] += piece.function.arguments or ""
    assert list(calls) == list(range(len(calls)))
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if calls:
        message["tool_calls"] = list(calls.values())
    return Answer(
        text,
        tuple(Call(c["function"]["name"], json.loads(c["function"]["arguments"]), c["id"]) for c in calls.values()),
        stop,
        _usage(usage),
        chunks[0].model,
        (message,),
    )


def _usage(usage: CompletionUsage | None) -> Usage:
    if usage is None:
        return Usage(None, None)
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    details = usage.prompt_tokens_details
    return Usage(usage.prompt_tokens, usage.completion_tokens, details.cached_tokens if details else None)


# ---- validation ------------------------------------------------------------------------------------------------------

REPLY = strict_validator(ChatCompletion, EXTRA_KEYS)
EVENT = strict_validator(ChatCompletionChunk, EXTRA_KEYS)


def parse_error(error: Exception) -> SdkError:
    assert isinstance(error, openai.APIError)
    kind = type(error).__name__
    if not isinstance(error, openai.APIStatusError):
        return SdkError(kind, error.message, code=error.code)
    # the SDK's body is the value of `error`, its message contains the whole body
    assert isinstance(error.body, dict)
    assert error.body["message"] in error.message
    retry_after = error.response.headers.get("retry-after")
    return SdkError(kind, error.body["message"], error.status_code, retry_after, error.code, error.request_id)


DRIVER = Driver(
    name="openai-chat",
    stop_reasons=STOPS,
    features=frozenset({"tool_strict"}),
    client=client,
    add_turn=add_turn,
    send=send,
    send_with_helper=send_with_helper,
    send_async=send_async,
    errors=openai.APIError,
    parse_error=parse_error,
    validate_reply=REPLY,
    validate_event=EVENT,
    done_marker="[DONE]",
)
