"""Anthropic Messages in both directions: tables of wire and neutral forms, the vendor's examples, and properties.

No other protocol is used: requests and replies of other protocols are written in the neutral form.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from pydantic import TypeAdapter

from crosswire.proxy.errors import STATUS, Malformed, failure
from crosswire.proxy.ir import (
    BlockDelta,
    BlockEnd,
    BlockSignature,
    BlockStart,
    Citation,
    Document,
    Event,
    Failure,
    HostedTool,
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
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Usage,
    fold,
    signatures,
    unfold,
)
from crosswire.proxy.protocols.anthropic import PROTOCOL
from crosswire.proxy.protocols.protocol import ReplyContext, UpstreamRequest, UpstreamTarget, UrlParams
from crosswire.proxy.wire import json_fields
from crosswire.proxy.wire.framing import SSE

NAME = "anthropic"
EVIDENCE = Path(__file__).parents[2] / "evidence" / NAME
EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
SENT = UpstreamRequest({}, (), UpstreamTarget("claude-sonnet-4-5", NAME))


def new_id() -> Callable[[str], str]:
    numbers = itertools.count(1)
    return lambda prefix: f"{prefix}{next(numbers)}"


def decode_request(body: dict[str, Any]) -> Request:
    return PROTOCOL.decode_request(json.loads(json.dumps(body)), UrlParams())


def make_request(*turns: Turn, protocol: str = "openai-chat", **fields: Any) -> Request:
    return Request(protocol=protocol, model="m", turns=turns or (Turn("user", (Text("hi"),)),), **fields)


def encode_request(
    request: Request, model: str = "claude-sonnet-4-0", **target: Any
) -> tuple[dict[str, Any], list[Loss]]:
    sent = PROTOCOL.encode_request(request, UpstreamTarget(model, NAME, **target))
    payload: dict[str, Any] = json_fields.parse_object(json_fields.encode(sent.payload))
    return payload, list(sent.losses)


def make_context(**fields: Any) -> ReplyContext:
    return ReplyContext(make_request(protocol=NAME, **fields), "req-1", 1_700_000_000, new_id())


def reply(*blocks: Any, protocol: str = "openai-chat", stop: Any = "end", **fields: Any) -> Reply:
    return Reply(protocol=protocol, id="up-1", model="up", blocks=blocks, stop=stop, **fields)


def decode_stream(chunks: Sequence[bytes], sent: UpstreamRequest = SENT) -> list[Event]:
    framing, decoder, events = SSE(), PROTOCOL.stream_decoder(sent, new_id()), []
    for chunk in chunks:
        if decoded := framing.cut(chunk):
            for frame in framing.parse(decoded):
                events += decoder.feed(frame)
    for frame in framing.rest():
        events += decoder.feed(frame)
    return events + decoder.close()


def encode_stream(events: Sequence[Event], *, at_once: bool = True) -> tuple[list[dict[str, Any]], list[Loss], bytes]:
    encoder = PROTOCOL.stream_encoder(make_context(stream=True))
    raw = encoder.encode(events) if at_once else b"".join(encoder.encode([event]) for event in events)
    framing = SSE()
    frames = framing.parse(framing.cut(raw))
    events_out = [json.loads(frame.data) for frame in frames]
    assert [frame.event for frame in frames] == [event["type"] for event in events_out]
    return events_out, encoder.losses, raw


def assert_strict_client_accepts(events_out: list[dict[str, Any]]) -> None:
    """Asserts what a strict client requires: known events, one open block at a time, indices without gaps."""
    next_index, is_open = 0, False
    for event in events_out:
        if event["type"] != "error":
            EVENT.validate_python(event, strict=True)
        match event["type"]:
            case "content_block_start":
                assert (event["index"], is_open) == (next_index, False)
                is_open = True
            case "content_block_delta":
                assert (event["index"], is_open) == (next_index, True)
            case "content_block_stop":
                assert (event["index"], is_open) == (next_index, True)
                next_index, is_open = next_index + 1, False
    assert not is_open


def stream(*events: dict[str, Any]) -> bytes:
    return b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events)


def message_start(**usage: Any) -> dict[str, Any]:
    return {"type": "message_start", "message": {"id": "msg_9", "model": "claude", "usage": usage}}


def block(index: int, content_block: dict[str, Any], *deltas: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    return (
        {"type": "content_block_start", "index": index, "content_block": content_block},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    )


def message_end(stop: str = "end_turn", **usage: Any) -> tuple[dict[str, Any], ...]:
    return (
        {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    )


# ---- decode_request --------------------------------------------------------------------------------------------------

OWN_SIGNATURE = Signature("sig", NAME)
TOKEN = signatures.for_client(Signature("tide", "gemini", "gemini"), NAME)
FOREIGN = Signature("tide", NAME, "gemini")

CONTENTS: list[tuple[str, Any, tuple[Any, ...]]] = [
    ("a string", "hi", (Text("hi"),)),
    ("text with a cache mark", [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}],
     (Text("hi", extra={"cache_control": {"type": "ephemeral"}}),)),
    ("an image in base64",
     [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}],
     (Image(Media("image/png", "iVBO")),)),
    ("an image by its URL", [{"type": "image", "source": {"type": "url", "url": "https://a/b.png"}}],
     (Image(Media(url="https://a/b.png")),)),
    ("a PDF with its title",
     [{"type": "document", "title": "T",
       "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}}],
     (Document(Media("application/pdf", "JVBE", name="T")),)),
    ("a plain text", [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}],
     (Document(Media("text/plain", text="words")),)),
    ("a call", [{"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}], (ToolCall("t1", "f", '{"a":1}'),)),
    ("a result without content", [{"type": "tool_result", "tool_use_id": "t1"}], (ToolResult("t1", ()),)),
    ("a result that failed",
     [{"type": "tool_result", "tool_use_id": "t1", "is_error": True, "content": [{"type": "text", "text": "no"}]}],
     (ToolResult("t1", (Text("no"),), error=True),)),
    ("signed thinking", [{"type": "thinking", "thinking": "hm", "signature": "sig"}],
     (Reasoning("hm", OWN_SIGNATURE),)),
    ("signed thinking without text", [{"type": "thinking", "thinking": "", "signature": "sig"}],
     (Reasoning("", OWN_SIGNATURE),)),
    ("unsigned thinking", [{"type": "thinking", "thinking": "hm", "signature": ""}], (Reasoning("hm"),)),
    ("redacted thinking", [{"type": "redacted_thinking", "data": "sig"}],
     (Reasoning("", OWN_SIGNATURE, redacted=True),)),
    ("a foreign signature before its call",
     [{"type": "thinking", "thinking": "", "signature": TOKEN},
      {"type": "tool_use", "id": "t1", "name": "f", "input": {}}],
     (ToolCall("t1", "f", "{}", signature=FOREIGN),)),
    ("foreign signatures on two calls",
     [{"type": "thinking", "thinking": "", "signature": TOKEN},
      {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
      {"type": "thinking", "thinking": "", "signature": TOKEN},
      {"type": "tool_use", "id": "t2", "name": "f", "input": {}}],
     (ToolCall("t1", "f", "{}", signature=FOREIGN), ToolCall("t2", "f", "{}", signature=FOREIGN))),
    ("a foreign signature without a following block",
     [{"type": "text", "text": "hi"}, {"type": "thinking", "thinking": "", "signature": TOKEN}],
     (Text("hi"), Text("", signature=FOREIGN))),
    ("foreign thinking with text stays thinking",
     [{"type": "thinking", "thinking": "hm", "signature": TOKEN}], (Reasoning("hm", FOREIGN),)),
    ("foreign redacted thinking stays by itself",
     [{"type": "redacted_thinking", "data": TOKEN}, {"type": "text", "text": "hi"}],
     (Reasoning("", FOREIGN, redacted=True), Text("hi"))),
    ("a hosted tool's call",
     [{"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}}],
     (Opaque(NAME, "server_tool_use",
             {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}}),)),
    ("an unknown block", [{"type": "hologram", "x": 1}],
     (Opaque(NAME, "hologram", {"type": "hologram", "x": 1}),)),
    ("a search result is its text",
     [{"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "found"}]}],
     (Text("found", extra={"search_result": {"type": "search_result", "source": "s", "title": "t",
                                           "content": [{"type": "text", "text": "found"}]}}),)),
]  # fmt: skip


@pytest.mark.parametrize(("content", "blocks"), [row[1:] for row in CONTENTS], ids=[row[0] for row in CONTENTS])
def test_content(content: Any, blocks: tuple[Any, ...]) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "assistant", "content": content}]}
    request = decode_request(body)
    assert request.turns == (Turn("assistant", blocks),)
    assert request.extra is None


FIELDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("max_tokens", {"max_tokens": 7}, {"max_tokens": 7}),
    ("sampling", {"temperature": 0.5, "top_p": 0.9, "top_k": 5}, {"sampling": Sampling(0.5, 0.9, 5)}),
    ("stops", {"stop_sequences": ["a", "b"]}, {"stop": ("a", "b")}),
    ("the user", {"metadata": {"user_id": "u-1"}}, {"user": "u-1", "extra": None}),
    ("any tool", {"tool_choice": {"type": "any"}}, {"tool_choice": ToolChoice("required"), "parallel": None}),
    ("one tool, one call", {"tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True}},
     {"tool_choice": ToolChoice("named", ("f",)), "parallel": False}),
    ("no tool", {"tool_choice": {"type": "none"}}, {"tool_choice": ToolChoice("none"), "parallel": None}),
    ("a budget", {"thinking": {"type": "enabled", "budget_tokens": 2048}},
     {"reasoning": ReasoningConfig(budget=2048, enabled=True)}),
    ("adaptive thinking, shown", {"thinking": {"type": "adaptive", "display": "summarized"},
                                  "output_config": {"effort": "low"}},
     {"reasoning": ReasoningConfig("low", None, True, "auto"), "extra": None}),
    ("no thinking", {"thinking": {"type": "disabled"}}, {"reasoning": ReasoningConfig(enabled=False)}),
    ("the highest effort", {"output_config": {"effort": "max"}},
     {"reasoning": ReasoningConfig("max")}),
    ("a schema", {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
     {"format": ResponseFormat("json_schema", {"type": "object"}), "extra": None}),
    ("the beta's schema", {"output_format": {"type": "json_schema", "schema": {"type": "object"}}},
     {"format": ResponseFormat("json_schema", {"type": "object"}), "extra": None}),
    ("a tool", {"tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": True}]},
     {"tools": (Tool("f", "d", {"type": "object"}, True),)}),
    ("a hosted tool", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
     {"tools": (Opaque(NAME, "web_search_20250305", {"type": "web_search_20250305", "name": "web_search"},
                       hosted=HostedTool("web_search")),)}),
    ("an unknown field", {"container": "c1"}, {"extra": {"container": "c1"}}),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "expected"), [row[1:] for row in FIELDS], ids=[row[0] for row in FIELDS])
def test_request_fields(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    request = decode_request({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **fields})
    assert {key: getattr(request, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"messages": [{"role": "user", "content": "hi"}]}, "model"),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": []}, "messages"),
        ({"model": "m", "messages": [{"role": "robot", "content": "hi"}]}, "messages[0].role"),
        ({"model": "m", "messages": [{"role": "user"}]}, "messages[0].content"),
        ({"model": "m", "messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"model": "m", "messages": [{"role": "user", "content": [{"type": "image", "source": 1}]}]},
         "messages[0].content[0].source"),
        ({"model": "m", "messages": [{"role": "user", "content": "hi"}], "tool_choice": {"type": "maybe"}},
         "tool_choice.type"),
    ],
)  # fmt: skip
def test_a_malformed_request_names_the_path(body: dict[str, Any], path: str) -> None:
    with pytest.raises(Malformed) as fault:
        decode_request(body)
    assert fault.value.path == path


# ---- encode_request --------------------------------------------------------------------------------------------------


def user(*blocks: Any) -> Turn:
    return Turn("user", blocks)


def model(*blocks: Any) -> Turn:
    return Turn("assistant", blocks)


def text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


CALL = ToolCall("c1", "f", '{"a": 1}')
CALLED = {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}
OTHER = ToolCall("c2", "f", "")
ALSO_CALLED = {"type": "tool_use", "id": "c2", "name": "f", "input": {}}


def result(id_: str, text: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id_, "content": text}


CONVERSATIONS: list[tuple[str, tuple[Turn, ...], dict[str, Any], list[tuple[str, str]]]] = [
    ("leading instructions become the system field",
     (Turn("system", (Text("a"),)), Turn("developer", (Text("b"),)), user(Text("hi"))),
     {"system": [text("a"), text("b")], "messages": [{"role": "user", "content": "hi"}]}, []),
    ("a later system message becomes a user message",
     (user(Text("hi")), model(Text("yes")), Turn("system", (Text("be brief"),)), user(Text("go"))),
     {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"},
                   {"role": "user", "content": [text("be brief"), text("go")]}]},
     [("turns[2]", "role")]),
    ("instructions alone become a user message",
     (Turn("system", (Text("a"),)),), {"messages": [{"role": "user", "content": "a"}]}, [("turns[0]", "role")]),
    ("turns of one role are one message",
     (user(Text("a")), user(Text("b"))), {"messages": [{"role": "user", "content": [text("a"), text("b")]}]}, []),
    ("blank texts are left out",
     (user(Text("hi"), Text(" \n")), model(Text(""), CALL), user(ToolResult("c1", (Text(""),)))),
     {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [CALLED]},
                   {"role": "user", "content": [result("c1", "")]}]}, []),
    ("results of one round come first in one message",
     (user(Text("hi")), model(CALL, OTHER), user(ToolResult("c1", (Text("1"),)), Text("and"),
                                                 ToolResult("c2", (Text("2"),), error=True))),
     {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [CALLED, ALSO_CALLED]},
                   {"role": "user",
                    "content": [result("c1", "1"), {**result("c2", "2"), "is_error": True}, text("and")]}]}, []),
    ("an instruction between call and result is moved after the result",
     (user(Text("hi")), model(CALL), Turn("system", (Text("s"),)), user(ToolResult("c1", (Text("1"),)))),
     {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [CALLED]},
                   {"role": "user", "content": [result("c1", "1"), text("s")]}]}, [("turns[2]", "role")]),
    ("orphaned calls and results are dropped",
     (user(Text("hi")), model(Text("so"), CALL), user(ToolResult("c9", (Text("1"),)), Text("hm"))),
     {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "so"},
                   {"role": "user", "content": "hm"}]},
     [("turns[1].blocks[1]", "orphan"), ("turns[2].blocks[0]", "orphan")]),
    ("a second call with the same id is dropped",
     (user(Text("hi")), model(CALL, CALL), user(ToolResult("c1", (Text("1"),)))),
     {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [CALLED]},
                   {"role": "user", "content": [result("c1", "1")]}]}, [("turns[1].blocks[1]", "orphan")]),
    ("an image within a result",
     (user(Text("hi")), model(CALL), user(ToolResult("c1", (Text("see"), Image(Media("image/png", "iVBO")))))),
     {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [CALLED]},
                   {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": [
                       text("see"),
                       {"type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}]}]}]}, []),
    ("unsigned thinking and foreign signatures are dropped",
     (user(Text("hi")), model(Reasoning("hm", FOREIGN), Text("yes", signature=FOREIGN)), user(Text("go"))),
     {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"},
                   {"role": "user", "content": "go"}]},
     [("turns[1].blocks[0].seal", "signature"), ("turns[1].blocks[0]", "reasoning_text"),
      ("turns[1].blocks[1].seal", "signature")]),
    ("a signature of this provider is sent",
     (user(Text("hi")), model(Reasoning("hm", Signature("s", "openai-chat", NAME)), Text("yes")), user(Text("go"))),
     {"messages": [{"role": "user", "content": "hi"},
                   {"role": "assistant",
                    "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, text("yes")]},
                   {"role": "user", "content": "go"}]}, []),
    ("arguments that are no object are wrapped",
     (user(Text("hi")), model(ToolCall("c1", "f", "oops")), user(ToolResult("c1", (Text("1"),)))),
     {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [
         {"type": "tool_use", "id": "c1", "name": "f", "input": {"input": "oops"}}]},
         {"role": "user", "content": [result("c1", "1")]}]}, [("turns[1].blocks[0]", "tool_arguments")]),
    ("a refusal is text", (user(Text("hi")), model(Refusal("no")), user(Text("go"))),
     {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "no"},
                   {"role": "user", "content": "go"}]}, [("turns[1].blocks[0]", "refusal")]),
    ("an image of an unsupported type", (user(Text("see"), Image(Media("image/bmp", "Qk0="))),),
     {"messages": [{"role": "user", "content": "see"}]}, [("turns[0].blocks[1]", "image")]),
    ("a text file is plain text", (user(Document(Media("text/csv", "YSxi", name="t.csv"))),),
     {"messages": [{"role": "user", "content": [{"type": "document", "title": "t.csv", "source":
      {"type": "text", "media_type": "text/plain", "data": "a,b"}}]}]}, []),
    ("a prefill is stripped at its end", (user(Text("hi")), model(Text("So "))),
     {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "So"}]}, []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("turns", "payload", "losses"), [row[1:] for row in CONVERSATIONS], ids=[row[0] for row in CONVERSATIONS]
)
def test_conversation(turns: tuple[Turn, ...], payload: dict[str, Any], losses: list[tuple[str, str]]) -> None:
    sent, lost = encode_request(make_request(*turns))
    assert {key: sent.get(key) for key in ("system", "messages")} == {"system": None, **payload}
    assert [(loss.path, loss.feature) for loss in lost] == losses


def test_invalid_call_ids_are_replaced_consistently() -> None:
    turns = (
        user(Text("hi")),
        model(ToolCall("call.1:x", "f"), ToolCall("call 1:x", "f")),
        user(ToolResult("call.1:x", ()), ToolResult("call 1:x", ())),
    )
    sent, losses = encode_request(make_request(*turns))
    calls = [text["id"] for text in sent["messages"][1]["content"]]
    assert [text["tool_use_id"] for text in sent["messages"][2]["content"]] == calls
    assert len(set(calls)) == 2
    assert all(set(id_) <= set("call_1x_0123456789abcdef") for id_ in calls)
    assert losses == []


F = Tool("f", "d", {"type": "object", "properties": {}})
G = Tool("g")
WIRE_F = {"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {}}}
WIRE_G = {"name": "g", "input_schema": {"type": "object", "properties": {}}}
LOOP = {"type": "object", "properties": {"next": {"$ref": "#/$defs/loop"}},
        "$defs": {"loop": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/loop"}]}}}  # fmt: skip
ANSWER = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
CLOSED = {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}

ASKED: list[tuple[str, dict[str, Any], str, dict[str, Any], list[tuple[str, str, str]]]] = [
    ("the default bound", {}, "claude-sonnet-4-0", {"max_tokens": 64_000}, []),
    ("the default bound of an unknown model", {}, "some-model", {"max_tokens": 8192}, []),
    ("the client's bound", {"max_tokens": 5}, "claude-sonnet-4-0", {"max_tokens": 5}, []),
    ("a high temperature", {"sampling": Sampling(1.5)}, "claude-sonnet-4-0", {"temperature": 1.0},
     [("sampling.temperature", "temperature", "approximated")]),
    ("unsupported sampling", {"sampling": Sampling(seed=1, frequency_penalty=0.5, presence_penalty=0)},
     "claude-sonnet-4-0", {}, [("sampling.seed", "seed", "dropped"),
                               ("sampling.frequency_penalty", "penalties", "dropped")]),
    ("temperature and top_p exclude each other", {"sampling": Sampling(0.5, 0.9)}, "claude-haiku-4-5-20251001",
     {"temperature": 0.5}, [("sampling.top_p", "top_p", "dropped")]),
    ("both on an older model", {"sampling": Sampling(0.5, 0.9)}, "claude-sonnet-4-20250514",
     {"temperature": 0.5, "top_p": 0.9}, []),
    ("a model without sampling parameters", {"sampling": Sampling(0.5, 0.9, 3)}, "claude-opus-5", {},
     [("sampling.temperature", "temperature", "dropped"), ("sampling.top_p", "top_p", "dropped"),
      ("sampling.top_k", "top_k", "dropped")]),
    ("the same with default values", {"sampling": Sampling(1, 1)}, "claude-opus-5", {}, []),
    ("stops", {"stop": ("a", "\n", "b")}, "claude-sonnet-4-0", {"stop_sequences": ["a", "b"]},
     [("stop[1]", "stop", "approximated")]),
    ("the user", {"user": "u"}, "claude-sonnet-4-0", {"metadata": {"user_id": "u"}}, []),
    ("a stream", {"stream": True}, "claude-sonnet-4-0", {"stream": True}, []),
    ("tools", {"tools": (F, G)}, "claude-sonnet-4-0", {"tools": [WIRE_F, WIRE_G]}, []),
    ("any", {"tools": (F,), "tool_choice": ToolChoice("required")}, "claude-sonnet-4-0",
     {"tools": [WIRE_F], "tool_choice": {"type": "any"}}, []),
    ("one", {"tools": (F,), "tool_choice": ToolChoice("named", ("f",)), "parallel": False}, "claude-sonnet-4-0",
     {"tools": [WIRE_F], "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True}}, []),
    ("one call at a time", {"tools": (F,), "parallel": False}, "claude-sonnet-4-0",
     {"tools": [WIRE_F], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, []),
    ("none, which is never in parallel", {"tools": (F,), "tool_choice": ToolChoice("none"), "parallel": False},
     "claude-sonnet-4-0", {"tools": [WIRE_F], "tool_choice": {"type": "none"}}, []),
    ("auto without tools", {"tool_choice": ToolChoice("auto"), "parallel": True}, "claude-sonnet-4-0", {}, []),
    ("any without tools", {"tool_choice": ToolChoice("required")}, "claude-sonnet-4-0", {},
     [("tool_choice", "tool_choice", "dropped")]),
    ("a forced tool where it is refused", {"tools": (F,), "tool_choice": ToolChoice("required")}, "claude-opus-5-5",
     {"tools": [WIRE_F], "tool_choice": {"type": "auto"}}, [("tool_choice", "tool_choice", "approximated")]),
    ("a subset of all tools", {"tools": (F, G), "tool_choice": ToolChoice("required", ("f", "g"))},
     "claude-sonnet-4-0", {"tools": [WIRE_F, WIRE_G], "tool_choice": {"type": "any"}}, []),
    ("a subset", {"tools": (F, G), "tool_choice": ToolChoice("required", ("g",))}, "claude-sonnet-4-0",
     {"tools": [WIRE_G], "tool_choice": {"type": "any"}}, [("tool_choice", "allowed_tools", "approximated")]),
    ("a custom tool", {"tools": (Tool("p", "d", kind="custom"),)}, "claude-sonnet-4-0",
     {"tools": [{"name": "p", "description": "d", "input_schema": {
         "type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}}]},
     [("tools[0]", "custom_tool", "approximated")]),
    ("a strict tool", {"tools": (Tool("f", None, ANSWER, True),)}, "claude-sonnet-4-5",
     {"tools": [{"name": "f", "strict": True, "input_schema": CLOSED}]},
     [("tools[0].parameters.properties.n.minimum", "tool_strict", "approximated"),
      ("tools[0].parameters.additionalProperties", "tool_strict", "approximated")]),
    ("a strict tool on an older model", {"tools": (replace(F, strict=True),)}, "claude-sonnet-4-0",
     {"tools": [WIRE_F]}, [("tools[0].strict", "tool_strict", "dropped")]),
    ("a schema", {"format": ResponseFormat("json_schema", ANSWER, "answer")}, "claude-sonnet-4-5",
     {"output_config": {"format": {"type": "json_schema", "schema": CLOSED}}},
     [("format.schema.properties.n.minimum", "json_schema", "approximated")]),
    ("a strict schema", {"format": ResponseFormat("json_schema", ANSWER, "answer", strict=True)}, "claude-sonnet-4-5",
     {"output_config": {"format": {"type": "json_schema", "schema": CLOSED}}},
     [("format.schema.properties.n.minimum", "json_schema", "approximated"),
      ("format.schema.additionalProperties", "json_schema", "approximated")]),
    ("a schema on an older model", {"format": ResponseFormat("json_schema", {"type": "object"})}, "claude-sonnet-4-0",
     {"system": 'Answer with JSON that fits this JSON Schema and nothing else, no prose, no code fence: '
                '{"type":"object"}'}, [("format", "json_schema", "approximated")]),
    ("a recursive schema", {"format": ResponseFormat("json_schema", LOOP)}, "claude-sonnet-4-5",
     {"system": 'Answer with JSON that fits this JSON Schema and nothing else, no prose, no code fence: '
                '{"type":"object","properties":{"next":{"$ref":"#/$defs/loop"}},'
                '"$defs":{"loop":{"anyOf":[{"type":"null"},{"$ref":"#/$defs/loop"}]}}}'},
     [("format", "json_schema", "approximated")]),
    ("a strict tool with a recursive schema", {"tools": (Tool("f", None, LOOP, True),)}, "claude-sonnet-4-5",
     {"tools": [{"name": "f", "input_schema": LOOP}]}, [("tools[0].strict", "tool_strict", "dropped")]),
    ("JSON without a schema", {"format": ResponseFormat("json_object")}, "claude-sonnet-4-5",
     {"system": "Answer with one JSON object and nothing else: no prose, no code fence."},
     [("format", "json_object", "approximated")]),
    ("a summary without thinking", {"reasoning": ReasoningConfig(summary="auto")}, "claude-haiku-4-5",
     {}, [("reasoning.summary", "reasoning", "dropped")]),
    ("an effort as a budget", {"reasoning": ReasoningConfig("low")}, "claude-haiku-4-5",
     {"thinking": {"type": "enabled", "budget_tokens": 1024}},
     [("reasoning", "reasoning", "approximated")]),
    ("more effort, with a budget beside the answer", {"reasoning": ReasoningConfig("xhigh")}, "claude-haiku-4-5",
     {"thinking": {"type": "enabled", "budget_tokens": 32768}},
     [("reasoning", "reasoning", "approximated")]),
    ("more effort than the model has room for", {"reasoning": ReasoningConfig("xhigh")}, "claude-opus-4-1",
     {"thinking": {"type": "enabled", "budget_tokens": 23808}},
     [("reasoning", "reasoning", "approximated")]),
    ("a budget", {"reasoning": ReasoningConfig(budget=4000), "max_tokens": 9000}, "claude-haiku-4-5",
     {"thinking": {"type": "enabled", "budget_tokens": 4000}, "max_tokens": 9000}, []),
    ("a budget above max_tokens", {"reasoning": ReasoningConfig(budget=9000), "max_tokens": 4000}, "claude-haiku-4-5",
     {"thinking": {"type": "enabled", "budget_tokens": 3000}, "max_tokens": 4000},
     [("reasoning", "reasoning", "approximated")]),
    ("no room to think", {"reasoning": ReasoningConfig("high"), "max_tokens": 500}, "claude-haiku-4-5",
     {"max_tokens": 500}, [("reasoning", "reasoning", "dropped")]),
    ("an effort without change", {"reasoning": ReasoningConfig("high", summary="auto")}, "claude-opus-4-8",
     {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "high"}}, []),
    ("more effort than the model supports", {"reasoning": ReasoningConfig("xhigh")}, "claude-opus-4-6",
     {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
     [("reasoning", "reasoning", "approximated")]),
    ("a budget for a model with efforts only", {"reasoning": ReasoningConfig(budget=2000)}, "anthropic/claude-opus-4.7",
     {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "medium"}},
     [("reasoning", "reasoning", "approximated")]),
    ("no thinking", {"reasoning": ReasoningConfig("none")}, "claude-haiku-4-5", {"thinking": {"type": "disabled"}}, []),
    ("no thinking where it cannot be disabled", {"reasoning": ReasoningConfig("none")}, "claude-fable-5",
     {"output_config": {"effort": "low"}}, [("reasoning", "reasoning", "approximated")]),
    ("thinking for a model that cannot think", {"reasoning": ReasoningConfig("high")}, "claude-3-5-haiku-latest", {},
     [("reasoning", "reasoning", "dropped")]),
    ("a forced tool excludes a budget", {"reasoning": ReasoningConfig("low"), "tools": (F,),
                                         "tool_choice": ToolChoice("required")}, "claude-haiku-4-5",
     {"tools": [WIRE_F], "tool_choice": {"type": "any"}}, [("reasoning", "reasoning", "dropped")]),
    ("thinking excludes sampling", {"reasoning": ReasoningConfig(budget=2048), "sampling": Sampling(0.2, 0.97, 4)},
     "claude-haiku-4-5", {"thinking": {"type": "enabled", "budget_tokens": 2048}, "top_p": 0.97},
     [("sampling.temperature", "temperature", "dropped"), ("sampling.top_k", "top_k", "dropped")]),
    ("unknown fields of chat", {"extra": {"logprobs": True, "store": False}}, "claude-sonnet-4-0", {},
     [("logprobs", "logprobs", "dropped")]),
]  # fmt: skip


MOST = {
    r"claude-opus-4-[01]$": 32_000,
    r"claude-(sonnet-4-(0|2025)|(opus|sonnet|haiku)-4-5)": 64_000,
    r"(anthropic/)?claude-(opus-4[-.][678]|sonnet-4-6)$": 128_000,
    r"claude-(fable|mythos|opus|sonnet|haiku)-5": 128_000,
    r"claude-3-5": 8192,
    r"claude-3-7": 64_000,
    r"claude-3-": 4096,
}
"""The most that models answer. https://platform.claude.com/docs/en/about-claude/models/overview"""


