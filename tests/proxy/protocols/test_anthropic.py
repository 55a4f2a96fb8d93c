"""Anthropic Messages, both ways: literal wire against neutral form, the vendor's own words, and the laws.

Nothing here asks another dialect; what is foreign is written in the neutral form by hand.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from pydantic import TypeAdapter

from proxy import seals, wire
from proxy.errors import STATUS, Malformed, failure
from proxy.framing import SSE
from proxy.ir import (
    Citation,
    Close,
    Delta,
    Document,
    Event,
    Failure,
    Finish,
    Format,
    Image,
    Loss,
    Media,
    Opaque,
    Open,
    Reasoning,
    Refusal,
    Reply,
    Request,
    Sampling,
    Seal,
    Signature,
    Start,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Usage,
    fold,
    unfold,
)
from proxy.protocols.anthropic import PROTOCOL
from proxy.protocols.contract import Asked, Sent, Target, Where

NAME = "anthropic"
EVIDENCE = Path(__file__).parents[2] / "evidence" / NAME
EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
SENT = Sent({}, (), Target("claude-sonnet-4-5", NAME))


def new_id() -> Callable[[str], str]:
    numbers = itertools.count(1)
    return lambda prefix: f"{prefix}{next(numbers)}"


def decode(body: dict[str, Any]) -> Request:
    return PROTOCOL.decode_request(json.loads(json.dumps(body)), Where())


def ask(*turns: Turn, dialect: str = "openai-chat", **fields: Any) -> Request:
    return Request(dialect=dialect, model="m", turns=turns or (Turn("user", (Text("hi"),)),), **fields)


def send(request: Request, model: str = "claude-sonnet-4-0", **target: Any) -> tuple[dict[str, Any], list[Loss]]:
    sent = PROTOCOL.encode_request(request, Target(model, NAME, **target))
    payload: dict[str, Any] = wire.parse_object(wire.encode(sent.payload))
    return payload, list(sent.losses)


def asked(**fields: Any) -> Asked:
    return Asked(ask(dialect=NAME, **fields), "req-1", 1_700_000_000, new_id())


def reply(*blocks: Any, dialect: str = "openai-chat", stop: Any = "end", **fields: Any) -> Reply:
    return Reply(dialect=dialect, id="up-1", model="up", blocks=blocks, stop=stop, **fields)


def listen(chunks: Sequence[bytes], sent: Sent = SENT) -> list[Event]:
    framing, decoder, events = SSE(), PROTOCOL.stream_decoder(sent, new_id()), []
    for chunk in chunks:
        if whole := framing.cut(chunk):
            for frame in framing.parse(whole):
                events += decoder.feed(frame)
    for frame in framing.rest():
        events += decoder.feed(frame)
    return events + decoder.close()


def tell(events: Sequence[Event], *, at_once: bool = True) -> tuple[list[dict[str, Any]], list[Loss], bytes]:
    encoder = PROTOCOL.stream_encoder(asked(stream=True))
    raw = encoder.encode(events) if at_once else b"".join(encoder.encode([event]) for event in events)
    framing = SSE()
    frames = framing.parse(framing.cut(raw))
    told = [json.loads(frame.data) for frame in frames]
    assert [frame.event for frame in frames] == [event["type"] for event in told]
    return told, encoder.losses, raw


def must_be_strict(told: list[dict[str, Any]]) -> None:
    """What a strict client asks of a stream: known events, one block open at a time, indices without gaps."""
    following, is_open = 0, False
    for event in told:
        if event["type"] != "error":
            EVENT.validate_python(event, strict=True)
        match event["type"]:
            case "content_block_start":
                assert (event["index"], is_open) == (following, False)
                is_open = True
            case "content_block_delta":
                assert (event["index"], is_open) == (following, True)
            case "content_block_stop":
                assert (event["index"], is_open) == (following, True)
                following, is_open = following + 1, False
    assert not is_open


def stream(*events: dict[str, Any]) -> bytes:
    return b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events)


def begin(**usage: Any) -> dict[str, Any]:
    return {"type": "message_start", "message": {"id": "msg_9", "model": "claude", "usage": usage}}


def block(index: int, shape: dict[str, Any], *deltas: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    return (
        {"type": "content_block_start", "index": index, "content_block": shape},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    )


def end(stop: str = "end_turn", **usage: Any) -> tuple[dict[str, Any], ...]:
    return (
        {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    )


# ---- the client's request --------------------------------------------------------------------------------------------

MINE = Signature("sig", NAME)
TOKEN = seals.for_client(Signature("tide", "gemini", "gemini"), NAME)
FOREIGN = Signature("tide", NAME, "gemini")

CONTENTS: list[tuple[str, Any, tuple[Any, ...]]] = [
    ("a string", "hi", (Text("hi"),)),
    ("text with a cache mark", [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}],
     (Text("hi", own={"cache_control": {"type": "ephemeral"}}),)),
    ("an image in base64",
     [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}],
     (Image(Media("image/png", "iVBO")),)),
    ("an image by its address", [{"type": "image", "source": {"type": "url", "url": "https://a/b.png"}}],
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
    ("signed thinking", [{"type": "thinking", "thinking": "hm", "signature": "sig"}], (Reasoning("hm", MINE),)),
    ("thinking whose text is left out", [{"type": "thinking", "thinking": "", "signature": "sig"}],
     (Reasoning("", MINE),)),
    ("unsigned thinking", [{"type": "thinking", "thinking": "hm", "signature": ""}], (Reasoning("hm"),)),
    ("redacted thinking", [{"type": "redacted_thinking", "data": "sig"}], (Reasoning("", MINE, redacted=True),)),
    ("a foreign seal before its call",
     [{"type": "thinking", "thinking": "", "signature": TOKEN},
      {"type": "tool_use", "id": "t1", "name": "f", "input": {}}],
     (ToolCall("t1", "f", "{}", seal=FOREIGN),)),
    ("foreign seals on two calls",
     [{"type": "thinking", "thinking": "", "signature": TOKEN},
      {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
      {"type": "thinking", "thinking": "", "signature": TOKEN},
      {"type": "tool_use", "id": "t2", "name": "f", "input": {}}],
     (ToolCall("t1", "f", "{}", seal=FOREIGN), ToolCall("t2", "f", "{}", seal=FOREIGN))),
    ("a foreign seal that nothing follows",
     [{"type": "text", "text": "hi"}, {"type": "thinking", "thinking": "", "signature": TOKEN}],
     (Text("hi"), Text("", seal=FOREIGN))),
    ("foreign thinking with words stays thinking",
     [{"type": "thinking", "thinking": "hm", "signature": TOKEN}], (Reasoning("hm", FOREIGN),)),
    ("foreign redacted thinking stays by itself",
     [{"type": "redacted_thinking", "data": TOKEN}, {"type": "text", "text": "hi"}],
     (Reasoning("", FOREIGN, redacted=True), Text("hi"))),
    ("a hosted tool's call",
     [{"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}}],
     (Opaque(NAME, "server_tool_use",
             {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}}),)),
    ("a block unknown today", [{"type": "hologram", "x": 1}],
     (Opaque(NAME, "hologram", {"type": "hologram", "x": 1}),)),
    ("a search result is its text",
     [{"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "found"}]}],
     (Text("found", own={"search_result": {"type": "search_result", "source": "s", "title": "t",
                                           "content": [{"type": "text", "text": "found"}]}}),)),
]  # fmt: skip


@pytest.mark.parametrize(("content", "blocks"), [row[1:] for row in CONTENTS], ids=[row[0] for row in CONTENTS])
def test_content(content: Any, blocks: tuple[Any, ...]) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "assistant", "content": content}]}
    request = decode(body)
    assert request.turns == (Turn("assistant", blocks),)
    assert request.own is None


FIELDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("the bound", {"max_tokens": 7}, {"max_tokens": 7}),
    ("sampling", {"temperature": 0.5, "top_p": 0.9, "top_k": 5}, {"sampling": Sampling(0.5, 0.9, 5)}),
    ("stops", {"stop_sequences": ["a", "b"]}, {"stop": ("a", "b")}),
    ("the user", {"metadata": {"user_id": "u-1"}}, {"user": "u-1", "own": None}),
    ("any tool", {"tool_choice": {"type": "any"}}, {"tool_choice": ToolChoice("required"), "parallel": None}),
    ("one tool, one call", {"tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True}},
     {"tool_choice": ToolChoice("named", ("f",)), "parallel": False}),
    ("no tool", {"tool_choice": {"type": "none"}}, {"tool_choice": ToolChoice("none"), "parallel": None}),
    ("a budget", {"thinking": {"type": "enabled", "budget_tokens": 2048}},
     {"reasoning": Thinking(budget=2048, enabled=True)}),
    ("adaptive thinking, shown", {"thinking": {"type": "adaptive", "display": "summarized"},
                                  "output_config": {"effort": "low"}},
     {"reasoning": Thinking("low", None, True, "auto"), "own": None}),
    ("no thinking", {"thinking": {"type": "disabled"}}, {"reasoning": Thinking(enabled=False)}),
    ("the most effort", {"output_config": {"effort": "max"}}, {"reasoning": Thinking("xhigh", own={"effort": "max"})}),
    ("a schema", {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
     {"format": Format("json_schema", {"type": "object"}), "own": None}),
    ("the beta's schema", {"output_format": {"type": "json_schema", "schema": {"type": "object"}}},
     {"format": Format("json_schema", {"type": "object"}), "own": None}),
    ("a tool", {"tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": True}]},
     {"tools": (Tool("f", "d", {"type": "object"}, True),)}),
    ("a hosted tool", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
     {"tools": (Opaque(NAME, "web_search_20250305", {"type": "web_search_20250305", "name": "web_search"}),)}),
    ("what nobody knows", {"container": "c1"}, {"own": {"container": "c1"}}),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "meaning"), [row[1:] for row in FIELDS], ids=[row[0] for row in FIELDS])
def test_request_fields(fields: dict[str, Any], meaning: dict[str, Any]) -> None:
    request = decode({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **fields})
    assert {key: getattr(request, key) for key in meaning} == meaning


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
def test_a_bad_request_names_its_place(body: dict[str, Any], path: str) -> None:
    with pytest.raises(Malformed) as fault:
        decode(body)
    assert fault.value.path == path


# ---- the backend's request -------------------------------------------------------------------------------------------


def user(*blocks: Any) -> Turn:
    return Turn("user", blocks)


def model(*blocks: Any) -> Turn:
    return Turn("assistant", blocks)


def said(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


CALL = ToolCall("c1", "f", '{"a": 1}')
CALLED = {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}
OTHER = ToolCall("c2", "f", "")
ALSO_CALLED = {"type": "tool_use", "id": "c2", "name": "f", "input": {}}


def result(id_: str, text: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id_, "content": text}


CONVERSATIONS: list[tuple[str, tuple[Turn, ...], dict[str, Any], list[tuple[str, str]]]] = [
    ("the leading run is the system field",
     (Turn("system", (Text("a"),)), Turn("developer", (Text("b"),)), user(Text("hi"))),
     {"system": [said("a"), said("b")], "messages": [{"role": "user", "content": "hi"}]}, []),
    ("a later instruction is folded in its place",
     (user(Text("hi")), model(Text("yes")), Turn("system", (Text("be brief"),)), user(Text("go"))),
     {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"},
                   {"role": "user", "content": [said("be brief"), said("go")]}]},
     [("turns[2]", "role")]),
    ("nothing but instructions is the user's",
     (Turn("system", (Text("a"),)),), {"messages": [{"role": "user", "content": "a"}]}, [("turns[0]", "role")]),
    ("turns of one role are one message",
     (user(Text("a")), user(Text("b"))), {"messages": [{"role": "user", "content": [said("a"), said("b")]}]}, []),
    ("blank texts are left out",
     (user(Text("hi"), Text(" \n")), model(Text(""), CALL), user(ToolResult("c1", (Text(""),)))),
     {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [CALLED]},
                   {"role": "user", "content": [result("c1", "")]}]}, []),
    ("results of one round are one message, first in it",
     (user(Text("hi")), model(CALL, OTHER), user(ToolResult("c1", (Text("1"),)), Text("and"),
                                                 ToolResult("c2", (Text("2"),), error=True))),
     {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [CALLED, ALSO_CALLED]},
                   {"role": "user",
                    "content": [result("c1", "1"), {**result("c2", "2"), "is_error": True}, said("and")]}]}, []),
    ("an instruction between call and result waits until after it",
     (user(Text("hi")), model(CALL), Turn("system", (Text("s"),)), user(ToolResult("c1", (Text("1"),)))),
     {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [CALLED]},
                   {"role": "user", "content": [result("c1", "1"), said("s")]}]}, [("turns[2]", "role")]),
    ("orphans go",
     (user(Text("hi")), model(Text("so"), CALL), user(ToolResult("c9", (Text("1"),)), Text("hm"))),
     {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "so"},
                   {"role": "user", "content": "hm"}]},
     [("turns[1].blocks[1]", "orphan"), ("turns[2].blocks[0]", "orphan")]),
    ("a second call under one id goes",
     (user(Text("hi")), model(CALL, CALL), user(ToolResult("c1", (Text("1"),)))),
     {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [CALLED]},
                   {"role": "user", "content": [result("c1", "1")]}]}, [("turns[1].blocks[1]", "orphan")]),
    ("an image within a result",
     (user(Text("hi")), model(CALL), user(ToolResult("c1", (Text("see"), Image(Media("image/png", "iVBO")))))),
     {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [CALLED]},
                   {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": [
                       said("see"),
                       {"type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}]}]}]}, []),
    ("unsigned thinking is dropped, and foreign seals",
     (user(Text("hi")), model(Reasoning("hm", FOREIGN), Text("yes", seal=FOREIGN)), user(Text("go"))),
     {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"},
                   {"role": "user", "content": "go"}]},
     [("turns[1].blocks[0].seal", "signature"), ("turns[1].blocks[0]", "reasoning_text"),
      ("turns[1].blocks[1].seal", "signature")]),
    ("its own seal comes home",
     (user(Text("hi")), model(Reasoning("hm", Signature("s", "openai-chat", NAME)), Text("yes")), user(Text("go"))),
     {"messages": [{"role": "user", "content": "hi"},
                   {"role": "assistant",
                    "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, said("yes")]},
                   {"role": "user", "content": "go"}]}, []),
    ("arguments that are no object are wrapped",
     (user(Text("hi")), model(ToolCall("c1", "f", "oops")), user(ToolResult("c1", (Text("1"),)))),
     {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [
         {"type": "tool_use", "id": "c1", "name": "f", "input": {"input": "oops"}}]},
         {"role": "user", "content": [result("c1", "1")]}]}, [("turns[1].blocks[0]", "tool_arguments")]),
    ("a refusal is text", (user(Text("hi")), model(Refusal("no")), user(Text("go"))),
     {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "no"},
                   {"role": "user", "content": "go"}]}, [("turns[1].blocks[0]", "refusal")]),
    ("a picture of a kind that it cannot take", (user(Text("see"), Image(Media("image/bmp", "Qk0="))),),
     {"messages": [{"role": "user", "content": "see"}]}, [("turns[0].blocks[1]", "image")]),
    ("a text file is plain text", (user(Document(Media("text/csv", "YSxi", name="t.csv"))),),
     {"messages": [{"role": "user", "content": [{"type": "document", "title": "t.csv", "source":
      {"type": "text", "media_type": "text/plain", "data": "a,b"}}]}]}, []),
    ("a prefill has no space at its end", (user(Text("hi")), model(Text("So "))),
     {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "So"}]}, []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("turns", "payload", "losses"), [row[1:] for row in CONVERSATIONS], ids=[row[0] for row in CONVERSATIONS]
)
def test_conversation(turns: tuple[Turn, ...], payload: dict[str, Any], losses: list[tuple[str, str]]) -> None:
    sent, lost = send(ask(*turns))
    assert {key: sent.get(key) for key in ("system", "messages")} == {"system": None, **payload}
    assert [(loss.path, loss.feature) for loss in lost] == losses


def test_ids_are_made_to_fit_and_still_pair() -> None:
    turns = (
        user(Text("hi")),
        model(ToolCall("call.1:x", "f"), ToolCall("call 1:x", "f")),
        user(ToolResult("call.1:x", ()), ToolResult("call 1:x", ())),
    )
    sent, losses = send(ask(*turns))
    calls = [said["id"] for said in sent["messages"][1]["content"]]
    assert [said["tool_use_id"] for said in sent["messages"][2]["content"]] == calls
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
    ("the default bound", {}, "claude-sonnet-4-0", {"max_tokens": 8192}, []),
    ("the client's bound", {"max_tokens": 5}, "claude-sonnet-4-0", {"max_tokens": 5}, []),
    ("a high temperature", {"sampling": Sampling(1.5)}, "claude-sonnet-4-0", {"temperature": 1.0},
     [("sampling.temperature", "temperature", "approximated")]),
    ("what it cannot sample", {"sampling": Sampling(seed=1, frequency_penalty=0.5, presence_penalty=0)},
     "claude-sonnet-4-0", {}, [("sampling.seed", "seed", "dropped"),
                               ("sampling.frequency_penalty", "penalties", "dropped")]),
    ("both of two that exclude each other", {"sampling": Sampling(0.5, 0.9)}, "claude-haiku-4-5-20251001",
     {"temperature": 0.5}, [("sampling.top_p", "top_p", "dropped")]),
    ("both on an older model", {"sampling": Sampling(0.5, 0.9)}, "claude-sonnet-4-20250514",
     {"temperature": 0.5, "top_p": 0.9}, []),
    ("a model that samples as it likes", {"sampling": Sampling(0.5, 0.9, 3)}, "claude-opus-5", {},
     [("sampling.temperature", "temperature", "dropped"), ("sampling.top_p", "top_p", "dropped"),
      ("sampling.top_k", "top_k", "dropped")]),
    ("the same, asked for its default", {"sampling": Sampling(1, 1)}, "claude-opus-5", {}, []),
    ("stops", {"stop": ("a", "\n", "b")}, "claude-sonnet-4-0", {"stop_sequences": ["a", "b"]},
     [("stop[1]", "stop", "dropped")]),
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
    ("any where it may not be asked", {"tools": (F,), "tool_choice": ToolChoice("required")}, "claude-opus-5-5",
     {"tools": [WIRE_F], "tool_choice": {"type": "auto"}}, [("tool_choice", "tool_choice", "approximated")]),
    ("a subset that is all of them", {"tools": (F, G), "tool_choice": ToolChoice("required", ("f", "g"))},
     "claude-sonnet-4-0", {"tools": [WIRE_F, WIRE_G], "tool_choice": {"type": "any"}}, []),
    ("a subset", {"tools": (F, G), "tool_choice": ToolChoice("required", ("g",))}, "claude-sonnet-4-0",
     {"tools": [WIRE_G], "tool_choice": {"type": "any"}}, [("tool_choice", "allowed_tools", "approximated")]),
    ("a free-text tool", {"tools": (Tool("p", "d", kind="custom"),)}, "claude-sonnet-4-0",
     {"tools": [{"name": "p", "description": "d", "input_schema": {
         "type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}}]},
     [("tools[0]", "custom_tool", "approximated")]),
    ("a strict tool", {"tools": (Tool("f", None, ANSWER, True),)}, "claude-sonnet-4-5",
     {"tools": [{"name": "f", "strict": True, "input_schema": CLOSED}]},
     [("tools[0].parameters.properties.n.minimum", "tool_strict", "approximated")]),
    ("a strict tool on an older model", {"tools": (replace(F, strict=True),)}, "claude-sonnet-4-0",
     {"tools": [WIRE_F]}, [("tools[0].strict", "tool_strict", "dropped")]),
    ("a schema", {"format": Format("json_schema", ANSWER, "answer")}, "claude-sonnet-4-5",
     {"output_config": {"format": {"type": "json_schema", "schema": CLOSED}}},
     [("format.schema.properties.n.minimum", "json_schema", "approximated")]),
    ("a schema on an older model", {"format": Format("json_schema", {"type": "object"})}, "claude-sonnet-4-0",
     {"system": 'Answer with JSON that fits this JSON Schema and nothing else, no prose, no code fence: '
                '{"type":"object"}'}, [("format", "json_schema", "approximated")]),
    ("a schema that comes back to itself", {"format": Format("json_schema", LOOP)}, "claude-sonnet-4-5",
     {"system": 'Answer with JSON that fits this JSON Schema and nothing else, no prose, no code fence: '
                '{"type":"object","properties":{"next":{"$ref":"#/$defs/loop"}},'
                '"$defs":{"loop":{"anyOf":[{"type":"null"},{"$ref":"#/$defs/loop"}]}}}'},
     [("format", "json_schema", "approximated")]),
    ("a strict tool whose schema comes back to itself", {"tools": (Tool("f", None, LOOP, True),)}, "claude-sonnet-4-5",
     {"tools": [{"name": "f", "input_schema": LOOP}]}, [("tools[0].strict", "tool_strict", "dropped")]),
    ("some JSON", {"format": Format("json_object")}, "claude-sonnet-4-5",
     {"system": "Answer with one JSON object and nothing else: no prose, no code fence."},
     [("format", "json_object", "approximated")]),
    ("thoughts to be shown, and nothing to think", {"reasoning": Thinking(summary="auto")}, "claude-haiku-4-5",
     {}, [("reasoning.summary", "reasoning", "dropped")]),
    ("an effort as a budget", {"reasoning": Thinking("low")}, "claude-haiku-4-5",
     {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 9216},
     [("reasoning", "reasoning", "approximated")]),
    ("more effort than there is room for", {"reasoning": Thinking("xhigh")}, "claude-haiku-4-5",
     {"thinking": {"type": "enabled", "budget_tokens": 23808}, "max_tokens": 32000},
     [("reasoning", "reasoning", "approximated")]),
    ("a budget", {"reasoning": Thinking(budget=4000), "max_tokens": 9000}, "claude-haiku-4-5",
     {"thinking": {"type": "enabled", "budget_tokens": 4000}, "max_tokens": 9000}, []),
    ("a budget above the bound", {"reasoning": Thinking(budget=9000), "max_tokens": 4000}, "claude-haiku-4-5",
     {"thinking": {"type": "enabled", "budget_tokens": 3000}, "max_tokens": 4000},
     [("reasoning", "reasoning", "approximated")]),
    ("no room to think", {"reasoning": Thinking("high"), "max_tokens": 500}, "claude-haiku-4-5", {"max_tokens": 500},
     [("reasoning", "reasoning", "dropped")]),
    ("an effort as it is", {"reasoning": Thinking("high", summary="auto")}, "claude-opus-4-8",
     {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "high"}}, []),
    ("more effort than the model knows", {"reasoning": Thinking("xhigh")}, "claude-opus-4-6",
     {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
     [("reasoning", "reasoning", "approximated")]),
    ("a budget where only effort counts", {"reasoning": Thinking(budget=2000)}, "anthropic/claude-opus-4.7",
     {"thinking": {"type": "adaptive"}, "output_config": {"effort": "medium"}},
     [("reasoning", "reasoning", "approximated")]),
    ("no thinking", {"reasoning": Thinking("none")}, "claude-haiku-4-5", {"thinking": {"type": "disabled"}}, []),
    ("no thinking where it cannot stop", {"reasoning": Thinking("none")}, "claude-fable-5",
     {"output_config": {"effort": "low"}}, [("reasoning", "reasoning", "approximated")]),
    ("thinking of a model that cannot", {"reasoning": Thinking("high")}, "claude-3-5-haiku-latest", {},
     [("reasoning", "reasoning", "dropped")]),
    ("a forced tool excludes a budget", {"reasoning": Thinking("low"), "tools": (F,),
                                         "tool_choice": ToolChoice("required")}, "claude-haiku-4-5",
     {"tools": [WIRE_F], "tool_choice": {"type": "any"}}, [("reasoning", "reasoning", "dropped")]),
    ("thinking samples by itself", {"reasoning": Thinking(budget=2048), "sampling": Sampling(0.2, 0.97, 4)},
     "claude-haiku-4-5", {"thinking": {"type": "enabled", "budget_tokens": 2048}, "top_p": 0.97, "max_tokens": 10240},
     [("sampling.temperature", "temperature", "dropped"), ("sampling.top_k", "top_k", "dropped")]),
    ("what chat says and nobody here knows", {"own": {"logprobs": True, "store": False}}, "claude-sonnet-4-0", {},
     [("logprobs", "logprobs", "dropped")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "name", "payload", "losses"), [row[1:] for row in ASKED], ids=[row[0] for row in ASKED]
)
def test_request_out(
    fields: dict[str, Any], name: str, payload: dict[str, Any], losses: list[tuple[str, str, str]]
) -> None:
    sent, lost = send(ask(**fields), name)
    whole = {"model": name, "max_tokens": 8192, "messages": [{"role": "user", "content": "hi"}]}
    assert sent == {**whole, **payload}
    assert [(loss.path, loss.feature, loss.how) for loss in lost] == losses


def test_manual_thinking_stops_where_the_loop_began_without_it() -> None:
    turns = (user(Text("hi")), model(CALL), user(ToolResult("c1", (Text("1"),))))
    sent, losses = send(ask(*turns, reasoning=Thinking("low")), "claude-haiku-4-5")
    assert "thinking" not in sent
    assert losses == [Loss("reasoning", "reasoning", "dropped")]
    thought = Reasoning("hm", Signature("s", "openai-chat", NAME))
    turns = (user(Text("hi")), model(thought, CALL), user(ToolResult("c1", (Text("1"),))))
    assert send(ask(*turns, reasoning=Thinking(budget=2048)), "claude-haiku-4-5")[0]["thinking"]["type"] == "enabled"


@pytest.mark.parametrize(
    ("turns", "roles"),
    [
        (("user", "system"), ["user", "system"]),
        (("user", "system", "developer", "assistant"), ["user", "system", "assistant"]),
        (("user", "system", "user"), ["user"]),
        (("user", "assistant", "system"), ["user", "assistant", "user"]),
    ],
)
def test_a_newer_model_takes_instructions_where_they_may_stand(turns: tuple[Any, ...], roles: list[str]) -> None:
    sent, losses = send(ask(*(Turn(role, (Text("x"),)) for role in turns)), "claude-opus-4-8")
    assert [message["role"] for message in sent["messages"]] == roles
    assert bool(losses) == ("system" in turns and "system" not in roles)


def test_names_are_made_to_fit_and_come_back() -> None:
    tools = (Tool("a.b"), Tool("fn", namespace="ns"), Tool("patch", kind="custom"))
    sent = PROTOCOL.encode_request(ask(tools=tools), Target("claude-sonnet-4-0", NAME))
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
        begin(),
        *(
            event
            for i, shape in enumerate(content)
            for event in block(
                i,
                {**shape, "input": {}},
                {"type": "input_json_delta", "partial_json": '{"input'},
                {"type": "input_json_delta", "partial_json": '":"x"}'},
            )
        ),
        *end("tool_use"),
    )
    streamed = fold(listen([raw], sent))
    assert isinstance(streamed, Reply)
    assert streamed.blocks == calls


# ---- the backend's answer --------------------------------------------------------------------------------------------

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
     Text("yes", (Citation("https://a", "A", "so", 0, 3),), own={"web_citations": [WEB]})),
    ("text cited from a page", {"type": "text", "text": "yes", "citations": [WEB, PAGE]},
     [{"type": "text_delta", "text": "yes"}, {"type": "citations_delta", "citation": WEB},
      {"type": "citations_delta", "citation": PAGE}],
     Text("yes", (Citation("https://a", "A", "so", 0, 3),), own={"citations": [WEB, PAGE]})),
    ("thinking", {"type": "thinking", "thinking": "hm", "signature": "sig"},
     [{"type": "thinking_delta", "thinking": "hm"}, {"type": "signature_delta", "signature": "sig"}],
     Reasoning("hm", PROVIDER)),
    ("thinking left out", {"type": "thinking", "thinking": "", "signature": "sig"},
     [{"type": "signature_delta", "signature": "sig"}], Reasoning("", PROVIDER)),
    ("redacted thinking", {"type": "redacted_thinking", "data": "sig"}, [], Reasoning("", PROVIDER, redacted=True)),
    ("a call", {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}, "caller": PROGRAM},
     [{"type": "input_json_delta", "partial_json": ""}, {"type": "input_json_delta", "partial_json": '{"a":'},
      {"type": "input_json_delta", "partial_json": "1}"}],
     ToolCall("t", "f", '{"a":1}', own={"caller": PROGRAM})),
    ("a call without arguments", {"type": "tool_use", "id": "t", "name": "f", "input": {}},
     [{"type": "input_json_delta", "partial_json": ""}], ToolCall("t", "f", "{}")),
    ("a hosted call", {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": 1}},
     [{"type": "input_json_delta", "partial_json": '{"q":'}, {"type": "input_json_delta", "partial_json": "1}"}],
     Opaque(NAME, "server_tool_use", {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": 1}})),
    ("a block unknown today", {"type": "compaction", "content": "short"},
     [{"type": "compaction_delta", "content": "sh"}, {"type": "compaction_delta", "content": "ort"}],
     Opaque(NAME, "compaction", {"type": "compaction", "content": "short"})),
]  # fmt: skip
EMPTY = {"text": "", "thinking": "", "signature": "", "input": {}, "citations": []}


@pytest.mark.parametrize(("shape", "deltas", "meaning"), [row[1:] for row in BLOCKS], ids=[row[0] for row in BLOCKS])
def test_blocks_in_body_and_stream(shape: dict[str, Any], deltas: list[dict[str, Any]], meaning: Any) -> None:
    stop = "tool_use" if isinstance(meaning, ToolCall) else "end_turn"
    usage = {"input_tokens": 5, "output_tokens": 7}
    body = {"id": "msg_9", "type": "message", "role": "assistant", "model": "claude", "content": [shape]}
    whole = PROTOCOL.decode_reply(
        json.loads(json.dumps({**body, "stop_reason": stop, "stop_sequence": None, "usage": usage})), SENT, new_id()
    )
    assert whole.blocks == (meaning,)
    bare = {key: EMPTY.get(key, value) for key, value in shape.items()} if deltas else shape
    bare = {key: value for key, value in bare.items() if key != "content"} if shape["type"] == "compaction" else bare
    raw = stream(begin(input_tokens=5, output_tokens=1), *block(0, bare, *deltas), *end(stop, output_tokens=7))
    assert fold(listen([raw])) == whole


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
    streamed = fold(listen([stream(begin(**first), *end(**late))]))
    assert isinstance(streamed, Reply)
    assert streamed.usage == usage
    later = fold(listen([stream(begin(input_tokens=1, output_tokens=1), *end(**fields))]))
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
    told, losses = PROTOCOL.encode_reply(got, asked())
    assert (told["stop_sequence"], losses) == (
        matched,
        [Loss("stop", "stop_reason", "approximated")] * (stop == "other"),
    )
    assert told["stop_reason"] == ("tool_use" if called and native == "end_turn" else native)


DETAILS = {"type": "refusal", "category": "bio", "explanation": None}


def test_what_nobody_asked_for_is_kept() -> None:
    usage = {"input_tokens": 1, "output_tokens": 2, "service_tier": "standard"}
    body: dict[str, Any] = {
        "content": [],
        "stop_reason": "refusal",
        "stop_details": DETAILS,
        "container": None,
        "usage": usage,
    }
    got = PROTOCOL.decode_reply(body, SENT, new_id())
    assert got.own == {"stop_details": DETAILS, "usage": {"service_tier": "standard"}}
    told, losses = PROTOCOL.encode_reply(got, asked())
    assert told["stop_details"] == DETAILS
    assert told["usage"]["service_tier"] == "standard"
    assert losses == []


@pytest.mark.parametrize("category", [None, "bio"])
def test_a_refusals_words_are_a_block_and_come_back_to_their_place(category: str | None) -> None:
    """They stand beside the content, in a body as in a stream's last word, and reach clients of other dialects too."""
    details = {"type": "refusal", "category": category, "explanation": "I will not."}
    body = {"content": [], "stop_reason": "refusal", "stop_sequence": None, "stop_details": details}
    whole = PROTOCOL.decode_reply(wire.parse(wire.encode(body)), SENT, new_id())
    assert whole.blocks == (Refusal("I will not."),)
    assert whole.own == ({"stop_details": {"category": "bio"}} if category else None)
    told, losses = PROTOCOL.encode_reply(whole, asked())
    assert (told["content"], told["stop_details"], losses) == ([], details, [])
    ending = {"type": "message_delta", "delta": {"stop_reason": "refusal", "stop_details": details}, "usage": {}}
    events = listen([stream(begin(), ending, {"type": "message_stop"})])
    streamed = fold(events)
    assert isinstance(streamed, Reply)
    assert (streamed.blocks, streamed.own) == (whole.blocks, whole.own)
    events_told, losses, _ = tell(events)
    assert ([one["type"] for one in events_told], losses) == (["message_start", "message_delta", "message_stop"], [])
    assert events_told[1]["delta"]["stop_details"] == details


