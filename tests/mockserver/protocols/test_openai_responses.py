"""OpenAI Responses on the mock's side: replies, request parsing, and vendor samples."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from crosswire.conformance.client.conversation import expected_request
from crosswire.conformance.client.openai_responses import CLIENT
from crosswire.conformance.comparison.turns import merge_turns
from crosswire.mockserver.framing import SSE, parse_sse, sse
from crosswire.mockserver.protocols.openai_responses import PROTOCOL
from crosswire.mockserver.protocols.reply_context import Failure, RenderedReply, estimate_usage
from crosswire.mockserver.scenarios.model import (
    Ask,
    Cut,
    Garble,
    Image,
    Interleave,
    Item,
    Pause,
    Refusal,
    SayCall,
    SayError,
    SayRefusal,
    SayStop,
    SayText,
    SayThink,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
    Usage,
    in_sequence,
)
from tests.mockserver.protocols.responses_fixture import (
    CALLS,
    FIRST,
    HEADERS,
    PROVIDER,
    SIGNATURE,
    Body,
    context,
    exchange,
    parse_reply,
)

REPLIES: dict[str, tuple[tuple[Item, ...], str | None, tuple[Any, ...], str]] = {
    "text": ((SayText(("Hi", " you")),), None, (Text("Hi you"),), "end"),
    "nothing": ((), None, (), "end"),
    "refusal": ((SayRefusal(("I", " won't")),), None, (Refusal("I won't"),), "end"),
    "calls": (
        CALLS, None,
        (ToolCall("call_1", "weather", '{"city":"Oslo"}'), ToolCall("call_2", "weather", '{"city":"Rom"}')),
        "tool",
    ),
    "zero-arguments": ((SayCall("call_1", "now"),), None, (ToolCall("call_1", "now", "{}"),), "tool"),
    "empty-fragment": ((SayCall("call_1", "now", ("",)),), None, (ToolCall("call_1", "now", "{}"),), "tool"),
    "text-and-call": (
        (SayText(("Let me look.",)), CALLS[0], SayText(("Done.",))),
        None,
        (Text("Let me look."), ToolCall("call_1", "weather", '{"city":"Oslo"}'), Text("Done.")),
        "tool",
    ),
    "interleaved": (
        (Interleave(CALLS),),
        None,
        (ToolCall("call_1", "weather", '{"city":"Oslo"}'), ToolCall("call_2", "weather", '{"city":"Rom"}')),
        "tool",
    ),
    "thinking": ((SayThink(("Hm", ".")), SayText(("Hi",))), None, (Thinking("Hm."), Text("Hi")), "end"),
    "sealed": ((SayThink(("Hm", "."), True), SayText(("Hi",))), None, (Thinking("Hm.", SIGNATURE), Text("Hi")), "end"),
    "seal-alone": (
        (SayThink((), True), CALLS[0]), None,
        (Thinking("", SIGNATURE), ToolCall("call_1", "weather", '{"city":"Oslo"}')), "tool",
    ),
    "sealed-call": ((SayCall("call_1", "now", ("{}",), True),), None, (ToolCall("call_1", "now", "{}"),), "tool"),
    "length": ((SayText(("Once", " upon")),), "length", (Text("Once upon"),), "length"),
    "length-in-a-call": (
        (SayCall("call_1", "now", ('{"a',)),), "length", (ToolCall("call_1", "now", '{"a'),), "length",
    ),
    "content-filter": ((SayText(("Once",)),), "content_filter", (Text("Once"),), "content_filter"),
    "stop-sequence": ((SayText(("Once",)),), "stop_sequence", (Text("Once"),), "end"),
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("name", REPLIES)
def test_reply_is_parsed_without_complaints(name: str, stream: bool) -> None:
    items, stop, blocks, expected_stop = REPLIES[name]
    reply = exchange(items, stream=stream, stop=stop)
    assert reply.complaints == ()
    assert reply.error is None
    assert reply.blocks == blocks
    assert reply.stop == expected_stop
    assert reply.model == "gpt-5-mini"
    wanted = estimate_usage(40, items)
    assert reply.usage == replace(wanted, cache_read=0, cache_write=0, reasoning=wanted.reasoning or 0)


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_input_tokens_include_cached_tokens(stream: bool) -> None:
    said = replace(context([SayText(("x",))], stream=stream), usage=Usage(10, 5, 80, 20, 3))
    rendered = PROTOCOL.render_reply(said)
    body = json.loads(parse_sse(rendered.body).events[-1].data)["response"] if stream else json.loads(rendered.body)
    assert body["usage"]["input_tokens"] == 110
    assert body["usage"]["total_tokens"] == 115
    assert parse_reply(rendered, stream=stream).usage == Usage(10, 5, 80, 20, 3)


@pytest.mark.parametrize(
    ("body", "blocks"),
    [
        pytest.param({}, (Thinking(""), Text("Hi")), id="nothing-asked"),
        pytest.param({"reasoning": {"summary": "auto"}}, (Thinking("Hm."), Text("Hi")), id="summary"),
        pytest.param({"include": ["reasoning.encrypted_content"]}, (Thinking("", SIGNATURE), Text("Hi")), id="seal"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_reasoning_summary_and_signature_only_on_request(body: Body, blocks: tuple[Any, ...], stream: bool) -> None:
    rendered = PROTOCOL.render_reply(context([SayThink(("Hm", "."), True), SayText(("Hi",))], stream=stream, body=body))
    reply = parse_reply(rendered, stream=stream)
    assert reply.complaints == ()
    assert reply.blocks == blocks


def test_signature_of_a_started_reasoning_item_is_incomplete() -> None:
    body = {"include": ["reasoning.encrypted_content"]}
    rendered = PROTOCOL.render_reply(context([SayThink(("Hm",), True), SayText(("Hi",))], stream=True, body=body))
    signatures = [
        event["item"]["encrypted_content"]
        for event in (json.loads(e.data) for e in parse_sse(rendered.body).events)
        if "encrypted_content" in event.get("item", {})
    ]
    assert signatures == [f"{SIGNATURE}..", SIGNATURE]


def test_function_without_strict_becomes_strict_if_its_schema_allows() -> None:
    city = {"type": "object", "properties": {"city": {"type": "string"}}}
    tools = [
        {"type": "function", "name": "closed", "parameters": city | {"required": ["city"]}},
        {"type": "function", "name": "open", "parameters": city},
        {"type": "function", "name": "loose", "parameters": city | {"required": ["city"]}, "strict": False},
        {"type": "web_search"},
    ]
    said = json.loads(PROTOCOL.render_reply(context([], stream=False, body={"tools": tools})).body)["tools"]
    assert [tool.get("strict") for tool in said] == [True, False, False, None]
    assert said[0]["parameters"] == city | {"additionalProperties": False, "required": ["city"]}
    assert said[1]["parameters"] == city
    assert said[3] == {"type": "web_search"}


def test_make_strict_closes_nested_objects() -> None:
    leaf: Body = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    closed = leaf | {"additionalProperties": False}
    parameters = {
        "type": "object",
        "properties": {"p": {"items": leaf}, "q": {"anyOf": [leaf]}},
        "required": ["p", "q"],
    }
    body = {"tools": [{"type": "function", "name": "f", "parameters": parameters}]}
    said = json.loads(PROTOCOL.render_reply(context([], stream=False, body=body)).body)["tools"][0]["parameters"]
    assert said["properties"] == {"p": {"items": closed}, "q": {"anyOf": [closed]}}
    assert said["additionalProperties"] is False


def test_response_repeats_the_text_format_with_defaults() -> None:
    body = {"text": {"format": {"type": "json_schema", "name": "n", "schema": {}}}}
    said = json.loads(PROTOCOL.render_reply(context([], stream=False, body=body)).body)["text"]
    assert said["format"] == {"type": "json_schema", "description": None, "strict": False, "name": "n", "schema": {}}


EVENT_SEQUENCE = (
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


def test_event_sequence_of_a_reply() -> None:
    items = (SayThink(("Hm", "."), True), SayText(("Hi",)), CALLS[0])
    rendered = PROTOCOL.render_reply(context(items, stream=True, body={"reasoning": {"summary": "auto"}}))
    events = parse_sse(rendered.body).events
    assert tuple(event.event for event in events) == EVENT_SEQUENCE
    values = [json.loads(event.data) for event in events]
    assert [value["sequence_number"] for value in values] == list(range(len(EVENT_SEQUENCE)))
    assert all(("obfuscation" in value) == value["type"].endswith(".delta") for value in values)


def test_obfuscation_can_be_disabled() -> None:
    body = {"stream_options": {"include_obfuscation": False}}
    rendered = PROTOCOL.render_reply(context([SayText(("Hi",)), CALLS[0]], stream=True, body=body))
    assert b"obfuscation" not in rendered.body


@pytest.mark.parametrize("name", REPLIES)
def test_official_sdk_types_accept_every_reply(name: str) -> None:
    items, stop, _, _ = REPLIES[name]
    body = CLIENT.build_request([(FIRST, None)], model="gpt-5-mini", stream=True).body
    Response.model_validate_json(
        PROTOCOL.render_reply(context(items, stream=False, body=body, stop=stop)).body, strict=True
    )
    events = TypeAdapter(ResponseStreamEvent)
    for event in parse_sse(PROTOCOL.render_reply(context(items, stream=True, body=body, stop=stop)).body).events:
        events.validate_json(event.data, strict=True)


def test_fault_leaves_the_item_before_it_open() -> None:
    rendered = PROTOCOL.render_reply(context([SayText(("one", " two")), Pause(0.01), Cut()], stream=True))
    at = next(n for n, step in enumerate(rendered.parts) if isinstance(step, Cut))
    assert isinstance(rendered.parts[at - 1], Pause)
    assert b"response.output_text.delta" in b"".join(s for s in rendered.parts[at - 2 : at] if isinstance(s, bytes))
    whole = RenderedReply(200, {}, rendered.parts[:at], SSE)
    reply = parse_reply(whole, stream=True)
    assert reply.text == "one two"
    assert reply.error is not None
    assert reply.error.kind == "cut"
    assert reply.stop is None
    assert reply.complaints == ()


def test_faults_precede_a_unary_body() -> None:
    rendered = PROTOCOL.render_reply(context([SayText(("one",)), Garble("<html>")], stream=False))
    assert isinstance(rendered.parts[0], Garble)


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
def test_error_inside_a_stream_is_parsed(
    before: tuple[Item, ...], error: SayError, kind: str, code: str | None, failed: str
) -> None:
    rendered = PROTOCOL.render_reply(context([*before, error], stream=True))
    reply = parse_reply(rendered, stream=True)
    assert reply.complaints == ()
    assert reply.error is not None
    assert (reply.error.kind, reply.error.code) == (kind, code)
    assert reply.error.message == (error.message or reply.error.message)
    assert reply.stop is None
    assert reply.text == ("one two" if before else "")
    last = reply.events[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["error"]["code"] == failed
    # The failed response contains only the finished items.
    assert len(last["response"]["output"]) == max(len(before) - 1, 0)


def test_error_before_the_stream_is_a_status() -> None:
    rendered = PROTOCOL.render_error(Failure(429, "rate_limit", "slow down", retry_after=7), PROVIDER)
    assert (rendered.status, rendered.headers["retry-after"]) == (429, "7")
    reply = parse_reply(rendered, stream=True)
    assert reply.complaints == ()
    assert reply.error is not None
    assert (reply.error.status, reply.error.kind, reply.error.message) == (429, "rate_limit", "slow down")


def test_count_tokens() -> None:
    assert PROTOCOL.count_tokens is not None
    short, long = (
        PROTOCOL.count_tokens({"input": "hi"}),
        PROTOCOL.count_tokens({"input": "hi " * 40, "tools": [{"name": "x"}]}),
    )
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
def test_stream_and_unary_body_parse_alike_and_round_trip(items: tuple[Item, ...]) -> None:
    unary, streamed = exchange(items, stream=False), exchange(items, stream=True)
    assert unary.complaints == streamed.complaints == ()
    assert unary.blocks == streamed.blocks
    assert (unary.stop, unary.usage, unary.echo) == (streamed.stop, streamed.usage, streamed.echo)
    said = [item for item in in_sequence(items) if not isinstance(item, SayStop)]
    assert len(unary.blocks) == len(said)
    second = Ask(
        results=tuple(ToolResult(c.id, (Text("r"),), at=n) for n, c in enumerate(unary.calls)), user=(Text("on"),)
    )
    conversation = [(FIRST, streamed), (second, None)]
    http_request = CLIENT.build_request(conversation, model="gpt-5-mini", stream=True)
    found = PROTOCOL.parse_request(http_request.path, http_request.headers, http_request.body)
    wanted = expected_request(conversation, model="gpt-5-mini", stream=True)
    assert merge_turns(found.turns) == tuple(
        Turn(turn.role, tuple(replace(b, name=None) if isinstance(b, ToolResult) else b for b in turn.blocks))
        for turn in merge_turns(wanted.turns)
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


def test_vendor_reply_sample() -> None:
    reply = CLIENT.parse_reply(200, {"content-type": "application/json"}, REPLY.encode(), stream=False)
    assert reply.complaints == ()
    assert (reply.text, reply.stop, reply.native_stop) == ("In a peaceful grove", "end", "completed")
    assert reply.usage == Usage(36, 87, 0, None, 0)


BEGUN = json.loads(REPLY) | {"status": "in_progress", "completed_at": None, "output": [], "usage": None}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "get_weather"}
PARIS_ARGUMENTS = '{"location":"Paris"}'
DONE = CALL | {"arguments": PARIS_ARGUMENTS, "status": "completed"}
OF_CALL = {"item_id": "fc_1", "output_index": 0}

FUNCTION_STREAM: tuple[tuple[str, Body], ...] = (
    ("response.created", {"response": BEGUN}),
    ("response.output_item.added", {"output_index": 0, "item": CALL | {"arguments": "", "status": "in_progress"}}),
    ("response.function_call_arguments.delta", OF_CALL | {"delta": '{"location":'}),
    ("response.function_call_arguments.delta", OF_CALL | {"delta": '"Paris"}'}),
    ("response.function_call_arguments.done", OF_CALL | {"name": "get_weather", "arguments": PARIS_ARGUMENTS}),
    ("response.output_item.done", {"output_index": 0, "item": DONE}),
    ("response.completed", {"response": json.loads(REPLY) | {"output": [DONE]}}),
)
"""After https://platform.openai.com/docs/guides/function-calling#streaming, numbered from 1 as its reference does."""