@pytest.mark.parametrize(
    ("fields", "name", "payload", "losses"), [row[1:] for row in ASKED], ids=[row[0] for row in ASKED]
)
def test_request_out(
    fields: dict[str, Any], name: str, payload: dict[str, Any], losses: list[tuple[str, str, str]]
) -> None:
    sent, lost = encode_request(make_request(**fields), name)
    most = next((most for pattern, most in MOST.items() if re.match(pattern, name)), 8192)
    decoded = {"model": name, "max_tokens": most, "messages": [{"role": "user", "content": "hi"}]}
    assert sent == {**decoded, **payload}
    assert [(loss.path, loss.feature, loss.how) for loss in lost] == losses


def test_manual_thinking_is_dropped_in_a_tool_loop_that_began_without_it() -> None:
    turns = (user(Text("hi")), model(CALL), user(ToolResult("c1", (Text("1"),))))
    sent, losses = encode_request(make_request(*turns, reasoning=ReasoningConfig("low")), "claude-haiku-4-5")
    assert "thinking" not in sent
    assert losses == [Loss("reasoning", "reasoning", "dropped")]
    thought = Reasoning("hm", Signature("s", "openai-chat", NAME))
    turns = (user(Text("hi")), model(thought, CALL), user(ToolResult("c1", (Text("1"),))))
    assert (
        encode_request(make_request(*turns, reasoning=ReasoningConfig(budget=2048)), "claude-haiku-4-5")[0]["thinking"][
            "type"
        ]
        == "enabled"
    )


