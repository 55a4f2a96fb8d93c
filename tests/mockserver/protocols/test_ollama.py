"""Ollama on the mock's side: replies, request parsing, request validation, and vendor samples."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable
from typing import Any

import ollama
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from crosswire.conformance.client.conversation import expected_request
from crosswire.conformance.client.ollama import CLIENT
from crosswire.conformance.client.ollama.reply_parser import parse_reply
from crosswire.conformance.client.protocol import ParsedReply
from crosswire.mockserver.framing import CONTENT_TYPES, JSON, NDJSON
from crosswire.mockserver.protocols.ollama import PROTOCOL
from crosswire.mockserver.protocols.protocol import MalformedRequest, ParsedRequest
from crosswire.mockserver.protocols.reply_context import Failure, ReplyContext
from crosswire.mockserver.scenarios.model import (
    Ask,
    Image,
    Interleave,
    Item,
    ResponseFormat,
    SayCall,
    SayError,
    SayRefusal,
    SayText,
    SayThink,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
    Usage,
)
from crosswire.mockserver.scenarios.provider import Auth
from tests.mockserver.protocols.ollama_fixture import (
    OLLAMA,
    VALUES,
    Body,
    context,
    mutated,
)

KEY = {"authorization": "Bearer k"}


def round_trip(reply_context: ReplyContext) -> ParsedReply:
    rendered = PROTOCOL.render_reply(reply_context)
    headers = {"content-type": CONTENT_TYPES[rendered.framing]} | rendered.headers
    return parse_reply(rendered.status, headers, rendered.body, stream=reply_context.stream)


# ---- parsing of rendered replies


@pytest.mark.parametrize("stream", [True, False])
def test_complete_reply_is_parsed(stream: bool) -> None:
    reply = round_trip(context(stream=stream))
    assert reply.complaints == ()
    assert reply.error is None
    assert reply.blocks == (
        Thinking("Hmm."),
        Text("Hi <you> & 🙂"),
        ToolCall("c1", "w", '{"a":1}'),
        ToolCall("c2", "w", "{}"),
    )
    assert (reply.stop, reply.native_stop, reply.model) == ("tool", "stop", "llama3.2")
    # Cached tokens are part of the prompt, and reasoning tokens are not reported.
    assert reply.usage == Usage(12, 9)


def test_framing_and_escapes() -> None:
    rendered = PROTOCOL.render_reply(context())
    assert rendered.framing == NDJSON
    lines = rendered.body.splitlines()
    assert rendered.body.endswith(b"\n")
    assert [json.loads(line)["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert b"\\u003cyou\\u003e \\u0026 " in rendered.body
    unary = PROTOCOL.render_reply(context(stream=False))
    assert unary.framing == JSON
    assert unary.headers["content-type"] == "application/json; charset=utf-8"


def test_tool_call_is_one_stream_line() -> None:
    lines = [json.loads(line) for line in PROTOCOL.render_reply(context()).body.splitlines()]
    assert [line["message"]["tool_calls"] for line in lines if "tool_calls" in line["message"]] == [
        [{"id": "c1", "function": {"index": 0, "name": "w", "arguments": {"a": 1}}}],
        [{"id": "c2", "function": {"index": 1, "name": "w", "arguments": {}}}],
    ]


def test_no_call_ids_habit() -> None:
    reply = round_trip(context(provider=replace(OLLAMA, habits=("no_call_ids",))))
    assert (reply.complaints, [call.id for call in reply.calls]) == ((), ["", ""])


@pytest.mark.parametrize("stream", [True, False])
def test_thinking_can_be_disabled(stream: bool) -> None:
    assert round_trip(context(stream=stream, body={"think": False})).thinking == ""


@pytest.mark.parametrize(
    ("stop", "native", "expected_stop"),
    [
        ("end", "stop", "end"),
        ("stop_sequence", "stop", "end"),
        ("content_filter", "stop", "end"),
        ("length", "length", "length"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_stop_reasons(stop: str, native: str, expected_stop: str, stream: bool) -> None:
    reply = round_trip(context((SayRefusal(("a",)),), stream=stream, stop=stop))
    assert (reply.text, reply.stop, reply.native_stop, reply.complaints) == ("a", expected_stop, native, ())


def test_error_inside_a_stream() -> None:
    items = (SayText(("one",)), SayError("overloaded", message="busy"))
    rendered = PROTOCOL.render_reply(context(items, stop="end"))
    assert rendered.body.endswith(b'{"error":"busy"}\n')
    reply = round_trip(context(items, stop="end"))
    assert reply.error is not None
    assert (reply.error.kind, reply.error.message, reply.text, reply.complaints) == ("internal", "busy", "one", ())


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (Failure(400, "bad_request", "no"), "bad_request"),
        (Failure(401, "authentication", "unauthorized"), "authentication"),
        (Failure(404, "not_found", "model 'x' not found"), "not_found"),
        (Failure(429, "rate_limit", "slow", retry_after=7), "rate_limit"),
        (Failure(500, "internal", "no"), "internal"),
        (Failure(503, "overloaded", "no"), "overloaded"),
    ],
)
def test_errors_before_any_content(failure: Failure, kind: str) -> None:
    rendered = PROTOCOL.render_error(failure, OLLAMA)
    assert json.loads(rendered.body) == {"error": failure.message}
    assert rendered.headers.get("retry-after") == ("7" if failure.retry_after else None)
    reply = parse_reply(rendered.status, rendered.headers, rendered.body, stream=True)
    assert reply.complaints == ()
    assert reply.error is not None
    assert (reply.error.status, reply.error.kind) == (failure.status, kind)


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
NAME = st.text("abcdefgh_", min_size=1, max_size=6)
ARGUMENTS = st.dictionaries(NAME, TEXT | st.integers(-9, 9) | st.none() | st.lists(TEXT, max_size=2), max_size=3)


@st.composite
def answers(draw: st.DrawFn) -> tuple[Item, ...]:
    """Generates reasoning, text and calls in this order, the only one that a unary body has."""
    items: list[Item] = []
    if draw(st.booleans()):
        items.append(SayThink(tuple(draw(st.lists(TEXT, min_size=1, max_size=3)))))
    if draw(st.booleans()):
        items.append(SayText(tuple(draw(st.lists(TEXT, min_size=1, max_size=3)))))
    calls = [SayCall(f"c{at}", draw(NAME), (json.dumps(draw(ARGUMENTS)),)) for at in range(draw(st.integers(0, 3)))]
    items.extend([Interleave(tuple(calls))] if len(calls) > 1 and draw(st.booleans()) else calls)
    return tuple(items)


@settings(max_examples=80, deadline=None)
@given(items=answers())
def test_stream_and_unary_body_parse_alike(items: tuple[Item, ...]) -> None:
    calls = any(isinstance(item, SayCall | Interleave) for item in items)
    stop = "tool" if calls else "end"
    stream = round_trip(context(items, stop=stop))
    unary = round_trip(context(items, stream=False, stop=stop))
    assert stream.complaints == unary.complaints == ()
    assert (stream.blocks, stream.usage, stream.stop) == (unary.blocks, unary.usage, unary.stop)
    assert stream.echo == unary.echo
    if stream.blocks:
        history = [(Ask(user=(Text("hi"),)), stream), (Ask(user=(Text("on"),)), None)]
        http_request = CLIENT.build_request(history, model="m", stream=False)
        assert PROTOCOL.parse_request(http_request.path, {}, http_request.body).turns[1].blocks == stream.blocks


@settings(max_examples=40, deadline=None)
@given(items=answers())
def test_official_sdk_types_accept_every_reply(items: tuple[Item, ...]) -> None:
    for line in PROTOCOL.render_reply(context(items)).body.splitlines():
        ollama.ChatResponse.model_validate_json(line, strict=True)
    ollama.ChatResponse.model_validate_json(PROTOCOL.render_reply(context(items, stream=False)).body, strict=True)


# ---- parsing of client requests


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    """Generates asks with every field that an Ollama client can express."""
    calls = tuple(ToolCall(f"c{at}", draw(NAME), "{}") for at in range(draw(st.integers(0, 2))))
    results = tuple(ToolResult(call.id, (Text(draw(TEXT)),), False, call.name) for call in calls)
    history = (
        Turn("user", (Text(draw(TEXT)),)),
        Turn("assistant", (Thinking(draw(TEXT)), Text(draw(TEXT)), *calls)),
        *((Turn("user", results),) if results else ()),
        Turn("system", (Text(draw(TEXT)),)),
    )
    images = draw(st.lists(st.just(Image(None, "aWU=")), max_size=2))
    return Ask(
        system=tuple(draw(st.lists(TEXT, max_size=2))),
        turns=history if draw(st.booleans()) else (),
        user=(Text(draw(TEXT)), *images),
        tools=tuple(
            Tool(name, draw(st.none() | TEXT), {"type": "object", "properties": {}})
            for name in sorted(draw(st.sets(NAME, max_size=3)))
        ),
        temperature=draw(st.none() | st.floats(0, 2)),
        top_p=draw(st.none() | st.floats(0, 1)),
        top_k=draw(st.none() | st.integers(1, 40)),
        presence_penalty=draw(st.none() | st.floats(-2, 2)),
        frequency_penalty=draw(st.none() | st.floats(-2, 2)),
        seed=draw(st.none() | st.integers(0, 99)),
        max_tokens=draw(st.none() | st.integers(1, 99)),
        stop=tuple(draw(st.lists(TEXT, max_size=3))),
        reasoning=draw(st.sampled_from([None, "low", "high"])),
        format=draw(st.sampled_from([None, ResponseFormat(), ResponseFormat({"type": "object"})])),
    )


@settings(max_examples=80, deadline=None)
@given(ask=asks(), stream=st.booleans())
def test_client_request_is_parsed_and_accepted(ask: Ask, stream: bool) -> None:
    conversation = [(ask, None)]
    request = CLIENT.build_request(conversation, model="llama3.2", stream=stream, key="k")
    parsed = PROTOCOL.parse_request(request.path, request.headers, request.body)
    assert parsed == expected_request(conversation, model="llama3.2", stream=stream)
    assert PROTOCOL.validate_request(request.path, request.headers, request.body, OLLAMA) is None


@pytest.mark.parametrize("habits", [(), ("no_call_ids",)])
def test_tool_loop_round_trip(habits: tuple[str, ...]) -> None:
    reply = round_trip(context(provider=replace(OLLAMA, habits=habits)))
    results = (
        ToolResult("story_1", (Text("sun"), Image(None, "aWU=")), False, "w", 0),
        ToolResult("story_2", (Text("no station"),), False, "w", 1),
    )
    conversation = [(Ask(user=(Text("hi"),), tools=(Tool("w"),)), reply), (Ask(results=results), None)]
    request = CLIENT.build_request(conversation, model="llama3.2", stream=False, key="k")
    parsed = PROTOCOL.parse_request(request.path, {}, request.body)
    assert parsed == expected_request(conversation, model="llama3.2", stream=False)
    assert PROTOCOL.validate_request(request.path, request.headers, request.body, OLLAMA) is None
    assert [message.get("tool_name") for message in request.body["messages"][2:]] == ["w", "w"]
    assert ["tool_call_id" in message for message in request.body["messages"][2:]] == [not habits] * 2


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        pytest.param({"model": "m", "messages": None}, ParsedRequest(model="m", stream=True), id="streams-unless-told"),
        pytest.param(
            {
                "model": "m",
                "messages": [
                    {"role": "System", "content": "s"},
                    {"role": "user", "content": "u", "images": None},
                    {
                        "role": "assistant",
                        "content": "",
                        "thinking": "t",
                        "tool_calls": [
                            {"type": "function", "function": {"index": 0, "name": "w", "arguments": {"b": 1.0}}},
                            {"id": "i", "function": {"name": "v", "arguments": {}}},
                        ],
                    },
                    {"role": "tool", "content": "a", "tool_name": "w"},
                    {"role": "tool", "content": "b", "name": "v", "tool_call_id": "i"},
                    {"role": "system", "content": "late"},
                ],
                "stream": False,
                "options": {"num_predict": -1, "top_k": 40.0, "stop": "END", "num_ctx": 4096, "temperature": None},
                "keep_alive": "5m",
                "think": "max",
                "format": "",
                "logprobs": False,
                "tools": None,
            },
            ParsedRequest(
                model="m",
                system=("s",),
                turns=(
                    Turn("user", (Text("u"),)),
                    Turn("assistant", (Thinking("t"), ToolCall("", "w", '{"b":1.0}'), ToolCall("i", "v", "{}"))),
                    Turn("user", (ToolResult("", (Text("a"),), False, "w"), ToolResult("i", (Text("b"),), False, "v"))),
                    Turn("system", (Text("late"),)),
                ),
                sampling={"top_k": 40},
                stop=("END",),
                reasoning="max",
                extra={"$.options.num_ctx": 4096, "$.keep_alive": "5m"},
            ),
            id="history",
        ),
    ],
)
def test_request_bodies_of_other_clients(body: Body, wanted: ParsedRequest) -> None:
    assert PROTOCOL.parse_request("/api/chat", {}, body) == wanted


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ([], "$"),
        ({"messages": 3}, "$.messages"),
        ({"messages": [3]}, "$.messages[0]"),
        ({"messages": [{"content": "u"}]}, "$.messages[0].role"),
        ({"messages": [{"role": "owl"}]}, "$.messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "$.messages[0].content"),
        ({"messages": [{"role": "user", "images": [3]}]}, "$.messages[0].images[0]"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "w", "arguments": "{}"}}]}]},
            "$.messages[0].tool_calls[0].function.arguments",
        ),
        ({"options": {"stop": [1]}}, "$.options.stop"),
        ({"options": {"num_predict": 1.5}}, "$.options.num_predict"),
        ({"format": "xml"}, "$.format"),
        ({"think": 3}, "$.think"),
    ],
)
def test_malformed_body_error_names_the_path(body: Any, where: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        PROTOCOL.parse_request("/api/chat", {}, body)
    assert caught.value.path == where


# ---- request validation

GOOD: Body = {
    "model": "llama3.2:latest",
    "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u", "images": ["aWU="]},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "i", "function": {"name": "w", "arguments": {}}}]},
        {"role": "tool", "content": "r", "tool_name": "w", "tool_call_id": "i"},
    ],
    "tools": [{"type": "function", "function": {"name": "w", "parameters": {"type": "object", "properties": {}}}}],
    "options": {"temperature": 1, "num_predict": 9, "stop": ["a"], "nobody_knows": "this"},
    "think": True,
    "format": "json",
    "nobody_knows": "this either",
}

Mutation = Callable[[Body], Any]

REFUSED: dict[str, tuple[Mutation, int, str]] = {
    "no-model": (lambda b: b.pop("model"), 400, "model is required"),
    "unknown-model": (lambda b: b.update(model="gpt-5"), 404, "model 'gpt-5' not found"),
    "another-tag": (lambda b: b.update(model="llama3.2:70b"), 404, "model 'llama3.2:70b' not found"),
    "model-is-no-text": (
        lambda b: b.update(model=3),
        400,
        "json: cannot unmarshal number into Go struct field ChatRequest.model of type string",
    ),
    "messages-are-an-object": (
        lambda b: b.update(messages={}),
        400,
        "json: cannot unmarshal object into Go struct field ChatRequest.messages of type []api.Message",
    ),
    "content-is-a-list": (
        lambda b: b["messages"][1].update(content=[{"type": "text", "text": "u"}]),
        400,
        "json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string",
    ),
    "arguments-are-text": (
        lambda b: b["messages"][2]["tool_calls"][0]["function"].update(arguments="{}"),
        400,
        "json: cannot unmarshal string into Go struct field ChatRequest.messages.tool_calls.function.arguments of type "
        "api.ToolCallFunctionArguments",
    ),
    "stream-is-text": (
        lambda b: b.update(stream="false"),
        400,
        "json: cannot unmarshal string into Go struct field ChatRequest.stream of type bool",
    ),
    "image-is-a-url": (
        lambda b: b["messages"][1].update(images=["https://x.test/a.png"]),
        400,
        "illegal base64 data at input byte 5",
    ),
    "image-is-cut": (
        lambda b: b["messages"][1].update(images=["aWU"]),
        400,
        "illegal base64 data at input byte 3",
    ),
    "role": (lambda b: b["messages"][1].update(role="developer"), 400, "unknown role: 'developer'"),
    "think-word": (
        lambda b: b.update(think="minimal"),
        400,
        'invalid think value: "minimal" (must be "high", "medium", "low", "max", true, or false)',
    ),
    "think-number": (lambda b: b.update(think=1024), 400, "think must be a boolean or string"),
    "option": (
        lambda b: b["options"].update(temperature="hot"),
        500,
        'option "temperature" must be of type float32',
    ),
    "integer-option": (
        lambda b: b["options"].update(num_predict=True),
        500,
        'option "num_predict" must be of type integer',
    ),
    "stop-is-text": (lambda b: b["options"].update(stop="a"), 500, 'option "stop" must be of type array'),
    "stop-of-numbers": (
        lambda b: b["options"].update(stop=[1]),
        500,
        'option "stop" must be of an array of strings',
    ),
    "format": (
        lambda b: b.update(format="json_object"),
        500,
        'invalid format: "\\"json_object\\""; expected "json" or a valid JSON Schema object',
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_invalid_request_is_refused(case: str) -> None:
    mutate, status, words = REFUSED[case]
    body = copy.deepcopy(GOOD)
    assert PROTOCOL.validate_request("/api/chat", KEY, body, OLLAMA) is None
    mutate(body)
    refused = PROTOCOL.validate_request("/api/chat", KEY, body, OLLAMA)
    assert refused is not None
    assert refused.status == status
    assert words in refused.message


@pytest.mark.parametrize(
    ("able", "words"),
    [
        (("text", "tools"), '"llama3.2:latest" does not support thinking'),
        (("text", "reasoning"), "registry.ollama.ai/library/llama3.2:latest does not support tools"),
    ],
)
def test_unsupported_capabilities_are_refused(able: tuple[str, ...], words: str) -> None:
    refused = PROTOCOL.validate_request("/api/chat", KEY, GOOD, replace(OLLAMA, capabilities=able))
    assert refused is not None
    assert (refused.status, refused.message) == (400, words)


@pytest.mark.parametrize(
    ("headers", "key", "status"),
    [({}, "k", 401), ({"authorization": "Bearer x"}, "k", 401), (KEY, "k", None), ({}, "", None)],
)
def test_api_key(headers: dict[str, str], key: str, status: int | None) -> None:
    refused = PROTOCOL.validate_request("/api/chat", headers, GOOD, replace(OLLAMA, auth=Auth("authorization", key)))
    assert (refused.status if refused else None) == status
    assert refused is None or refused.message == "unauthorized"


@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        ("POST", "/api/chat", "generate"),
        ("GET", "/api/tags", "models"),
        ("GET", "/api/chat", None),
        ("POST", "/api/generate", "generate"),
        ("GET", "/api/generate", None),
    ],
)
def test_endpoint_of(method: str, path: str, wanted: str | None) -> None:
    assert PROTOCOL.endpoint_of(method, path) == wanted


def test_model_list() -> None:
    listed = PROTOCOL.list_models(OLLAMA)
    assert [model["name"] for model in listed["models"]] == ["llama3.2:latest"]
    assert ollama.ListResponse.model_validate(listed).models[0].model == "llama3.2:latest"
    assert PROTOCOL.validate_request("/api/tags", KEY, None, OLLAMA) is None


def test_vendor_request_sample() -> None:
    """https://github.com/ollama/ollama/blob/main/docs/api.md#chat-request-with-history-with-tools"""
    body = {
        "model": "llama3.2",
        "messages": [
            {"role": "user", "content": "what is the weather in Toronto?"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"function": {"name": "get_weather", "arguments": {"city": "Toronto"}}}],
            },
            {"role": "tool", "content": "11 degrees celsius", "tool_name": "get_weather"},
        ],
        "stream": False,
    }
    assert PROTOCOL.validate_request("/api/chat", KEY, body, OLLAMA) is None
    assert PROTOCOL.parse_request("/api/chat", {}, body).turns == (
        Turn("user", (Text("what is the weather in Toronto?"),)),
        Turn("assistant", (ToolCall("", "get_weather", '{"city":"Toronto"}'),)),
        Turn("user", (ToolResult("", (Text("11 degrees celsius"),), False, "get_weather"),)),
    )