TEXT = block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "one"})
STREAMS: list[tuple[str, bytes, list[Event]]] = [
    ("a cut within a block", stream(begin(), *TEXT[:2]),
     [Start(NAME, "msg_9", "claude"), Open(0, Text("")), Delta(0, "one"), failure("upstream_cut", "")]),
    ("a cut before the stop reason", stream(begin(), *TEXT),
     [Start(NAME, "msg_9", "claude"), Open(0, Text("")), Delta(0, "one"), Close(0), failure("upstream_cut", "")]),
    ("an end that only lacks its last event", stream(begin(), *TEXT, end()[0]),
     [Start(NAME, "msg_9", "claude"), Open(0, Text("")), Delta(0, "one"), Close(0), Finish("end", None, "end_turn")]),
    ("OpenAI's end", stream(begin(), *TEXT, end()[0]) + b"data: [DONE]\n\n",
     [Start(NAME, "msg_9", "claude"), Open(0, Text("")), Delta(0, "one"), Close(0), Finish("end", None, "end_turn")]),
    ("an error in band", stream(begin(), {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}),
     [Start(NAME, "msg_9", "claude"), failure("overloaded", "")]),
    ("an error of another shape", b'data: {"error": {"message": "busy"}}\n\n', [failure("upstream_error", "")]),
    ("nothing", b"", [failure("upstream_cut", "")]),
    ("pings, events unknown today, padding and CRLF",
     b'event: ping\r\ndata: {"type": "ping"}   \r\n\r\n'
     + stream(begin(), {"type": "moon"}, *TEXT, *end()).replace(b"}\n\n", b"}    \r\n\r\n"),
     [Start(NAME, "msg_9", "claude"), Open(0, Text("")), Delta(0, "one"), Close(0), Finish("end", None, "end_turn")]),
    ("indices with gaps", stream(begin(), *block(3, {"type": "text", "text": "a"}), *end()),
     [Start(NAME, "msg_9", "claude"), Open(0, Text("")), Delta(0, "a"), Close(0), Finish("end", None, "end_turn")]),
]  # fmt: skip