@pytest.mark.parametrize(
    ("turns", "roles"),
    [
        (("user", "system"), ["user", "system"]),
        (("user", "system", "developer", "assistant", "user"), ["user", "system", "assistant", "user"]),
        (("user", "system", "user"), ["user"]),
        (("user", "assistant", "system"), ["user", "assistant", "user"]),
    ],
)
def test_newer_models_take_system_messages_in_valid_positions(turns: tuple[Any, ...], roles: list[str]) -> None:
    sent, losses = encode_request(make_request(*(Turn(role, (Text("x"),)) for role in turns)), "claude-opus-4-8")
    assert [message["role"] for message in sent["messages"]] == roles
    assert bool(losses) == ("system" in turns and "system" not in roles)


def test_invalid_tool_names_are_replaced_and_restored() -> None:
    tools = (Tool("a.b"), Tool("fn", namespace="ns"), Tool("patch", kind="custom"))
    sent = PROTOCOL.encode_request(make_request(tools=tools), UpstreamTarget("claude-sonnet-4-0", NAME))
    assert [tool["name"] for tool in sent.payload["tools"]] == ["a_b", "ns__fn", "patch"]
    content = [
        {"type": "tool_use", "id": f"t{i}", "name": name, "input": {"input": "x"}}
        for i, name in enumerate(["a_b", "ns__fn", "patch"])
    ]
    body = json.loads(json.dumps({"content": content, "stop_reason": "tool_use"}))
    back = PROTOCOL.decode_reply(body, sent, new_id())
    calls = (
        ToolCall("t0", "a.b", '{"input":"x"}'),
        ToolCall("t1", "fn", '{"input":"x"}', namespace="ns"),
        ToolCall("t2", "patch", "x", "custom"),
    )
    assert back.blocks == calls
    raw = stream(
        message_start(),
        *(
            event
            for i, content_block in enumerate(content)
            for event in block(
                i,
                {**content_block, "input": {}},
                {"type": "input_json_delta", "partial_json": '{"input'},
                {"type": "input_json_delta", "partial_json": '":"x"}'},
            )
        ),
        *message_end("tool_use"),
    )
    streamed = fold(decode_stream([raw], sent))
    assert isinstance(streamed, Reply)
    assert streamed.blocks == calls


