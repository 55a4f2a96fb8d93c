"""Drives the `openai` SDK over Responses.

https://github.com/openai/openai-python
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx2
import openai
from openai.types.responses import Response, ResponseError, ResponseStreamEvent, ResponseUsage

from .driver import CLIENT_KEY, Answer, Call, Conversation, Driver, SdkError, Settings, Usage, UserTurn
from .recording import Recorder, Recording
from .validator import strict_validator

STOPS = {"end": "completed", "tool": "completed", "length": "incomplete: max_output_tokens"}

SETTINGS = frozenset({"frequency_penalty", "presence_penalty", "store"})
"""Request fields that real responses repeat although the SDK's type lacks them."""

EXTRA_KEYS = frozenset({"obfuscation", "name"}) | {f"response.{name}" for name in SETTINGS}
"""Keys of events that the SDK's type lacks.

`name`: "The name of the function that was called", of `function_call_arguments.done`.
https://platform.openai.com/docs/api-reference/responses-streaming/response/function_call_arguments/done
"""

UNTYPED_CODES = frozenset({"server_is_overloaded", "slow_down", "context_length_exceeded"})
"""Codes of a failed response that the SDK's type lacks, though a strict SDK alone refuses them.

https://github.com/openai/codex/blob/main/codex-rs/codex-api/src/sse/responses.rs
"""

ENDS = ("response.completed", "response.incomplete")
"""The events that contain the whole response."""


class ResponseFailed(Exception):
    """Raised for `response.failed`, which the SDK delivers as an ordinary event."""

    def __init__(self, error: ResponseError) -> None:
        super().__init__(error.message)
        self.error = error


def _function(name: str, description: str, *arguments: str) -> dict[str, Any]:
    return {
        "type": "function",
        "name": name,
        "description": description,
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {argument: {"type": "string"} for argument in arguments},
            "required": list(arguments),
            "additionalProperties": False,
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
            {"type": "function_call_output", "call_id": call.id, "output": output.text}
            for call, output in zip(before.calls, new.outputs, strict=True)
        ),
    ]


def send(sdk: openai.OpenAI, conversation: Conversation, settings: Settings) -> Answer:
    if not settings.stream:
        return _parse_reply(sdk.responses.create(**_arguments(conversation, settings)))
    events = sdk.responses.create(**_arguments(conversation, settings), stream=True)
    try:
        return _join_stream([_raise_if_failed(event) for event in events])
    except openai.APIResponseValidationError as invalid:
        raise _failure_beyond_the_type(invalid) from invalid


def send_with_helper(sdk: openai.OpenAI, conversation: Conversation, settings: Settings) -> Answer:
    """Uses `stream()`, which joins the events; the text deltas must equal the final response."""
    with sdk.responses.stream(**_arguments(conversation, settings)) as events:
        deltas = [event for event in events if event.type == "response.output_text.delta"]
        response = events.get_final_response()
    assert "".join(event.delta for event in deltas) == response.output_text
    return _parse_reply(response)


async def send_async(base_url: str, conversation: Conversation, settings: Settings) -> Answer:
    async with openai.AsyncOpenAI(api_key=CLIENT_KEY, base_url=f"{base_url}/v1", max_retries=0) as sdk:
        if not settings.stream:
            return _parse_reply(await sdk.responses.create(**_arguments(conversation, settings)))
        events = await sdk.responses.create(**_arguments(conversation, settings), stream=True)
        return _join_stream([_raise_if_failed(event) async for event in events])


def _arguments(conversation: Conversation, settings: Settings) -> dict[str, Any]:
    arguments: dict[str, Any] = {"model": settings.model, "input": conversation, "store": False}
    if settings.system is not None:
        arguments["instructions"] = settings.system
    if settings.tools:
        arguments["tools"] = [TOOLS[name] for name in settings.tools]
    if settings.max_tokens is not None:
        arguments["max_output_tokens"] = settings.max_tokens
    return arguments


# ---- answers ---------------------------------------------------------------------------------------------------------


def _parse_reply(response: Response) -> Answer:
    calls = tuple(
        Call(item.name, json.loads(item.arguments), item.call_id)
        for item in response.output
        if item.type == "function_call"
    )
    stop = str(response.status)
    if response.incomplete_details is not None:
        stop = f"{stop}: {response.incomplete_details.reason}"
    return Answer(response.output_text, calls, stop, _usage(response.usage), response.model, tuple(response.output))


def _join_stream(events: Sequence[ResponseStreamEvent]) -> Answer:
    """Returns the response of the last event and checks that the deltas are equal to it."""
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last = events[-1]
    assert last.type == "response.completed" or last.type == "response.incomplete"
    assert sum(event.type in ENDS for event in events) == 1
    answer = _parse_reply(last.response)
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == answer.text
    pieces: dict[str, str] = {}
    for event in events:
        if event.type == "response.function_call_arguments.delta":
            pieces[event.item_id] = pieces.get(event.item_id, "") + event.delta
    complete = {item.id: item.arguments for item in last.response.output if item.type == "function_call"}
    streamed = {id: text for id, text in pieces.items() if text}
    assert streamed == {id: text for id, text in complete.items() if id in pieces}
    assert [event.item for event in events if event.type == "response.output_item.done"] == last.response.output
    return answer


def _failure_beyond_the_type(invalid: openai.APIResponseValidationError) -> Exception:
    """Returns the failure whose code the API sends although the SDK's type lacks it, else the error itself."""
    match invalid.body:
        case {"type": "response.failed", "response": {"error": {"code": code, **rest}}} if code in UNTYPED_CODES:
            return ResponseFailed(ResponseError.model_construct(code=code, **rest))
    return invalid


def _raise_if_failed(event: ResponseStreamEvent) -> ResponseStreamEvent:
    """Returns the event; raises if it is `response.failed`."""
    if event.type == "response.failed":
        assert event.response.status == "failed"
        assert event.response.error is not None
        raise ResponseFailed(event.response.error)
    return event


def _usage(usage: ResponseUsage | None) -> Usage:
    if usage is None:
        return Usage(None, None)
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    return Usage(usage.input_tokens, usage.output_tokens, usage.input_tokens_details.cached_tokens)


# ---- validation ------------------------------------------------------------------------------------------------------

REPLY = strict_validator(Response, SETTINGS)
EVENT = strict_validator(ResponseStreamEvent, EXTRA_KEYS)


def parse_error(error: Exception) -> SdkError:
    if isinstance(error, ResponseFailed):
        return SdkError("response.failed", error.error.message, code=error.error.code)
    assert isinstance(error, openai.APIError)
    kind = type(error).__name__
    if not isinstance(error, openai.APIStatusError):
        return SdkError(kind, error.message, code=error.code)
    assert isinstance(error.body, dict)
    assert error.body["message"] in error.message
    retry_after = error.response.headers.get("retry-after")
    return SdkError(kind, error.body["message"], error.status_code, retry_after, error.code, error.request_id)


DRIVER = Driver(
    name="openai-responses",
    stop_reasons=STOPS,
    features=frozenset({"tool_strict"}),
    client=client,
    add_turn=add_turn,
    send=send,
    send_with_helper=send_with_helper,
    send_async=send_async,
    errors=(openai.APIError, ResponseFailed),
    parse_error=parse_error,
    validate_reply=REPLY,
    validate_event=EVENT,
)