def known(event: Event) -> Event | str:
    return event.kind if isinstance(event, Failure) else event


@pytest.mark.parametrize(("raw", "events"), [row[1:] for row in STREAMS], ids=[row[0] for row in STREAMS])
def test_streams(raw: bytes, events: list[Event]) -> None:
    assert [known(event) for event in listen([raw])] == [known(event) for event in events]
    assert listen([raw[i : i + 1] for i in range(len(raw))]) == listen([raw])


@pytest.mark.parametrize(
    "raw",
    [
        b"data: <html>\n\n",
        b'data: {"id": "x", "choices": []}\n\n',
        b'data: ["type"]\n\n',
        stream(begin(), {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}}),
        stream(begin(), TEXT[0], TEXT[0]),
        stream(begin(), TEXT[0], {"type": "content_block_delta", "index": 0,
                                  "delta": {"type": "input_json_delta", "partial_json": "x"}}),
    ],
)  # fmt: skip
def test_what_is_not_this_protocol_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        listen([raw])


@pytest.mark.parametrize("body", [{}, {"content": "hi"}, {"type": "error", "error": {}}, {"content": [{"text": "x"}]}])
def test_a_body_that_is_not_this_protocol_is_malformed(body: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        PROTOCOL.decode_reply(body, SENT, new_id())


# ---- the client's answer ---------------------------------------------------------------------------------------------

SEAL = Signature("tide", "gemini", "gemini")

ANSWERS: list[tuple[str, Reply, list[dict[str, Any]], list[tuple[str, str]]]] = [
    ("text", reply(Text("hi")), [said("hi")], []),
    ("nothing said", reply(Text("")), [], []),
    ("a refusal", reply(Refusal("no"), stop="filter"), [said("no")], [("blocks[0]", "refusal")]),
    ("thinking without proof", reply(Reasoning("hm"), Text("hi")),
     [{"type": "thinking", "thinking": "hm", "signature": ""}, said("hi")], []),
    ("foreign thinking", reply(Reasoning("hm", SEAL)),
     [{"type": "thinking", "thinking": "hm", "signature": TOKEN}], []),
    ("foreign thinking without a word", reply(Reasoning("", SEAL)), [{"type": "redacted_thinking", "data": TOKEN}], []),
    ("calls", reply(Text("so"), CALL, OTHER, stop="tool"), [said("so"), CALLED, ALSO_CALLED], []),
    ("a sealed call", reply(replace(CALL, seal=SEAL), stop="tool"),
     [{"type": "thinking", "thinking": "", "signature": TOKEN}, CALLED], []),
    ("a sealed text", reply(Text("hi", seal=SEAL)),
     [{"type": "thinking", "thinking": "", "signature": TOKEN}, said("hi")], []),
    ("a free-text call", reply(ToolCall("c1", "p", 'a"b', "custom"), stop="tool"),
     [{"type": "tool_use", "id": "c1", "name": "p", "input": {"input": 'a"b'}}], []),
    ("a picture", reply(Text("see"), Image(Media("image/png", "iVBO"))), [said("see")], [("blocks[1]", "media_out")]),
    ("another's hosted tool", reply(Opaque("gemini", "executableCode", {}), Text("hi")), [said("hi")],
     [("blocks[0].executableCode", "hosted_output")]),
    ("a citation of all", reply(Text("hi", (Citation("https://a", "A", "so", 0, 2),))),
     [{**said("hi"), "citations": [{**WEB, "encrypted_index": ""}]}], []),
    ("a citation of a part", reply(Text("hi", (Citation("https://a", "A", "so", 1, 2),))),
     [{**said("hi"), "citations": [{**WEB, "encrypted_index": ""}]}], [("blocks[0].citations", "citations")]),
]  # fmt: skip


def complete(block: dict[str, Any]) -> dict[str, Any]:
    """A block of an answer with what the published schema requires of it beside its words."""
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
    body, lost = PROTOCOL.encode_reply(neutral, asked())
    assert body["content"] == [complete(block) for block in content]
    assert [(loss.path, loss.feature) for loss in lost] == losses
    assert (body["id"], body["model"]) == ("msg_req-1", "m")
    Message.model_validate(wire.parse(wire.encode(body)), strict=True)
    told, lost, raw = tell(list(unfold(neutral)))
    assert [(loss.path, loss.feature) for loss in lost] == losses
    must_be_strict(told)
    whole = PROTOCOL.decode_reply(wire.parse_object(wire.encode(body)), SENT, new_id())
    streamed = fold(listen([raw]))
    assert isinstance(streamed, Reply)
    assert canonical(streamed) == canonical(whole)


def test_arguments_that_are_no_object_are_wrapped_in_a_body_and_text_in_a_stream() -> None:
    neutral = reply(ToolCall("c1", "f", "oops"), stop="tool")
    body, losses = PROTOCOL.encode_reply(neutral, asked())
    assert body["content"][0]["input"] == {"input": "oops"}
    assert losses == [Loss("blocks[0]", "tool_arguments", "approximated")]
    told, losses, _ = tell(list(unfold(neutral)))
    assert losses == []
    assert [event["delta"]["partial_json"] for event in told if event["type"] == "content_block_delta"] == ["oops"]


def test_interleaved_calls_follow_one_another() -> None:
    events: list[Event] = [
        Start("openai-chat", "x", "y"),
        Open(0, ToolCall("c1", "f")),
        Delta(0, '{"x":'),
        Open(1, ToolCall("c2", "f")),
        Delta(1, '{"z":'),
        Delta(0, "1}"),
        Delta(1, "2}"),
        Close(0),
        Close(1),
        Finish("tool"),
    ]
    told, losses, raw = tell(events, at_once=False)
    must_be_strict(told)
    assert losses == []
    streamed = fold(listen([raw]))
    assert isinstance(streamed, Reply)
    assert streamed.blocks == (ToolCall("c1", "f", '{"x":1}'), ToolCall("c2", "f", '{"z":2}'))


def test_a_seal_comes_before_its_call_when_it_follows_in_a_later_write() -> None:
    events: list[Event] = [
        Start("gemini", "x", "y"), Open(0, ToolCall("c1", "f")), Seal(0, SEAL), Delta(0, "{}"), Close(0),
        Finish("tool"),
    ]  # fmt: skip
    told, losses, _ = tell(events, at_once=False)
    shapes = [event["content_block"]["type"] for event in told if event["type"] == "content_block_start"]
    assert shapes == ["thinking", "tool_use"]
    assert losses == []


def test_a_seal_that_comes_after_its_text_travels_at_the_end() -> None:
    events: list[Event] = [
        Start("gemini", "x", "y"), Open(0, Text("")), Delta(0, "hi"), Seal(0, SEAL), Close(0), Finish("end"),
    ]  # fmt: skip
    told, losses, raw = tell(events, at_once=False)
    must_be_strict(told)
    assert losses == []
    answer = fold(listen([raw]))
    assert isinstance(answer, Reply)
    content = [{"type": "text", "text": "hi"}, {"type": "thinking", "thinking": "", "signature": TOKEN}]
    request = decode({"model": "m", "max_tokens": 1, "messages": [{"role": "assistant", "content": content}]})
    assert request.turns[0].blocks == (Text("hi"), Text("", seal=FOREIGN))


def test_a_seal_that_comes_too_late_for_its_call_is_a_loss() -> None:
    events: list[Event] = [
        Start("gemini", "x", "y"), Open(0, ToolCall("c1", "f")), Delta(0, "{}"), Seal(0, SEAL), Close(0),
        Finish("tool"),
    ]  # fmt: skip
    assert tell(events, at_once=False)[1] == [Loss("blocks[0].seal", "signature", "dropped")]


def test_usage_of_a_stream_is_told_at_both_ends() -> None:
    events: list[Event] = [
        Start("openai-chat", "x", "y", Usage(input=20, cache_read=80)), Open(0, Text("")), Delta(0, "hi"), Close(0),
        Finish("end", usage=Usage(output=9, reasoning=3)),
    ]  # fmt: skip
    told, _, _ = tell(events)
    assert without_nulls(told[0]["message"]["usage"]) == {
        "input_tokens": 20,
        "output_tokens": 0,
        "cache_read_input_tokens": 80,
    }
    assert without_nulls(told[-2]["usage"]) == {
        "input_tokens": 20,
        "output_tokens": 9,
        "cache_read_input_tokens": 80,
        "output_tokens_details": {"thinking_tokens": 3},
    }
    assert without_nulls(told[-2]["delta"]) == {"stop_reason": "end_turn"}


def without_nulls(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


# `required` in the schema of the vendor's own document
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
def test_every_required_key_is_there_null_or_not(usage: Usage | None) -> None:
    neutral = reply(Text("hi"), usage=usage)
    body, _ = PROTOCOL.encode_reply(neutral, asked())
    told, _, _ = tell(list(unfold(neutral)))
    for message in (body, told[0]["message"]):
        assert set(message) == MESSAGE_KEYS
        assert set(message["usage"]) == USAGE_KEYS
    assert set(told[-2]["delta"]) == {"stop_reason", "stop_sequence", "stop_details", "container"}
    assert set(told[-2]["usage"]) == DELTA_USAGE_KEYS


def test_a_call_by_the_model_itself_is_nothing_to_remember() -> None:
    call = {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}, "caller": {"type": "direct"}}
    body: dict[str, Any] = {"type": "message", "content": [call], "stop_reason": "tool_use"}
    assert PROTOCOL.decode_reply(body, SENT, new_id()).blocks == (ToolCall("c1", "f", '{"a":1}'),)


def test_a_failure_in_band_ends_the_stream_without_success() -> None:
    events: list[Event] = [
        Start("openai-chat", "x", "y"), Open(0, Text("")), Delta(0, "hi"), failure("upstream_cut", "It broke."),
    ]  # fmt: skip
    told, _, raw = tell(events)
    assert [event["type"] for event in told][-1] == "error"
    assert told[-1]["error"] == {"type": "api_error", "message": "It broke."}
    assert b"message_stop" not in raw
    assert isinstance(fold(listen([raw])), Failure)


# ---- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "word", "status"),
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
def test_failure_out(kind: str, word: str, status: int) -> None:
    body = PROTOCOL.encode_failure(failure(kind, "why"), "req-1")
    said = "prompt is too long: why" if kind == "context_length" else "why"
    assert body == {"type": "error", "error": {"type": word, "message": said}, "request_id": "req-1"}
    assert PROTOCOL.failure_status.get(kind, STATUS[kind]) == status


TOO_LONG = (
    "prompt is too long: 209120 tokens > 200000 maximum",
    "input length and `max_tokens` exceed context limit: 199000 + 8192 > 200000",
)


@pytest.mark.parametrize("said", TOO_LONG)
def test_the_words_that_clients_act_on_are_said_once(said: str) -> None:
    body = PROTOCOL.encode_failure(failure("context_length", said), "req-1")
    assert body["error"]["message"] == said


def test_an_answer_that_would_lose_something_is_no_fault_of_the_client() -> None:
    asked = PROTOCOL.encode_failure(failure("loss", "why"), "req-1")
    told = PROTOCOL.encode_failure(Failure("loss", "why", 502), "req-1")
    assert (asked["error"]["type"], told["error"]["type"]) == ("invalid_request_error", "api_error")


@pytest.mark.parametrize(
    ("status", "word", "message", "kind", "passed"),
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
        (500, "api_error", "secret trouble", "upstream_error", False),
        (529, "overloaded_error", "Overloaded", "overloaded", False),
    ],
)  # fmt: skip
def test_failure_in(status: int, word: str, message: str, kind: str, passed: bool) -> None:
    body = json.dumps({"type": "error", "error": {"type": word, "message": message}}).encode()
    got = PROTOCOL.decode_failure(status, body, 7.0)
    assert (got.kind, got.status, got.retry_after) == (kind, STATUS[kind], 7.0)
    assert (got.message == message) == passed
    inside = fold(listen([b"event: error\ndata: " + body + b"\n\n"]))
    assert isinstance(inside, Failure)
    assert inside.kind == kind


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'"x"', b'{"error": "x"}'])
def test_an_error_of_any_shape_is_a_failure(body: bytes) -> None:
    assert PROTOCOL.decode_failure(502, body, None).kind == "upstream_error"