# ---- decode_reply and StreamDecoder ----------------------------------------------------------------------------------

PROVIDER = Signature("sig", NAME, NAME)
WEB = {
    "type": "web_search_result_location",
    "url": "https://a",
    "title": "A",
    "cited_text": "so",
    "encrypted_index": "E",
}
PROGRAM = {"type": "code_execution_20250825", "tool_id": "srvtoolu_1"}
PAGE = {"type": "page_location", "cited_text": "so", "document_index": 0, "start_page_number": 1, "end_page_number": 2}

BLOCKS: list[tuple[str, dict[str, Any], list[dict[str, Any]], Any]] = [
    ("text", {"type": "text", "text": "héllo"},
     [{"type": "text_delta", "text": "hé"}, {"type": "text_delta", "text": "llo"}], Text("héllo")),
    ("cited text", {"type": "text", "text": "yes", "citations": [WEB]},
     [{"type": "citations_delta", "citation": WEB}, {"type": "text_delta", "text": "yes"}],
     Text("yes", (Citation("https://a", "A", "so", 0, 3),), extra={"web_citations": [WEB]})),
    ("text cited from a page", {"type": "text", "text": "yes", "citations": [WEB, PAGE]},
     [{"type": "text_delta", "text": "yes"}, {"type": "citations_delta", "citation": WEB},
      {"type": "citations_delta", "citation": PAGE}],
     Text("yes", (Citation("https://a", "A", "so", 0, 3),), extra={"citations": [WEB, PAGE]})),
    ("thinking", {"type": "thinking", "thinking": "hm", "signature": "sig"},
     [{"type": "thinking_delta", "thinking": "hm"}, {"type": "signature_delta", "signature": "sig"}],
     Reasoning("hm", PROVIDER)),
    ("empty thinking", {"type": "thinking", "thinking": "", "signature": "sig"},
     [{"type": "signature_delta", "signature": "sig"}], Reasoning("", PROVIDER)),
    ("redacted thinking", {"type": "redacted_thinking", "data": "sig"}, [], Reasoning("", PROVIDER, redacted=True)),
    ("a call", {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}, "caller": PROGRAM},
     [{"type": "input_json_delta", "partial_json": ""}, {"type": "input_json_delta", "partial_json": '{"a":'},
      {"type": "input_json_delta", "partial_json": "1}"}],
     ToolCall("t", "f", '{"a":1}', extra={"caller": PROGRAM})),
    ("a call without arguments", {"type": "tool_use", "id": "t", "name": "f", "input": {}},
     [{"type": "input_json_delta", "partial_json": ""}], ToolCall("t", "f", "{}")),
    ("a hosted call", {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": 1}},
     [{"type": "input_json_delta", "partial_json": '{"q":'}, {"type": "input_json_delta", "partial_json": "1}"}],
     Opaque(NAME, "server_tool_use", {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": 1}},
            part=True)),
    ("an unknown block", {"type": "compaction", "content": "short"},
     [{"type": "compaction_delta", "content": "sh"}, {"type": "compaction_delta", "content": "ort"}],
     Opaque(NAME, "compaction", {"type": "compaction", "content": "short"},
            "Summary of the conversation so far:\nshort")),
]  # fmt: skip
EMPTY = {"text": "", "thinking": "", "signature": "", "input": {}, "citations": []}


@pytest.mark.parametrize(
    ("content_block", "deltas", "expected"), [row[1:] for row in BLOCKS], ids=[row[0] for row in BLOCKS]
)
def test_blocks_in_body_and_stream(content_block: dict[str, Any], deltas: list[dict[str, Any]], expected: Any) -> None:
    stop = "tool_use" if isinstance(expected, ToolCall) else "end_turn"
    usage = {"input_tokens": 5, "output_tokens": 7}
    body = {"id": "msg_9", "type": "message", "role": "assistant", "model": "claude", "content": [content_block]}
    decoded = PROTOCOL.decode_reply(
        json.loads(json.dumps({**body, "stop_reason": stop, "stop_sequence": None, "usage": usage})), SENT, new_id()
    )
    assert decoded.blocks == (expected,)
    bare = {key: EMPTY.get(key, value) for key, value in content_block.items()} if deltas else content_block
    bare = (
        {key: value for key, value in bare.items() if key != "content"}
        if content_block["type"] == "compaction"
        else bare
    )
    raw = stream(
        message_start(input_tokens=5, output_tokens=1), *block(0, bare, *deltas), *message_end(stop, output_tokens=7)
    )
    assert fold(decode_stream([raw])) == decoded


USAGES = [
    ({"input_tokens": 20, "output_tokens": 9, "cache_read_input_tokens": 80, "cache_creation_input_tokens": 5,
      "output_tokens_details": {"thinking_tokens": 4}}, Usage(20, 9, 80, 5, 4)),
    ({"input_tokens": 20, "output_tokens": 9, "cache_read_input_tokens": None}, Usage(20, 9)),
    ({"input_tokens": -1, "output_tokens": 0}, Usage(0, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "usage"), USAGES)
def test_usage_is_the_same_in_body_and_stream(fields: dict[str, Any], usage: Usage) -> None:
    fields = json.loads(json.dumps(fields))
    body = json.loads(json.dumps({"content": [], "stop_reason": "end_turn", "usage": fields}))
    assert PROTOCOL.decode_reply(body, SENT, new_id()).usage == usage
    first = {**fields, "output_tokens": 1, "output_tokens_details": None}
    late = {key: fields[key] for key in ("output_tokens", "output_tokens_details") if key in fields}
    streamed = fold(decode_stream([stream(message_start(**first), *message_end(**late))]))
    assert isinstance(streamed, Reply)
    assert streamed.usage == usage
    later = fold(decode_stream([stream(message_start(input_tokens=1, output_tokens=1), *message_end(**fields))]))
    assert isinstance(later, Reply)
    assert later.usage == usage


@pytest.mark.parametrize(
    ("native", "matched", "called", "stop"),
    [
        ("end_turn", None, False, "end"),
        ("end_turn", None, True, "tool"),
        ("max_tokens", None, True, "length"),
        ("model_context_window_exceeded", None, False, "length"),
        ("stop_sequence", "END", False, "stop_sequence"),
        ("tool_use", None, True, "tool"),
        ("pause_turn", None, False, "pause"),
        ("refusal", None, False, "filter"),
        ("eclipse", None, False, "other"),
    ],
)
def test_stops(native: str, matched: str | None, called: bool, stop: str) -> None:
    content = [{"type": "tool_use", "id": "t", "name": "f", "input": {}}] if called else []
    body = {"content": content, "stop_reason": native, "stop_sequence": matched}
    got = PROTOCOL.decode_reply(body, SENT, new_id())
    assert (got.stop, got.native, got.matched) == (stop, native, matched)
    events_out, losses = PROTOCOL.encode_reply(got, make_context())
    assert (events_out["stop_sequence"], losses) == (
        matched,
        [Loss("stop", "stop_reason", "approximated")] * (stop == "other"),
    )
    assert events_out["stop_reason"] == ("tool_use" if called and native == "end_turn" else native)


DETAILS = {"type": "refusal", "category": "bio", "explanation": None}


def test_extra_fields_of_a_reply_are_restored() -> None:
    usage = {"input_tokens": 1, "output_tokens": 2, "service_tier": "standard"}
    body: dict[str, Any] = {
        "content": [],
        "stop_reason": "refusal",
        "stop_details": DETAILS,
        "container": None,
        "usage": usage,
    }
    got = PROTOCOL.decode_reply(body, SENT, new_id())
    assert got.extra == {"stop_details": DETAILS, "usage": {"service_tier": "standard"}}
    events_out, losses = PROTOCOL.encode_reply(got, make_context())
    assert events_out["stop_details"] == DETAILS
    assert events_out["usage"]["service_tier"] == "standard"
    assert losses == []


@pytest.mark.parametrize("category", [None, "bio"])
def test_a_refusal_explanation_becomes_a_block_and_is_restored(category: str | None) -> None:
    """The explanation is outside of the content, in a body and in message_delta; other protocols get the block."""
    details = {"type": "refusal", "category": category, "explanation": "I will not."}
    body = {"content": [], "stop_reason": "refusal", "stop_sequence": None, "stop_details": details}
    decoded = PROTOCOL.decode_reply(json_fields.parse(json_fields.encode(body)), SENT, new_id())
    assert decoded.blocks == (Refusal("I will not."),)
    assert decoded.extra == ({"stop_details": {"category": "bio"}} if category else None)
    events_out, losses = PROTOCOL.encode_reply(decoded, make_context())
    assert (events_out["content"], events_out["stop_details"], losses) == ([], details, [])
    ending = {"type": "message_delta", "delta": {"stop_reason": "refusal", "stop_details": details}, "usage": {}}
    events = decode_stream([stream(message_start(), ending, {"type": "message_stop"})])
    streamed = fold(events)
    assert isinstance(streamed, Reply)
    assert (streamed.blocks, streamed.extra) == (decoded.blocks, decoded.extra)
    client_events, losses, _ = encode_stream(events)
    assert ([one["type"] for one in client_events], losses) == (["message_start", "message_delta", "message_stop"], [])
    assert client_events[1]["delta"]["stop_details"] == details


TEXT = block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "one"})
START_EVENT = ReplyStart(NAME, "msg_9", "claude")
TEXT_EVENTS: list[Event] = [START_EVENT, BlockStart(0, Text("")), BlockDelta(0, "one"), BlockEnd(0)]
END_EVENT = ReplyEnd("end", None, "end_turn")
STREAMS: list[tuple[str, bytes, list[Event]]] = [
    ("a cut within a block", stream(message_start(), *TEXT[:2]),
     [*TEXT_EVENTS[:-1], failure("upstream_cut", "")]),
    ("a cut before the stop reason", stream(message_start(), *TEXT),
     [*TEXT_EVENTS, failure("upstream_cut", "")]),
    ("an end without message_stop", stream(message_start(), *TEXT, message_end()[0]),
     [*TEXT_EVENTS, END_EVENT]),
    ("[DONE] as the end", stream(message_start(), *TEXT, message_end()[0]) + b"data: [DONE]\n\n",
     [*TEXT_EVENTS, END_EVENT]),
    ("an error in band",
     stream(message_start(), {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}),
     [START_EVENT, failure("overloaded", "")]),
    ("an error of another shape", b'data: {"error": {"message": "busy"}}\n\n', [failure("upstream_error", "")]),
    ("nothing", b"", [failure("upstream_cut", "")]),
    ("pings, unknown events, padding and CRLF",
     b'event: ping\r\ndata: {"type": "ping"}   \r\n\r\n'
     + stream(message_start(), {"type": "moon"}, *TEXT, *message_end()).replace(b"}\n\n", b"}    \r\n\r\n"),
     [*TEXT_EVENTS, END_EVENT]),
    ("indices with gaps", stream(message_start(), *block(3, {"type": "text", "text": "a"}), *message_end()),
     [START_EVENT, BlockStart(0, Text("")), BlockDelta(0, "a"), BlockEnd(0), END_EVENT]),
]  # fmt: skip


