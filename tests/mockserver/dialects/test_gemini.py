"""The Gemini dialect of the mock: its laws, what it refuses, what it complains of, and the vendor's own samples."""

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

from mockserver.dialects.contract import Auth, Failure, Heard, HttpAsk, Malformed, Provider, Scene, Understood, meant
from mockserver.dialects.gemini import DIALECT
from mockserver.dialects.gemini.fields import camel, snake
from mockserver.dialects.gemini.hear import hear
from mockserver.dialects.gemini.pieces import Pieces, path_of
from mockserver.frames import ARRAY, CONTENT_TYPES, JSON, SSE
from mockserver.speech import (
    Ask,
    Audio,
    Call,
    Document,
    Format,
    Image,
    Interleave,
    Item,
    Named,
    Result,
    SayCall,
    SayError,
    SayStop,
    SayText,
    SayThink,
    Text,
    Think,
    Tool,
    Turn,
    Usage,
)

Body = dict[str, Any]

GEMINI = Provider(name="g", protocol="gemini", models={"m": "gemini-2.5-flash"}, auth=Auth("x-goog-api-key", "k"))
GEMINI_3 = replace(GEMINI, models={"m": "gemini-3-pro-preview"})

SSE_PATH = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
ARRAY_PATH = "/v1beta/models/gemini-2.5-flash:streamGenerateContent"
UNARY_PATH = "/v1/models/gemini-2.5-flash:generateContent"

SHOW = {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}

ITEMS = (
    SayThink(("Hm", "m."), sealed=True),
    SayText(("Hi", " you")),
    SayCall("c1", "w", ('{"a":', "1}"), sealed=True),
    SayCall("c2", "w"),
)


def sig(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def scene(
    items: tuple[Item, ...] = ITEMS,
    *,
    path: str = SSE_PATH,
    stop: str = "tool",
    body: Body | None = None,
    provider: Provider = GEMINI,
    model: str = "gemini-2.5-flash",
    usage: Usage | None = None,
) -> Scene:
    return Scene(
        provider=provider,
        story="s",
        step=0,
        model=model,
        stream="stream" in path,
        items=items,
        stop=SayStop(stop),
        usage=usage or Usage(10, 9, 2, None, 4),
        path=path,
        body=SHOW if body is None else body,
    )


def said_and_heard(played: Scene) -> Heard:
    spoken = DIALECT.say(played)
    headers = {"content-type": CONTENT_TYPES[spoken.framing]} | spoken.headers
    asked = HttpAsk("POST", played.path, {}, played.body)
    return hear(spoken.status, headers, spoken.body, stream=played.stream, asked=asked)


# ---- what is said is heard -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [SSE_PATH, ARRAY_PATH, UNARY_PATH])
def test_an_answer_is_heard_whole(path: str) -> None:
    heard = said_and_heard(scene(path=path))
    assert heard.complaints == ()
    assert heard.error is None
    assert heard.blocks == (
        Think("Hmm.", sig("sig:g:s:0.0")),
        Text("Hi you"),
        Call("", "w", '{"a":1}', sig("sig:g:s:0.1")),
        Call("", "w", "{}"),
    )
    assert (heard.stop, heard.native_stop, heard.model) == ("tool", "STOP", "gemini-2.5-flash")
    assert heard.usage == Usage(10, 9, 2, None, 4)


@pytest.mark.parametrize(
    ("path", "framing", "start"),
    [(SSE_PATH, SSE, b'data: {"candidates": [{'), (ARRAY_PATH, ARRAY, b'[{"candidates"'), (UNARY_PATH, JSON, b"{")],
)
def test_each_path_has_its_framing(path: str, framing: str, start: bytes) -> None:
    spoken = DIALECT.say(scene(path=path))
    assert spoken.framing == framing
    assert spoken.body.startswith(start)
    if framing == SSE:
        assert spoken.body.count(b"\r\n\r\n") == spoken.body.count(b"data: ") == spoken.body.count(b"\n") // 2
    else:
        json.loads(spoken.body)


def test_hidden_thoughts_leave_their_signature_on_the_next_part() -> None:
    items = (SayThink(("Hm",), sealed=True), SayText(("Hi", " you")))
    for path in (SSE_PATH, UNARY_PATH):
        heard = said_and_heard(scene(items, path=path, stop="end", body={}))
        assert heard.complaints == ()
        assert heard.blocks == (Think("", sig("sig:g:s:0.0")), Text("Hi you"))


def test_newer_models_sign_their_first_call_and_give_ids() -> None:
    items = (SayCall("c1", "w"), SayCall("c2", "w"))
    heard = said_and_heard(scene(items, provider=GEMINI_3, model="gemini-3-pro-preview"))
    assert heard.complaints == ()
    assert [call.id for call in heard.calls] == ["c1", "c2"]
    assert [call.seal for call in heard.calls] == [sig("sig:g:s:0.0"), None]


@pytest.mark.parametrize(
    ("stop", "native", "heard_stop"),
    [
        ("end", "STOP", "end"),
        ("stop_sequence", "STOP", "end"),
        ("length", "MAX_TOKENS", "length"),
        ("content_filter", "SAFETY", "content_filter"),
    ],
)
@pytest.mark.parametrize("path", [SSE_PATH, ARRAY_PATH, UNARY_PATH])
def test_stop_reasons(stop: str, native: str, heard_stop: str, path: str) -> None:
    heard = said_and_heard(scene((SayText(("a",)),), path=path, stop=stop))
    assert (heard.stop, heard.native_stop, heard.complaints) == (heard_stop, native, ())


def test_an_answer_may_be_empty() -> None:
    for path in (SSE_PATH, UNARY_PATH):
        heard = said_and_heard(scene((), path=path, stop="length"))
        assert (heard.blocks, heard.stop, heard.complaints) == ((), "length", ())


@pytest.mark.parametrize("path", [SSE_PATH, ARRAY_PATH])
def test_an_error_inside_a_stream(path: str) -> None:
    items = (SayText(("one",)), SayError("overloaded", message="busy"))
    heard = said_and_heard(scene(items, path=path, stop="end"))
    assert heard.error is not None
    assert (heard.error.status, heard.error.kind, heard.error.message) == (503, "overloaded", "busy")
    assert heard.error.code == "UNAVAILABLE"
    assert (heard.text, heard.stop, heard.complaints) == ("one", None, ())


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
    spoken = DIALECT.say_error(failure, GEMINI)
    error = json.loads(spoken.body)["error"]
    assert (error["code"], error["status"], error["message"]) == (failure.status, word, "no")
    heard = hear(spoken.status, spoken.headers, spoken.body, stream=False)
    assert heard.complaints == ()
    assert heard.error is not None
    assert (heard.error.status, heard.error.kind) == (failure.status, kind)


def test_when_to_try_again_stands_in_the_details() -> None:
    spoken = DIALECT.say_error(Failure(429, "rate_limit", "slow", retry_after=7), GEMINI)
    assert json.loads(spoken.body)["error"]["details"] == [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}
    ]
    assert "retry-after" not in spoken.headers


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
NAME = st.text("abcdefgh_", min_size=1, max_size=6)
ARGUMENTS = st.dictionaries(NAME, TEXT | st.integers(-9, 9) | st.none() | st.lists(TEXT, max_size=2), max_size=3)


