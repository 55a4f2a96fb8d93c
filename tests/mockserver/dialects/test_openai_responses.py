"""OpenAI Responses as the mock says and hears it, and the vendor's own samples."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from mockserver.dialects.contract import (
    Failure,
    Spoken,
    counted,
    joined,
    meant,
)
from mockserver.dialects.openai_responses import DIALECT
from mockserver.frames import SSE, parse_sse, sse
from mockserver.speech import (
    Ask,
    Call,
    Cut,
    Garble,
    Image,
    Interleave,
    Item,
    Pause,
    Refuse,
    Result,
    SayCall,
    SayError,
    SayRefusal,
    SayStop,
    SayText,
    SayThink,
    Text,
    Think,
    Turn,
    Usage,
    in_sequence,
)

from .responses_stage import (
    CALLS,
    FIRST,
    HEADERS,
    PROVIDER,
    SEAL,
    Body,
    exchange,
    hear,
    scene,
)

SAID: dict[str, tuple[tuple[Item, ...], str | None, tuple[Any, ...], str]] = {
    "text": ((SayText(("Hi", " you")),), None, (Text("Hi you"),), "end"),
    "nothing": ((), None, (), "end"),
    "refusal": ((SayRefusal(("I", " won't")),), None, (Refuse("I won't"),), "end"),
    "calls": (
        CALLS, None, (Call("call_1", "weather", '{"city":"Oslo"}'), Call("call_2", "weather", '{"city":"Rom"}')),
        "tool",
    ),
    "zero-arguments": ((SayCall("call_1", "now"),), None, (Call("call_1", "now", "{}"),), "tool"),
    "empty-fragment": ((SayCall("call_1", "now", ("",)),), None, (Call("call_1", "now", "{}"),), "tool"),
    "text-and-call": (
        (SayText(("Let me look.",)), CALLS[0], SayText(("Done.",))),
        None,
        (Text("Let me look."), Call("call_1", "weather", '{"city":"Oslo"}'), Text("Done.")),
        "tool",
    ),
    "interleaved": (
        (Interleave(CALLS),),
        None,
        (Call("call_1", "weather", '{"city":"Oslo"}'), Call("call_2", "weather", '{"city":"Rom"}')),
        "tool",
    ),
    "thinking": ((SayThink(("Hm", ".")), SayText(("Hi",))), None, (Think("Hm."), Text("Hi")), "end"),
    "sealed": ((SayThink(("Hm", "."), True), SayText(("Hi",))), None, (Think("Hm.", SEAL), Text("Hi")), "end"),
    "seal-alone": (
        (SayThink((), True), CALLS[0]), None, (Think("", SEAL), Call("call_1", "weather", '{"city":"Oslo"}')), "tool",
    ),
    "sealed-call": ((SayCall("call_1", "now", ("{}",), True),), None, (Call("call_1", "now", "{}"),), "tool"),
    "length": ((SayText(("Once", " upon")),), "length", (Text("Once upon"),), "length"),
    "length-in-a-call": ((SayCall("call_1", "now", ('{"a',)),), "length", (Call("call_1", "now", '{"a'),), "length"),
    "content-filter": ((SayText(("Once",)),), "content_filter", (Text("Once"),), "content_filter"),
    "stop-sequence": ((SayText(("Once",)),), "stop_sequence", (Text("Once"),), "end"),
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("name", SAID)
def test_what_is_said_is_heard_without_complaint(name: str, stream: bool) -> None:
    items, stop, blocks, heard_stop = SAID[name]
    heard = exchange(items, stream=stream, stop=stop)
    assert heard.complaints == ()
    assert heard.error is None
    assert heard.blocks == blocks
    assert heard.stop == heard_stop
    assert heard.model == "gpt-5-mini"
    wanted = counted(40, items)
    assert heard.usage == replace(wanted, cache_read=0, cache_write=0, reasoning=wanted.reasoning or 0)


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_cached_tokens_are_part_of_the_input(stream: bool) -> None:
    said = replace(scene([SayText(("x",))], stream=stream), usage=Usage(10, 5, 80, 20, 3))
    spoken = DIALECT.say(said)
    body = json.loads(parse_sse(spoken.body).events[-1].data)["response"] if stream else json.loads(spoken.body)
    assert body["usage"]["input_tokens"] == 110
    assert body["usage"]["total_tokens"] == 115
    assert hear(spoken, stream=stream).usage == Usage(10, 5, 80, 20, 3)


@pytest.mark.parametrize(
    ("body", "blocks"),
    [
        pytest.param({}, (Think(""), Text("Hi")), id="nothing-asked"),
        pytest.param({"reasoning": {"summary": "auto"}}, (Think("Hm."), Text("Hi")), id="summary"),
        pytest.param({"include": ["reasoning.encrypted_content"]}, (Think("", SEAL), Text("Hi")), id="seal"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_thinking_is_shown_and_sealed_only_when_that_is_asked(
    body: Body, blocks: tuple[Any, ...], stream: bool
) -> None:
    spoken = DIALECT.say(scene([SayThink(("Hm", "."), True), SayText(("Hi",))], stream=stream, body=body))
    heard = hear(spoken, stream=stream)
    assert heard.complaints == ()
    assert heard.blocks == blocks


def test_the_seal_of_a_thought_that_has_only_begun_is_not_the_finished_one() -> None:
    body = {"include": ["reasoning.encrypted_content"]}
    spoken = DIALECT.say(scene([SayThink(("Hm",), True), SayText(("Hi",))], stream=True, body=body))
    seals = [
        event["item"]["encrypted_content"]
        for event in (json.loads(e.data) for e in parse_sse(spoken.body).events)
        if "encrypted_content" in event.get("item", {})
    ]
    assert seals == [f"{SEAL}..", SEAL]


def test_a_function_without_strict_comes_back_strict_where_that_is_possible() -> None:
    city = {"type": "object", "properties": {"city": {"type": "string"}}}
    tools = [
        {"type": "function", "name": "closed", "parameters": city | {"required": ["city"]}},
        {"type": "function", "name": "open", "parameters": city},
        {"type": "function", "name": "loose", "parameters": city | {"required": ["city"]}, "strict": False},
        {"type": "web_search"},
    ]
    said = json.loads(DIALECT.say(scene([], stream=False, body={"tools": tools})).body)["tools"]
    assert [tool.get("strict") for tool in said] == [True, False, False, None]
    assert said[0]["parameters"] == city | {"additionalProperties": False, "required": ["city"]}
    assert said[1]["parameters"] == city
    assert said[3] == {"type": "web_search"}


def test_a_schema_is_closed_at_every_depth() -> None:
    leaf: Body = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    closed = leaf | {"additionalProperties": False}
    parameters = {
        "type": "object",
        "properties": {"p": {"items": leaf}, "q": {"anyOf": [leaf]}},
        "required": ["p", "q"],
    }
    body = {"tools": [{"type": "function", "name": "f", "parameters": parameters}]}
    said = json.loads(DIALECT.say(scene([], stream=False, body=body)).body)["tools"][0]["parameters"]
    assert said["properties"] == {"p": {"items": closed}, "q": {"anyOf": [closed]}}
    assert said["additionalProperties"] is False


def test_a_format_is_mirrored_with_its_defaults() -> None:
    body = {"text": {"format": {"type": "json_schema", "name": "n", "schema": {}}}}
    said = json.loads(DIALECT.say(scene([], stream=False, body=body)).body)["text"]
    assert said["format"] == {"type": "json_schema", "description": None, "strict": False, "name": "n", "schema": {}}


LADDER = (
    *("response.created", "response.in_progress", "response.output_item.added"),
    *("response.reasoning_summary_part.added", "response.reasoning_summary_text.delta"),
    *("response.reasoning_summary_text.delta", "response.reasoning_summary_text.done"),
    *("response.reasoning_summary_part.done", "response.output_item.done"),
    *("response.output_item.added", "response.content_part.added", "response.output_text.delta"),
    *("response.output_text.done", "response.content_part.done", "response.output_item.done"),
    *("response.output_item.added", "response.function_call_arguments.delta"),
    *("response.function_call_arguments.delta", "response.function_call_arguments.done"),
    *("response.output_item.done", "response.completed"),
)


def test_the_whole_ladder_in_its_order() -> None:
    items = (SayThink(("Hm", "."), True), SayText(("Hi",)), CALLS[0])
    spoken = DIALECT.say(scene(items, stream=True, body={"reasoning": {"summary": "auto"}}))
    events = parse_sse(spoken.body).events
    assert tuple(event.event for event in events) == LADDER
    values = [json.loads(event.data) for event in events]
    assert [value["sequence_number"] for value in values] == list(range(len(LADDER)))
    assert all(("obfuscation" in value) == value["type"].endswith(".delta") for value in values)


def test_padding_can_be_declined() -> None:
    body = {"stream_options": {"include_obfuscation": False}}
    spoken = DIALECT.say(scene([SayText(("Hi",)), CALLS[0]], stream=True, body=body))
    assert b"obfuscation" not in spoken.body


@pytest.mark.parametrize("name", SAID)
def test_the_official_sdk_takes_every_answer_as_its_type(name: str) -> None:
    items, stop, _, _ = SAID[name]
    body = DIALECT.ask([(FIRST, None)], model="gpt-5-mini", stream=True).body
    Response.model_validate_json(DIALECT.say(scene(items, stream=False, body=body, stop=stop)).body, strict=True)
    events = TypeAdapter(ResponseStreamEvent)
    for event in parse_sse(DIALECT.say(scene(items, stream=True, body=body, stop=stop)).body).events:
        events.validate_json(event.data, strict=True)


def test_a_fault_finds_the_item_before_it_open() -> None:
    spoken = DIALECT.say(scene([SayText(("one", " two")), Pause(0.01), Cut()], stream=True))
    at = next(n for n, step in enumerate(spoken.steps) if isinstance(step, Cut))
    assert isinstance(spoken.steps[at - 1], Pause)
    assert b"response.output_text.delta" in b"".join(s for s in spoken.steps[at - 2 : at] if isinstance(s, bytes))
    whole = Spoken(200, {}, spoken.steps[:at], SSE)
    heard = hear(whole, stream=True)
    assert heard.text == "one two"
    assert heard.error is not None
    assert heard.error.kind == "cut"
    assert heard.stop is None
    assert heard.complaints == ()


def test_faults_keep_their_place_in_a_unary_answer() -> None:
    spoken = DIALECT.say(scene([SayText(("one",)), Garble("<html>")], stream=False))
    assert isinstance(spoken.steps[0], Garble)


@pytest.mark.parametrize(
    ("error", "kind", "code", "failed"),
    [
        (SayError("overloaded"), "overloaded", "server_is_overloaded", "server_is_overloaded"),
        (SayError("rate_limit"), "rate_limit", "rate_limit_exceeded", "rate_limit_exceeded"),
        (SayError("internal", message="oh"), "internal", "server_error", "server_error"),
        (SayError("bad_request"), "bad_request", None, "invalid_prompt"),
        (SayError("timeout"), "timeout", "timeout", "timeout"),
    ],
    ids=lambda value: value.kind if isinstance(value, SayError) else "",
)
@pytest.mark.parametrize("before", [(), (SayText(("one", " two")),), (CALLS[0], SayText(("one two",)))])
def test_an_error_inside_a_stream_is_heard(
    before: tuple[Item, ...], error: SayError, kind: str, code: str | None, failed: str
) -> None:
    spoken = DIALECT.say(scene([*before, error], stream=True))
    heard = hear(spoken, stream=True)
    assert heard.complaints == ()
    assert heard.error is not None
    assert (heard.error.kind, heard.error.code) == (kind, code)
    assert heard.error.message == (error.message or heard.error.message)
    assert heard.stop is None
    assert heard.text == ("one two" if before else "")
    last = heard.events[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["error"]["code"] == failed
    # Only what was finished stands in the failed response.
    assert len(last["response"]["output"]) == max(len(before) - 1, 0)


def test_an_error_before_the_stream_is_a_status() -> None:
    spoken = DIALECT.say_error(Failure(429, "rate_limit", "slow down", retry_after=7), PROVIDER)
    assert (spoken.status, spoken.headers["retry-after"]) == (429, "7")
    heard = hear(spoken, stream=True)
    assert heard.complaints == ()
    assert heard.error is not None
    assert (heard.error.status, heard.error.kind, heard.error.message) == (429, "rate_limit", "slow down")


def test_tokens_are_counted() -> None:
    assert DIALECT.count is not None
    short, long = DIALECT.count({"input": "hi"}), DIALECT.count({"input": "hi " * 40, "tools": [{"name": "x"}]})
    assert short["object"] == "response.input_tokens"
    assert 0 < short["input_tokens"] < long["input_tokens"]


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=9)
NAMES = st.text("abcdefghij_", min_size=1, max_size=8)
ARGUMENTS = st.dictionaries(NAMES, TEXT | st.integers(), max_size=3).map(lambda d: json.dumps(d, ensure_ascii=False))


@st.composite
def call(draw: st.DrawFn, id: str) -> SayCall:
    text = draw(ARGUMENTS)
    at = draw(st.integers(0, len(text)))
    return SayCall(id, draw(NAMES), (text[:at], text[at:]), draw(st.booleans()))


@st.composite
def answers(draw: st.DrawFn) -> tuple[Item, ...]:
    deltas = st.lists(TEXT, min_size=1, max_size=3).map(tuple)
    items: list[Item] = []
    for at in range(draw(st.integers(0, 5))):
        choice = draw(st.integers(0, 3))
        if choice == 0:
            items.append(SayText(draw(deltas)))
        elif choice == 1:
            items.append(SayRefusal(draw(deltas)))
        elif choice == 2:
            items.append(SayThink(draw(deltas), draw(st.booleans())))
        else:
            items.append(draw(call(f"call_{at}")))
    return tuple(items)


@settings(max_examples=80, deadline=None)
@given(items=answers())
def test_unary_and_stream_say_the_same_and_go_back_as_history(items: tuple[Item, ...]) -> None:
    unary, streamed = exchange(items, stream=False), exchange(items, stream=True)
    assert unary.complaints == streamed.complaints == ()
    assert unary.blocks == streamed.blocks
    assert (unary.stop, unary.usage, unary.echo) == (streamed.stop, streamed.usage, streamed.echo)
    said = [item for item in in_sequence(items) if not isinstance(item, SayStop)]
    assert len(unary.blocks) == len(said)
    second = Ask(results=tuple(Result(c.id, (Text("r"),), at=n) for n, c in enumerate(unary.calls)), user=(Text("on"),))
    conversation = [(FIRST, streamed), (second, None)]
    asked = DIALECT.ask(conversation, model="gpt-5-mini", stream=True)
    found = DIALECT.read(asked.path, asked.headers, asked.body)
    wanted = meant(conversation, model="gpt-5-mini", stream=True)
    assert joined(found.turns) == tuple(
        Turn(turn.role, tuple(replace(b, name=None) if isinstance(b, Result) else b for b in turn.blocks))
        for turn in joined(wanted.turns)
    )


# ---- literal vendor samples ------------------------------------------------------------------------------------------

REPLY = """{
  "id": "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b",
  "object": "response",
  "created_at": 1741476542,
  "status": "completed",
  "completed_at": 1741476543,
  "error": null,
  "incomplete_details": null,
  "instructions": null,
  "max_output_tokens": null,
  "model": "gpt-5.4",
  "output": [
    {
      "type": "message",
      "id": "msg_67ccd2bf17f0819081ff3bb2cf6508e60bb6a6b452d3795b",
      "status": "completed",
      "role": "assistant",
      "content": [{"type": "output_text", "text": "In a peaceful grove", "annotations": []}]
    }
  ],
  "parallel_tool_calls": true,
  "previous_response_id": null,
  "reasoning": {"effort": null, "summary": null},
  "store": true,
  "temperature": 1.0,
  "text": {"format": {"type": "text"}},
  "tool_choice": "auto",
  "tools": [],
  "top_p": 1.0,
  "truncation": "disabled",
  "usage": {
    "input_tokens": 36,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 87,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 123
  },
  "user": null,
  "metadata": {}
}"""
"""After https://platform.openai.com/docs/api-reference/responses/create"""