# ---- the vendor's own words ------------------------------------------------------------------------------------------


def evidence(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EVIDENCE / f"{name}.json").read_text())
    assert found["source"].startswith("https://")
    return found


ARGUMENTS = '{"location": "San Francisco, CA", "unit": "fahrenheit"}'
FOUND = "https://world-weather.info/forecast/usa/new_york/may-2025/"
MEANINGS: dict[str, tuple[tuple[Any, ...], str, Usage]] = {
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


def heard(found: dict[str, Any]) -> Reply:
    if found["kind"] == "reply":
        return PROTOCOL.decode_reply(found["body"], SENT, new_id())
    got = fold(listen([found["stream"].encode()]))
    assert isinstance(got, Reply)
    return got


def gist(one: Any) -> Any:
    match one:
        case ToolCall(id_, name, arguments):
            return (id_, name, json.loads(arguments))
        case Opaque(_, kind):
            return kind
        case _:
            return one.text


@pytest.mark.parametrize("name", MEANINGS)
def test_evidence_of_answers(name: str) -> None:
    blocks, stop, usage = MEANINGS[name]
    got = heard(evidence(name))
    assert (tuple(gist(one) for one in got.blocks), got.stop, got.usage) == (blocks, stop, usage)


def test_evidence_of_seals_and_sources() -> None:
    thought, redacted, _ = heard(evidence("thinking-reply")).blocks
    assert isinstance(thought, Reasoning)
    assert isinstance(redacted, Reasoning)
    assert thought.seal is not None
    assert (thought.seal.value[:8], thought.seal.minter, redacted.redacted) == ("WaUjzkyp", NAME, True)
    cited = heard(evidence("web-search-stream")).blocks[2]
    assert isinstance(cited, Text)
    assert [citation.url for citation in cited.citations] == [FOUND]


def test_evidence_of_requests() -> None:
    request = decode(evidence("tools-request")["body"])
    assert [turn.role for turn in request.turns] == ["system", "user", "assistant", "user"]
    assert (request.max_tokens, request.parallel, request.tool_choice) == (1024, False, ToolChoice("auto"))
    assert [type(one).__name__ for one in request.turns[3].blocks] == ["ToolResult", "ToolResult", "Text"]
    assert [one.error for one in request.turns[3].blocks if isinstance(one, ToolResult)] == [False, True]
    later = decode(evidence("system-request")["body"])
    assert [turn.role for turn in later.turns] == ["user", "system", "assistant", "user"]


def test_evidence_of_errors() -> None:
    found = evidence("error")
    got = PROTOCOL.decode_failure(found["status"], json.dumps(found["body"]).encode(), None)
    assert (got.kind, got.message) == ("not_found", "The requested resource could not be found.")
    assert known(listen([evidence("error-stream")["stream"].encode()])[0]) == "overloaded"


@pytest.mark.parametrize("name", ["tools-request", "system-request"])
def test_evidence_of_requests_goes_back_as_it_came(name: str) -> None:
    body = evidence(name)["body"]
    sent, losses = send(decode(body), body["model"])
    assert decode(sent) == decode(body)
    assert losses == []


# ---- laws ------------------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
IDS = st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True)
OBJECTS = st.dictionaries(TEXTS, st.one_of(TEXTS, st.integers(), st.booleans(), st.none()), max_size=3)
OWN_SEALS = st.builds(Signature, IDS.map(lambda text: f"sig-{text}"), st.just(NAME), st.just(NAME))
ANY_BLOCK = st.one_of(
    st.builds(Text, TEXTS),
    st.builds(Reasoning, TEXTS, st.none() | OWN_SEALS),
    st.builds(Reasoning, st.just(""), OWN_SEALS, redacted=st.just(True)),
    st.builds(ToolCall, IDS, IDS, OBJECTS.map(lambda value: json.dumps(value))),
    st.builds(
        lambda id_, value: Opaque(NAME, "server_tool_use", {"type": "server_tool_use", "id": id_, "input": value}),
        IDS, OBJECTS),
)  # fmt: skip
COUNTS = st.integers(0, 10**9)
REPLIES = st.builds(
    lambda blocks, stop, usage: Reply(
        dialect=NAME, id="msg_1", model="m", blocks=tuple(blocks),
        stop="tool" if any(isinstance(one, ToolCall) for one in blocks) and stop == "end" else stop,
        matched="END" if stop == "stop_sequence" else None, usage=usage),
    st.lists(ANY_BLOCK, max_size=5),
    st.sampled_from(["end", "length", "stop_sequence", "filter", "pause"]),
    st.builds(Usage, COUNTS, COUNTS, st.none() | COUNTS, st.none() | COUNTS, st.none() | COUNTS),
)  # fmt: skip