@st.composite
def answers(draw: st.DrawFn) -> tuple[Item, ...]:
    """Thinking, text and calls in any order, calls also interleaved."""
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
def test_a_stream_is_heard_as_the_body_is(items: tuple[Item, ...], path: str, body: Body) -> None:
    calls = any(isinstance(item, SayCall | Interleave) for item in items)
    stop = "tool" if calls else "end"
    stream = said_and_heard(scene(items, path=path, stop=stop, body=body))
    unary = said_and_heard(scene(items, path=UNARY_PATH, stop=stop, body=body))
    assert stream.complaints == unary.complaints == ()
    assert stream.blocks == unary.blocks
    assert stream.usage == unary.usage == Usage(10, 9, 2, None, 4)
    assert stream.stop == unary.stop
    # The history that a client makes of either is read as what was heard.
    for heard in (stream, unary):
        if heard.blocks:
            history = [(Ask(user=(Text("hi"),)), heard), (Ask(user=(Text("on"),)), None)]
            asked = DIALECT.ask(history, model="m", stream=False)
            assert DIALECT.read(asked.path, {}, asked.body).turns[1].blocks == heard.blocks


@settings(max_examples=40, deadline=None)
@given(items=answers())
def test_the_official_types_accept_what_is_said(items: tuple[Item, ...]) -> None:
    played = scene(items, path=ARRAY_PATH, stop="end")
    for response in json.loads(DIALECT.say(played).body):
        types.GenerateContentResponse.model_validate(response)


# ---- what is asked is read -------------------------------------------------------------------------------------------


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    """Everything that a Gemini client can say of an ask."""
    tools = tuple(
        Tool(name, draw(st.none() | TEXT), draw(st.none() | st.just({"type": "object", "properties": {}})))
        for name in sorted(draw(st.sets(NAME, max_size=3)))
    )
    choices: list[Any] = [None, "auto", "none", "required", *(Named(tool.name) for tool in tools)]
    media = st.sampled_from(
        [
            Image("image/png", "aWU="),
            Image("image/png", None, "https://x.test/a.png"),
            Document("application/pdf", "aWU="),
            Audio("audio/wav", "aWU="),
        ]
    )
    calls = tuple(Call(f"c{at}", draw(NAME), "{}") for at in range(draw(st.integers(0, 2))))
    results = tuple(Result(call.id, (Text(draw(TEXT)),), draw(st.booleans()), call.name) for call in calls)
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
        format=draw(st.sampled_from([None, Format(), Format({"type": "object"})])),
    )