def test_vendor_function_call_stream_sample() -> None:
    body = b"".join(
        sse({"type": kind, **fields, "sequence_number": n}, kind) for n, (kind, fields) in enumerate(FUNCTION_STREAM, 1)
    )
    reply = CLIENT.parse_reply(200, {"content-type": "text/event-stream; charset=utf-8"}, body, stream=True)
    assert reply.complaints == ()
    assert reply.blocks == (ToolCall("call_1", "get_weather", '{"location":"Paris"}'),)
    assert reply.stop == "tool"


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
def test_vendor_error_samples(name: str) -> None:
    status, body, kind, code = ERRORS[name]
    reply = CLIENT.parse_reply(status, {"content-type": "application/json"}, body, stream=False)
    assert reply.complaints == ()
    assert reply.error is not None
    assert (reply.error.status, reply.error.kind, reply.error.code) == (status, kind, code)


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
def test_vendor_stream_error_samples(frame: str, kind: str, code: str) -> None:
    reply = CLIENT.parse_reply(200, {"content-type": "text/event-stream"}, sse(frame, "error"), stream=True)
    assert reply.complaints == ()
    assert reply.error is not None
    assert (reply.error.kind, reply.error.code) == (kind, code)


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


def test_vendor_request_sample() -> None:
    body = json.loads(VENDOR_REQUEST)
    assert PROTOCOL.validate_request("/responses", HEADERS, body, PROVIDER) is None
    found = PROTOCOL.parse_request("/responses", {}, body)
    assert found.extra == {}
    assert found.turns == (
        Turn("user", (Text("what is in this image?"), Image(url="https://example.com/nature-boardwalk.jpg"))),
    )
    assert found.tools[0].parameters == body["tools"][0]["parameters"]
    assert found.tool_choice == "auto"