def canonical(answer: Reply) -> tuple[Any, ...]:
    """An answer without what may differ between two ways of saying the same: the spaces within arguments."""
    blocks = tuple(
        replace(one, arguments=json.dumps(json.loads(one.arguments or "{}"))) if isinstance(one, ToolCall) else one
        for one in answer.blocks
    )
    return blocks, answer.stop, answer.matched, answer.usage


@given(REPLIES)
def test_a_reply_survives_its_own_body_and_stream(answer: Reply) -> None:
    body, losses = PROTOCOL.encode_reply(answer, asked())
    assert losses == []
    assert canonical(PROTOCOL.decode_reply(wire.parse_object(wire.encode(body)), SENT, new_id())) == canonical(answer)
    _, losses, raw = tell(list(unfold(answer)))
    assert losses == []
    streamed = fold(listen([raw]))
    assert isinstance(streamed, Reply)
    assert canonical(streamed) == canonical(answer)


@given(REPLIES, st.lists(st.integers(0, 5000), max_size=6))
def test_chunking_never_matters(answer: Reply, cuts: list[int]) -> None:
    raw = tell(list(unfold(answer)))[2]
    places = sorted({0, len(raw), *(cut % len(raw) for cut in cuts)})
    assert listen([raw[a:b] for a, b in itertools.pairwise(places)]) == listen([raw])