def test_the_vendor_s_reply() -> None:
    heard = DIALECT.hear(200, {"content-type": "application/json"}, REPLY.encode(), stream=False)
    assert heard.complaints == ()
    assert (heard.text, heard.stop, heard.native_stop) == ("In a peaceful grove", "end", "completed")
    assert heard.usage == Usage(36, 87, 0, None, 0)


BEGUN = json.loads(REPLY) | {"status": "in_progress", "completed_at": None, "output": [], "usage": None}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "get_weather"}
ARGUMENTS_OF_PARIS = '{"location":"Paris"}'
DONE = CALL | {"arguments": ARGUMENTS_OF_PARIS, "status": "completed"}
OF_CALL = {"item_id": "fc_1", "output_index": 0}

FUNCTION_STREAM: tuple[tuple[str, Body], ...] = (
    ("response.created", {"response": BEGUN}),
    ("response.output_item.added", {"output_index": 0, "item": CALL | {"arguments": "", "status": "in_progress"}}),
    ("response.function_call_arguments.delta", OF_CALL | {"delta": '{"location":'}),
    ("response.function_call_arguments.delta", OF_CALL | {"delta": '"Paris"}'}),
    ("response.function_call_arguments.done", OF_CALL | {"name": "get_weather", "arguments": ARGUMENTS_OF_PARIS}),
    ("response.output_item.done", {"output_index": 0, "item": DONE}),
    ("response.completed", {"response": json.loads(REPLY) | {"output": [DONE]}}),
)
"""After https://platform.openai.com/docs/guides/function-calling#streaming, numbered from 1 as its reference does."""