def comparable(event: Event) -> Event | str:
    return event.kind if isinstance(event, Failure) else event


@pytest.mark.parametrize(("raw", "events"), [row[1:] for row in STREAMS], ids=[row[0] for row in STREAMS])
def test_streams(raw: bytes, events: list[Event]) -> None:
    assert [comparable(event) for event in decode_stream([raw])] == [comparable(event) for event in events]
    assert decode_stream([raw[i : i + 1] for i in range(len(raw))]) == decode_stream([raw])


@pytest.mark.parametrize(
    "raw",
    [
        b"data: <html>\n\n",
        b'data: {"id": "x", "choices": []}\n\n',
        b'data: ["type"]\n\n',
        stream(message_start(),
               {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "x"}}),
        stream(message_start(), TEXT[0], {"type": "content_block_delta", "index": 0,
                                  "delta": {"type": "input_json_delta", "partial_json": "x"}}),
    ],
)  # fmt: skip
def test_a_stream_of_another_protocol_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        decode_stream([raw])


@pytest.mark.parametrize("body", [{}, {"content": "hi"}, {"type": "x", "content": []}, {"content": [{"text": "x"}]}])
def test_a_body_of_another_protocol_is_malformed(body: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        PROTOCOL.decode_reply(body, SENT, new_id())


# ---- encode_reply and StreamEncoder ----------------------------------------------------------------------------------

SIGNATURE = Signature("tide", "gemini", "gemini")

ANSWERS: list[tuple[str, Reply, list[dict[str, Any]], list[tuple[str, str]]]] = [
    ("text", reply(Text("hi")), [text("hi")], []),
    ("an empty text", reply(Text("")), [], []),
    ("a refusal", reply(Refusal("no"), stop="filter"), [], []),
    ("thinking without a signature", reply(Reasoning("hm"), Text("hi")),
     [{"type": "thinking", "thinking": "hm", "signature": ""}, text("hi")], []),
    ("foreign thinking", reply(Reasoning("hm", SIGNATURE)),
     [{"type": "thinking", "thinking": "hm", "signature": TOKEN}], []),
    ("empty foreign thinking", reply(Reasoning("", SIGNATURE)), [{"type": "redacted_thinking", "data": TOKEN}], []),
    ("calls", reply(Text("so"), CALL, OTHER, stop="tool"), [text("so"), CALLED, ALSO_CALLED], []),
    ("a signed call", reply(replace(CALL, signature=SIGNATURE), stop="tool"),
     [{"type": "thinking", "thinking": "", "signature": TOKEN}, CALLED], []),
    ("a signed text", reply(Text("hi", signature=SIGNATURE)),
     [text("hi"), {"type": "thinking", "thinking": "", "signature": TOKEN}], []),
    ("a custom tool call", reply(ToolCall("c1", "p", 'a"b', "custom"), stop="tool"),
     [{"type": "tool_use", "id": "c1", "name": "p", "input": {"input": 'a"b'}}], []),
    ("an image", reply(Text("see"), Image(Media("image/png", "iVBO"))), [text("see")], [("blocks[1]", "media_out")]),
    ("a hosted tool of another provider", reply(Opaque("gemini", "executableCode", {}), Text("hi")), [text("hi")],
     [("blocks[0].executableCode", "hosted_output")]),
    ("a citation of the whole text", reply(Text("hi", (Citation("https://a", "A", "so", 0, 2),))),
     [{**text("hi"), "citations": [{**WEB, "encrypted_index": ""}]}], []),
    ("a citation of part of the text", reply(Text("hi", (Citation("https://a", "A", "so", 1, 2),))),
     [{**text("hi"), "citations": [{**WEB, "encrypted_index": ""}]}], [("blocks[0].citations", "citations")]),
]  # fmt: skip


def with_required_fields(block: dict[str, Any]) -> dict[str, Any]:
    """Returns a block of a reply with the fields that the published schema requires."""
    match block["type"]:
        case "text":
            return {"citations": [], **block}
        case "tool_use":
            return {"caller": {"type": "direct"}, **block}
    return block


@pytest.mark.parametrize(
    ("neutral", "content", "losses"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS]
)
def test_reply_out_and_stream_out(neutral: Reply, content: list[dict[str, Any]], losses: list[tuple[str, str]]) -> None:
    body, lost = PROTOCOL.encode_reply(neutral, make_context())
    assert body["content"] == [with_required_fields(block) for block in content]
    assert [(loss.path, loss.feature) for loss in lost] == losses
    assert (body["id"], body["model"]) == ("msg_req-1", "m")
    Message.model_validate(json_fields.parse(json_fields.encode(body)), strict=True)
    events_out, lost, raw = encode_stream(list(unfold(neutral)))
    assert [(loss.path, loss.feature) for loss in lost] == losses
    assert_strict_client_accepts(events_out)
    decoded = PROTOCOL.decode_reply(json_fields.parse_object(json_fields.encode(body)), SENT, new_id())
    streamed = fold(decode_stream([raw]))
    assert isinstance(streamed, Reply)
    assert normalized(streamed) == normalized(decoded)


def test_arguments_that_are_not_an_object_are_wrapped_in_a_body_and_unchanged_in_a_stream() -> None:
    neutral = reply(ToolCall("c1", "f", "oops"), stop="tool")
    body, losses = PROTOCOL.encode_reply(neutral, make_context())
    assert body["content"][0]["input"] == {"input": "oops"}
    assert losses == [Loss("blocks[0]", "tool_arguments", "approximated")]
    events_out, losses, _ = encode_stream(list(unfold(neutral)))
    assert losses == []
    assert [event["delta"]["partial_json"] for event in events_out if event["type"] == "content_block_delta"] == [
        "oops"
    ]


def test_interleaved_calls_follow_one_another() -> None:
    events: list[Event] = [
        ReplyStart("openai-chat", "x", "y"),
        BlockStart(0, ToolCall("c1", "f")),
        BlockDelta(0, '{"x":'),
        BlockStart(1, ToolCall("c2", "f")),
        BlockDelta(1, '{"z":'),
        BlockDelta(0, "1}"),
        BlockDelta(1, "2}"),
        BlockEnd(0),
        BlockEnd(1),
        ReplyEnd("tool"),
    ]
    events_out, losses, raw = encode_stream(events, at_once=False)
    assert_strict_client_accepts(events_out)
    assert losses == []
    streamed = fold(decode_stream([raw]))
    assert isinstance(streamed, Reply)
    assert streamed.blocks == (ToolCall("c1", "f", '{"x":1}'), ToolCall("c2", "f", '{"z":2}'))


def test_the_signature_carrier_of_a_call_precedes_it() -> None:
    events: list[Event] = [
        ReplyStart("gemini", "x", "y"), BlockStart(0, ToolCall("c1", "f")), BlockSignature(0, SIGNATURE),
        BlockDelta(0, "{}"), BlockEnd(0), ReplyEnd("tool"),
    ]  # fmt: skip
    events_out, losses, _ = encode_stream(events, at_once=False)
    shapes = [event["content_block"]["type"] for event in events_out if event["type"] == "content_block_start"]
    assert shapes == ["thinking", "tool_use"]
    assert losses == []


def test_a_late_signature_of_a_text_is_carried_at_the_end() -> None:
    events: list[Event] = [
        ReplyStart("gemini", "x", "y"), BlockStart(0, Text("")), BlockDelta(0, "hi"),
        BlockSignature(0, SIGNATURE), BlockEnd(0), ReplyEnd("end"),
    ]  # fmt: skip
    events_out, losses, raw = encode_stream(events, at_once=False)
    assert_strict_client_accepts(events_out)
    assert losses == []
    answer = fold(decode_stream([raw]))
    assert isinstance(answer, Reply)
    content = [{"type": "text", "text": "hi"}, {"type": "thinking", "thinking": "", "signature": TOKEN}]
    request = decode_request({"model": "m", "max_tokens": 1, "messages": [{"role": "assistant", "content": content}]})
    assert request.turns[0].blocks == (Text("hi"), Text("", signature=FOREIGN))


def test_a_late_signature_of_a_call_is_a_loss() -> None:
    events: list[Event] = [
        ReplyStart("gemini", "x", "y"), BlockStart(0, ToolCall("c1", "f")), BlockDelta(0, "{}"),
        BlockSignature(0, SIGNATURE), BlockEnd(0), ReplyEnd("tool"),
    ]  # fmt: skip
    assert encode_stream(events, at_once=False)[1] == [Loss("blocks[0].seal", "signature", "dropped")]


def test_usage_is_in_message_start_and_message_delta() -> None:
    events: list[Event] = [
        ReplyStart("openai-chat", "x", "y", Usage(input=20, cache_read=80)),
        BlockStart(0, Text("")), BlockDelta(0, "hi"), BlockEnd(0), ReplyEnd("end", usage=Usage(output=9, reasoning=3)),
    ]  # fmt: skip
    events_out, _, _ = encode_stream(events)
    assert without_nulls(events_out[0]["message"]["usage"]) == {
        "input_tokens": 20,
        "output_tokens": 0,
        "cache_read_input_tokens": 80,
    }
    assert without_nulls(events_out[-2]["usage"]) == {
        "input_tokens": 20,
        "output_tokens": 9,
        "cache_read_input_tokens": 80,
        "output_tokens_details": {"thinking_tokens": 3},
    }
    assert without_nulls(events_out[-2]["delta"]) == {"stop_reason": "end_turn"}


def without_nulls(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


# `required` in the published schema
# https://platform.claude.com/docs/en/api/messages/create
MESSAGE_KEYS = {
    *("id", "type", "role", "content", "model", "stop_reason", "stop_sequence", "stop_details", "usage", "container")
}
DELTA_USAGE_KEYS = {
    *("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"),
    *("output_tokens_details", "server_tool_use"),
}
USAGE_KEYS = DELTA_USAGE_KEYS | {"cache_creation", "service_tier", "inference_geo"}


@pytest.mark.parametrize("usage", [None, Usage(3, 2), Usage(3, 2, 1, 0, 1)])
def test_all_required_keys_are_present(usage: Usage | None) -> None:
    neutral = reply(Text("hi"), usage=usage)
    body, _ = PROTOCOL.encode_reply(neutral, make_context())
    events_out, _, _ = encode_stream(list(unfold(neutral)))
    for message in (body, events_out[0]["message"]):
        assert set(message) == MESSAGE_KEYS
        assert set(message["usage"]) == USAGE_KEYS
    assert set(events_out[-2]["delta"]) == {"stop_reason", "stop_sequence", "stop_details", "container"}
    assert set(events_out[-2]["usage"]) == DELTA_USAGE_KEYS


def test_the_default_caller_is_no_extra_field() -> None:
    call = {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}, "caller": {"type": "direct"}}
    body: dict[str, Any] = {"type": "message", "content": [call], "stop_reason": "tool_use"}
    assert PROTOCOL.decode_reply(body, SENT, new_id()).blocks == (ToolCall("c1", "f", '{"a":1}'),)


def test_a_failure_in_band_ends_the_stream_without_success() -> None:
    events: list[Event] = [
        ReplyStart("openai-chat", "x", "y"), BlockStart(0, Text("")), BlockDelta(0, "hi"),
        failure("upstream_cut", "It broke."),
    ]  # fmt: skip
    events_out, _, raw = encode_stream(events)
    assert [event["type"] for event in events_out][-1] == "error"
    assert events_out[-1]["error"] == {"type": "api_error", "message": "It broke."}
    assert b"message_stop" not in raw
    assert isinstance(fold(decode_stream([raw])), Failure)


# ---- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "error_type", "status"),
    [
        ("bad_request", "invalid_request_error", 400),
        ("context_length", "invalid_request_error", 400),
        ("authentication", "authentication_error", 401),
        ("permission", "permission_error", 403),
        ("model_not_found", "not_found_error", 404),
        ("too_large", "request_too_large", 413),
        ("rate_limit", "rate_limit_error", 429),
        ("upstream_garbage", "api_error", 502),
        ("overloaded", "overloaded_error", 529),
        ("upstream_timeout", "timeout_error", 504),
    ],
)
def test_failure_out(kind: str, error_type: str, status: int) -> None:
    body = PROTOCOL.encode_failure(failure(kind, "why"), "req-1")
    text = "prompt is too long: why" if kind == "context_length" else "why"
    assert body == {"type": "error", "error": {"type": error_type, "message": text}, "request_id": "req-1"}
    assert PROTOCOL.failure_status.get(kind, STATUS[kind]) == status


