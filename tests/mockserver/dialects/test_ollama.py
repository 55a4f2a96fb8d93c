"""The Ollama dialect of the mock: its laws, what it refuses, what it complains of, and the vendor's own samples."""

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

from mockserver.dialects.contract import Auth, Failure, Heard, HttpAsk, Malformed, Provider, Scene, Understood, meant
from mockserver.dialects.ollama import DIALECT
from mockserver.dialects.ollama.hear import hear
from mockserver.frames import CONTENT_TYPES, JSON, NDJSON
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
    SayRefusal,
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

OLLAMA = Provider(
    name="o",
    protocol="ollama",
    models={"m": "llama3.2"},
    capabilities=("text", "tools", "reasoning"),
    auth=Auth("authorization", "k"),
)
KEY = {"authorization": "Bearer k"}

ITEMS = (
    SayThink(("Hm", "m."), sealed=True),
    SayText(("Hi", " <you> & 🙂")),
    SayCall("c1", "w", ('{"a":', "1}")),
    SayCall("c2", "w"),
)


def scene(
    items: tuple[Item, ...] = ITEMS,
    *,
    stream: bool = True,
    stop: str = "tool",
    body: Body | None = None,
    provider: Provider = OLLAMA,
) -> Scene:
    return Scene(
        provider=provider,
        story="s",
        step=0,
        model="llama3.2",
        stream=stream,
        items=items,
        stop=SayStop(stop),
        usage=Usage(10, 9, 2, None, 4),
        path="/api/chat",
        body=body or {},
    )


def said_and_heard(played: Scene) -> Heard:
    spoken = DIALECT.say(played)
    headers = {"content-type": CONTENT_TYPES[spoken.framing]} | spoken.headers
    return hear(spoken.status, headers, spoken.body, stream=played.stream)


# ---- what is said is heard -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_is_heard_whole(stream: bool) -> None:
    heard = said_and_heard(scene(stream=stream))
    assert heard.complaints == ()
    assert heard.error is None
    assert heard.blocks == (
        Think("Hmm."),
        Text("Hi <you> & 🙂"),
        Call("c1", "w", '{"a":1}'),
        Call("c2", "w", "{}"),
    )
    assert (heard.stop, heard.native_stop, heard.model) == ("tool", "stop", "llama3.2")
    # What was read from a cache is part of the prompt here, and thinking is not told apart.
    assert heard.usage == Usage(12, 9)


