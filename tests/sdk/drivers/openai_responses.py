"""The `openai` SDK speaking Responses. It knows nothing of the server that answers.

https://github.com/openai/openai-python
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx2
import openai
from openai.types.responses import Response, ResponseError, ResponseStreamEvent, ResponseUsage

from .driver import CLIENT_KEY, Answer, Ask, Call, Driver, Failed, Native, Settings, Usage
from .judge import judge
from .tape import Recorder, Tape

STOPS = {"end": "completed", "tool": "completed", "length": "incomplete: max_output_tokens"}

SETTINGS = frozenset({"frequency_penalty", "presence_penalty", "store"})
"""What real responses echo of their request though the SDK's type has no field for it."""

BEYOND = frozenset({"obfuscation", "name"}) | {f"response.{name}" for name in SETTINGS}
"""The same of events. `name`: "The name of the function that was called", of `function_call_arguments.done`.

https://platform.openai.com/docs/api-reference/responses-streaming/response/function_call_arguments/done
"""

ENDS = ("response.completed", "response.incomplete")
"""The events that hold the whole response."""


class ResponseFailed(Exception):
    """What a user makes of `response.failed`, which the SDK hands over as an event like any other."""

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
            {"type": "function_call_output", "call_id": call.id, "output": output.text}
            for call, output in zip(before.calls, ask.outputs, strict=True)
        ),
    ]


def turn(sdk: openai.OpenAI, conversation: Native, settings: Settings) -> Answer:
    if not settings.stream:
        return _whole(sdk.responses.create(**_arguments(conversation, settings)))
    events = sdk.responses.create(**_arguments(conversation, settings), stream=True)
    return _folded([_sound(event) for event in events])


def helped(sdk: openai.OpenAI, conversation: Native, settings: Settings) -> Answer:
    """`stream()` follows the events, and must end with the response that its own snapshot came to."""
    with sdk.responses.stream(**_arguments(conversation, settings)) as events:
        heard = [event for event in events if event.type == "response.output_text.delta"]
        response = events.get_final_response()
    assert "".join(event.delta for event in heard) == response.output_text
    return _whole(response)


async def async_turn(base_url: str, conversation: Native, settings: Settings) -> Answer:
    async with openai.AsyncOpenAI(api_key=CLIENT_KEY, base_url=f"{base_url}/v1", max_retries=0) as sdk:
        if not settings.stream:
            return _whole(await sdk.responses.create(**_arguments(conversation, settings)))
        events = await sdk.responses.create(**_arguments(conversation, settings), stream=True)
        return _folded([_sound(event) async for event in events])


def _arguments(conversation: Native, settings: Settings) -> dict[str, Any]:
    arguments: dict[str, Any] = {"model": settings.model, "input": conversation, "store": False}
    if settings.system is not None:
        arguments["instructions"] = settings.system
    if settings.tools:
        arguments["tools"] = [TOOLS[name] for name in settings.tools]
    if settings.max_tokens is not None:
        arguments["max_output_tokens"] = settings.max_tokens
    return arguments


# ---- understanding ---------------------------------------------------------------------------------------------------


def _whole(response: Response) -> Answer:
    calls = tuple(
        Call(item.name, json.loads(item.arguments), item.call_id)
        for item in response.output
        if item.type == "function_call"
    )
    stop = str(response.status)
    if response.incomplete_details is not None:
        stop = f"{stop}: {response.incomplete_details.reason}"
    return Answer(response.output_text, calls, stop, _usage(response.usage), response.model, tuple(response.output))


def _folded(events: Sequence[ResponseStreamEvent]) -> Answer:
    """The response of the last event, which must say what the deltas said."""
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last = events[-1]
    assert last.type == "response.completed" or last.type == "response.incomplete"
    assert sum(event.type in ENDS for event in events) == 1
    answer = _whole(last.response)
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == answer.text
    pieces: dict[str, str] = {}
    for event in events:
        if event.type == "response.function_call_arguments.delta":
            pieces[event.item_id] = pieces.get(event.item_id, "") + event.delta
    said = {item.id: item.arguments for item in last.response.output if item.type == "function_call"}
    assert {id: text for id, text in pieces.items() if text} == {id: text for id, text in said.items() if id in pieces}
    assert [event.item for event in events if event.type == "response.output_item.done"] == last.response.output
    return answer


def _sound(event: ResponseStreamEvent) -> ResponseStreamEvent:
    """The event, unless it is the end of a response that failed."""
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


# ---- judging ---------------------------------------------------------------------------------------------------------

REPLY = judge(Response, SETTINGS)
EVENT = judge(ResponseStreamEvent, BEYOND)


def failed(error: Exception) -> Failed:
    if isinstance(error, ResponseFailed):
        return Failed("response.failed", error.error.message, code=error.error.code)
    assert isinstance(error, openai.APIError)
    kind = type(error).__name__
    if not isinstance(error, openai.APIStatusError):
        return Failed(kind, error.message, code=error.code)
    assert isinstance(error.body, dict)
    assert error.body["message"] in error.message
    retry_after = error.response.headers.get("retry-after")
    return Failed(kind, error.body["message"], error.status_code, retry_after, error.code, error.request_id)


DRIVER = Driver(
    name="openai-responses",
    stops=STOPS,
    says=frozenset({"tool_strict"}),
    client=client,
    say=say,
    turn=turn,
    helped=helped,
    async_turn=async_turn,
    errors=(openai.APIError, ResponseFailed),
    failed=failed,
    judge_reply=REPLY,
    judge_event=EVENT,
)