TOO_LONG = (
    "prompt is too long: 209120 tokens > 200000 maximum",
    "input length and `max_tokens` exceed context limit: 199000 + 8192 > 200000",
)


@pytest.mark.parametrize("text", TOO_LONG)
def test_the_phrase_for_overlong_prompts_is_not_repeated(text: str) -> None:
    body = PROTOCOL.encode_failure(failure("context_length", text), "req-1")
    assert body["error"]["message"] == text


def test_the_error_type_of_a_loss_follows_its_status() -> None:
    make_context = PROTOCOL.encode_failure(failure("loss", "why"), "req-1")
    events_out = PROTOCOL.encode_failure(Failure("loss", "why", 502), "req-1")
    assert (make_context["error"]["type"], events_out["error"]["type"]) == ("invalid_request_error", "api_error")


@pytest.mark.parametrize(
    ("status", "error_type", "message", "kind", "passed"),
    [
        (400, "invalid_request_error", "temperature: range: 0..1", "bad_request", True),
        (400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", "context_length", True),
        (400, "invalid_request_error", "input length and `max_tokens` exceed context limit: 9", "context_length", True),
        (400, "invalid_request_error", "Output blocked by content filtering policy", "content_filter", True),
        (401, "authentication_error", "invalid x-api-key", "upstream_auth", False),
        (403, "permission_error", "no", "upstream_auth", False),
        (404, "not_found_error", "model: claude-nine", "model_not_found", True),
        (413, "request_too_large", "too big", "too_large", True),
        (429, "rate_limit_error", "slow down", "rate_limit", True),
        (500, "api_error", "its own trouble", "upstream_error", True),
        (529, "overloaded_error", "Overloaded", "overloaded", True),
    ],
)  # fmt: skip
def test_failure_in(status: int, error_type: str, message: str, kind: str, passed: bool) -> None:
    body = json.dumps({"type": "error", "error": {"type": error_type, "message": message}}).encode()
    got = PROTOCOL.decode_failure(status, body, 7.0)
    assert (got.kind, got.status, got.retry_after) == (kind, STATUS[kind], 7.0)
    assert (got.message == message) == passed
    inside = fold(decode_stream([b"event: error\ndata: " + body + b"\n\n"]))
    assert isinstance(inside, Failure)
    assert inside.kind == kind


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'"x"', b'{"error": "x"}'])
def test_an_error_body_of_any_shape_is_a_failure(body: bytes) -> None:
    assert PROTOCOL.decode_failure(502, body, None).kind == "upstream_error"


