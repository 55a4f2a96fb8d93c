"""Drives the `anthropic` SDK over Messages.

https://github.com/anthropics/anthropic-sdk-python
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

import anthropic
import httpx2
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import BaseModel

from .driver import CLIENT_KEY, Answer, Call, Conversation, Driver, SdkError, Settings, Usage, UserTurn
from .recording import Recorder, Recording
from .validator import strict_validator

STOPS = {"end": "end_turn", "tool": "tool_use", "length": "max_tokens"}

MAX_TOKENS = 1024
"""The protocol requires max_tokens in every request."""


def _function(name: str, description: str, *arguments: str) -> dict[str, Any]:
    return {
        "name": name,
        "description": description,
        "input_schema": {
            "type": "object",
            "properties": {argument: {"type": "string"} for argument in arguments},
            "required": list(arguments),
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


def client(base_url: str, recording: Recording) -> anthropic.Anthropic:
    return anthropic.Anthropic(
        api_key=CLIENT_KEY,
        base_url=base_url,
        max_retries=0,
        http_client=httpx2.Client(transport=Recorder(recording)),
        _strict_response_validation=True,
    )


def add_turn(conversation: Conversation, new: UserTurn, before: Answer | None) -> Conversation:
    if new.text is not None:
        return [*conversation, {"role": "user", "content": new.text}]
    assert before is not None
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": output.text}
        | ({"is_error": True} if output.failed else {})
        for call, output in zip(before.calls, new.outputs, strict=True)
    ]
    return [*conversation, {"role": "user", "content": results}]


def send(sdk: anthropic.Anthropic, conversation: Conversation, settings: Settings) -> Answer:
    if not settings.stream:
        return _parse_reply(sdk.messages.create(**_arguments(conversation, settings)))
    return _join_stream(list(sdk.messages.create(**_arguments(conversation, settings), stream=True)))


def send_with_helper(sdk: anthropic.Anthropic, conversation: Conversation, settings: Settings) -> Answer:
    """Uses `stream()`, which joins the events into a message."""
    with sdk.messages.stream(**_arguments(conversation, settings)) as events:
        text = "".join(events.text_stream)
        message = events.get_final_message()
    answer = _parse_reply(message)
    assert text == answer.text
    return answer


async def send_async(base_url: str, conversation: Conversation, settings: Settings) -> Answer:
    async with anthropic.AsyncAnthropic(api_key=CLIENT_KEY, base_url=base_url, max_retries=0) as sdk:
        if not settings.stream:
            return _parse_reply(await sdk.messages.create(**_arguments(conversation, settings)))
        events = await sdk.messages.create(**_arguments(conversation, settings), stream=True)
        return _join_stream([event async for event in events])


def _arguments(conversation: Conversation, settings: Settings) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "model": settings.model,
        "messages": conversation,
        "max_tokens": settings.max_tokens or MAX_TOKENS,
    }
    if settings.system is not None:
        arguments["system"] = settings.system
    if settings.tools:
        arguments["tools"] = [TOOLS[name] for name in settings.tools]
    return arguments


# ---- answers ---------------------------------------------------------------------------------------------------------


def _parse_reply(message: Message) -> Answer:
    text = "".join(block.text for block in message.content if block.type == "text")
    calls = tuple(Call(block.name, block.input, block.id) for block in message.content if block.type == "tool_use")
    usage = message.usage
    return Answer(
        text,
        calls,
        message.stop_reason,
        _usage(
            usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens
        ),
        message.model,
        ({"role": "assistant", "content": message.content},),
    )


def _join_stream(events: Sequence[RawMessageStreamEvent]) -> Answer:
    first, last = events[0], events[-1]
    assert first.type == "message_start"
    assert last.type == "message_stop"
    blocks: list[dict[str, Any]] = []
    pieces: list[str] = []
    stop: str | None = None
    usage = _counts(first.message.usage)
    is_open = False
    for event in events[1:-1]:
        match event.type:
            case "content_block_start":
                assert event.index == len(blocks), "blocks start in order"
                assert not is_open
                is_open = True
                blocks.append(event.content_block.model_dump(exclude_none=True))
                pieces = []
            case "content_block_delta":
                assert is_open
                assert event.index == len(blocks) - 1
                match event.delta.type:
                    case "text_delta":
                        blocks[-1]["text"] += event.delta.text
                    case "input_json_delta":
                        pieces.append(event.delta.partial_json)
                    case _:
                        raise AssertionError(event.delta.type)
            case "content_block_stop":
                assert event.index == len(blocks) - 1
                is_open = False
                if blocks[-1]["type"] == "tool_use":
                    blocks[-1]["input"] = json.loads("".join(pieces) or "{}")
            case "message_delta":
                assert not is_open
                stop = event.delta.stop_reason
                usage |= _counts(event.usage)
            case _:
                raise AssertionError(event.type)
    return Answer(
        "".join(block["text"] for block in blocks if block["type"] == "text"),
        tuple(Call(block["name"], block["input"], block["id"]) for block in blocks if block["type"] == "tool_use"),
        stop,
        _usage(*(usage.get(name) for name in COUNTS)),
        first.message.model,
        ({"role": "assistant", "content": blocks},),
    )


COUNTS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def _counts(usage: Any) -> dict[str, int]:
    """Returns the counts that a usage has; later ones replace earlier ones, missing ones do not."""
    return {name: value for name in COUNTS if (value := getattr(usage, name)) is not None}


def _usage(fresh: int | None, output: int | None, read: int | None, written: int | None) -> Usage:
    """`input_tokens` leaves out the cached ones: "Total input tokens in a request is the summation of `input_tokens`,
    `cache_creation_input_tokens`, and `cache_read_input_tokens`." https://docs.anthropic.com/en/api/messages
    """
    return Usage(None if fresh is None else fresh + (read or 0) + (written or 0), output, read)


# ---- validation ------------------------------------------------------------------------------------------------------


class _Ping(BaseModel):
    """The one event for which the SDK has no type, because it ignores it."""

    type: Literal["ping"]


REPLY = strict_validator(Message)
EVENT = strict_validator(RawMessageStreamEvent | _Ping)


def parse_error(error: Exception) -> SdkError:
    assert isinstance(error, anthropic.APIError)
    kind = type(error).__name__
    if not isinstance(error, anthropic.APIStatusError):
        return SdkError(kind, error.message)
    assert isinstance(error.body, dict)
    assert error.body["type"] == "error"
    fields = error.body["error"]
    assert fields["message"] in error.message
    retry_after = error.response.headers.get("retry-after")
    return SdkError(kind, fields["message"], error.status_code, retry_after, fields["type"], error.request_id)


DRIVER = Driver(
    name="anthropic",
    stop_reasons=STOPS,
    features=frozenset({"tool_error"}),
    client=client,
    add_turn=add_turn,
    send=send,
    send_with_helper=send_with_helper,
    send_async=send_async,
    errors=anthropic.APIError,
    parse_error=parse_error,
    validate_reply=REPLY,
    validate_event=EVENT,
)