@settings(max_examples=150, deadline=None)
@given(body=VALUES | mutated(GOOD))
def test_validator_never_raises(body: Any) -> None:
    with contextlib.suppress(MalformedRequest):
        PROTOCOL.parse_request("/api/chat", {}, body)
    refused = PROTOCOL.validate_request("/api/chat", KEY, body, OLLAMA)
    assert refused is None or refused.status in (400, 404, 500)


# ---- generate --------------------------------------------------------------------------------------------------------

GENERATE = "/api/generate"

GENERATE_REFUSALS: list[tuple[Body, str]] = [
    ({"prompt": 5}, "cannot unmarshal number into Go struct field GenerateRequest.prompt of type string"),
    ({"system": []}, "cannot unmarshal array into Go struct field GenerateRequest.system of type string"),
    ({"raw": True, "system": "x"}, "raw mode does not support template, system, or context"),
    ({"suffix": "x"}, "does not support insert"),
    ({"model": "nobody"}, "not found"),
    ({"images": ["no base64!"]}, "illegal base64"),
]


@pytest.mark.parametrize(("more", "text"), GENERATE_REFUSALS)
def test_what_generate_refuses(more: Body, text: str) -> None:
    model = next(iter(OLLAMA.upstream_models))
    refused = PROTOCOL.validate_request(GENERATE, KEY, {"model": model, "prompt": "x", **more}, OLLAMA)
    assert refused is not None
    assert text in refused.message


def test_a_prompt_is_a_turn_of_the_user() -> None:
    body = {"model": "m", "prompt": "Hi", "system": "Be brief.", "options": {"seed": 7}, "raw": False}
    parsed = PROTOCOL.parse_request(GENERATE, KEY, body)
    assert (parsed.system, parsed.turns) == (("Be brief.",), (Turn("user", (Text("Hi"),)),))
    assert (parsed.stream, parsed.sampling, parsed.extra) == (True, {"seed": 7}, {})


@pytest.mark.parametrize("stream", [True, False])
def test_a_generated_text_has_no_message(stream: bool) -> None:
    made = context(stream=stream)
    chat = PROTOCOL.render_reply(made).body.splitlines()
    lines = PROTOCOL.render_reply(replace(made, path=GENERATE)).body.splitlines()
    for line, same in zip(map(json.loads, lines), map(json.loads, chat), strict=True):
        message = same.pop("message")
        assert line == {
            **same,
            "response": message["content"],
            **{k: message[k] for k in message if k not in ("role", "content")},
        }
    for value in map(json.loads, lines if stream else lines[-1:]):
        ollama.GenerateResponse.model_validate(value)