def test_framing_and_escapes() -> None:
    spoken = DIALECT.say(scene())
    assert spoken.framing == NDJSON
    lines = spoken.body.splitlines()
    assert spoken.body.endswith(b"\n")
    assert [json.loads(line)["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert b"\\u003cyou\\u003e \\u0026 " in spoken.body
    unary = DIALECT.say(scene(stream=False))
    assert unary.framing == JSON
    assert unary.headers["content-type"] == "application/json; charset=utf-8"


def test_a_call_comes_whole_in_a_line_of_its_own() -> None:
    lines = [json.loads(line) for line in DIALECT.say(scene()).body.splitlines()]
    assert [line["message"]["tool_calls"] for line in lines if "tool_calls" in line["message"]] == [
        [{"id": "c1", "function": {"index": 0, "name": "w", "arguments": {"a": 1}}}],
        [{"id": "c2", "function": {"index": 1, "name": "w", "arguments": {}}}],
    ]


def test_older_servers_give_no_ids() -> None:
    heard = said_and_heard(scene(provider=replace(OLLAMA, habits=("no_call_ids",))))
    assert (heard.complaints, [call.id for call in heard.calls]) == ((), ["", ""])


@pytest.mark.parametrize("stream", [True, False])
def test_thinking_can_be_switched_off(stream: bool) -> None:
    assert said_and_heard(scene(stream=stream, body={"think": False})).thinking == ""


@pytest.mark.parametrize(
    ("stop", "native", "heard_stop"),
    [
        ("end", "stop", "end"),
        ("stop_sequence", "stop", "end"),
        ("content_filter", "stop", "end"),
        ("length", "length", "length"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_stop_reasons(stop: str, native: str, heard_stop: str, stream: bool) -> None:
    heard = said_and_heard(scene((SayRefusal(("a",)),), stream=stream, stop=stop))
    assert (heard.text, heard.stop, heard.native_stop, heard.complaints) == ("a", heard_stop, native, ())


def test_an_error_inside_a_stream() -> None:
    items = (SayText(("one",)), SayError("overloaded", message="busy"))
    spoken = DIALECT.say(scene(items, stop="end"))
    assert spoken.body.endswith(b'{"error":"busy"}\n')
    heard = said_and_heard(scene(items, stop="end"))
    assert heard.error is not None
    assert (heard.error.kind, heard.error.message, heard.text, heard.complaints) == ("internal", "busy", "one", ())


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
    spoken = DIALECT.say_error(failure, OLLAMA)
    assert json.loads(spoken.body) == {"error": failure.message}
    assert spoken.headers.get("retry-after") == ("7" if failure.retry_after else None)
    heard = hear(spoken.status, spoken.headers, spoken.body, stream=True)
    assert heard.complaints == ()
    assert heard.error is not None
    assert (heard.error.status, heard.error.kind) == (failure.status, kind)


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
NAME = st.text("abcdefgh_", min_size=1, max_size=6)
ARGUMENTS = st.dictionaries(NAME, TEXT | st.integers(-9, 9) | st.none() | st.lists(TEXT, max_size=2), max_size=3)


@st.composite
def answers(draw: st.DrawFn) -> tuple[Item, ...]:
    """Thinking, then text, then calls: a unary body cannot tell another order."""
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
def test_a_stream_is_heard_as_the_body_is(items: tuple[Item, ...]) -> None:
    calls = any(isinstance(item, SayCall | Interleave) for item in items)
    stop = "tool" if calls else "end"
    stream = said_and_heard(scene(items, stop=stop))
    unary = said_and_heard(scene(items, stream=False, stop=stop))
    assert stream.complaints == unary.complaints == ()
    assert (stream.blocks, stream.usage, stream.stop) == (unary.blocks, unary.usage, unary.stop)
    assert stream.echo == unary.echo
    if stream.blocks:
        history = [(Ask(user=(Text("hi"),)), stream), (Ask(user=(Text("on"),)), None)]
        asked = DIALECT.ask(history, model="m", stream=False)
        assert DIALECT.read(asked.path, {}, asked.body).turns[1].blocks == stream.blocks


@settings(max_examples=40, deadline=None)
@given(items=answers())
def test_the_official_types_accept_what_is_said(items: tuple[Item, ...]) -> None:
    for line in DIALECT.say(scene(items)).body.splitlines():
        ollama.ChatResponse.model_validate_json(line, strict=True)
    ollama.ChatResponse.model_validate_json(DIALECT.say(scene(items, stream=False)).body, strict=True)


# ---- what is asked is read -------------------------------------------------------------------------------------------


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    """Everything that an Ollama client can say of an ask."""
    calls = tuple(Call(f"c{at}", draw(NAME), "{}") for at in range(draw(st.integers(0, 2))))
    results = tuple(Result(call.id, (Text(draw(TEXT)),), False, call.name) for call in calls)
    history = (
        Turn("user", (Text(draw(TEXT)),)),
        Turn("assistant", (Think(draw(TEXT)), Text(draw(TEXT)), *calls)),
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
        format=draw(st.sampled_from([None, Format(), Format({"type": "object"})])),
    )


@settings(max_examples=80, deadline=None)
@given(asked=asks(), stream=st.booleans())
def test_what_is_asked_is_read_and_taken(asked: Ask, stream: bool) -> None:
    conversation = [(asked, None)]
    request = DIALECT.ask(conversation, model="llama3.2", stream=stream, key="k")
    understood = DIALECT.read(request.path, request.headers, request.body)
    assert understood == meant(conversation, model="llama3.2", stream=stream)
    assert DIALECT.heed(request.path, request.headers, request.body, OLLAMA) is None


def test_the_request_of_a_client() -> None:
    ask = Ask(
        system=("Be brief.",),
        user=(Text("What is "), Image("image/png", "aWU="), Text("this?")),
        tools=(Tool("w", "weather", {"type": "object"}, True),),
        tool_choice=Named("w"),
        parallel=False,
        reasoning=512,
        max_tokens=9,
        stop=("END",),
        top_k=3,
        format=Format(),
        also={"ollama": {"options": {"num_ctx": 4096}, "keep_alive": "5m"}},
    )
    request = DIALECT.ask([(ask, None)], model="llama3.2", stream=False, key="k")
    assert (request.method, request.path, request.headers["authorization"]) == ("POST", "/api/chat", "Bearer k")
    assert request.body == {
        "model": "llama3.2",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is this?", "images": ["aWU="]},
        ],
        "stream": False,
        "tools": [
            {
                "type": "function",
                "function": {"name": "w", "description": "weather", "parameters": {"type": "object"}},
            }
        ],
        "options": {"top_k": 3, "num_predict": 9, "stop": ["END"], "num_ctx": 4096},
        "think": True,
        "format": "json",
        "keep_alive": "5m",
    }


@pytest.mark.parametrize(
    ("reasoning", "think"), [("none", False), ("minimal", "low"), ("medium", "medium"), ("xhigh", "max"), (0, False)]
)
def test_efforts(reasoning: str | int, think: bool | str) -> None:
    ask = Ask(user=(Text("u"),), reasoning=reasoning)
    assert DIALECT.ask([(ask, None)], model="m", stream=False).body["think"] == think


@pytest.mark.parametrize("habits", [(), ("no_call_ids",)])
def test_a_tool_loop_goes_back_as_it_came(habits: tuple[str, ...]) -> None:
    heard = said_and_heard(scene(provider=replace(OLLAMA, habits=habits)))
    results = (
        Result("story_1", (Text("sun"), Image(None, "aWU=")), False, "w", 0),
        Result("story_2", (Text("no station"),), False, "w", 1),
    )
    conversation = [(Ask(user=(Text("hi"),), tools=(Tool("w"),)), heard), (Ask(results=results), None)]
    request = DIALECT.ask(conversation, model="llama3.2", stream=False, key="k")
    understood = DIALECT.read(request.path, {}, request.body)
    assert understood == meant(conversation, model="llama3.2", stream=False)
    assert DIALECT.heed(request.path, request.headers, request.body, OLLAMA) is None
    assert [message.get("tool_name") for message in request.body["messages"][2:]] == ["w", "w"]
    assert ["tool_call_id" in message for message in request.body["messages"][2:]] == [not habits] * 2


@pytest.mark.parametrize(
    "block", [Image("image/png", None, "https://x.test/a.png"), Document("application/pdf", "aWU="), Audio("a/b", "a")]
)
def test_what_a_message_has_no_place_for(block: Any) -> None:
    with pytest.raises(ValueError, match="an Ollama message has no place for"):
        DIALECT.ask([(Ask(user=(block,)), None)], model="m", stream=False)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        pytest.param({"model": "m", "messages": None}, Understood(model="m", stream=True), id="streams-unless-told"),
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
            Understood(
                model="m",
                system=("s",),
                turns=(
                    Turn("user", (Text("u"),)),
                    Turn("assistant", (Think("t"), Call("", "w", '{"b":1.0}'), Call("i", "v", "{}"))),
                    Turn("user", (Result("", (Text("a"),), False, "w"), Result("i", (Text("b"),), False, "v"))),
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
def test_bodies_of_other_clients(body: Body, wanted: Understood) -> None:
    assert DIALECT.read("/api/chat", {}, body) == wanted


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
def test_malformed_bodies_name_their_place(body: Any, where: str) -> None:
    with pytest.raises(Malformed) as caught:
        DIALECT.read("/api/chat", {}, body)
    assert caught.value.path == where


# ---- what is refused -------------------------------------------------------------------------------------------------

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

Spoil = Callable[[Body], Any]

REFUSED: dict[str, tuple[Spoil, int, str]] = {
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
    "role": (lambda b: b["messages"][1].update(role="developer"), 400, "no such role: 'developer'"),
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
def test_what_is_refused(case: str) -> None:
    spoil, status, words = REFUSED[case]
    body = copy.deepcopy(GOOD)
    assert DIALECT.heed("/api/chat", KEY, body, OLLAMA) is None
    spoil(body)
    refused = DIALECT.heed("/api/chat", KEY, body, OLLAMA)
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
def test_what_a_model_cannot_do(able: tuple[str, ...], words: str) -> None:
    refused = DIALECT.heed("/api/chat", KEY, GOOD, replace(OLLAMA, capabilities=able))
    assert refused is not None
    assert (refused.status, refused.message) == (400, words)


@pytest.mark.parametrize(
    ("headers", "key", "status"),
    [({}, "k", 401), ({"authorization": "Bearer x"}, "k", 401), (KEY, "k", None), ({}, "", None)],
)
def test_keys(headers: dict[str, str], key: str, status: int | None) -> None:
    refused = DIALECT.heed("/api/chat", headers, GOOD, replace(OLLAMA, auth=Auth("authorization", key)))
    assert (refused.status if refused else None) == status
    assert refused is None or refused.message == "unauthorized"


@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        ("POST", "/api/chat", "generate"),
        ("GET", "/api/tags", "models"),
        ("GET", "/api/chat", None),
        ("POST", "/api/generate", None),
    ],
)
def test_routes(method: str, path: str, wanted: str | None) -> None:
    assert DIALECT.route(method, path) == wanted


def test_the_list_of_models() -> None:
    listed = DIALECT.list_models(OLLAMA)
    assert [model["name"] for model in listed["models"]] == ["llama3.2:latest"]
    assert ollama.ListResponse.model_validate(listed).models[0].model == "llama3.2:latest"
    assert DIALECT.heed("/api/tags", KEY, None, OLLAMA) is None


# ---- what a strict client complains of -------------------------------------------------------------------------------

Lines = list[Any]


def lines() -> Lines:
    played = scene((SayThink(("Hm",)), SayText(("Hi", " you")), SayCall("c1", "w"), SayCall("c2", "w")))
    return [json.loads(line) for line in DIALECT.say(played).body.splitlines()]


def listen(found: Lines, *, wrap: Callable[[bytes], bytes] = lambda body: body) -> Heard:
    body = b"".join(json.dumps(line).encode() + b"\n" for line in found)
    return hear(200, {"content-type": "application/x-ndjson"}, wrap(body), stream=True)


def call(found: Lines, at: int = 3) -> Any:
    return found[at]["message"]["tool_calls"][0]


COMPLAINTS: dict[str, tuple[Callable[[Lines], Any], str]] = {
    "model": (lambda x: x[1].pop("model"), "line: `model` is missing"),
    "model-changes": (lambda x: x[1].update(model="other"), "line: `model` changes from llama3.2 to other"),
    "time": (lambda x: x[1].update(created_at=1760000000), "line: `created_at` is 1760000000, not a time"),
    "no-time": (lambda x: x[1].pop("created_at"), "line: `created_at` is null, not a time"),
    "no-done": (lambda x: x[1].pop("done"), "line: `done` is null"),
    "no-message": (lambda x: x[1].pop("message"), "line: `message` is missing"),
    "role": (lambda x: x[1]["message"].pop("role"), "message: role is null, not 'assistant'"),
    "content": (lambda x: x[1]["message"].update(content=None), "message: `content` is null, not a string"),
    "content-parts": (lambda x: x[1]["message"].update(content=[]), "message: `content` is [], not a string"),
    "thinking": (lambda x: x[0]["message"].update(thinking=True), "message: `thinking` is true, not a string"),
    "empty-calls": (lambda x: x[3]["message"].update(tool_calls=[]), "`tool_calls` is not an array that holds one"),
    "no-function": (lambda x: call(x).pop("function"), "tool_calls: `function` is missing"),
    "no-name": (lambda x: call(x)["function"].pop("name"), "tool_calls: `name` is missing"),
    "arguments-are-text": (
        lambda x: call(x)["function"].update(arguments="{}"),
        'tool_calls: `arguments` is "{}", not an object',
    ),
    "no-arguments": (lambda x: call(x)["function"].pop("arguments"), "tool_calls: `arguments` is null"),
    "id": (lambda x: call(x).update(id=""), 'tool_calls: `id` is "", not a string'),
    "same-ids": (lambda x: call(x, 4).update(id="c1"), "calls: two have the same id"),
    "index": (lambda x: call(x, 4)["function"].update(index=0), "tool_calls: `index` is 0 for call 1"),
    "reason": (lambda x: x[-1].update(done_reason="tool_calls"), 'done: there is no `done_reason` "tool_calls"'),
    "no-reason": (lambda x: x[-1].pop("done_reason"), "done: there is no `done_reason` null"),
    "early-reason": (lambda x: x[0].update(done_reason="stop"), "line: `done_reason` before `done`"),
    "early-count": (lambda x: x[0].update(eval_count=1), "line: `eval_count` before `done`"),
    "count": (lambda x: x[-1].update(eval_count="9"), 'usage: `eval_count` is "9", not a count'),
    "duration": (lambda x: x[-1].update(total_duration=0.5), "usage: `total_duration` is 0.5, not a count"),
    "no-counts": (
        lambda x: (x[-1].pop("eval_count"), x[-1].pop("prompt_eval_count")),
        "usage: neither `prompt_eval_count` nor `eval_count`",
    ),
    "after-done": (lambda x: x.append(x[0]), "line: after `done`"),
    "line-after-error": (lambda x: x.insert(0, {"error": "e"}), "stream: a line after an error"),
    "error-after-done": (lambda x: x.append({"error": "e"}), "stream: an error after `done`"),
    "error-shape": (lambda x: x.append({"error": {"message": "e"}}), "error: `error` is not a string"),
    "not-an-object": (lambda x: x.insert(0, "[DONE]"), "stream: a line that is not a JSON object"),
}


@pytest.mark.parametrize("case", COMPLAINTS)
def test_complaints(case: str) -> None:
    spoil, words = COMPLAINTS[case]
    found = lines()
    assert listen(found).complaints == ()
    spoil(found)
    heard = listen(found)
    assert any(words in complaint for complaint in heard.complaints), heard.complaints


@pytest.mark.parametrize(
    ("wrap", "words"),
    [
        (lambda body: body.replace(b"\n", b"\n\n", 1), "stream: an empty line"),
        (lambda body: b"\n" + body, "stream: an empty line"),
        (lambda body: body.rstrip(b"\n"), "stream: no line end after the last line"),
        (lambda body: b": comment\n" + body, "stream: a line that is not a JSON object"),
        (lambda body: b"data: " + body, "stream: a line that is not a JSON object"),
    ],
)
def test_complaints_about_framing(wrap: Callable[[bytes], bytes], words: str) -> None:
    assert any(words in complaint for complaint in listen(lines(), wrap=wrap).complaints)


def test_line_ends_do_not_matter() -> None:
    assert listen(lines(), wrap=lambda body: body.replace(b"\n", b"\r\n")) == listen(lines())


@pytest.mark.parametrize(
    ("status", "headers", "body", "words"),
    [
        (200, {"content-type": "text/html"}, b"{}", "headers: content-type is text/html"),
        (200, {"content-type": "application/json"}, b"<html>", "not JSON"),
        (200, {"content-type": "application/json"}, b'{"error":"e"}', "an error with status 200"),
        (200, {"content-type": "application/json"}, b'{"done":false}', "body: `done` is not true"),
        (500, {"content-type": "application/json"}, b"{}", "error: the body has no `error`"),
        (500, {"content-type": "application/json"}, b'{"error":{"message":"m"}}', "error: `error` is not a string"),
    ],
)
def test_complaints_about_bodies(status: int, headers: dict[str, str], body: bytes, words: str) -> None:
    complaints = hear(status, headers, body, stream=False).complaints
    assert any(words in complaint for complaint in complaints), complaints


def test_a_stream_without_its_end_is_cut() -> None:
    whole = DIALECT.say(scene()).body
    for at in range(len(whole) - 1):
        heard = hear(200, {"content-type": "application/x-ndjson"}, whole[:at], stream=True)
        assert heard.error is not None
        assert heard.error.kind == "cut"


# ---- the vendor's own samples ----------------------------------------------------------------------------------------


def test_the_vendors_stream() -> None:
    """https://github.com/ollama/ollama/blob/main/docs/api.md#chat-request-streaming, with today's final line."""
    text = (
        '{"model":"llama3.2","created_at":"2023-08-04T08:52:19.385406455-07:00",'
        '"message":{"role":"assistant","content":"The","images":null},"done":false}\n'
        '{"model":"llama3.2","created_at":"2023-08-04T19:22:45.499127Z","message":{"role":"assistant","content":""},'
        '"done":true,"done_reason":"stop","total_duration":4883583458,"load_duration":1334875,'
        '"prompt_eval_count":26,"prompt_eval_duration":342546000,"eval_count":282,"eval_duration":4535599000}\n'
    )
    heard = hear(200, {"content-type": "application/x-ndjson"}, text.encode(), stream=True)
    assert (heard.complaints, heard.text, heard.stop, heard.usage) == ((), "The", "end", Usage(26, 282))


def test_the_vendors_calls() -> None:
    """https://docs.ollama.com/capabilities/tool-calling, with the ids that newer servers add."""
    body = {
        "model": "llama3.2",
        "created_at": "2024-07-22T20:33:28.123648Z",
        "message": {
            "role": "assistant",
            "content": "",
            "thinking": "Both cities.",
            "tool_calls": [
                {
                    "id": "call_p8x2k1qa",
                    "function": {"index": 0, "name": "get_temperature", "arguments": {"city": "X"}},
                },
                {"function": {"name": "get_temperature", "arguments": {"city": "Y"}}},
            ],
        },
        "done_reason": "stop",
        "done": True,
        "total_duration": 885095291,
        "load_duration": 3753500,
        "eval_count": 33,
        "eval_duration": 552222000,
    }
    heard = hear(200, {"content-type": "application/json"}, json.dumps(body).encode(), stream=False)
    assert heard.complaints == ()
    assert heard.blocks == (
        Think("Both cities."),
        Call("call_p8x2k1qa", "get_temperature", '{"city":"X"}'),
        Call("", "get_temperature", '{"city":"Y"}'),
    )
    assert (heard.stop, heard.usage) == ("tool", Usage(0, 33))
    assert heard.echo == (
        {"role": "assistant", "content": "", "thinking": "Both cities.", "tool_calls": body["message"]["tool_calls"]},
    )


def test_the_vendors_request() -> None:
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
    assert DIALECT.heed("/api/chat", KEY, body, OLLAMA) is None
    assert DIALECT.read("/api/chat", {}, body).turns == (
        Turn("user", (Text("what is the weather in Toronto?"),)),
        Turn("assistant", (Call("", "get_weather", '{"city":"Toronto"}'),)),
        Turn("user", (Result("", (Text("11 degrees celsius"),), False, "get_weather"),)),
    )


@pytest.mark.parametrize("reason", ["load", "unload"])
def test_answers_to_no_question(reason: str) -> None:
    """https://github.com/ollama/ollama/blob/main/docs/api.md#load-a-model-1"""
    body = {
        "model": "llama3.2",
        "created_at": "2024-09-12T21:17:29.110811Z",
        "message": {"role": "assistant", "content": ""},
        "done_reason": reason,
        "done": True,
    }
    heard = hear(200, {"content-type": "application/json"}, json.dumps(body).encode(), stream=False)
    assert (heard.complaints, heard.stop, heard.usage, heard.blocks) == ((), "other", None, ())


def test_what_the_request_was_does_not_matter() -> None:
    spoken = DIALECT.say(scene())
    headers = {"content-type": "application/x-ndjson"}
    asked = HttpAsk("POST", "/api/chat", {}, {})
    assert hear(200, headers, spoken.body, stream=True, asked=asked) == hear(200, headers, spoken.body, stream=True)


# ---- arbitrary bodies ------------------------------------------------------------------------------------------------

KEYS = st.sampled_from(
    [
        *("model", "messages", "role", "content", "images", "thinking", "tool_calls", "function", "name", "arguments"),
        *("id", "index", "tools", "parameters", "options", "temperature", "num_predict", "stop", "format", "think"),
        *("stream", "done", "done_reason", "message", "created_at", "eval_count", "error", "tool_name"),
    ]
)
LEAVES = st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["", "user", "assistant", "stop", "x", "é"])
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
        DIALECT.read("/api/chat", {}, body)
    refused = DIALECT.heed("/api/chat", KEY, body, OLLAMA)
    assert refused is None or refused.status in (400, 404, 500)


@settings(max_examples=150, deadline=None)
@given(found=st.lists(VALUES, max_size=3) | spoiled(lines()), status=st.sampled_from([200, 400]))
def test_no_response_does_harm(found: Any, status: int) -> None:
    found = found if isinstance(found, list) else [found]
    body = b"".join(json.dumps(line).encode() + b"\n" for line in found)
    hear(status, {}, body, stream=True)
    for line in found:
        hear(status, {}, json.dumps(line).encode(), stream=False)
