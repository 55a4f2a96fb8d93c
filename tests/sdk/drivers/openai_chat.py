"""The `openai` SDK speaking Chat Completions. It knows nothing of the server that answers.

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

from .driver import CLIENT_KEY, Answer, Ask, Call, Driver, Failed, Native, Settings, Usage
from .judge import judge
from .tape import Recorder, Tape

BEYOND = frozenset({"provider", "choices[].native_finish_reason", "choices[].message.reasoning"})
"""What OpenRouter adds of its own, relayed as it came. https://openrouter.ai/docs/api-reference/overview"""

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


# ---- asking ----------------------------------------------------------------------------------------------------------


def client(base_url: str, tape: Tape) -> openai.OpenAI:
    return openai.OpenAI(
        api_key=CLIENT_KEY,
        base_url=f"{base_url}/v1",
        max_retries=0,
        http_client=httpx2.Client(transport=Recorder(tape)),
        _strict_response_validation=True,
    )


def say(conversation: Native, ask: Ask, before: Answer | None) -> Native:
    if ask.words is not None:
        return [*conversation, {"role": "user", "content": ask.words}]
    assert before is not None
    return [
        *conversation,
        *(
            {"role": "tool", "tool_call_id": call.id, "content": output.text}
            for call, output in zip(before.calls, ask.outputs, strict=True)
        ),
    ]


def turn(sdk: openai.OpenAI, conversation: Native, settings: Settings) -> Answer:
    if not settings.stream:
        return _whole(sdk.chat.completions.create(**_arguments(conversation, settings)))
    chunks = sdk.chat.completions.create(
        **_arguments(conversation, settings), stream=True, stream_options={"include_usage": True}
    )
    return _folded(list(chunks))


def helped(sdk: openai.OpenAI, conversation: Native, settings: Settings) -> Answer:
    """`stream()` puts the chunks together and parses the arguments of strict tools."""
    arguments = _arguments(conversation, settings) | {"stream_options": {"include_usage": True}}
    with sdk.chat.completions.stream(**arguments) as events:
        kinds = [event.type for event in events]
        completion = events.get_final_completion()
    answer = _whole(completion)
    assert kinds.count("tool_calls.function.arguments.done") == len(answer.calls)
    assert kinds.count("content.done") == (1 if answer.text else 0)
    return answer


async def async_turn(base_url: str, conversation: Native, settings: Settings) -> Answer:
    async with openai.AsyncOpenAI(api_key=CLIENT_KEY, base_url=f"{base_url}/v1", max_retries=0) as sdk:
        if not settings.stream:
            return _whole(await sdk.chat.completions.create(**_arguments(conversation, settings)))
        chunks = await sdk.chat.completions.create(
            **_arguments(conversation, settings), stream=True, stream_options={"include_usage": True}
        )
        return _folded([chunk async for chunk in chunks])


def _arguments(conversation: Native, settings: Settings) -> dict[str, Any]:
    arguments: dict[str, Any] = {"model": settings.model, "messages": conversation}
    if settings.system is not None:
        arguments["messages"] = [{"role": "system", "content": settings.system}, *conversation]
    if settings.tools:
        arguments["tools"] = [TOOLS[name] for name in settings.tools]
    if settings.max_tokens is not None:
        arguments["max_completion_tokens"] = settings.max_tokens
    return arguments


# ---- understanding ---------------------------------------------------------------------------------------------------


def _whole(completion: ChatCompletion) -> Answer:
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


def _folded(chunks: Sequence[ChatCompletionChunk]) -> Answer:
    text = ""
    calls: dict[int, dict[str, Any]] = {}
    stop: str | None = None
    usage: CompletionUsage | None = None
    for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            assert stop is None or not choice.delta.content, "words after the end"
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


# ---- judging ---------------------------------------------------------------------------------------------------------

REPLY = judge(ChatCompletion, BEYOND)
EVENT = judge(ChatCompletionChunk, BEYOND)


def failed(error: Exception) -> Failed:
    assert isinstance(error, openai.APIError)
    kind = type(error).__name__
    if not isinstance(error, openai.APIStatusError):
        return Failed(kind, error.message, code=error.code)
    # the SDK takes `error` out of the body, and puts the whole body into the message
    assert isinstance(error.body, dict)
    assert error.body["message"] in error.message
    retry_after = error.response.headers.get("retry-after")
    return Failed(kind, error.body["message"], error.status_code, retry_after, error.code, error.request_id)


DRIVER = Driver(
    name="openai-chat",
    stops=STOPS,
    says=frozenset({"tool_strict"}),
    client=client,
    say=say,
    turn=turn,
    helped=helped,
    async_turn=async_turn,
    errors=openai.APIError,
    failed=failed,
    judge_reply=REPLY,
    judge_event=EVENT,
    done="[DONE]",
)
