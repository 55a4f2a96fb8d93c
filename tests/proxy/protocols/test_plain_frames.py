"""Frames of text are decoded and encoded many at once as they are one by one, and a relay leaves none unread that
matters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crosswire.proxy.backends.relayed_stream import quiet_frames
from crosswire.proxy.ir import BlockDelta, BlockEnd, BlockStart, Event, ReplyEnd, ReplyStart, Request, Text, Turn
from crosswire.proxy.ir.stream import Texts
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.protocol import (
    Protocol,
    ReplyContext,
    StreamDecoder,
    UpstreamRequest,
    UpstreamTarget,
)
from crosswire.proxy.wire.framing import FRAME_LIMIT, FRAMINGS

from ..sample_messages import PROTOCOLS as NAMES
from ..sample_messages import dumps, stream
from .test_event_batches import STREAMS

EVIDENCE = Path(__file__).parents[2] / "evidence"
FRONTENDS = {each.title: each for one in PROTOCOLS.values() for each in (one, *one.dialects)}
WORDS = ("The", " tide", ' "rises"\n\tat \\', " 5 o’clock", " 🌊", "\u2028", "e\u0301", " and", " falls", " again", ".")


def decoder_of(protocol: str) -> StreamDecoder:
    return PROTOCOLS[protocol].stream_decoder(
        UpstreamRequest({}, (), UpstreamTarget("m", protocol)), lambda prefix: f"{prefix}1"
    )


def decoded(protocol: str, raw: bytes, size: int | None) -> tuple[list[Event], int]:
    """The events of a stream in reads of this many frames, and how many texts came in a short form; None: frame by
    frame and in no short form."""
    framing, decoder = FRAMINGS[PROTOCOLS[protocol].framing](FRAME_LIMIT), decoder_of(protocol)
    end = b"\n" if protocol == "ollama" else b"\n\n"
    frames = [frame + end for frame in raw.split(end) if frame]
    events: list[Event] = []
    short = 0
    for at in range(0, len(frames), size or 1):
        whole = framing.cut(b"".join(frames[at : at + (size or 1)]))
        objects = framing.objects(whole) if size else None
        texts = None if objects is None else decoder.feed_texts(*objects)
        if texts is None:
            events += [event for frame in framing.parse(whole) for event in decoder.feed(frame)]
        else:
            short += len(texts.pieces)
            events += texts.events()
    return events + decoder.close(), short


def recorded(protocol: str) -> Iterator[bytes]:
    yield b"".join(stream(protocol, words=WORDS))
    for file in sorted((EVIDENCE / protocol).glob("*.json")):
        found = json.loads(file.read_text("utf-8"))
        if found["kind"] == "stream":
            yield found["stream"].encode()


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("protocol", NAMES)
def test_texts_are_decoded_alike_in_both_forms(protocol: str, size: int) -> None:
    for nth, raw in enumerate(recorded(protocol)):
        events, short = decoded(protocol, raw, size)
        assert events == decoded(protocol, raw, None)[0]
        assert short >= len(WORDS) - 2 * size or nth > 0


@pytest.mark.parametrize("protocol", NAMES)
def test_a_piece_that_is_no_plain_text_is_left_to_the_decoder(protocol: str) -> None:
    framing = FRAMINGS[PROTOCOLS[protocol].framing](FRAME_LIMIT)
    for raw in recorded(protocol):
        decoder = decoder_of(protocol)
        for frame in framing.parse(raw):
            if decoder.feed_texts(frame.data, 1) is None:
                decoder.feed(frame)
                continue
            events = decoder.feed(frame)  # once more: it adds to the same text, and tells nothing else
            assert [type(event) for event in events] == [BlockDelta]


def encoded(frontend: Protocol, events: list[Event], in_short: bool) -> tuple[bytes, int]:
    """The bytes of these events, and how many of them were encoded in the short form."""
    numbers: dict[str, int] = {}

    def new_id(prefix: str) -> str:
        numbers[prefix] = numbers.get(prefix, 0) + 1
        return f"{prefix}{numbers[prefix]}"

    asked = Request(protocol=frontend.name, model="m", turns=(Turn("user", (Text("?"),)),), stream=True)
    encoder = frontend.stream_encoder(ReplyContext(asked, "1", 0, new_id))
    out, short = [], 0
    for event in events:
        texts = Texts(event.index, [event.text, event.text]) if type(event) is BlockDelta else None
        data = encoder.encode_texts(texts) if in_short and texts is not None else None
        if data is None:
            out.append(encoder.encode([event] if texts is None else texts.events()))
        else:
            short += 1
            out.append(data)
    return b"".join(out), short


LONG: tuple[Event, ...] = (BlockStart(0, Text("")), *(BlockDelta(0, word) for word in WORDS), BlockEnd(0))


@pytest.mark.parametrize("events", [LONG, *STREAMS.values()], ids=["texts", *STREAMS])
@pytest.mark.parametrize("frontend", FRONTENDS)
def test_texts_are_encoded_alike_in_both_forms(frontend: str, events: tuple[Event, ...]) -> None:
    whole = [ReplyStart("gemini", "r1", "m"), *events, ReplyEnd("end")]
    found, short = encoded(FRONTENDS[frontend], whole, True)
    assert found == encoded(FRONTENDS[frontend], whole, False)[0]
    if events is LONG and FRONTENDS[frontend] in PROTOCOLS.values():
        assert short >= len(WORDS) - 1


def chat(choice: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": "a"}} | (choice or {})], **fields}


def candidate(**fields: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": [{"text": "a"}]}, **fields}]}


QUIET: list[tuple[str, dict[str, Any]]] = [
    ("openai-chat", chat()),
    ("openai-chat", chat({"finish_reason": None, "delta": {"tool_calls": [{"index": 0}]}}, usage=None, error=None)),
    ("openai-chat", chat({"index": 1, "delta": None})),
    ("anthropic", {"type": "content_block_delta", "delta": {"type": "thinking_delta"}}),
    ("anthropic", {"type": "content_block_stop", "index": 0}),
    ("openai-responses", {"type": "response.function_call_arguments.delta", "delta": "a"}),
    ("gemini", candidate(finishReason=None) | {"usageMetadata": {"promptTokenCount": 1}}),
    ("ollama", {"message": {"content": "a"}, "done": False}),
]

LOUD: list[tuple[str, dict[str, Any]]] = [
    ("openai-chat", chat(usage={"prompt_tokens": 1})),
    ("openai-chat", chat({"usage": {"prompt_tokens": 1}})),
    ("openai-chat", chat({"delta": {"usage": {"prompt_tokens": 1}}})),
    ("openai-chat", chat(x_groq={"usage": {"prompt_tokens": 1}})),
    ("openai-chat", chat(usage={})),
    ("openai-chat", chat({"finish_reason": "stop"})),
    ("openai-chat", chat({"finish_reason": ""})),
    ("openai-chat", chat({"error": {"message": "m"}})),
    ("openai-chat", chat(error={"message": "m"})),
    ("openai-chat", {"error": {"message": "m"}}),
    ("openai-chat", {"id": "1"}),
    ("anthropic", {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}),
    ("anthropic", {"type": "message_stop"}),
    ("anthropic", {"type": "error", "error": {}}),
    ("anthropic", {"type": "message_start", "message": {"model": "m"}}),
    ("anthropic", {"type": "content_block_stop", "model": "m"}),
    ("anthropic", {"type": "a_new_one"}),
    ("openai-responses", {"type": "response.completed", "response": {}}),
    ("openai-responses", {"type": "response.output_text.delta", "response": {"model": "m"}}),
    ("openai-responses", {"type": "error"}),
    ("gemini", candidate(finishReason="STOP")),
    ("gemini", candidate() | {"promptFeedback": {"blockReason": "SAFETY"}}),
    ("gemini", candidate() | {"error": {}}),
    ("gemini", {"usageMetadata": {"promptTokenCount": 1}}),
    ("ollama", {"message": {"content": ""}, "done": True}),
    ("ollama", {"message": {"content": ""}, "error": "m"}),
    ("ollama", {"done": False}),
]


def is_quiet_frame(protocol: Protocol, data: bytes) -> bool:
    assert protocol.quiet_frame is not None
    return quiet_frames(protocol.quiet_frame)(data, 1) is not None


@pytest.mark.parametrize(("protocol", "frame", "is_quiet"), [(*q, True) for q in QUIET] + [(*q, False) for q in LOUD])
def test_a_relay_leaves_no_frame_unread_that_matters(protocol: str, frame: dict[str, Any], is_quiet: bool) -> None:
    assert is_quiet_frame(PROTOCOLS[protocol], dumps(frame)) is is_quiet


def test_a_relay_reads_what_is_no_json() -> None:
    for data in (b'{"choices":[]', b"[" * 100_000, b'{"choices":[NaN]}'):
        assert not is_quiet_frame(PROTOCOLS["openai-chat"], data)