def test_the_vendor_s_function_stream() -> None:
    body = b"".join(
        sse({"type": kind, **fields, "sequence_number": n}, kind) for n, (kind, fields) in enumerate(FUNCTION_STREAM, 1)
    )
    heard = DIALECT.hear(200, {"content-type": "text/event-stream; charset=utf-8"}, body, stream=True)
    assert heard.complaints == ()
    assert heard.blocks == (Call("call_1", "get_weather", '{"location":"Paris"}'),)
    assert heard.stop == "tool"


ERRORS: dict[str, tuple[int, bytes, str, str | None]] = {
    # https://platform.openai.com/docs/guides/error-codes/api-errors
    "key": (
        401,
        b'{"error":{"message":"Incorrect API key provided: x.","type":"invalid_request_error","param":null,'
        b'"code":"invalid_api_key"}}',
        "authentication", "invalid_api_key",
    ),
    # https://github.com/continuedev/continue/issues/10092
    "pairing": (
        400,
        b'{"error":{"message":"No tool call found for function call output with call_id call_1.",'
        b'"type":"invalid_request_error","param":"input","code":null}}',
        "bad_request", None,
    ),
    # https://github.com/openai/codex/issues/8145
    "seal": (
        400,
        b'{"error":{"message":"The encrypted content gAAA...DQ== could not be verified.",'
        b'"type":"invalid_request_error","param":null,"code":"invalid_encrypted_content"}}',
        "bad_request", "invalid_encrypted_content",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_the_vendor_s_errors(name: str) -> None:
    status, body, kind, code = ERRORS[name]
    heard = DIALECT.hear(status, {"content-type": "application/json"}, body, stream=False)
    assert heard.complaints == ()
    assert heard.error is not None
    assert (heard.error.status, heard.error.kind, heard.error.code) == (status, kind, code)


FLAT_ERROR = '{"type":"error","code":"ERR_SOMETHING","message":"Something went wrong","param":null,"sequence_number":1}'
"""https://platform.openai.com/docs/api-reference/responses-streaming/error"""

NESTED_ERROR = (
    '{"type":"error","error":{"type":"service_unavailable_error","code":"server_is_overloaded","message":"Our servers '
    'are currently overloaded. Please try again later.","param":null},"sequence_number":1}'
)
"""https://github.com/openai/codex/issues/43337"""


@pytest.mark.parametrize(
    ("frame", "kind", "code"),
    [(FLAT_ERROR, "internal", "ERR_SOMETHING"), (NESTED_ERROR, "overloaded", "server_is_overloaded")],
)
def test_the_vendor_s_errors_inside_a_stream(frame: str, kind: str, code: str) -> None:
    heard = DIALECT.hear(200, {"content-type": "text/event-stream"}, sse(frame, "error"), stream=True)
    assert heard.complaints == ()
    assert heard.error is not None
    assert (heard.error.kind, heard.error.code) == (kind, code)


VENDOR_REQUEST = """{
  "model": "gpt-5-mini",
  "input": [
    {"role": "user", "content": [
      {"type": "input_text", "text": "what is in this image?"},
      {"type": "input_image", "image_url": "https://example.com/nature-boardwalk.jpg"}
    ]}
  ],
  "tools": [{
    "type": "function",
    "name": "get_current_weather",
    "description": "Get the current weather in a given location",
    "parameters": {
      "type": "object",
      "properties": {
        "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}
      },
      "required": ["location", "unit"]
    }
  }],
  "tool_choice": "auto"
}"""
"""After https://platform.openai.com/docs/api-reference/responses/create"""


def test_the_vendor_s_request() -> None:
    body = json.loads(VENDOR_REQUEST)
    assert DIALECT.heed("/responses", HEADERS, body, PROVIDER) is None
    found = DIALECT.read("/responses", {}, body)
    assert found.extra == {}
    assert found.turns == (
        Turn("user", (Text("what is in this image?"), Image(url="https://example.com/nature-boardwalk.jpg"))),
    )
    assert found.tools[0].parameters == body["tools"][0]["parameters"]
    assert found.tool_choice == "auto"