NOTHING_SAID = {"role": "user", "content": ""}

HISTORY_BLOCK = st.one_of(
    st.builds(Text, st.sampled_from(["", " ", "a", "b "])),
    st.builds(ToolCall, st.sampled_from("xyz"), IDS),
    st.builds(ToolResult, st.sampled_from("xyz"), st.just(())),
    st.builds(Reasoning, TEXTS),
)
ROLES = st.sampled_from(["system", "developer", "user", "assistant"])
HISTORIES = st.lists(st.builds(Turn, ROLES, st.lists(HISTORY_BLOCK, max_size=3).map(tuple)), min_size=1, max_size=7)


@given(HISTORIES, st.sampled_from(["claude-sonnet-4-5", "claude-opus-4-8"]))
def test_no_history_breaks_the_rules_of_the_conversation(turns: list[Turn], name: str) -> None:
    sent, losses = send(ask(*turns), name)
    open_calls: list[str] = []
    before = ""
    # where nothing can be said there must be a message all the same; the API answers it
    for message in sent["messages"] if sent["messages"] != [NOTHING_SAID] else ():
        content = message["content"]
        parts = [said(content)] if type(content) is str else content
        assert parts
        assert all(part["text"].strip() for part in parts if part["type"] == "text")
        results = [part["tool_use_id"] for part in parts if part["type"] == "tool_result"]
        assert [part["type"] for part in parts[: len(results)]] == ["tool_result"] * len(results)
        assert sorted(results) == sorted(open_calls)
        open_calls = [part["id"] for part in parts if part["type"] == "tool_use"]
        assert message["role"] != "system" or before == "user"
        before = message["role"]
    assert open_calls == []
    said_calls = sum(isinstance(one, ToolCall | ToolResult) for turn in turns for one in turn.blocks)
    kept = sum(part["type"].startswith("tool_") for m in sent["messages"] if type(m["content"]) is list
               for part in m["content"])  # fmt: skip
    assert said_calls - kept == sum(loss.feature == "orphan" for loss in losses)
