"""Ollama in both directions: tables of wire and neutral forms, the vendor's examples, and properties."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ollama import ChatResponse, Message

from crosswire.proxy.errors import Malformed, UpstreamError
from crosswire.proxy.ir import (
    Audio,
    Block,
    BlockDelta,
    BlockEnd,
    BlockStart,
    Citation,
    Document,
    Event,
    Failure,
    How,
    Image,
    Loss,
    Media,
    Opaque,
    Reasoning,
    ReasoningConfig,
    Refusal,
    Reply,
    ReplyEnd,
    ReplyStart,
    Request,
    ResponseFormat,
    Sampling,
    Signature,
    StopReason,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Usage,
    fold,
    unfold,
)
from crosswire.proxy.protocols.ollama import PROTOCOL
from crosswire.proxy.protocols.protocol import ReplyContext, UpstreamRequest, UpstreamTarget, UrlParams
from crosswire.proxy.wire import json_fields
from crosswire.proxy.wire.framing import FRAME_LIMIT, FRAMINGS

EVIDENCE = sorted((Path(__file__).parents[2] / "evidence" / "ollama").glob("*.json"))
TARGET = UpstreamTarget("qwen3", "ollama")
PIXEL = "iVBORw0KGgo="
HELLO = (Turn("user", (Text("Hello"),)),)
HELLO_WIRE = [{"role": "user", "content": "Hello"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = Tool("weather", "of a city", SCHEMA)
WEATHER_WIRE = {"type": "function", "function": {"name": "weather", "description": "of a city", "parameters": SCHEMA}}
SIGNATURE = Signature("proof", "anthropic", "claude")


def new_id() -> Any:
    numbers = itertools.count()
    return lambda prefix: f"{prefix}{next(numbers)}"


def make_request(**fields: Any) -> Request:
    return Request(**{"protocol": "openai-chat", "model": "m", "turns": HELLO, **fields})


def make_context(protocol: str = "ollama") -> ReplyContext:
    return ReplyContext(make_request(protocol=protocol), "7", 1_700_000_000, new_id())


def encode_request(request: Request | None = None, target: UpstreamTarget = TARGET) -> UpstreamRequest:
    return PROTOCOL.encode_request(request or make_request(protocol="ollama"), target)


def to_json(value: Any) -> Any:
    """Returns a payload as parsed JSON, including raw parts."""
    return json.loads(json_fields.encode(value))


def decode_stream(
    stream: bytes, chunks: list[bytes] | None = None, upstream_request: UpstreamRequest | None = None
) -> list[Event]:
    framing = FRAMINGS[PROTOCOL.framing](FRAME_LIMIT)
    decoder = PROTOCOL.stream_decoder(upstream_request or encode_request(), new_id())
    events: list[Event] = []
    for chunk in [stream] if chunks is None else chunks:
        for frame in framing.parse(framing.cut(chunk)):
            events += decoder.feed(frame)
    for frame in framing.rest():
        events += decoder.feed(frame)
    events += decoder.close()
    assert decoder.done
    return events


def encode_stream(events: list[Event]) -> tuple[bytes, list[Loss]]:
    encoder = PROTOCOL.stream_encoder(make_context())
    return b"".join(encoder.encode([event]) for event in events), encoder.losses


def lines(*objects: dict[str, Any]) -> bytes:
    return b"".join(json_fields.encode(one) + b"\n" for one in objects)


# ---- requests: the same table both ways ------------------------------------------------------------------------------

CALL_WIRE = {"id": "c1", "type": "function", "function": {"index": 0, "name": "weather", "arguments": {"city": "Oslo"}}}
CALL = ToolCall("c1", "weather", '{"city":"Oslo"}')

REQUESTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "text": ({"messages": HELLO_WIRE}, {}),
    "system anywhere": (
        {"messages": [*HELLO_WIRE, {"role": "system", "content": "Be brief."}]},
        {"turns": (*HELLO, Turn("system", (Text("Be brief."),)))},
    ),
    "options": (
        {
            "messages": HELLO_WIRE,
            "options": {
                "temperature": 0.5,
                "top_p": 0.9,
                "frequency_penalty": 0.1,
                "presence_penalty": 0.2,
                "top_k": 20,
                "seed": 42,
                "num_predict": 100,
                "stop": ["\n", "user:"],
            },
        },
        {"sampling": Sampling(0.5, 0.9, 20, 42, 0.1, 0.2), "max_tokens": 100, "stop": ("\n", "user:")},
    ),
    "unknown options": (
        {"messages": HELLO_WIRE, "keep_alive": "5m", "options": {"num_ctx": 4096, "min_p": 0.1, "num_predict": -1}},
        {"extra": {"keep_alive": "5m", "options.num_ctx": 4096, "options.min_p": 0.1, "options.num_predict": -1}},
    ),
    "tools": ({"messages": HELLO_WIRE, "tools": [WEATHER_WIRE]}, {"tools": (WEATHER,)}),
    "a call and its result": (
        {
            "messages": [
                *HELLO_WIRE,
                {"role": "assistant", "content": "Let me look.", "thinking": "Oslo.", "tool_calls": [CALL_WIRE]},
                {"role": "tool", "content": "12 degrees", "tool_name": "weather", "tool_call_id": "c1"},
            ]
        },
        {
            "turns": (
                *HELLO,
                Turn("assistant", (Reasoning("Oslo."), Text("Let me look."), CALL)),
                Turn("user", (ToolResult("c1", (Text("12 degrees"),), name="weather"),)),
            )
        },
    ),
    "an image": (
        {"messages": [{"role": "user", "content": "What?", "images": [PIXEL]}]},
        {"turns": (Turn("user", (Text("What?"), Image(Media("image/png", PIXEL)))),)},
    ),
    "json": ({"messages": HELLO_WIRE, "format": "json"}, {"format": ResponseFormat("json_object")}),
    "schema": ({"messages": HELLO_WIRE, "format": SCHEMA}, {"format": ResponseFormat("json_schema", SCHEMA)}),
    "think": ({"messages": HELLO_WIRE, "think": True}, {"reasoning": ReasoningConfig(enabled=True)}),
    "thinking disabled": ({"messages": HELLO_WIRE, "think": False}, {"reasoning": ReasoningConfig(enabled=False)}),
    "a thinking level": ({"messages": HELLO_WIRE, "think": "max"}, {"reasoning": ReasoningConfig("max")}),
    "not streamed": ({"messages": HELLO_WIRE, "stream": False}, {"stream": False}),
    "unknown fields": (
        {"messages": [{"role": "user", "content": "Hello", "mood": "good"}], "shift": False},
        {"turns": (Turn("user", (Text("Hello"),), {"mood": "good"}),), "extra": {"shift": False}},
    ),
    "empty messages": ({"messages": []}, {"turns": ()}),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_requests(case: str) -> None:
    body, fields = REQUESTS[case]
    request = Request(**{"protocol": "ollama", "model": "qwen3", "turns": HELLO, "stream": True, **fields})
    assert PROTOCOL.decode_request({"model": "qwen3", **json.loads(json.dumps(body))}, UrlParams()) == request
    out = encode_request(request)
    assert out.losses == ()
    assert to_json(out.payload) == {"model": "qwen3", "stream": True, **body}


REQUEST_VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nulls are absent": (
        {"messages": [{"role": "user", "content": "Hello", "images": None}], "format": "", "options": None},
        {},
    ),
    "numbers as floats": (
        {"messages": HELLO_WIRE, "options": {"top_k": 40.0, "seed": 7.0}},
        {"sampling": Sampling(top_k=40, seed=7)},
    ),
    "one stop": ({"messages": HELLO_WIRE, "options": {"stop": "\n"}}, {"stop": ("\n",)}),
    "data URL": (
        {"messages": [{"role": "user", "content": "", "images": ["data:image/webp;base64,AAAA"]}]},
        {"turns": (Turn("user", (Image(Media("image/webp", "AAAA")),)),)},
    ),
    "missing content": ({"messages": [{"role": "system"}]}, {"turns": (Turn("system", (Text(""),)),)}),
    "upper-case role": ({"messages": [{"role": "User", "content": "Hello"}]}, {}),
}


@pytest.mark.parametrize("case", REQUEST_VARIANTS)
def test_request_variants(case: str) -> None:
    body, fields = REQUEST_VARIANTS[case]
    expected = Request(**{"protocol": "ollama", "model": "m", "turns": HELLO, "stream": True, **fields})
    assert PROTOCOL.decode_request({"model": "m", **json.loads(json.dumps(body))}, UrlParams()) == expected


def test_results_are_matched_by_name_and_order() -> None:
    """The official client sends back neither `id` nor `tool_call_id`."""
    calls = [{"id": f"x{n}", "function": {"name": name, "arguments": {"n": n}}} for n, name in enumerate("aba")]
    history = [
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "tool_name": "a", "content": "first a", "tool_call_id": "x0"},
        {"role": "tool", "tool_name": "a", "content": "second a", "tool_call_id": "x2"},
        {"role": "tool", "content": "b, unnamed"},
        {"role": "tool", "content": "nobody asked"},
    ]
    echoed = [Message.model_validate(message).model_dump(exclude_none=True) for message in history]
    request = PROTOCOL.decode_request({"model": "m", "messages": echoed}, UrlParams())
    calling_turn, answering = request.turns
    assert [(call.id, call.name) for call in calling_turn.blocks if isinstance(call, ToolCall)] == [
        ("call_0", "a"),
        ("call_1", "b"),
        ("call_2", "a"),
    ]
    assert [(r.id, r.blocks) for r in answering.blocks if isinstance(r, ToolResult)] == [
        ("call_0", (Text("first a"),)),
        ("call_2", (Text("second a"),)),
        ("call_1", (Text("b, unnamed"),)),
        ("call_3", (Text("nobody asked"),)),
    ]


def test_generated_call_ids_avoid_those_of_the_client() -> None:
    function = {"name": "a", "arguments": {}}
    messages = [{"role": "assistant", "tool_calls": [{"id": "call_0", "function": function}, {"function": function}]}]
    (turn,) = PROTOCOL.decode_request(json.loads(json.dumps({"model": "m", "messages": messages})), UrlParams()).turns
    assert [call.id for call in turn.blocks if isinstance(call, ToolCall)] == ["call_0", "call_1"]


MALFORMED: dict[str, tuple[dict[str, Any], str]] = {
    "no model": ({"messages": []}, "model"),
    "no messages": ({"model": "m"}, "messages"),
    "a message that is a string": ({"model": "m", "messages": ["hi"]}, "messages[0]"),
    "unknown role": ({"model": "m", "messages": [{"role": "bot", "content": ""}]}, "messages[0].role"),
    "parts": ({"model": "m", "messages": [{"role": "user", "content": []}]}, "messages[0].content"),
    "image": ({"model": "m", "messages": [{"role": "user", "images": [1]}]}, "messages[0].images[0]"),
    "option": ({"model": "m", "messages": [], "options": {"top_k": "many"}}, "options.top_k"),
    "a fractional integer": ({"model": "m", "messages": [], "options": {"num_predict": 1.5}}, "options.num_predict"),
    "think": ({"model": "m", "messages": [], "think": 3}, "think"),
    "format": ({"model": "m", "messages": [], "format": "xml"}, "format"),
    "call without name": (
        {"model": "m", "messages": [{"role": "assistant", "tool_calls": [{"function": {}}]}]},
        "messages[0].tool_calls[0].name",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_request_names_the_path(case: str) -> None:
    body, path = MALFORMED[case]
    with pytest.raises(Malformed) as caught:
        PROTOCOL.decode_request(json.loads(json.dumps(body)), UrlParams())
    assert caught.value.path == path


# ---- requests of other protocols: payloads and losses ----------------------------------------------------------------

CONVERTED: dict[str, tuple[dict[str, Any], dict[str, Any], list[tuple[str, str, How]]]] = {
    "stream is always sent": ({"stream": False}, {"stream": False}, []),
    "developer is system": (
        {"turns": (Turn("developer", (Text("Be brief."),)), *HELLO)},
        {"messages": [{"role": "system", "content": "Be brief."}, *HELLO_WIRE]},
        [],
    ),
    "no tools may be called": ({"tools": (WEATHER,), "tool_choice": ToolChoice("none")}, {}, []),
    "auto": ({"tools": (WEATHER,), "tool_choice": ToolChoice("auto")}, {"tools": [WEATHER_WIRE]}, []),
    "a subset": (
        {"tools": (WEATHER, Tool("b")), "tool_choice": ToolChoice("auto", ("weather",))},
        {"tools": [WEATHER_WIRE]},
        [("tool_choice", "allowed_tools", "approximated")],
    ),
    "a subset of all tools": (
        {"tools": (WEATHER,), "tool_choice": ToolChoice("auto", ("weather",))},
        {"tools": [WEATHER_WIRE]},
        [],
    ),
    "a document as text, and empty texts": (
        {"turns": (Turn("user", (Text(""), Document(Media("text/plain", text="words", name="a.txt")), Text(""))),)},
        {"messages": [{"role": "user", "content": "words"}]},
        [("turns[0].blocks[1].media.name", "name", "dropped")],
    ),
    "required": (
        {"tools": (WEATHER,), "tool_choice": ToolChoice("required")},
        {"tools": [WEATHER_WIRE]},
        [("tool_choice", "tool_choice", "dropped")],
    ),
    "named": (
        {"tools": (Tool("b"), WEATHER), "tool_choice": ToolChoice("named", ("weather",))},
        {"tools": [WEATHER_WIRE]},
        [("tool_choice", "tool_choice", "approximated")],
    ),
    "parallel calls": ({"parallel": True}, {}, []),
    "no parallel calls": ({"parallel": False}, {}, [("parallel", "parallel_tool_calls", "dropped")]),
    "strict": (
        {"tools": (Tool("weather", "of a city", SCHEMA, strict=True),)},
        {"tools": [WEATHER_WIRE]},
        [("tools[0].strict", "tool_strict", "dropped")],
    ),
    "a tool without parameters": (
        {"tools": (Tool("now"),)},
        {
            "tools": [
                {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}
            ]
        },
        [],
    ),
    "a hosted tool": (
        {"tools": (Opaque("openai-chat", "web_search", {"type": "web_search"}),)},
        {},
        [("tools[0].web_search", "hosted_tools", "dropped")],
    ),
    "a result with text beside it": (
        {
            "turns": (
                Turn("assistant", (ToolCall("c1", "weather", ""),)),
                Turn("user", (ToolResult("c1", (Text("cold"), Image(Media("image/png", PIXEL))), True), Text("So?"))),
            )
        },
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [
                        {
                            "id": "c1",
                            "type": "function",
                            "function": {"index": 0, "name": "weather", "arguments": {}},
                        }
                    ],
                },
                {
                    "role": "tool",
                    "content": "Error: cold",
                    "images": [PIXEL],
                    "tool_name": "weather",
                    "tool_call_id": "c1",
                },
                {"role": "user", "content": "So?"},
            ]
        },
        [("turns[1].blocks[0]", "tool_error", "approximated")],
    ),
    "a file in a result": (
        {"turns": (Turn("user", (ToolResult("c1", (Text("see"), Document(Media("application/pdf", "AA")))),)),)},
        {"messages": [{"role": "tool", "content": "see", "tool_call_id": "c1"}]},
        [("turns[0].blocks[0]", "tool_result_media", "dropped")],
    ),
    "arguments that are no object": (
        {"turns": (Turn("assistant", (ToolCall("c1", "f", "[1]"),)),)},
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [
                        {
                            "id": "c1",
                            "type": "function",
                            "function": {"index": 0, "name": "f", "arguments": {"input": "[1]"}},
                        }
                    ],
                }
            ]
        },
        [("turns[0].blocks[0].arguments", "tool_arguments", "approximated")],
    ),
    "unsupported media": (
        {
            "turns": (
                Turn(
                    "user",
                    (
                        Text("one"),
                        Text("two"),
                        Image(Media(url="https://example.org/a.png")),
                        Audio(Media("audio/wav", "AA")),
                        Document(Media("text/plain", text="three")),
                    ),
                ),
            )
        },
        {"messages": [{"role": "user", "content": "one\ntwo\nthree"}]},
        [("turns[0].blocks[2]", "image", "dropped"), ("turns[0].blocks[3]", "audio", "dropped")],
    ),
    "signatures and refusals": (
        {
            "turns": (
                Turn(
                    "assistant",
                    (
                        Reasoning("", SIGNATURE, redacted=True),
                        Refusal("No."),
                        ToolCall("c", "f", "", signature=SIGNATURE),
                    ),
                ),
            )
        },
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": "No.",
                    "tool_calls": [
                        {"id": "c", "type": "function", "function": {"index": 0, "name": "f", "arguments": {}}}
                    ],
                }
            ]
        },
        [
            ("turns[0].blocks[0].seal", "signature", "dropped"),
            ("turns[0].blocks[1]", "refusal", "approximated"),
            ("turns[0].blocks[2].seal", "signature", "dropped"),
        ],
    ),
    "format": (
        {"format": ResponseFormat("json_schema", SCHEMA, "place", "Where it is", True)},
        {"format": {"description": "Where it is", **SCHEMA}},
        [],
    ),
    "text format": ({"format": ResponseFormat("text")}, {}, []),
    "user and extra fields": (
        {"user": "u-1", "extra": {"logit_bias": {"5": 1}, "store": False}},
        {},
        [("logit_bias", "logit_bias", "dropped"), ("user", "user", "dropped")],
    ),
}


@pytest.mark.parametrize("case", CONVERTED)
def test_converted_requests(case: str) -> None:
    fields, body, losses = CONVERTED[case]
    out = encode_request(make_request(**{"stream": True, **fields}))
    assert to_json(out.payload) == {"model": "qwen3", "messages": HELLO_WIRE, "stream": True, **body}
    assert list(out.losses) == [Loss(*loss) for loss in losses]


DROPPED: list[tuple[str, str, How]] = [("reasoning", "reasoning", "dropped")]
NEAR: list[tuple[str, str, How]] = [("reasoning", "reasoning", "approximated")]
THOUGHT: list[tuple[ReasoningConfig, str, frozenset[str], Any, list[tuple[str, str, How]]]] = [
    (ReasoningConfig(), "qwen3", frozenset(), None, []),
    (ReasoningConfig(enabled=True), "qwen3", frozenset(), True, []),
    (ReasoningConfig("high"), "qwen3", frozenset(), True, NEAR),
    (ReasoningConfig(budget=4096), "qwen3", frozenset(), True, NEAR),
    (ReasoningConfig("none"), "qwen3", frozenset(), False, []),
    (ReasoningConfig(budget=0), "qwen3", frozenset(), False, []),
    (ReasoningConfig("high"), "gpt-oss:20b", frozenset(), "high", []),
    (ReasoningConfig("xhigh"), "gpt-oss:20b", frozenset(), "high", NEAR),
    (ReasoningConfig("minimal"), "gpt-oss:20b", frozenset(), "low", NEAR),
    (ReasoningConfig("none"), "gpt-oss:20b", frozenset(), "low", NEAR),
    (ReasoningConfig(budget=4096), "gpt-oss:20b", frozenset(), "medium", NEAR),
    (ReasoningConfig(enabled=True), "gpt-oss:20b", frozenset(), None, []),
    (ReasoningConfig("low"), "mine", frozenset({"think_levels"}), "low", []),
    (ReasoningConfig("low"), "gemma3", frozenset({"no_think"}), None, DROPPED),
    (ReasoningConfig("none"), "gemma3", frozenset({"no_think"}), None, []),
]


@pytest.mark.parametrize(("thinking", "model", "quirks", "think", "losses"), THOUGHT)
def test_thinking(
    thinking: ReasoningConfig, model: str, quirks: frozenset[str], think: Any, losses: list[tuple[str, str, How]]
) -> None:
    out = encode_request(make_request(reasoning=thinking), UpstreamTarget(model, "ollama", quirks=quirks))
    assert out.payload.get("think") == think
    assert list(out.losses) == [Loss(*loss) for loss in losses]


def test_needs_reencoding_depends_on_quirk_and_request() -> None:
    none = UpstreamTarget("m", "ollama", quirks=frozenset({"think_levels"}))
    cannot = UpstreamTarget("m", "ollama", quirks=frozenset({"no_think"}))
    assert not PROTOCOL.needs_reencoding(make_request(reasoning=ReasoningConfig("low")), none, b"")
    assert not PROTOCOL.needs_reencoding(make_request(), cannot, b"")
    assert not PROTOCOL.needs_reencoding(make_request(reasoning=ReasoningConfig(enabled=False)), cannot, b"")
    assert PROTOCOL.needs_reencoding(make_request(reasoning=ReasoningConfig(enabled=True)), cannot, b"")


def test_custom_tools_become_functions() -> None:
    patch = Tool("apply_patch", kind="custom", namespace="repo", grammar={"type": "grammar"})
    turns = (Turn("assistant", (ToolCall("c1", "apply_patch", "*** Begin", "custom", "repo"),)),)
    out = encode_request(make_request(tools=(patch,), turns=turns))
    assert [loss.feature for loss in out.losses] == ["custom_tool"]
    name = out.payload["tools"][0]["function"]["name"]
    assert to_json(out.payload["messages"][0]["tool_calls"][0]["function"]) == {
        "index": 0,
        "name": name,
        "arguments": {"input": "*** Begin"},
    }
    said = {"role": "assistant", "tool_calls": [{"function": {"name": name, "arguments": {"input": "*** End"}}}]}
    body = {"model": "qwen3", "message": said, "done": True}
    expected = ToolCall("call_0", "apply_patch", "*** End", "custom", "repo")
    assert PROTOCOL.decode_reply(json.loads(json.dumps(body)), out, new_id()).blocks == (expected,)
    folded = fold(decode_stream(lines({**body, "done": False}, {"done": True}), upstream_request=out))
    assert isinstance(folded, Reply)
    assert folded.blocks == (expected,)


# ---- replies ---------------------------------------------------------------------------------------------------------

STAMP = "2023-11-14T22:13:20Z"
REPLIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "text": (
        {"message": {"content": "Hi."}, "done_reason": "stop", "prompt_eval_count": 5, "eval_count": 2},
        {"blocks": (Text("Hi."),), "stop": "end", "native": "stop", "usage": Usage(5, 2)},
    ),
    "cached": (
        {
            "message": {"content": "Hi."},
            "done_reason": "length",
            "prompt_eval_count": 5,
            "prompt_eval_cached_count": 4,
            "eval_count": 2,
        },
        {"blocks": (Text("Hi."),), "stop": "length", "native": "length", "usage": Usage(1, 2, 4)},
    ),
    "thinking, text and calls": (
        {
            "message": {
                "content": "Let me look.",
                "thinking": "Oslo.",
                "tool_calls": [
                    {"id": "c1", "function": {"index": 0, "name": "weather", "arguments": {"city": "Oslo"}}},
                    {"id": "c2", "function": {"index": 1, "name": "now", "arguments": {}}},
                ],
            },
            "done_reason": "stop",
        },
        {
            "blocks": (Reasoning("Oslo."), Text("Let me look."), CALL, ToolCall("c2", "now", "{}")),
            "stop": "tool",
            "native": "stop",
        },
    ),
    "an image of an Ollama backend": (
        {"message": {"content": "Here.", "images": [PIXEL]}, "done_reason": "stop"},
        {"blocks": (Text("Here."), Image(Media("image/png", PIXEL))), "stop": "end", "native": "stop"},
    ),
    "unload": (
        {"message": {"content": ""}, "done_reason": "unload"},
        {"blocks": (), "stop": "other", "native": "unload"},
    ),
    "bookkeeping fields are restored": (
        {"message": {"content": "Hi.", "mood": "good"}, "done_reason": "stop", "total_duration": 9},
        {
            "blocks": (Text("Hi."),),
            "stop": "end",
            "native": "stop",
            "extra": {"created_at": STAMP, "total_duration": 9, "message.mood": "good"},
        },
    ),
}


@pytest.mark.parametrize("case", REPLIES)
def test_replies(case: str) -> None:
    fields, meaning = REPLIES[case]
    message = {"role": "assistant", **fields["message"]}
    body = {"model": "m", "created_at": STAMP, **fields, "message": message, "done": True}
    reply = Reply(**{"protocol": "ollama", "id": None, "model": "m", "extra": {"created_at": STAMP}, **meaning})
    assert PROTOCOL.decode_reply(json.loads(json.dumps(body)), encode_request(), new_id()) == reply
    out, losses = PROTOCOL.encode_reply(reply, make_context())
    assert to_json(out) == body
    assert losses == []
    if "images" not in fields["message"]:  # the official client cannot read them back
        ChatResponse.model_validate(to_json(out), strict=True)


REPLY_LOSSES: dict[str, tuple[Block, list[tuple[str, str, How]]]] = {
    "signature on text": (Text("a", signature=SIGNATURE), [("blocks[0].seal", "signature", "dropped")]),
    "citations": (Text("a", (Citation("u"), Citation("v"))), [("blocks[0].citations", "citations", "dropped")]),
    "refusal": (Refusal("a"), [("blocks[0]", "refusal", "approximated")]),
    "redacted thought": (Reasoning("", SIGNATURE, redacted=True), [("blocks[0].seal", "signature", "dropped")]),
    "hosted": (Opaque("anthropic", "server_tool_use", {}), [("blocks[0].server_tool_use", "hosted_output", "dropped")]),
    "image by URL": (Image(Media(url="u")), [("blocks[0]", "media_out", "dropped")]),
    "image": (Image(Media("image/png", PIXEL)), [("blocks[0]", "media_out", "dropped")]),
    "field": (Text("a", extra={"fate": 1}), [("blocks[0].fate", "unknown_field", "dropped")]),
    "arguments that are not an object": (
        ToolCall("c", "f", "1"),
        [("blocks[0].arguments", "tool_arguments", "approximated")],
    ),
    "formatted arguments": (ToolCall("c", "f", '{\n "a": 1\r\n}'), []),
}


@pytest.mark.parametrize("case", REPLY_LOSSES)
def test_losses_are_the_same_in_body_and_stream(case: str) -> None:
    block, losses = REPLY_LOSSES[case]
    reply = Reply(protocol="anthropic", id="x", model="y", blocks=(block,), stop="end")
    body, declared = PROTOCOL.encode_reply(reply, make_context())
    stream, streamed = encode_stream(list(unfold(reply)))
    expected = [Loss(*loss) for loss in losses]
    assert (declared, streamed) == (expected, expected)
    folded = fold(decode_stream(stream))
    whole = PROTOCOL.decode_reply(to_json(body), encode_request(), new_id())
    assert isinstance(folded, Reply)
    assert (folded.blocks, folded.stop) == (whole.blocks, whole.stop)


@pytest.mark.parametrize(
    ("stop", "matched", "native", "words"),
    [
        ("end", None, "stop", []),
        ("tool", None, "stop", []),
        ("length", None, "length", []),
        ("stop_sequence", "END", "stop", ["matched_stop"]),
        ("filter", None, "stop", ["stop_reason"]),
        ("pause", None, "stop", ["stop_reason"]),
    ],
)
def test_stop_reasons_for_a_client(stop: Any, matched: str | None, native: str, words: list[str]) -> None:
    reply = Reply(protocol="anthropic", id="x", model="y", blocks=(), stop=stop, matched=matched, native="whatever")
    body, losses = PROTOCOL.encode_reply(reply, make_context())
    stream, streamed = encode_stream(list(unfold(reply)))
    assert body["done_reason"] == json.loads(stream)["done_reason"] == native
    assert [loss.feature for loss in losses] == [loss.feature for loss in streamed] == words


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "message"),
        ({"message": {"content": "a"}, "done": False}, "done"),
        ({"message": {"content": 1}, "done": True}, "message.content"),
        ({"message": {"tool_calls": [{}]}, "done": True}, "message.tool_calls[0].function"),
    ],
)
def test_a_body_of_another_protocol_is_malformed(body: dict[str, Any], path: str) -> None:
    with pytest.raises(Malformed) as caught:
        PROTOCOL.decode_reply(body, encode_request(), new_id())
    assert caught.value.path == path


def test_an_error_with_status_200_is_an_upstream_error() -> None:
    with pytest.raises(UpstreamError) as caught:
        PROTOCOL.decode_reply({"error": "the input length exceeds the context length"}, encode_request(), new_id())
    assert caught.value.failure.kind == "context_length"


# ---- streams ---------------------------------------------------------------------------------------------------------


def said(**message: Any) -> dict[str, Any]:
    return {"model": "m", "created_at": STAMP, "message": {"role": "assistant", "content": "", **message}}


def test_a_stream_with_all_block_kinds() -> None:
    call = {"function": {"name": "now", "arguments": {}}}
    stream = lines(
        {**said(), "done": False},
        {**said(thinking="Hm"), "done": False},
        {**said(thinking="m.", content="So"), "done": False},
        {**said(content=": "), "done": False},
        {**said(tool_calls=[call, {"id": "c9", **call}]), "done": False},
        {**said(content="!"), "done": True, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 4},
    )
    assert decode_stream(stream) == [
        ReplyStart("ollama", None, "m"),
        BlockStart(0, Reasoning("")),
        BlockDelta(0, "Hm"),
        BlockDelta(0, "m."),
        BlockEnd(0),
        BlockStart(1, Text("")),
        BlockDelta(1, "So"),
        BlockDelta(1, ": "),
        BlockEnd(1),
        BlockStart(2, ToolCall("call_0", "now")),
        BlockDelta(2, "{}"),
        BlockEnd(2),
        BlockStart(3, ToolCall("c9", "now")),
        BlockDelta(3, "{}"),
        BlockEnd(3),
        BlockStart(4, Text("")),
        BlockDelta(4, "!"),
        BlockEnd(4),
        ReplyEnd("tool", None, "stop", Usage(3, 4), {"created_at": STAMP}),
    ]


def test_overlapping_calls_are_sent_whole_and_in_order() -> None:
    events: list[Event] = [
        ReplyStart("openai-chat", "x", "y"),
        BlockStart(0, ToolCall("c0", "f")),
        BlockStart(1, ToolCall("c1", "g")),
        BlockDelta(1, '{"b":'),
        BlockDelta(0, '{"a":1}'),
        BlockDelta(1, "2}"),
        BlockEnd(1),
        BlockStart(2, Text("")),
        BlockDelta(2, "Wait."),
        BlockEnd(2),
        BlockEnd(0),
        ReplyEnd("tool"),
    ]
    stream, losses = encode_stream(events)
    assert losses == []
    assert [json.loads(line) for line in stream.splitlines()] == [
        {**said(content="Wait."), "done": False},
        {
            **said(
                tool_calls=[
                    {"id": "c0", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}},
                    {"id": "c1", "function": {"index": 1, "name": "g", "arguments": {"b": 2}}},
                ]
            ),
            "done": False,
        },
        {**said(), "done": True, "done_reason": "stop"},
    ]


def test_line_separators_inside_text_are_escaped() -> None:
    odd = "a\u2028b\u2029c\x85d\x0be"
    stream, _ = encode_stream(
        [ReplyStart("anthropic", "x", "y"), BlockStart(0, Text("")), BlockDelta(0, odd), BlockEnd(0), ReplyEnd("end")]
    )
    first, last = stream.decode().splitlines()
    assert json.loads(first)["message"]["content"] == odd
    assert json.loads(last)["done"] is True


def test_logprobs_of_a_stream_are_collected() -> None:
    stream = lines(
        {**said(content="a"), "logprobs": [{"token": "a"}], "done": False},
        {**said(content="b"), "logprobs": [{"token": "b"}], "done": True},
    )
    finish = decode_stream(stream)[-1]
    assert isinstance(finish, ReplyEnd)
    assert finish.extra == {"logprobs": [{"token": "a"}, {"token": "b"}], "created_at": STAMP}


@pytest.mark.parametrize("stream", [b"", lines({**said(content="half"), "done": False})])
def test_a_stream_without_its_end_is_a_failure(stream: bytes) -> None:
    assert getattr(decode_stream(stream)[-1], "kind", None) == "upstream_cut"


@pytest.mark.parametrize("stream", [b"<html>\n", b"[1]\n", b'{"message":{},"done":"no"}\n'])
def test_a_stream_of_another_protocol_is_malformed(stream: bytes) -> None:
    with pytest.raises(Malformed):
        decode_stream(stream)


def test_a_failure_ends_a_client_stream_without_success() -> None:
    broken = Failure("upstream_cut", "It broke.", 502)
    stream, _ = encode_stream(
        [ReplyStart("anthropic", "x", "y"), BlockStart(0, Text("")), BlockDelta(0, "one"), broken]
    )
    assert [json.loads(line) for line in stream.splitlines()] == [
        {**said(content="one"), "done": False},
        {"error": "It broke."},
    ]


def test_a_ping_is_an_empty_line() -> None:
    ChatResponse.model_validate_json(PROTOCOL.ping, strict=True)
    end = lines({**said(), "done": True})
    assert [type(event) for event in decode_stream(PROTOCOL.ping + end)] == [ReplyStart, ReplyEnd]


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ({**said(content="a"), "done": False}, False),
        ({**said(), "done": True}, True),
        ({"error": "a"}, True),
        ({**said(), "done": True, "eval_count": 1}, True),
    ],
)
def test_terminal_markers(line: dict[str, Any], seen: bool) -> None:
    assert any(mark in json_fields.encode(line) for mark in PROTOCOL.terminal_markers) is seen


# ---- failures --------------------------------------------------------------------------------------------------------

FAILURES: list[tuple[int, bytes, str, int, str | None]] = [
    (400, b'{"error":"m does not support tools"}', "capability", 400, "m does not support tools"),
    (400, b'{"error":"\\"m\\" does not support thinking"}', "capability", 400, '"m" does not support thinking'),
    (400, b'{"error":"the input length exceeds the context length"}', "context_length", 400, None),
    (500, b'{"error":"the input length exceeds the context length"}', "context_length", 400, None),
    (404, b'{"error":"model \\"m\\" not found, try pulling it first"}', "model_not_found", 404, None),
    (404, b"404 page not found", "not_found", 404, None),
    (401, b'{"error":"unauthorized"}', "upstream_auth", 502, None),
    (401, b'{"error":"this key does not support tools"}', "upstream_auth", 502, None),
    (429, b'{"error":"slow down"}', "rate_limit", 429, "slow down"),
    (503, b'{"error":"server busy, please try again.  maximum pending requests exceeded"}', "overloaded", 503, None),
    (500, b'{"error":"model runner has unexpectedly stopped"}', "upstream_error", 502, None),
    (400, b'{"error":{"message":"from a gateway"}}', "bad_request", 400, "from a gateway"),
    (400, b"[]", "bad_request", 400, None),
]


@pytest.mark.parametrize(("status", "body", "kind", "meant", "message"), FAILURES)
def test_upstream_errors(status: int, body: bytes, kind: str, meant: int, message: str | None) -> None:
    failure = PROTOCOL.decode_failure(status, body, 7.0)
    assert (failure.kind, failure.status, failure.retry_after) == (kind, meant, 7.0)
    assert message is None or failure.message == message


def test_errors_for_a_client_are_one_sentence() -> None:
    assert PROTOCOL.encode_failure(Failure("rate_limit", "slow down", 429, "x", "y", 7.0), "r") == {
        "error": "slow down"
    }


# ---- vendor examples -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", EVIDENCE, ids=lambda path: path.stem)
def test_evidence(path: Path) -> None:
    case = json.loads(path.read_bytes())
    means = case["means"]
    assert case["source"].startswith("https://")
    match case["kind"]:
        case "request":
            request = PROTOCOL.decode_request(case["body"], UrlParams())
            blocks = [block for turn in request.turns for block in turn.blocks]
            seen: dict[str, Any] = {
                "stream": request.stream,
                "turns": [[turn.role, *(type(block).__name__ for block in turn.blocks)] for turn in request.turns],
                "tools": [tool.name for tool in request.tools if isinstance(tool, Tool)],
                "calls": {b.id: [b.name, json.loads(b.arguments)] for b in blocks if isinstance(b, ToolCall)},
                "results": {b.id: text(b.blocks) for b in blocks if isinstance(b, ToolResult)},
                "sampling": {k: v for k in ("seed", "temperature") if (v := getattr(request.sampling, k)) is not None},
                "format": request.format and request.format.kind,
                "effort": request.reasoning and request.reasoning.effort,
            }
            assert {key: value for key, value in seen.items() if value or key in means} == means
        case "error":
            failure = PROTOCOL.decode_failure(case["status"], json.dumps(case["body"]).encode(), None)
            assert {"kind": failure.kind, "status": failure.status, "message": failure.message} == means
        case "stream" if "failure" in means:
            *events, last = decode_stream(case["stream"].encode())
            assert "".join(event.text for event in events if isinstance(event, BlockDelta)) == means["after"]
            assert isinstance(last, Failure)
            assert last.kind == means["failure"]
        case kind:
            if kind == "stream":
                reply = fold(decode_stream(case["stream"].encode()))
            else:
                reply = PROTOCOL.decode_reply(case["body"], encode_request(), new_id())
            assert isinstance(reply, Reply)
            assert evidence_summary(reply) == {"calls": [], **means}


def text(blocks: tuple[Block, ...]) -> str:
    return "".join(block.text for block in blocks if isinstance(block, Text))


def evidence_summary(reply: Reply) -> dict[str, Any]:
    """Returns a reply in the form of an evidence file."""
    counts = reply.usage and {"input": reply.usage.input, "output": reply.usage.output}
    if counts and reply.usage and reply.usage.cache_read is not None:
        counts["cache_read"] = reply.usage.cache_read
    return {
        "text": text(reply.blocks),
        "calls": [
            {"name": block.name, "arguments": json.loads(block.arguments)}
            for block in reply.blocks
            if isinstance(block, ToolCall)
        ],
        "stop": reply.stop,
        "model": reply.model,
        "usage": counts,
    }


# ---- properties ------------------------------------------------------------------------------------------------------

texts = st.text(min_size=1, max_size=20)
arguments = st.dictionaries(texts, st.integers() | texts | st.none(), max_size=3).map(
    lambda value: json_fields.encode(value).decode()
)
counts = st.none() | st.integers(0, 1000)


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    """Draws replies of an Ollama server: thinking, then text, then calls."""
    blocks: list[Block] = []
    if thinking := draw(st.none() | texts):
        blocks.append(Reasoning(thinking))
    if said_ := draw(st.none() | texts):
        blocks.append(Text(said_))
    calls = draw(st.lists(st.tuples(texts, arguments), max_size=3))
    blocks += [ToolCall(f"c{n}", name, given_) for n, (name, given_) in enumerate(calls)]
    native = draw(st.sampled_from(("stop", "length")))
    stop: StopReason = "length" if native == "length" else "tool" if calls else "end"
    usage = Usage(draw(st.integers(0, 1000)), draw(counts), draw(counts))
    return Reply(
        protocol="ollama", id=None, model="m", blocks=tuple(blocks), stop=stop, native=native, usage=usage, extra=None
    )


def assert_same(one: Reply | Failure, other: Reply) -> None:
    assert isinstance(one, Reply)
    assert (one.blocks, one.stop, one.native, one.usage, one.model) == (
        other.blocks,
        other.stop,
        other.native,
        other.usage,
        other.model,
    )


@given(replies())
def test_a_reply_round_trips_as_body_and_stream(reply: Reply) -> None:
    body, losses = PROTOCOL.encode_reply(reply, make_context())
    stream, streamed = encode_stream(list(unfold(reply)))
    assert losses == streamed == []
    assert_same(PROTOCOL.decode_reply(to_json(body), encode_request(), new_id()), reply)
    assert_same(fold(decode_stream(stream)), reply)
    ChatResponse.model_validate(to_json(body), strict=True)
    for line in stream.decode().splitlines():  # as the official client splits, which is at more than line feeds
        ChatResponse.model_validate_json(line, strict=True)


@given(replies(), st.data())
def test_chunk_boundaries_do_not_matter(reply: Reply, data: st.DataObject) -> None:
    stream, _ = encode_stream(list(unfold(reply)))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=8)))
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = decode_stream(stream)
    assert decode_stream(stream, chunks) == whole
    assert decode_stream(stream, [stream[n : n + 1] for n in range(len(stream))]) == whole
    assert decode_stream(stream.removesuffix(b"\n")) == whole