# ---- vendor examples -------------------------------------------------------------------------------------------------


def evidence(name: str) -> dict[str, Any]:
    evidence_file: dict[str, Any] = json.loads((EVIDENCE / f"{name}.json").read_text())
    assert evidence_file["source"].startswith("https://")
    return evidence_file


ARGUMENTS = '{"location": "San Francisco, CA", "unit": "fahrenheit"}'
FOUND = "https://world-weather.info/forecast/usa/new_york/may-2025/"
EVIDENCE_REPLIES: dict[str, tuple[tuple[Any, ...], str, Usage]] = {
    "text-reply": (("Hi! My name is Claude.",), "end", Usage(2095, 503)),
    "tool-reply": (
        ("I'll check the current weather in San Francisco for you.",
         ("toolu_01A09q90qw90lq917835lq9", "get_weather", {"location": "San Francisco, CA", "unit": "celsius"})),
        "tool", Usage(472, 65, 100, 0)),
    "thinking-reply": (
        ("Let me analyze this step by step...", "", "Based on my analysis..."), "end", Usage(40, 120, reasoning=80)),
    "text-stream": (("Hello!",), "end", Usage(25, 15)),
    "tool-stream": (
        ("Okay, let's check the weather for San Francisco, CA:",
         ("toolu_01T1x1fJ34qAmk2tNTrN7Up6", "get_weather", json.loads(ARGUMENTS))), "tool", Usage(472, 89)),
    "thinking-stream": (
        ("I need to find the GCD of 1071 and 462 using the Euclidean algorithm.",
         "The greatest common divisor of 1071 and 462 is **21**."), "end", Usage(40, 60)),
    "web-search-stream": (
        ("server_tool_use", "web_search_tool_result", "It is clear, at 75 degrees."), "end", Usage(10682, 510, 0, 0)),
}  # fmt: skip