@settings(max_examples=80, deadline=None)
@given(asked=asks(), stream=st.booleans())
def test_what_is_asked_is_read_and_taken(asked: Ask, stream: bool) -> None:
    conversation = [(asked, None)]
    request = DIALECT.ask(conversation, model="gemini-3-flash", stream=stream, key="k")
    understood = DIALECT.read(request.path, request.headers, request.body)
    # this client always asks to see the thoughts; an ask has no word for that
    assert replace(understood, shown=None) == meant(conversation, model="gemini-3-flash", stream=stream)
    # A history that another model wrote is let through by the documented dummy only.
    for content in request.body["contents"]:
        for part in content["parts"]:
            if "functionCall" in part:
                part["thoughtSignature"] = "skip_thought_signature_validator"
    provider = replace(GEMINI, models={})
    assert DIALECT.heed(request.path, request.headers, request.body, provider) is None


def test_the_request_of_a_client() -> None:
    ask = Ask(
        system=("Be brief.",),
        user=(Text("Hi"),),
        tools=(Tool("w", "weather", {"type": "object"}),),
        tool_choice=Named("w"),
        reasoning="high",
        max_tokens=9,
        also={"gemini": {"generationConfig": {"candidateCount": 1}}},
    )
    request = DIALECT.ask([(ask, None)], model="gemini-2.5-flash", stream=True, key="k")
    assert request.path == SSE_PATH
    assert request.headers["x-goog-api-key"] == "k"
    assert request.body == {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "w", "description": "weather", "parametersJsonSchema": {"type": "object"}}
                ]
            }
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["w"]}},
        "generationConfig": {
            "maxOutputTokens": 9,
            # This model is older than levels of thinking.
            "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 24576},
            "candidateCount": 1,
        },
    }


