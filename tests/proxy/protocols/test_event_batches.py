"""A stream is encoded alike however many of its events come in one read: TCP cuts as it likes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crosswire.proxy.ir import (
    BlockCitation,
    BlockDelta,
    BlockEnd,
    BlockSignature,
    BlockStart,
    Citation,
    Event,
    HostedCall,
    Image,
    Loss,
    Media,
    Opaque,
    Reasoning,
    Refusal,
    Reply,
    ReplyEnd,
    ReplyStart,
    Request,
    Signature,
    Text,
    ToolCall,
    Turn,
    Usage,
    fold,
)
from crosswire.proxy.ir.stop_sequences import StopCutter
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.protocol import Protocol, ReplyContext, UpstreamRequest, UpstreamTarget
from crosswire.proxy.wire.framing import Frame

SIGNED = Signature("tide", "gemini", "gemini")
OTHER = Signature("ebb", "gemini", "gemini")
START = ReplyStart("gemini", "r1", "m", Usage(input=3))

STREAMS: dict[str, tuple[Event, ...]] = {
    "a signature behind a text": (
        BlockStart(0, Text("")), BlockDelta(0, "It "), BlockDelta(0, "ebbs."), BlockSignature(0, SIGNED), BlockEnd(0),
    ),
    "a signature before a text": (
        BlockStart(0, Text("")), BlockSignature(0, SIGNED), BlockDelta(0, "It ebbs."), BlockEnd(0),
    ),
    "a signature on an empty text behind another": (
        BlockStart(0, Text("")), BlockDelta(0, "It ebbs."), BlockEnd(0),
        BlockStart(1, Text("")), BlockSignature(1, SIGNED), BlockEnd(1),
    ),
    "a signed text before one without, and a call": (
        BlockStart(0, Text("")), BlockDelta(0, "a"), BlockSignature(0, SIGNED), BlockEnd(0),
        BlockStart(1, Text("")), BlockDelta(1, "b"), BlockEnd(1),
        BlockStart(2, ToolCall("c1", "f")), BlockDelta(2, "{}"), BlockEnd(2),
    ),
    "a signature before a call's arguments": (
        BlockStart(0, ToolCall("c1", "f")), BlockSignature(0, SIGNED), BlockDelta(0, '{"x":1}'), BlockEnd(0),
    ),
    "a signature behind a call's arguments": (
        BlockStart(0, ToolCall("c1", "f")), BlockDelta(0, '{"x":1}'), BlockSignature(0, SIGNED), BlockEnd(0),
    ),
    "calls whose pieces alternate, both signed": (
        BlockStart(0, ToolCall("c1", "f")), BlockStart(1, ToolCall("c2", "g")), BlockDelta(0, '{"x":'),
        BlockDelta(1, '{"z":'), BlockSignature(1, OTHER), BlockDelta(0, "1}"), BlockDelta(1, "2}"),
        BlockSignature(0, SIGNED), BlockEnd(0), BlockEnd(1),
    ),
    "thinking, signed, redacted and without a text": (
        BlockStart(0, Reasoning("")), BlockDelta(0, "Hm"), BlockDelta(0, "."), BlockSignature(0, SIGNED), BlockEnd(0),
        BlockStart(1, Reasoning("", redacted=True)), BlockSignature(1, OTHER), BlockEnd(1),
        BlockStart(2, Reasoning("")), BlockSignature(2, SIGNED), BlockEnd(2),
        BlockStart(3, Text("")), BlockDelta(3, "So."), BlockEnd(3),
    ),
    "citations, a refusal, an image and a hosted call": (
        BlockStart(0, Text("")), BlockDelta(0, "Cited."), BlockCitation(0, Citation("https://a.example", "A")),
        BlockEnd(0), BlockStart(1, Refusal("")), BlockDelta(1, "No."), BlockEnd(1),
        BlockStart(2, Image(Media("image/png", "iVBO"))), BlockEnd(2),
        BlockStart(3, Opaque("gemini", "executableCode", {}, call=HostedCall("code_execution", "h1", "print(1)"))),
        BlockEnd(3),
    ),
}  # fmt: skip

ENDS = {"in order": ReplyEnd("end", usage=Usage(output=2)), "cut off": ReplyEnd("length", usage=Usage(output=2))}
FRONTENDS = {each.name: each for one in PROTOCOLS.values() for each in (one, *one.dialects)}


def encode(frontend: Protocol, events: list[Event], size: int, stops: tuple[str, ...] = ()) -> tuple[bytes, list[Loss]]:
    """Encodes the events in reads of this size; returns the bytes, and the losses in the order of their paths."""
    numbers: dict[str, int] = {}

    def new_id(prefix: str) -> str:
        numbers[prefix] = numbers.get(prefix, 0) + 1
        return f"{prefix}{numbers[prefix]}"

    asked = Request(protocol=frontend.name, model="m", turns=(Turn("user", (Text("?"),)),), stream=True)
    encoder = frontend.stream_encoder(ReplyContext(asked, "1", 0, new_id))
    cutter = StopCutter(stops)
    reads = [events[at : at + size] for at in range(0, len(events), size)]
    raw = b"".join([encoder.encode(cutter.feed(read)) for read in reads])
    return raw, sorted(encoder.losses, key=lambda loss: (loss.path, loss.feature))


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("frontend", FRONTENDS)
def test_reads_of_any_size_are_encoded_alike(frontend: str, name: str, end: str, size: int) -> None:
    events = [START, *STREAMS[name], ENDS[end]]
    at_once = encode(FRONTENDS[frontend], events, len(events))
    assert at_once[0]
    assert encode(FRONTENDS[frontend], events, size) == at_once


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_an_answer_that_is_cut_at_a_stop_sequence_is_so_in_reads_of_any_size(frontend: str) -> None:
    events: list[Event] = [
        START, BlockStart(0, Text("")), BlockDelta(0, "one S"), BlockDelta(0, "TOP two"), BlockSignature(0, SIGNED),
        BlockEnd(0), ReplyEnd("end"),
    ]  # fmt: skip
    at_once = encode(FRONTENDS[frontend], events, len(events), ("STOP",))
    assert b"two" not in at_once[0]
    assert encode(FRONTENDS[frontend], events, 1, ("STOP",)) == at_once


def frames_of(protocol: str, *chunks: dict[str, Any]) -> list[Event]:
    """Decodes a stream of these chunks."""
    decoder = PROTOCOLS[protocol].stream_decoder(
        UpstreamRequest({}, (), UpstreamTarget("m", "gemini")), lambda prefix: f"{prefix}1"
    )
    events = [event for chunk in chunks for event in decoder.feed(Frame(json.dumps(chunk).encode()))]
    return events + decoder.close()


def chat_calls(*calls: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"tool_calls": calls}, "finish_reason": finish}]}


def gemini_call(finish: str | None = None, **part: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": [part]}, "finishReason": finish}]}


PROOF = {"extra_content": {"google": {"thought_signature": "dGlkZQ=="}}}

SIGNED_CALLS: dict[str, tuple[str, tuple[dict[str, Any], ...]]] = {
    "a call in one piece": (
        "openai-chat",
        (
            chat_calls(
                {"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"x":1}'}, **PROOF},
                finish="tool_calls",
            ),
        ),
    ),
    "the signature comes with the name": (
        "openai-chat",
        (
            chat_calls({"index": 0, "id": "c1", "function": {"name": "f", "arguments": ""}, **PROOF}),
            chat_calls({"index": 0, "function": {"arguments": '{"x":1}'}}, finish="tool_calls"),
        ),
    ),
    "arguments and signature come before the name": (
        "openai-chat",
        (
            chat_calls({"index": 0, "id": "c1", "function": {"arguments": '{"x":'}, **PROOF}),
            chat_calls({"index": 0, "function": {"name": "f", "arguments": "1}"}}, finish="tool_calls"),
        ),
    ),
    "a call of Gemini": (
        "gemini",
        (gemini_call("STOP", functionCall={"name": "f", "args": {"x": 1}}, thoughtSignature="dGlkZQ=="),),
    ),
    "the signature comes with a later piece": (
        "gemini",
        (
            gemini_call(functionCall={"name": "f", "willContinue": True}),
            gemini_call(
                functionCall={"partialArgs": [{"jsonPath": "$.x", "numberValue": 1}], "willContinue": True},
                thoughtSignature="dGlkZQ==",
            ),
            gemini_call("STOP", functionCall={}),
        ),
    ),
}


@pytest.mark.parametrize("case", SIGNED_CALLS)
def test_the_signature_of_a_call_is_known_before_its_arguments(case: str) -> None:
    protocol, chunks = SIGNED_CALLS[case]
    events = frames_of(protocol, *chunks)
    kinds = [type(event) for event in events]
    assert kinds.index(BlockSignature) < kinds.index(BlockDelta)
    folded = fold(events)
    assert isinstance(folded, Reply)
    (call,) = folded.blocks
    assert isinstance(call, ToolCall)
    assert json.loads(call.arguments) == {"x": 1}
    assert call.signature is not None
    assert call.signature.value == "dGlkZQ=="
    raw, losses = encode(PROTOCOLS["anthropic"], events, 1)
    assert losses == []
    assert raw.index(b'"thinking"') < raw.index(b'"tool_use"')