def decode_evidence(evidence_file: dict[str, Any]) -> Reply:
    if evidence_file["kind"] == "reply":
        return PROTOCOL.decode_reply(evidence_file["body"], SENT, new_id())
    got = fold(decode_stream([evidence_file["stream"].encode()]))
    assert isinstance(got, Reply)
    return got


def summary(one: Any) -> Any:
    match one:
        case ToolCall(id_, name, arguments):
            return (id_, name, json.loads(arguments))
        case Opaque(_, kind):
            return kind
        case _:
            return one.text


@pytest.mark.parametrize("name", EVIDENCE_REPLIES)
def test_evidence_of_replies(name: str) -> None:
    blocks, stop, usage = EVIDENCE_REPLIES[name]
    got = decode_evidence(evidence(name))
    assert (tuple(summary(one) for one in got.blocks), got.stop, got.usage) == (blocks, stop, usage)


def test_evidence_of_signatures_and_citations() -> None:
    thought, redacted, _ = decode_evidence(evidence("thinking-reply")).blocks
    assert isinstance(thought, Reasoning)
    assert isinstance(redacted, Reasoning)
    assert thought.signature is not None
    assert (thought.signature.value[:8], thought.signature.issuer, redacted.redacted) == ("WaUjzkyp", NAME, True)
    cited = decode_evidence(evidence("web-search-stream")).blocks[2]
    assert isinstance(cited, Text)
    assert [citation.url for citation in cited.citations] == [FOUND]


def test_evidence_of_requests() -> None:
    request = decode_request(evidence("tools-request")["body"])
    assert [turn.role for turn in request.turns] == ["system", "user", "assistant", "user"]
    assert (request.max_tokens, request.parallel, request.tool_choice) == (1024, False, ToolChoice("auto"))
    assert [type(one).__name__ for one in request.turns[3].blocks] == ["ToolResult", "ToolResult", "Text"]
    assert [one.error for one in request.turns[3].blocks if isinstance(one, ToolResult)] == [False, True]
    later = decode_request(evidence("system-request")["body"])
    assert [turn.role for turn in later.turns] == ["user", "system", "assistant", "user"]


def test_evidence_of_errors() -> None:
    evidence_file = evidence("error")
    got = PROTOCOL.decode_failure(evidence_file["status"], json.dumps(evidence_file["body"]).encode(), None)
    assert (got.kind, got.message) == ("not_found", "The requested resource could not be found.")
    assert comparable(decode_stream([evidence("error-stream")["stream"].encode()])[0]) == "overloaded"


@pytest.mark.parametrize("name", ["tools-request", "system-request"])
def test_evidence_of_requests_round_trips(name: str) -> None:
    body = evidence(name)["body"]
    sent, losses = encode_request(decode_request(body), body["model"])
    assert decode_request(sent) == decode_request(body)
    assert losses == []


# ---- properties ------------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
IDS = st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True)
OBJECTS = st.dictionaries(TEXTS, st.one_of(TEXTS, st.integers(), st.booleans(), st.none()), max_size=3)
OWN_SIGNATURES = st.builds(Signature, IDS.map(lambda text: f"sig-{text}"), st.just(NAME), st.just(NAME))
ANY_BLOCK = st.one_of(
    st.builds(Text, TEXTS),
    st.builds(Reasoning, TEXTS, st.none() | OWN_SIGNATURES),
    st.builds(Reasoning, st.just(""), OWN_SIGNATURES, redacted=st.just(True)),
    st.builds(ToolCall, IDS, IDS, OBJECTS.map(lambda value: json.dumps(value))),
    st.builds(
        lambda id_, value: Opaque(NAME, "server_tool_use", {"type": "server_tool_use", "id": id_, "input": value}),
        IDS, OBJECTS),
)  # fmt: skip
COUNTS = st.integers(0, 10**9)
REPLIES = st.builds(
    lambda blocks, stop, usage: Reply(
        protocol=NAME, id="msg_1", model="m", blocks=tuple(blocks),
        stop="tool" if any(isinstance(one, ToolCall) for one in blocks) and stop == "end" else stop,
        matched="END" if stop == "stop_sequence" else None, usage=usage),
    st.lists(ANY_BLOCK, max_size=5),
    st.sampled_from(["end", "length", "stop_sequence", "filter", "pause"]),
    st.builds(
        lambda new, thought, rest, read, written: Usage(new, (thought or 0) + rest, read, written, thought),
        COUNTS, st.none() | COUNTS, COUNTS, st.none() | COUNTS, st.none() | COUNTS),
)  # fmt: skip


def normalized(answer: Reply) -> tuple[Any, ...]:
    """Returns the parts of a reply to compare, with normalized whitespace in arguments."""
    blocks = tuple(
        replace(one, arguments=json.dumps(json.loads(one.arguments or "{}"))) if isinstance(one, ToolCall) else one
        for one in answer.blocks
    )
    return blocks, answer.stop, answer.matched, answer.usage


@given(REPLIES)
def test_a_reply_round_trips_as_body_and_stream(answer: Reply) -> None:
    body, losses = PROTOCOL.encode_reply(answer, make_context())
    assert losses == []
    assert normalized(
        PROTOCOL.decode_reply(json_fields.parse_object(json_fields.encode(body)), SENT, new_id())
    ) == normalized(answer)
    _, losses, raw = encode_stream(list(unfold(answer)))
    assert losses == []
    streamed = fold(decode_stream([raw]))
    assert isinstance(streamed, Reply)
    assert normalized(streamed) == normalized(answer)


@given(REPLIES, st.lists(st.integers(0, 5000), max_size=6))
def test_chunk_boundaries_do_not_matter(answer: Reply, cuts: list[int]) -> None:
    raw = encode_stream(list(unfold(answer)))[2]
    boundaries = sorted({0, len(raw), *(cut % len(raw) for cut in cuts)})
    assert decode_stream([raw[a:b] for a, b in itertools.pairwise(boundaries)]) == decode_stream([raw])


EMPTY_MESSAGE = {"role": "user", "content": ""}

HISTORY_BLOCK = st.one_of(
    st.builds(Text, st.sampled_from(["", " ", "a", "b "])),
    st.builds(ToolCall, st.sampled_from("xyz"), IDS),
    st.builds(ToolResult, st.sampled_from("xyz"), st.just(())),
    st.builds(Reasoning, TEXTS),
)
ROLES = st.sampled_from(["system", "developer", "user", "assistant"])
HISTORIES = st.lists(st.builds(Turn, ROLES, st.lists(HISTORY_BLOCK, max_size=3).map(tuple)), min_size=1, max_size=7)


@given(HISTORIES, st.sampled_from(["claude-sonnet-4-5", "claude-opus-4-8"]))
def test_any_history_becomes_a_valid_conversation(turns: list[Turn], name: str) -> None:
    sent, losses = encode_request(make_request(*turns), name)
    open_calls: list[str] = []
    before = ""
    # without any content there must be one empty message
    for message in sent["messages"] if sent["messages"] != [EMPTY_MESSAGE] else ():
        content = message["content"]
        parts = [text(content)] if type(content) is str else content
        assert parts
        assert all(part["text"].strip() for part in parts if part["type"] == "text")
        results = [part["tool_use_id"] for part in parts if part["type"] == "tool_result"]
        assert [part["type"] for part in parts[: len(results)]] == ["tool_result"] * len(results)
        assert sorted(results) == sorted(open_calls)
        open_calls = [part["id"] for part in parts if part["type"] == "tool_use"]
        assert message["role"] != "system" or before == "user"
        before = message["role"]
    assert open_calls == []
    history_calls = sum(isinstance(one, ToolCall | ToolResult) for turn in turns for one in turn.blocks)
    kept = sum(part["type"].startswith("tool_") for m in sent["messages"] if type(m["content"]) is list
               for part in m["content"])  # fmt: skip
    assert history_calls - kept == sum(loss.feature == "orphan" for loss in losses)
