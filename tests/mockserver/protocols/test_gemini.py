"""Gemini on the mock's side: replies, request parsing, request validation, and vendor samples."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from crosswire.conformance.client.conversation import expected_request
from crosswire.conformance.client.gemini import CLIENT
from crosswire.conformance.client.gemini.reply_parser import parse_reply
from crosswire.conformance.client.protocol import HttpRequest, ParsedReply
from crosswire.mockserver.framing import ARRAY, CONTENT_TYPES, JSON, SSE
from crosswire.mockserver.protocols.gemini import PROTOCOL
from crosswire.mockserver.protocols.gemini.message_schema import camel, snake
from crosswire.mockserver.protocols.protocol import MalformedRequest, ParsedRequest
from crosswire.mockserver.protocols.reply_context import Failure, ReplyContext
from crosswire.mockserver.scenarios.model import (
    Ask,
    Audio,
    Document,
    Image,
    Interleave,
    Item,
    NamedTool,
    ResponseFormat,
    SayCall,
    SayError,
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
from crosswire.mockserver.scenarios.provider import Provider
from tests.mockserver.protocols.gemini_fixture import (
    ARRAY_PATH,
    GEMINI,
    SHOW,
    SSE_PATH,
    UNARY_PATH,
    VALUES,
    Body,
    context,
    mutated,
)

GEMINI_3 = replace(GEMINI, models={"m": "gemini-3-pro-preview"})


def sig(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def round_trip(reply_context: ReplyContext) -> ParsedReply:
    rendered = PROTOCOL.render_reply(reply_context)
    headers = {"content-type": CONTENT_TYPES[rendered.framing]} | rendered.headers
    http_request = HttpRequest("POST", reply_context.path, {}, reply_context.body)
    return parse_reply(rendered.status, headers, rendered.body, stream=reply_context.stream, request=http_request)


# ---- parsing of rendered replies


@pytest.mark.parametrize("path", [SSE_PATH, ARRAY_PATH, UNARY_PATH])
def test_complete_reply_is_parsed(path: str) -> None:
    reply = round_trip(context(path=path))
    assert reply.complaints == ()
    assert reply.error is None
    assert reply.blocks == (
        Thinking("Hmm.", sig("sig:gemini:s:0.0")),
        Text("Hi you"),
        ToolCall("", "w", '{"a":1}', sig("sig:gemini:s:0.1")),
        ToolCall("", "w", "{}"),
    )
    assert (reply.stop, reply.native_stop, reply.model) == ("tool", "STOP", "gemini-2.5-flash")
    assert reply.usage == Usage(10, 9, 2, None, 4)


@pytest.mark.parametrize(
    ("path", "framing", "start"),
    [(SSE_PATH, SSE, b'data: {"candidates": [{'), (ARRAY_PATH, ARRAY, b'[{"candidates"'), (UNARY_PATH, JSON, b"{")],
)
def test_each_path_has_its_framing(path: str, framing: str, start: bytes) -> None:
    rendered = PROTOCOL.render_reply(context(path=path))
    assert rendered.framing == framing
    assert rendered.body.startswith(start)
    if framing == SSE:
        assert rendered.body.count(b"\r\n\r\n") == rendered.body.count(b"data: ") == rendered.body.count(b"\n") // 2
    else:
        json.loads(rendered.body)


def test_signature_of_hidden_reasoning_is_on_the_next_part() -> None:
    items = (SayThink(("Hm",), sealed=True), SayText(("Hi", " you")))
    for path in (SSE_PATH, UNARY_PATH):
        reply = round_trip(context(items, path=path, stop="end", body={}))
        assert reply.complaints == ()
        assert reply.blocks == (Thinking("", sig("sig:gemini:s:0.0")), Text("Hi you"))


def test_newer_models_sign_the_first_call_and_send_ids() -> None:
    items = (SayCall("c1", "w"), SayCall("c2", "w"))
    reply = round_trip(context(items, provider=GEMINI_3, model="gemini-3-pro-preview"))
    assert reply.complaints == ()
    assert [call.id for call in reply.calls] == ["c1", "c2"]
    assert [call.signature for call in reply.calls] == [sig("sig:gemini:s:0.0"), None]


@pytest.mark.parametrize(
    ("stop", "native", "expected_stop"),
    [
        ("end", "STOP", "end"),
        ("stop_sequence", "STOP", "end"),
        ("length", "MAX_TOKENS", "length"),
        ("content_filter", "SAFETY", "content_filter"),
    ],
)
@pytest.mark.parametrize("path", [SSE_PATH, ARRAY_PATH, UNARY_PATH])
def test_stop_reasons(stop: str, native: str, expected_stop: str, path: str) -> None:
    reply = round_trip(context((SayText(("a",)),), path=path, stop=stop))
    assert (reply.stop, reply.native_stop, reply.complaints) == (expected_stop, native, ())


def test_empty_reply() -> None:
    for path in (SSE_PATH, UNARY_PATH):
        reply = round_trip(context((), path=path, stop="length"))
        assert (reply.blocks, reply.stop, reply.complaints) == ((), "length", ())


@pytest.mark.parametrize("path", [SSE_PATH, ARRAY_PATH])
def test_error_inside_a_stream(path: str) -> None:
    items = (SayText(("one",)), SayError("overloaded", message="busy"))
    reply = round_trip(context(items, path=path, stop="end"))
    assert reply.error is not None
    assert (reply.error.status, reply.error.kind, reply.error.message) == (503, "overloaded", "busy")
    assert reply.error.code == "UNAVAILABLE"
    assert (reply.text, reply.stop, reply.complaints) == ("one", None, ())


@pytest.mark.parametrize(
    ("failure", "word", "kind"),
    [
        (Failure(400, "bad_request", "no"), "INVALID_ARGUMENT", "bad_request"),
        (Failure(401, "authentication", "no"), "UNAUTHENTICATED", "authentication"),
        (Failure(403, "permission", "no"), "PERMISSION_DENIED", "permission"),
        (Failure(404, "not_found", "no"), "NOT_FOUND", "not_found"),
        (Failure(429, "rate_limit", "no", retry_after=7), "RESOURCE_EXHAUSTED", "rate_limit"),
        (Failure(500, "internal", "no"), "INTERNAL", "internal"),
        (Failure(503, "overloaded", "no"), "UNAVAILABLE", "overloaded"),
        (Failure(504, "timeout", "no"), "DEADLINE_EXCEEDED", "timeout"),
        (Failure(400, "authentication", "no", "API_KEY_INVALID"), "INVALID_ARGUMENT", "authentication"),
    ],
)
def test_errors_before_any_content(failure: Failure, word: str, kind: str) -> None:
    rendered = PROTOCOL.render_error(failure, GEMINI)
    error = json.loads(rendered.body)["error"]
    assert (error["code"], error["status"], error["message"]) == (failure.status, word, "no")
    reply = parse_reply(rendered.status, rendered.headers, rendered.body, stream=False)
    assert reply.complaints == ()
    assert reply.error is not None
    assert (reply.error.status, reply.error.kind) == (failure.status, kind)


def test_retry_delay_is_in_the_error_details() -> None:
    rendered = PROTOCOL.render_error(Failure(429, "rate_limit", "slow", retry_after=7), GEMINI)
    assert json.loads(rendered.body)["error"]["details"] == [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}
    ]
    assert "retry-after" not in rendered.headers


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
NAME = st.text("abcdefgh_", min_size=1, max_size=6)
ARGUMENTS = st.dictionaries(NAME, TEXT | st.integers(-9, 9) | st.none() | st.lists(TEXT, max_size=2), max_size=3)


@st.composite
def answers(draw: st.DrawFn) -> tuple[Item, ...]:
    """Generates reasoning, text and calls in any order, with interleaved calls."""
    items: list[Item] = []
    for at in range(draw(st.integers(0, 4))):
        match draw(st.sampled_from(["think", "text", "call", "interleave"])):
            case "think":
                items.append(SayThink(tuple(draw(st.lists(TEXT, min_size=1, max_size=3))), draw(st.booleans())))
            case "text":
                items.append(SayText(tuple(draw(st.lists(TEXT, min_size=1, max_size=3)))))
            case "call":
                text = json.dumps(draw(ARGUMENTS))
                items.append(SayCall(f"c{at}", draw(NAME), (text[:1], text[1:]), draw(st.booleans())))
            case _:
                both = (SayCall(f"c{at}a", draw(NAME), ("{}",)), SayCall(f"c{at}b", draw(NAME)))
                items.append(Interleave(both))
    return tuple(items)


@settings(max_examples=80, deadline=None)
@given(items=answers(), path=st.sampled_from([SSE_PATH, ARRAY_PATH]), body=st.sampled_from([SHOW, {}]))
def test_stream_and_unary_body_parse_alike(items: tuple[Item, ...], path: str, body: Body) -> None:
    calls = any(isinstance(item, SayCall | Interleave) for item in items)
    stop = "tool" if calls else "end"
    stream = round_trip(context(items, path=path, stop=stop, body=body))
    unary = round_trip(context(items, path=UNARY_PATH, stop=stop, body=body))
    assert stream.complaints == unary.complaints == ()
    assert stream.blocks == unary.blocks
    assert stream.usage == unary.usage == Usage(10, 9, 2, None, 4)
    assert stream.stop == unary.stop
    # The history that a client builds from either is parsed to the same blocks.
    for reply in (stream, unary):
        if reply.blocks:
            history = [(Ask(user=(Text("hi"),)), reply), (Ask(user=(Text("on"),)), None)]
            http_request = CLIENT.build_request(history, model="m", stream=False)
            assert PROTOCOL.parse_request(http_request.path, {}, http_request.body).turns[1].blocks == reply.blocks


@settings(max_examples=40, deadline=None)
@given(items=answers())
def test_official_sdk_types_accept_every_reply(items: tuple[Item, ...]) -> None:
    reply_context = context(items, path=ARRAY_PATH, stop="end")
    for response in json.loads(PROTOCOL.render_reply(reply_context).body):
        types.GenerateContentResponse.model_validate(response)


# ---- parsing of client requests


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    """Generates asks with every field that a Gemini client can express."""
    tools = tuple(
        Tool(name, draw(st.none() | TEXT), draw(st.none() | st.just({"type": "object", "properties": {}})))
        for name in sorted(draw(st.sets(NAME, max_size=3)))
    )
    choices: list[Any] = [None, "auto", "none", "required", *(NamedTool(tool.name) for tool in tools)]
    media = st.sampled_from(
        [
            Image("image/png", "aWU="),
            Image("image/png", None, "https://x.test/a.png"),
            Document("application/pdf", "aWU="),
            Audio("audio/wav", "aWU="),
        ]
    )
    calls = tuple(ToolCall(f"c{at}", draw(NAME), "{}") for at in range(draw(st.integers(0, 2))))
    results = tuple(ToolResult(call.id, (Text(draw(TEXT)),), draw(st.booleans()), call.name) for call in calls)
    history = (
        Turn("user", (Text(draw(TEXT)),)),
        Turn("assistant", (Text(draw(TEXT)), *calls)),
        *((Turn("user", results),) if results else ()),
    )
    return Ask(
        system=tuple(draw(st.lists(TEXT, max_size=2))),
        turns=history if draw(st.booleans()) else (),
        user=tuple(draw(st.lists(TEXT.map(Text) | media, min_size=1, max_size=3))),
        tools=tools,
        tool_choice=draw(st.sampled_from(choices)) if tools else None,
        temperature=draw(st.none() | st.floats(0, 2)),
        top_p=draw(st.none() | st.floats(0, 1)),
        top_k=draw(st.none() | st.integers(1, 40)),
        presence_penalty=draw(st.none() | st.floats(-2, 2)),
        frequency_penalty=draw(st.none() | st.floats(-2, 2)),
        seed=draw(st.none() | st.integers(0, 99)),
        max_tokens=draw(st.none() | st.integers(1, 99)),
        stop=tuple(draw(st.lists(TEXT, max_size=3))),
        reasoning=draw(st.sampled_from([None, "low", "high", 512])),
        format=draw(st.sampled_from([None, ResponseFormat(), ResponseFormat({"type": "object"})])),
    )


@settings(max_examples=80, deadline=None)
@given(ask=asks(), stream=st.booleans())
def test_client_request_is_parsed_and_accepted(ask: Ask, stream: bool) -> None:
    conversation = [(ask, None)]
    request = CLIENT.build_request(conversation, model="gemini-3-flash", stream=stream, key="k")
    parsed = PROTOCOL.parse_request(request.path, request.headers, request.body)
    # this client always requests reasoning summaries, which an ask cannot express
    wanted = expected_request(conversation, model="gemini-3-flash", stream=stream)
    assert replace(parsed, show_reasoning=None, validates=None) == wanted
    # A history of another model is only accepted with the documented placeholder signature.
    for content in request.body["contents"]:
        for part in content["parts"]:
            if "functionCall" in part:
                part["thoughtSignature"] = "skip_thought_signature_validator"
    provider = replace(GEMINI, models={})
    assert PROTOCOL.validate_request(request.path, request.headers, request.body, provider) is None


@pytest.mark.parametrize("provider", [GEMINI, GEMINI_3])
def test_tool_loop_round_trip(provider: Provider) -> None:
    model = provider.upstream_models[0]
    first = Ask(user=(Text("hi"),), tools=(Tool("w"),), reasoning=512)
    reply = round_trip(context(provider=provider, model=model))
    results = (
        ToolResult("story_1", (Text("sun"), Image("image/png", "aWU=")), False, "w", 0),
        ToolResult("story_2", (Text("no station"),), True, "w", 1),
    )
    conversation = [(first, reply), (Ask(results=results), None)]
    request = CLIENT.build_request(conversation, model=model, stream=False, key="k")
    parsed = PROTOCOL.parse_request(request.path, {}, request.body)
    # this client always requests reasoning summaries, which an ask cannot express
    assert replace(parsed, show_reasoning=None) == expected_request(conversation, model=model, stream=False)
    assert PROTOCOL.validate_request(request.path, request.headers, request.body, provider) is None
    answered = parsed.turns[-1].blocks
    assert [block.id for block in answered if isinstance(block, ToolResult)] == [call.id for call in reply.calls]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        pytest.param(
            {
                "system_instruction": {"role": "system", "parts": {"text": "s"}},
                "contents": {"parts": [{"inline_data": {"mime_type": "image/png", "data": "aWU="}}, {"text": "u"}]},
                "generation_config": {
                    "max_output_tokens": "64",
                    "stop_sequences": "END",
                    "top_k": 40.0,
                    "thinking_config": {"thinking_budget": 128, "include_thoughts": False},
                },
                "tools": {"function_declarations": [{"name": "w", "parameters": {"type": "OBJECT"}}]},
                "tool_config": {"function_calling_config": {"mode": "ANY", "allowed_function_names": ["w"]}},
            },
            ParsedRequest(
                model="m",
                system=("s",),
                turns=(Turn("user", (Image("image/png", "aWU="), Text("u"))),),
                tools=(Tool("w", None, {"type": "OBJECT"}),),
                tool_choice=NamedTool("w"),
                sampling={"top_k": 40},
                max_tokens=64,
                validates="implied",
                stop=("END",),
                reasoning=128,
            ),
            id="snake-case-and-lone-values",
        ),
        pytest.param(
            {
                "model": "models/m",
                "contents": [
                    {"role": "user", "parts": [{"text": "u"}]},
                    {
                        "role": "model",
                        "parts": [
                            {"text": "t", "thought": True},
                            {"text": "a"},
                            {"text": "", "thoughtSignature": "c2ln"},
                            {"functionCall": {"name": "w", "args": {"b": 1}, "id": "i"}, "thoughtSignature": "Zm9v"},
                        ],
                    },
                    {
                        "role": "function",
                        "parts": [
                            {"functionResponse": {"id": "i", "name": "w", "response": {"output": "sun"}}},
                            {"functionResponse": {"name": "w", "response": {"error": "no"}}},
                            {"functionResponse": {"name": "w", "response": {"t": 1, "u": "C"}}},
                            {
                                "functionResponse": {
                                    "name": "w",
                                    "response": {},
                                    "parts": [{"inlineData": {"mimeType": "image/png", "data": "aWU="}}],
                                }
                            },
                        ],
                    },
                ],
                "generationConfig": {"candidateCount": 1, "responseModalities": ["TEXT"], "logprobs": 2},
                "safetySettings": [],
            },
            ParsedRequest(
                model="m",
                turns=(
                    Turn("user", (Text("u"),)),
                    Turn(
                        "assistant",
                        (Thinking("t"), Thinking("", "c2ln"), Text("a"), ToolCall("i", "w", '{"b":1}', "Zm9v")),
                    ),
                    Turn(
                        "user",
                        (
                            ToolResult("i", (Text("sun"),), False, "w"),
                            ToolResult("", (Text("no"),), True, "w"),
                            ToolResult("", (Text('{"t":1,"u":"C"}'),), False, "w"),
                            ToolResult("", (Image("image/png", "aWU="),), False, "w"),
                        ),
                    ),
                ),
                extra={"$.generationConfig.logprobs": 2, "$.safetySettings": []},
            ),
            id="history-with-signatures",
        ),
        pytest.param(
            {
                "contents": [{"parts": [{"text": "u", "partMetadata": {"a": 1}}, {"executableCode": {"code": "1"}}]}],
                "tools": [{"googleSearch": {}}],
                "toolConfig": {
                    "functionCallingConfig": {"mode": "VALIDATED"},
                    "retrievalConfig": {"languageCode": "e"},
                },
                "generationConfig": {"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING"}},
                "cachedContent": "cachedContents/1",
            },
            ParsedRequest(
                model="m",
                turns=(Turn("user", (Text("u"),)),),
                format=ResponseFormat({"type": "STRING"}),
                validates="asked",
                extra={
                    "$.contents[0].parts[0].partMetadata": {"a": 1},
                    "$.contents[0].parts[1].executableCode": {"code": "1"},
                    "$.tools[0].googleSearch": {},
                    "$.toolConfig.retrievalConfig": {"languageCode": "e"},
                    "$.generationConfig.responseMimeType": "text/x.enum",
                    "$.cachedContent": "cachedContents/1",
                },
            ),
            id="what-has-no-noun",
        ),
    ],
)
def test_request_bodies_of_other_clients(body: Body, wanted: ParsedRequest) -> None:
    assert PROTOCOL.parse_request("/v1/models/m:generateContent", {}, body) == wanted


@pytest.mark.parametrize("key", ["propertyOrdering", "property_ordering"])
def test_properties_are_in_the_order_that_the_schema_names(key: str) -> None:
    of = {name: {"type": "STRING"} for name in ("b", "a", "propertyOrdering", "c")}
    schema = {"type": "OBJECT", "properties": of, key: ["c", "a", "not there", "c"]}
    body = {
        "contents": [{"parts": [{"text": "u"}]}],
        "generationConfig": {"responseMimeType": "application/json", "responseSchema": schema},
    }
    found = PROTOCOL.parse_request("/v1/models/m:generateContent", {}, body).format
    assert found is not None
    assert found.schema is not None
    assert list(found.schema) == ["type", "properties"]
    assert list(found.schema["properties"]) == ["c", "a", "b", "propertyOrdering"]


@pytest.mark.parametrize(
    ("path", "model", "stream"),
    [
        (SSE_PATH, "gemini-2.5-flash", True),
        ("/v1/models/vendor/name:free:generateContent", "vendor/name:free", False),
        ("/v1beta/models/vendor%2Fname%3AgenerateContent?key=k", "vendor/name", False),
        ("/v1beta/tunedModels/mine:streamGenerateContent", "tunedModels/mine", True),
        ("/v1/projects/p/locations/l/publishers/google/models/gemini-2.0:generateContent", "gemini-2.0", False),
    ],
)
def test_path_has_model_and_method(path: str, model: str, stream: bool) -> None:
    parsed = PROTOCOL.parse_request(path, {}, {"contents": [{"parts": [{"text": "u"}]}]})
    assert (parsed.model, parsed.stream) == (model, stream)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ([], "$"),
        ({}, "$.contents"),
        ({"contents": [3]}, "$.contents[0]"),
        ({"contents": [{"role": "owl", "parts": []}]}, "$.contents[0].role"),
        ({"contents": [{"parts": [{"text": 3}]}]}, "$.contents[0].parts[0].text"),
        ({"contents": [{"parts": [{"functionCall": {"args": {}}}]}]}, "$.contents[0].parts[0].functionCall.name"),
        ({"contents": [], "generationConfig": {"topP": "high"}}, "$.generationConfig.topP"),
        ({"contents": [], "generationConfig": {"maxOutputTokens": 1.5}}, "$.generationConfig.maxOutputTokens"),
        ({"contents": [], "generationConfig": {"stopSequences": [1]}}, "$.generationConfig.stopSequences"),
        ({"contents": [], "topK": 1, "top_k": 1}, "$"),
    ],
)
def test_malformed_body_error_names_the_path(body: Any, where: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        PROTOCOL.parse_request("", {}, body)
    assert caught.value.path == where


@pytest.mark.parametrize(
    ("one", "other"),
    [("maxOutputTokens", "max_output_tokens"), ("topP", "top_p"), ("text", "text"), ("fileUri", "file_uri")],
)
def test_camel_case_and_snake_case_fields(one: str, other: str) -> None:
    assert camel(other) == camel(one) == one
    assert snake(one) == snake(other) == other


# ---- request validation

GOOD: Body = {
    "contents": [
        {"role": "user", "parts": [{"text": "u"}]},
        {
            "role": "model",
            "parts": [
                {"functionCall": {"name": "w", "args": {}}, "thoughtSignature": sig("sig:gemini:s:0.0")},
                {"functionCall": {"name": "w", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "w", "response": {"result": "r"}}},
                {"functionResponse": {"name": "w", "response": {"result": "r"}}},
            ],
        },
    ],
    "system_instruction": {"parts": [{"text": "s"}]},
    "tools": [{"functionDeclarations": [{"name": "w", "parameters": {"type": "OBJECT", "properties": {}}}]}],
    "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}},
    "generationConfig": {"temperature": 1, "maxOutputTokens": 9, "stopSequences": ["a"]},
}

Mutation = Callable[[Body], Any]

REFUSED: dict[str, tuple[Mutation, int, str]] = {
    "unknown-field": (
        lambda b: b.update(model_name="x"),
        400,
        'Invalid JSON payload received. Unknown name "model_name": Cannot find field.',
    ),
    "unknown-field-below": (
        lambda b: b["contents"][0]["parts"][0].update(cache_control={}),
        400,
        "Unknown name \"cache_control\" at 'contents[0].parts[0]': Cannot find field.",
    ),
    "unknown-keyword-of-a-schema": (
        lambda b: b["tools"][0]["functionDeclarations"][0]["parameters"].update({"$schema": "x"}),
        400,
        "Unknown name \"$schema\" at 'tools[0].function_declarations[0].parameters': Cannot find field.",
    ),
    "schema-below": (
        lambda b: b["tools"][0]["functionDeclarations"][0]["parameters"]["properties"].update(p={"const": 1}),
        400,
        "at 'tools[0].function_declarations[0].parameters.properties[0].value'",
    ),
    "list-where-none-is": (
        lambda b: b["tools"][0]["functionDeclarations"][0]["parameters"].update(type=["string", "null"]),
        400,
        "Proto field is not repeating, cannot start list.",
    ),
    "wrong-type": (
        lambda b: b["generationConfig"].update(temperature="hot"),
        400,
        "Invalid value at 'generation_config.temperature' (TYPE_FLOAT), \"hot\"",
    ),
    "text-that-is-no-string": (
        lambda b: b["contents"][0]["parts"][0].update(text=[{"type": "text"}]),
        400,
        "Unknown name \"text\" at 'contents[0].parts[0]': Proto field is not repeating",
    ),
    "two-data": (
        lambda b: b["contents"][0]["parts"][0].update(functionCall={"name": "w"}),
        400,
        "oneof field 'data' is already set. Cannot set 'functionCall'",
    ),
    "arguments-that-are-text": (
        lambda b: b["contents"][1]["parts"][0]["functionCall"].update(args='{"a":1}'),
        400,
        "Invalid value at 'contents[1].parts[0].function_call.args'",
    ),
    "response-that-is-text": (
        lambda b: b["contents"][2]["parts"][0]["functionResponse"].update(response="r"),
        400,
        "Invalid value at 'contents[2].parts[0].function_response.response'",
    ),
    "no-contents": (lambda b: b.update(contents=[]), 400, "contents is not specified"),
    "role": (lambda b: b["contents"][0].update(role="system"), 400, "Please use a valid role: user, model."),
    "no-parts": (lambda b: b["contents"][0].update(parts=[]), 400, "contents.parts must not be empty"),
    "empty-part": (
        lambda b: b["contents"][0].update(parts=[{}]),
        400,
        "contents[0].parts[0].data: required oneof field 'data' must have one initialized field",
    ),
    "empty-part-of-the-system": (
        lambda b: b["system_instruction"].update(parts=[{}]),
        400,
        "GenerateContentRequest.system_instruction.parts[0].data: required oneof field",
    ),
    "call-without-name": (
        lambda b: b["contents"][1]["parts"][1].update(functionCall={"args": {}}),
        400,
        "contents[1].parts[1].function_call.name: Name cannot be empty.",
    ),
    "response-without-name": (
        lambda b: b["contents"][2]["parts"][0]["functionResponse"].pop("name"),
        400,
        "contents[2].parts[0].function_response.name: Name cannot be empty.",
    ),
    "temperature": (
        lambda b: b["generationConfig"].update(temperature=2.5),
        400,
        "temperature must be in the range [0.0, 2.0]",
    ),
    "top-p": (lambda b: b["generationConfig"].update(topP=1.5), 400, "generation_config.top_p: top_p must be"),
    "top-k": (lambda b: b["generationConfig"].update(topK=0), 400, "top_k must be positive"),
    "max-tokens": (lambda b: b["generationConfig"].update(maxOutputTokens=0), 400, "must be positive"),
    "stops": (
        lambda b: b["generationConfig"].update(stopSequences=list("abcdef")),
        400,
        "at most 5 stop sequences are allowed, found 6",
    ),
    "schema-without-type": (
        lambda b: b["generationConfig"].update(responseJsonSchema={}),
        400,
        "response mime type must be `application/json`",
    ),
    "two-schemas": (
        lambda b: b["generationConfig"].update(
            responseJsonSchema={}, responseSchema={}, responseMimeType="application/json"
        ),
        400,
        "only one of response_schema and response_json_schema",
    ),
    "level-and-budget": (
        lambda b: b["generationConfig"].update(thinkingConfig={"thinkingLevel": "low", "thinkingBudget": 1}),
        400,
        "You can only set only one of thinking budget and thinking level.",
    ),
    "level-of-an-older-model": (
        lambda b: b["generationConfig"].update(thinkingConfig={"thinkingLevel": "low"}),
        400,
        "Thinking level is not supported for this model.",
    ),
    "tool-name": (
        lambda b: b["tools"][0]["functionDeclarations"][0].update(name="1st tool"),
        400,
        "tools[0].function_declarations[0].name: [FIELD_INVALID] Invalid function name.",
    ),
    "tool-twice": (
        lambda b: b["tools"].append(b["tools"][0]),
        400,
        "Duplicate function declaration found: w",
    ),
    "both-parameters": (
        lambda b: b["tools"][0]["functionDeclarations"][0].update(parametersJsonSchema={}),
        400,
        "only one of parameters and parameters_json_schema",
    ),
    "parameters-of-a-wrong-type": (
        lambda b: b["tools"][0]["functionDeclarations"][0].update(parameters={"type": "STRING"}),
        400,
        "parameters schema should be of type OBJECT",
    ),
    "choice-without-tools": (
        lambda b: b.pop("tools"),
        400,
        "Function calling config is set without function_declarations.",
    ),
    "mode": (
        lambda b: b["toolConfig"]["functionCallingConfig"].update(mode="REQUIRED"),
        400,
        'google.ai.generativelanguage.v1beta.FunctionCallingConfig.Mode), "REQUIRED"',
    ),
    "names-without-any": (
        lambda b: b["toolConfig"]["functionCallingConfig"].update(allowedFunctionNames=["w"]),
        400,
        "only be set when function calling mode is ANY",
    ),
    "names-nobody-has": (
        lambda b: b["toolConfig"]["functionCallingConfig"].update(mode="ANY", allowedFunctionNames=["x"]),
        400,
        "Allowed function name x is not among",
    ),
    "response-missing": (
        lambda b: b["contents"][2]["parts"].pop(),
        400,
        "number of function response parts is equal to the number of function call parts",
    ),
    "no-response-at-all": (lambda b: b["contents"].pop(), 400, "number of function response parts is equal"),
    "responses-apart": (
        lambda b: b["contents"].append({"role": "user", "parts": [b["contents"][2]["parts"].pop()]}),
        400,
        "number of function response parts is equal",
    ),
    "response-without-call": (
        lambda b: b["contents"].pop(1),
        400,
        "function response turn comes immediately after a function call turn",
    ),
    "call-first": (
        lambda b: b["contents"].pop(0),
        400,
        "function call turn comes immediately after a user turn or after a function response turn",
    ),
    "foreign-seal": (
        lambda b: b["contents"][1]["parts"][0].update(thoughtSignature=sig("sig:anthropic:s:0.0")),
        400,
        "Corrupted thought signature.",
    ),
    "forged-seal": (
        lambda b: b["contents"][1]["parts"][0].update(thoughtSignature="not base64!"),
        400,
        "Corrupted thought signature.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_invalid_request_is_refused(case: str) -> None:
    mutate, status, words = REFUSED[case]
    body = copy.deepcopy(GOOD)
    assert PROTOCOL.validate_request(UNARY_PATH, {"x-goog-api-key": "k"}, body, GEMINI) is None
    mutate(body)
    refused = PROTOCOL.validate_request(UNARY_PATH, {"x-goog-api-key": "k"}, body, GEMINI)
    assert refused is not None
    assert refused.status == status
    assert words in refused.message


@pytest.mark.parametrize(
    ("path", "headers", "status", "kind", "words"),
    [
        (UNARY_PATH, {}, 403, "permission", "Method doesn't allow unregistered callers"),
        (UNARY_PATH, {"x-goog-api-key": "x"}, 400, "authentication", "API key not valid."),
        (f"{UNARY_PATH}?key=x", {}, 400, "authentication", "API key not valid."),
        (
            "/v1beta/models/gpt-5:streamGenerateContent?alt=sse",
            {"x-goog-api-key": "k"},
            404,
            "not_found",
            "models/gpt-5 is not found for API version v1beta, or is not supported for streamGenerateContent.",
        ),
    ],
)
def test_keys_and_models(path: str, headers: dict[str, str], status: int, kind: str, words: str) -> None:
    refused = PROTOCOL.validate_request(path, headers, GOOD, GEMINI)
    assert refused is not None
    assert (refused.status, refused.kind) == (status, kind)
    assert words in refused.message


def test_api_key_in_the_query() -> None:
    assert PROTOCOL.validate_request(f"{UNARY_PATH}?key=k", {}, GOOD, GEMINI) is None


NEWER = "/v1beta/models/gemini-3-pro-preview:generateContent"


def as_streamed(body: Body) -> Body:
    """Returns the request with one content for each chunk of the model's reply, as Google's own SDK sends it back."""
    user, model, responses = body["contents"]
    chunks = [[{"text": "Let me"}], [{"text": " look."}], *([part] for part in model["parts"])]
    return body | {"contents": [user, *({"role": "model", "parts": parts} for parts in chunks), responses]}


@pytest.mark.parametrize(("path", "provider"), [(UNARY_PATH, GEMINI), (NEWER, GEMINI_3)])
def test_streamed_reply_may_be_sent_back_in_chunks(path: str, provider: Provider) -> None:
    body = as_streamed(GOOD)
    assert PROTOCOL.validate_request(path, {"x-goog-api-key": "k"}, body, provider) is None
    body["contents"].pop()
    refused = PROTOCOL.validate_request(path, {"x-goog-api-key": "k"}, body, provider)
    assert refused is not None
    assert "number of function response parts is equal" in refused.message


@pytest.mark.parametrize(
    ("mutate", "refused"),
    [
        pytest.param(lambda b: None, False, id="signed"),
        pytest.param(lambda b: b["contents"][1]["parts"][0].pop("thoughtSignature"), True, id="unsigned"),
        pytest.param(
            lambda b: b["contents"][1]["parts"][0].update(thoughtSignature="skip_thought_signature_validator"),
            False,
            id="dummy",
        ),
        pytest.param(
            # Only the current turn is checked.
            lambda b: (
                b["contents"][1]["parts"][0].pop("thoughtSignature"),
                b["contents"].append({"role": "user", "parts": [{"text": "on"}]}),
            ),
            False,
            id="unsigned-in-an-earlier-turn",
        ),
    ],
)
def test_newer_models_require_their_signatures(mutate: Mutation, refused: bool) -> None:
    body = copy.deepcopy(GOOD)
    mutate(body)
    found = PROTOCOL.validate_request(NEWER, {"x-goog-api-key": "k"}, body, GEMINI_3)
    assert (found is not None) == refused
    if found is not None:
        assert found.message.startswith("Function call is missing a thought_signature in functionCall parts.")
        assert "`default_api:w` , position 2" in found.message


def test_all_unknown_fields_are_in_one_error() -> None:
    body = copy.deepcopy(GOOD) | {"a": 1, "b": 2}
    refused = PROTOCOL.validate_request(UNARY_PATH, {"x-goog-api-key": "k"}, body, GEMINI)
    assert refused is not None
    assert len(refused.message.splitlines()) == 2


@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        ("POST", UNARY_PATH, "generate"),
        ("POST", SSE_PATH, "generate"),
        ("POST", "/v1beta/models/m:countTokens", "count"),
        ("GET", "/v1beta/models?pageSize=5", "models"),
        ("GET", UNARY_PATH, None),
        ("POST", "/v1beta/models/m:embedContent", None),
        ("POST", "/models/m:generateContent", None),
    ],
)
def test_endpoint_of(method: str, path: str, wanted: str | None) -> None:
    assert PROTOCOL.endpoint_of(method, path) == wanted


def test_token_count_and_model_list() -> None:
    assert PROTOCOL.count_tokens is not None
    body = {"contents": [{"parts": [{"text": "x" * 40}]}]}
    assert (
        PROTOCOL.count_tokens(body)["totalTokens"]
        == PROTOCOL.count_tokens({"generateContentRequest": body})["totalTokens"]
        == 11
    )
    assert (
        PROTOCOL.validate_request("/v1/models/gemini-2.5-flash:countTokens", {"x-goog-api-key": "k"}, body, GEMINI)
        is None
    )
    assert [model["name"] for model in PROTOCOL.list_models(GEMINI)["models"]] == ["models/gemini-2.5-flash"]


@settings(max_examples=150, deadline=None)
@given(body=VALUES | mutated(GOOD))
def test_validator_never_raises(body: Any) -> None:
    with contextlib.suppress(MalformedRequest):
        PROTOCOL.parse_request(SSE_PATH, {}, body)
    refused = PROTOCOL.validate_request(SSE_PATH, {"x-goog-api-key": "k"}, body, GEMINI)
    assert refused is None or refused.status == 400