@pytest.mark.parametrize("provider", [GEMINI, GEMINI_3])
def test_a_tool_loop_goes_back_as_it_came(provider: Provider) -> None:
    model = provider.upstream_models[0]
    first = Ask(user=(Text("hi"),), tools=(Tool("w"),), reasoning=512)
    heard = said_and_heard(scene(provider=provider, model=model))
    results = (
        Result("story_1", (Text("sun"), Image("image/png", "aWU=")), False, "w", 0),
        Result("story_2", (Text("no station"),), True, "w", 1),
    )
    conversation = [(first, heard), (Ask(results=results), None)]
    request = DIALECT.ask(conversation, model=model, stream=False, key="k")
    understood = DIALECT.read(request.path, {}, request.body)
    # this client always asks to see the thoughts; an ask has no word for that
    assert replace(understood, shown=None) == meant(conversation, model=model, stream=False)
    assert DIALECT.heed(request.path, request.headers, request.body, provider) is None
    answered = understood.turns[-1].blocks
    assert [block.id for block in answered if isinstance(block, Result)] == [call.id for call in heard.calls]


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
            Understood(
                model="m",
                system=("s",),
                turns=(Turn("user", (Image("image/png", "aWU="), Text("u"))),),
                tools=(Tool("w", None, {"type": "OBJECT"}),),
                tool_choice=Named("w"),
                sampling={"top_k": 40},
                max_tokens=64,
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
            Understood(
                model="m",
                turns=(
                    Turn("user", (Text("u"),)),
                    Turn(
                        "assistant",
                        (Think("t"), Think("", "c2ln"), Text("a"), Call("i", "w", '{"b":1}', "Zm9v")),
                    ),
                    Turn(
                        "user",
                        (
                            Result("i", (Text("sun"),), False, "w"),
                            Result("", (Text("no"),), True, "w"),
                            Result("", (Text('{"t":1,"u":"C"}'),), False, "w"),
                            Result("", (Image("image/png", "aWU="),), False, "w"),
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
            Understood(
                model="m",
                turns=(Turn("user", (Text("u"),)),),
                format=Format({"type": "STRING"}),
                extra={
                    "$.contents[0].parts[0].partMetadata": {"a": 1},
                    "$.contents[0].parts[1].executableCode": {"code": "1"},
                    "$.tools[0].googleSearch": {},
                    "$.toolConfig.functionCallingConfig.mode": "VALIDATED",
                    "$.toolConfig.retrievalConfig": {"languageCode": "e"},
                    "$.generationConfig.responseMimeType": "text/x.enum",
                    "$.cachedContent": "cachedContents/1",
                },
            ),
            id="what-has-no-noun",
        ),
    ],
)
def test_bodies_of_other_clients(body: Body, wanted: Understood) -> None:
    assert DIALECT.read("/v1/models/m:generateContent", {}, body) == wanted


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
def test_the_path_tells_model_and_method(path: str, model: str, stream: bool) -> None:
    understood = DIALECT.read(path, {}, {"contents": [{"parts": [{"text": "u"}]}]})
    assert (understood.model, understood.stream) == (model, stream)


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
def test_malformed_bodies_name_their_place(body: Any, where: str) -> None:
    with pytest.raises(Malformed) as caught:
        DIALECT.read("", {}, body)
    assert caught.value.path == where


@pytest.mark.parametrize(
    ("one", "other"),
    [("maxOutputTokens", "max_output_tokens"), ("topP", "top_p"), ("text", "text"), ("fileUri", "file_uri")],
)
def test_both_spellings(one: str, other: str) -> None:
    assert camel(other) == camel(one) == one
    assert snake(one) == snake(other) == other


# ---- what is refused -------------------------------------------------------------------------------------------------

GOOD: Body = {
    "contents": [
        {"role": "user", "parts": [{"text": "u"}]},
        {
            "role": "model",
            "parts": [
                {"functionCall": {"name": "w", "args": {}}, "thoughtSignature": sig("sig:g:s:0.0")},
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

Spoil = Callable[[Body], Any]

REFUSED: dict[str, tuple[Spoil, int, str]] = {
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
def test_what_is_refused(case: str) -> None:
    spoil, status, words = REFUSED[case]
    body = copy.deepcopy(GOOD)
    assert DIALECT.heed(UNARY_PATH, {"x-goog-api-key": "k"}, body, GEMINI) is None
    spoil(body)
    refused = DIALECT.heed(UNARY_PATH, {"x-goog-api-key": "k"}, body, GEMINI)
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
    refused = DIALECT.heed(path, headers, GOOD, GEMINI)
    assert refused is not None
    assert (refused.status, refused.kind) == (status, kind)
    assert words in refused.message


def test_a_key_may_come_in_the_query() -> None:
    assert DIALECT.heed(f"{UNARY_PATH}?key=k", {}, GOOD, GEMINI) is None


NEWER = "/v1beta/models/gemini-3-pro-preview:generateContent"


def as_streamed(body: Body) -> Body:
    """The same request with the model's answer one content a chunk, words first, as Google's own SDK sends it back."""
    user, model, responses = body["contents"]
    chunks = [[{"text": "Let me"}], [{"text": " look."}], *([part] for part in model["parts"])]
    return body | {"contents": [user, *({"role": "model", "parts": parts} for parts in chunks), responses]}


@pytest.mark.parametrize(("path", "played"), [(UNARY_PATH, GEMINI), (NEWER, GEMINI_3)])
def test_a_streamed_answer_may_come_back_chunk_by_chunk(path: str, played: Provider) -> None:
    body = as_streamed(GOOD)
    assert DIALECT.heed(path, {"x-goog-api-key": "k"}, body, played) is None
    body["contents"].pop()
    refused = DIALECT.heed(path, {"x-goog-api-key": "k"}, body, played)
    assert refused is not None
    assert "number of function response parts is equal" in refused.message


@pytest.mark.parametrize(
    ("spoil", "refused"),
    [
        pytest.param(lambda b: None, False, id="signed"),
        pytest.param(lambda b: b["contents"][1]["parts"][0].pop("thoughtSignature"), True, id="unsigned"),
        pytest.param(
            lambda b: b["contents"][1]["parts"][0].update(thoughtSignature="skip_thought_signature_validator"),
            False,
            id="dummy",
        ),
        pytest.param(
            # Only the current turn is looked at.
            lambda b: (
                b["contents"][1]["parts"][0].pop("thoughtSignature"),
                b["contents"].append({"role": "user", "parts": [{"text": "on"}]}),
            ),
            False,
            id="unsigned-in-an-earlier-turn",
        ),
    ],
)
def test_newer_models_want_their_signatures_back(spoil: Spoil, refused: bool) -> None:
    body = copy.deepcopy(GOOD)
    spoil(body)
    found = DIALECT.heed(NEWER, {"x-goog-api-key": "k"}, body, GEMINI_3)
    assert (found is not None) == refused
    if found is not None:
        assert found.message.startswith("Function call is missing a thought_signature in functionCall parts.")
        assert "`default_api:w` , position 2" in found.message


def test_all_unknown_fields_come_in_one_error() -> None:
    body = copy.deepcopy(GOOD) | {"a": 1, "b": 2}
    refused = DIALECT.heed(UNARY_PATH, {"x-goog-api-key": "k"}, body, GEMINI)
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
def test_routes(method: str, path: str, wanted: str | None) -> None:
    assert DIALECT.route(method, path) == wanted


def test_counts_and_lists() -> None:
    assert DIALECT.count is not None
    body = {"contents": [{"parts": [{"text": "x" * 40}]}]}
    assert DIALECT.count(body)["totalTokens"] == DIALECT.count({"generateContentRequest": body})["totalTokens"] == 11
    assert DIALECT.heed("/v1/models/gemini-2.5-flash:countTokens", {"x-goog-api-key": "k"}, body, GEMINI) is None
    assert [model["name"] for model in DIALECT.list_models(GEMINI)["models"]] == ["models/gemini-2.5-flash"]


# ---- what a strict client complains of -------------------------------------------------------------------------------

Chunks = list[Any]


def chunks() -> Chunks:
    played = scene((SayText(("Hi", " you")), SayCall("c1", "w", ('{"a":1}',))), path=ARRAY_PATH)
    return list(json.loads(DIALECT.say(played).body))


def listen(found: Chunks, *, wrap: Callable[[bytes], bytes] = lambda body: body) -> Heard:
    body = b"".join(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in found)
    asked = HttpAsk("POST", SSE_PATH, {}, {})
    return hear(200, {"content-type": "text/event-stream"}, wrap(body), stream=True, asked=asked)


def part(found: Chunks, at: int) -> Any:
    return found[at]["candidates"][0]["content"]["parts"][0]


COMPLAINTS: dict[str, tuple[Callable[[Chunks], Any], str]] = {
    "empty-text": (lambda c: part(c, 0).update(text=""), "part: an empty text"),
    "no-data": (lambda c: part(c, 0).pop("text"), "part: one of its data fields must be set, found []"),
    "two-data": (lambda c: part(c, 2).update(text="x"), "part: one of its data fields must be set"),
    "text-is-no-string": (lambda c: part(c, 0).update(text=3), "part: `text` is not a string"),
    "thought-is-no-flag": (lambda c: part(c, 0).update(thought="yes"), "part: `thought` is neither"),
    "seal-is-not-base64": (lambda c: part(c, 2).update(thoughtSignature="sig:x"), "`thoughtSignature` is not base64"),
    "empty-parts": (
        lambda c: c[0]["candidates"][0]["content"].update(parts=[]),
        "content: `parts` is not an array that holds one",
    ),
    "no-parts": (lambda c: c[0]["candidates"][0]["content"].pop("parts"), "content: `parts` is missing"),
    "no-content": (
        lambda c: c[0]["candidates"][0].pop("content"),
        "candidate: neither `content` nor `finishReason`",
    ),
    "role": (lambda c: c[0]["candidates"][0]["content"].update(role="assistant"), "content: role is 'assistant'"),
    "no-role": (lambda c: c[0]["candidates"][0]["content"].pop("role"), "content: role is None"),
    "name": (lambda c: part(c, 2)["functionCall"].pop("name"), "functionCall: `name` is missing"),
    "args-are-text": (lambda c: part(c, 2)["functionCall"].update(args="{}"), "functionCall: `args` is"),
    "no-args": (lambda c: part(c, 2)["functionCall"].pop("args"), "functionCall: `args` is null, not an object"),
    "id": (lambda c: part(c, 2)["functionCall"].update(id=3), "functionCall: `id` is 3"),
    "same-ids": (
        lambda c: c[2]["candidates"][0]["content"].update(
            parts=[{"functionCall": {"name": "w", "args": {}, "id": "i"}} for _ in "ab"]
        ),
        "calls: two have the same id",
    ),
    "foreign-fields": (lambda c: c[0].update(id="chatcmpl-1"), "response: there is no field `id`"),
    "foreign-field-of-a-candidate": (
        lambda c: c[0]["candidates"][0].update(finish_reason=None),
        "candidate: there is no field `finish_reason`",
    ),
    "foreign-field-of-a-part": (lambda c: part(c, 0).update(type="text"), "part: there is no field `type`"),
    "foreign-field-of-a-call": (
        lambda c: part(c, 2)["functionCall"].update(arguments="{}"),
        "functionCall: there is no field `arguments`",
    ),
    "foreign-field-of-usage": (
        lambda c: c[2]["usageMetadata"].update(completion_tokens=1),
        "usageMetadata: there is no field `completion_tokens`",
    ),
    "no-response-id": (lambda c: [chunk.pop("responseId") for chunk in c], "response: `responseId` is missing"),
    "response-id-changes": (lambda c: c[1].update(responseId="other"), "`responseId` changes within the stream"),
    "no-model": (lambda c: [chunk.pop("modelVersion") for chunk in c], "response: `modelVersion` is missing"),
    "no-candidates": (lambda c: c[0].update(candidates=[]), "`candidates` is not an array that holds one"),
    "nothing-at-all": (
        lambda c: (c[0].pop("candidates"), c[0].pop("usageMetadata")),
        "response: neither `candidates` nor `promptFeedback` nor `usageMetadata`",
    ),
    "finish-number": (lambda c: c[2]["candidates"][0].update(finishReason=1), "numbers must be asked for"),
    "finish-word": (
        lambda c: c[2]["candidates"][0].update(finishReason="tool_calls"),
        "no `finishReason` 'tool_calls'",
    ),
    "finish-twice": (lambda c: c[1]["candidates"][0].update(finishReason="STOP"), "`finishReason` comes twice"),
    "content-after-finish": (
        lambda c: c[1]["candidates"][0].update(finishReason="STOP"),
        "candidate: content after `finishReason`",
    ),
    "no-usage": (lambda c: [chunk.pop("usageMetadata") for chunk in c], "stream: no `usageMetadata`"),
    "total": (lambda c: c[2]["usageMetadata"].update(totalTokenCount=3), "usage: totalTokenCount is 3, its parts are"),
    "no-total": (lambda c: c[2]["usageMetadata"].pop("totalTokenCount"), "usage: totalTokenCount is None"),
    "cached": (
        lambda c: c[2]["usageMetadata"].update(cachedContentTokenCount=99),
        "cachedContentTokenCount 99 exceeds promptTokenCount",
    ),
    "count": (lambda c: c[2]["usageMetadata"].update(candidatesTokenCount="5"), "`candidatesTokenCount` is '5'"),
    "event-after-error": (
        lambda c: c.insert(0, {"error": {"code": 500, "message": "m", "status": "INTERNAL"}}),
        "stream: an event after an error",
    ),
    "error-after-finish": (
        lambda c: c.append({"error": {"code": 500, "message": "m", "status": "INTERNAL"}}),
        "stream: an error after finishReason",
    ),
    "error-code": (
        lambda c: c.append({"error": {"code": "500", "message": "m", "status": "INTERNAL"}}),
        "error: `code` is '500', not an HTTP status",
    ),
    "error-word": (
        lambda c: c.append({"error": {"code": 429, "message": "m", "status": "rate_limit_error"}}),
        "error: `status` rate_limit_error does not belong to 429; RESOURCE_EXHAUSTED does",
    ),
    "error-shape": (lambda c: c.append({"error": "boom"}), "error: `error` is not an object"),
    "done": (lambda c: c.append("[DONE]"), "stream: an event that is not a JSON object"),
    "unfinished-arguments": (
        lambda c: part(c, 2).update(functionCall={"name": "w", "willContinue": True}),
        "functionCall: the arguments never came to an end",
    ),
}


@pytest.mark.parametrize("case", COMPLAINTS)
def test_complaints(case: str) -> None:
    spoil, words = COMPLAINTS[case]
    found = chunks()
    assert listen(found).complaints == ()
    spoil(found)
    heard = listen(found)
    assert any(words in complaint for complaint in heard.complaints), heard.complaints


@pytest.mark.parametrize(
    ("wrap", "words"),
    [
        (lambda body: body + b"data: [DONE]\r\n\r\n", "stream: a [DONE]"),
        (lambda body: b": still here\r\n\r\n" + body, "stream: a comment ('still here')"),
        (lambda body: b"event: message\r\n" + body, "stream: an `event:` line (message)"),
        (lambda body: body + b"data: {", "stream: it does not end well"),
    ],
)
def test_complaints_about_framing(wrap: Callable[[bytes], bytes], words: str) -> None:
    assert any(words in complaint for complaint in listen(chunks(), wrap=wrap).complaints)


def test_line_ends_do_not_matter() -> None:
    assert listen(chunks(), wrap=lambda body: body.replace(b"\r\n", b"\n")) == listen(chunks())


@pytest.mark.parametrize(
    ("status", "headers", "body", "words"),
    [
        (200, {"content-type": "text/html"}, b"{}", "headers: content-type is text/html"),
        (200, {"content-type": "application/json"}, b"<html>", "not JSON"),
        (200, {"content-type": "application/json"}, b'{"error":{}}', "an error with status 200"),
        (500, {"content-type": "application/json"}, b"{}", "error: the body has no `error`"),
        (
            500,
            {"content-type": "application/json"},
            b'{"error":{"code":400,"message":"m","status":"INTERNAL"}}',
            "error: `code` is 400, the status is 500",
        ),
        (
            500,
            {"content-type": "application/json"},
            b'{"error":{"code":500,"status":"INTERNAL","details":{}}}',
            "error: `message` is None",
        ),
        (
            500,
            {"content-type": "application/json"},
            b'{"error":{"code":500,"message":"m","details":{}}}',
            "error: `details` is not an array",
        ),
    ],
)
def test_complaints_about_bodies(status: int, headers: dict[str, str], body: bytes, words: str) -> None:
    complaints = hear(status, headers, body, stream=False).complaints
    assert any(words in complaint for complaint in complaints), complaints


def test_a_stream_without_its_end_is_cut() -> None:
    heard = listen(chunks()[:1])
    assert heard.error is not None
    assert (heard.error.kind, heard.text, heard.stop) == ("cut", "Hi", None)
    whole = DIALECT.say(scene(path=ARRAY_PATH)).body
    asked = HttpAsk("POST", ARRAY_PATH, {}, {})
    headers = {"content-type": "application/json"}
    for at in range(len(whole) - 2):
        heard = hear(200, headers, whole[:at], stream=True, asked=asked)
        assert heard.error is not None
        assert heard.error.kind == "cut"


# ---- the vendor's own samples ----------------------------------------------------------------------------------------

SAMPLES = [
    pytest.param(
        # https://ai.google.dev/gemini-api/docs/text-generation, with the ids that the service adds
        {
            "candidates": [
                {
                    "content": {"parts": [{"text": "AI learns patterns from data."}], "role": "model"},
                    "finishReason": "STOP",
                    "index": 0,
                    "avgLogprobs": -0.2,
                }
            ],
            "usageMetadata": {
                "promptTokenCount": 8,
                "candidatesTokenCount": 6,
                "totalTokenCount": 34,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 8}],
                "thoughtsTokenCount": 20,
            },
            "modelVersion": "gemini-2.5-flash",
            "responseId": "mAitaLmkHPPlz7IPvtfUqQ4",
        },
        Heard(blocks=(Text("AI learns patterns from data."),), stop="end", usage=Usage(8, 26, None, None, 20)),
        id="text",
    ),
    pytest.param(
        # https://ai.google.dev/gemini-api/docs/function-calling#parallel_function_calling
        {
            "candidates": [
                {
                    "content": {
                        "parts": [
                            {"functionCall": {"name": "power_disco_ball", "args": {"power": True}, "id": "8f2b1a3c"}},
                            {"functionCall": {"name": "dim_lights", "args": {"brightness": 0.5}, "id": "9d3c2b1a"}},
                        ],
                        "role": "model",
                    },
                    "finishReason": "STOP",
                    "index": 0,
                    "finishMessage": "Model generated function call(s).",
                }
            ],
            "usageMetadata": {"promptTokenCount": 105, "candidatesTokenCount": 28, "totalTokenCount": 133},
            "modelVersion": "gemini-3-flash-preview",
            "responseId": "x",
        },
        Heard(
            blocks=(
                Call("8f2b1a3c", "power_disco_ball", '{"power":true}'),
                Call("9d3c2b1a", "dim_lights", '{"brightness":0.5}'),
            ),
            stop="tool",
            usage=Usage(105, 28),
        ),
        id="calls",
    ),
    pytest.param(
        # https://ai.google.dev/gemini-api/docs/thought-signatures#non-functioncall-parts
        {
            "candidates": [
                {
                    "content": {
                        "parts": [
                            {"text": "I need to check the flight.", "thought": True},
                            {"text": "The flight is delayed.", "thoughtSignature": "PFNpZ25hdHVyZT4="},
                        ],
                        "role": "model",
                    },
                    "finishReason": "STOP",
                    "index": 0,
                }
            ],
            "usageMetadata": {
                "promptTokenCount": 50,
                "candidatesTokenCount": 5,
                "totalTokenCount": 62,
                "thoughtsTokenCount": 7,
                "cachedContentTokenCount": 20,
            },
            "modelVersion": "gemini-3-pro-preview",
            "responseId": "x",
        },
        Heard(
            blocks=(
                Think("I need to check the flight."),
                Think("", "PFNpZ25hdHVyZT4="),
                Text("The flight is delayed."),
            ),
            stop="end",
            usage=Usage(30, 12, 20, None, 7),
        ),
        id="signature-on-text",
    ),
    pytest.param(
        # https://ai.google.dev/api/generate-content#PromptFeedback
        {
            "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
            "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4},
            "modelVersion": "gemini-2.5-flash",
            "responseId": "x",
        },
        Heard(stop="content_filter", usage=Usage(4, 0)),
        id="blocked-prompt",
    ),
]


@pytest.mark.parametrize(("body", "wanted"), SAMPLES)
def test_the_vendors_bodies(body: Body, wanted: Heard) -> None:
    heard = hear(200, {"content-type": "application/json; charset=UTF-8"}, json.dumps(body).encode(), stream=False)
    assert heard.complaints == ()
    assert (heard.blocks, heard.stop, heard.usage) == (wanted.blocks, wanted.stop, wanted.usage)
    types.GenerateContentResponse.model_validate(body)


def test_the_vendors_stream() -> None:
    """https://ai.google.dev/gemini-api/docs/thought-signatures: in streams the signature may come on an empty text."""
    text = (
        'data: {"candidates": [{"content": {"parts": [{"text": "I am"}],"role": "model"},"index": 0}],'
        '"usageMetadata": {"promptTokenCount": 5,"candidatesTokenCount": 2,"totalTokenCount": 7},'
        '"modelVersion": "gemini-3-flash-preview","responseId": "x"}\r\n\r\n'
        'data: {"candidates": [{"content": {"parts": [{"text": " here."}],"role": "model"},"index": 0}],'
        '"usageMetadata": {"promptTokenCount": 5,"candidatesTokenCount": 4,"totalTokenCount": 9},'
        '"modelVersion": "gemini-3-flash-preview","responseId": "x"}\r\n\r\n'
        'data: {"candidates": [{"content": {"parts": [{"text": "","thoughtSignature": "U2ln"}],"role": "model"},'
        '"finishReason": "STOP","index": 0}],'
        '"usageMetadata": {"promptTokenCount": 5,"candidatesTokenCount": 4,"totalTokenCount": 9},'
        '"modelVersion": "gemini-3-flash-preview","responseId": "x"}\r\n\r\n'
    )
    heard = hear(200, {"content-type": "text/event-stream"}, text.encode(), stream=True)
    assert (heard.complaints, heard.stop, heard.usage) == ((), "end", Usage(5, 4))
    assert heard.blocks == (Think("", "U2ln"), Text("I am here."))
    # The parts go back as they came: a signed part is not merged with an unsigned one.
    assert heard.echo == (
        {"role": "model", "parts": [{"text": "I am here."}, {"text": "", "thoughtSignature": "U2ln"}]},
    )


def test_numbers_for_enums_when_asked_for() -> None:
    """https://cloud.google.com/apis/docs/system-parameters: `$alt=json;enum-encoding=int`."""
    body = copy.deepcopy(SAMPLES[0].values[0])
    assert isinstance(body, dict)
    body["candidates"][0]["finishReason"] = 2
    asked = HttpAsk("POST", f"{UNARY_PATH}?%24alt=json%3Benum-encoding%3Dint", {}, {})
    heard = hear(200, {"content-type": "application/json"}, json.dumps(body).encode(), stream=False, asked=asked)
    assert (heard.stop, heard.native_stop, heard.complaints) == ("length", "MAX_TOKENS", ())


def test_a_stream_asked_for_as_an_array_is_refused_as_one() -> None:
    error = b'[{"error":{"code":429,"message":"slow","status":"RESOURCE_EXHAUSTED"}}]'
    headers = {"content-type": "application/json"}
    heard = hear(429, headers, error, stream=True, asked=HttpAsk("POST", ARRAY_PATH, {}, {}))
    assert heard.complaints == ()
    assert heard.error is not None
    assert heard.error.kind == "rate_limit"
    assert hear(429, headers, error, stream=True, asked=HttpAsk("POST", SSE_PATH, {}, {})).complaints


# ---- arguments in pieces ---------------------------------------------------------------------------------------------


def test_arguments_may_come_in_pieces() -> None:
    """https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling#streaming-fc"""
    pieces: list[Body] = [
        {"name": "w", "willContinue": True},
        {"partialArgs": [{"jsonPath": "$.city", "stringValue": "Os", "willContinue": True}], "willContinue": True},
        {"partialArgs": [{"jsonPath": "$.city", "stringValue": "lo"}], "willContinue": True},
        {"partialArgs": [{"jsonPath": "$.days[0].n", "numberValue": 1}], "willContinue": True},
        {"partialArgs": [{"jsonPath": "$.days[1]", "nullValue": "NULL_VALUE"}, {"jsonPath": "$.a", "boolValue": True}]},
    ]
    found = chunks()
    head = {"modelVersion": found[0]["modelVersion"], "responseId": found[0]["responseId"]}
    stream: Chunks = [
        {"candidates": [{"content": {"role": "model", "parts": [{"functionCall": piece}]}}]} | head for piece in pieces
    ]
    stream[-1]["candidates"][0]["finishReason"] = "STOP"
    stream[-1]["usageMetadata"] = found[-1]["usageMetadata"]
    heard = listen(stream)
    assert heard.complaints == ()
    assert [(call.name, json.loads(call.arguments)) for call in heard.calls] == [
        ("w", {"city": "Oslo", "days": [{"n": 1}, None], "a": True})
    ]
    assert heard.echo[0]["parts"][0]["functionCall"]["args"]["city"] == "Oslo"


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("$.a", ["a"]),
        ("$.a[0].b", ["a", 0, "b"]),
        ("$['x y'][\"z\"][2]", ["x y", "z", 2]),
        ("$['it\\'s']", ["it's"]),
        ("a.b", []),
        ("$..a", []),
        ("$", []),
    ],
)
def test_paths(path: str, steps: list[str | int]) -> None:
    assert path_of(path) == steps


@pytest.mark.parametrize(
    "piece",
    [
        3,
        {},
        {"jsonPath": "x", "stringValue": "a"},
        {"jsonPath": "$.a", "stringValue": "a", "boolValue": True},
        {"jsonPath": "$.a[2]", "stringValue": "a"},
        {"jsonPath": "$[0]", "stringValue": "a"},
    ],
)
def test_pieces_without_a_place(piece: Any) -> None:
    assert Pieces().add(piece) is not None


# ---- arbitrary bodies ------------------------------------------------------------------------------------------------

KEYS = st.sampled_from(
    [
        *("contents", "parts", "role", "text", "functionCall", "functionResponse", "name", "args", "response", "id"),
        *("thought", "thoughtSignature", "inlineData", "tools", "functionDeclarations", "parameters", "properties"),
        *("toolConfig", "functionCallingConfig", "mode", "allowedFunctionNames", "generationConfig", "temperature"),
        *("candidates", "content", "finishReason", "usageMetadata", "promptTokenCount", "totalTokenCount", "error"),
        *("code", "message", "status", "details", "partialArgs", "jsonPath", "willContinue", "promptFeedback"),
        *("system_instruction", "thinkingConfig", "stopSequences", "index", "modelVersion", "fileData"),
    ]
)
LEAVES = st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["", "model", "user", "STOP", "$.a", "x"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=25
)


@st.composite
def spoiled(draw: st.DrawFn, good: Any) -> Any:
    """A good body with one value anywhere in it replaced by any other."""
    whole = copy.deepcopy(good)
    place: Any = whole
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return whole
        key = draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or draw(st.integers(0, 4)) == 0:
            place[key] = draw(VALUES)
            return whole
        place = place[key]


@settings(max_examples=150, deadline=None)
@given(body=VALUES | spoiled(GOOD))
def test_no_request_does_harm(body: Any) -> None:
    with contextlib.suppress(Malformed):
        DIALECT.read(SSE_PATH, {}, body)
    refused = DIALECT.heed(SSE_PATH, {"x-goog-api-key": "k"}, body, GEMINI)
    assert refused is None or refused.status == 400


@settings(max_examples=150, deadline=None)
@given(found=st.lists(VALUES, max_size=3) | spoiled(chunks()), status=st.sampled_from([200, 400]))
def test_no_response_does_harm(found: Any, status: int) -> None:
    found = found if isinstance(found, list) else [found]
    body = b"".join(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in found)
    hear(status, {}, body, stream=True)
    for chunk in found:
        hear(status, {}, json.dumps(chunk).encode(), stream=False)
