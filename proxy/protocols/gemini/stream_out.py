"""Neutral events as chunks for a Gemini client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from ... import ledger, wire
from ...ir import (
    Block,
    Citation,
    Close,
    Delta,
    Event,
    Failure,
    Finish,
    Loss,
    Note,
    Opaque,
    Open,
    Reasoning,
    Refusal,
    Seal,
    Sequencer,
    Signature,
    Start,
    Text,
    ToolCall,
    Usage,
)
from ..contract import Asked
from .failure import encode_failure
from .fields import put_back
from .grounding import grounding_out
from .reply_out import (
    call_out,
    is_blocked,
    own_out,
    part_out,
    reply_id,
    sealed,
    stop_losses,
    stop_out,
    thought_out,
    usage_out,
)
from .words import NAME

_ROLE = b'],"role":"model"},"index":0}]'
_TEXT = b'{"text":'
_THOUGHT = b',"thought":true}'


class StreamEncoder:
    """Events to chunks, one part each. Calls go out whole.

    The last part waits for the next one, because the last chunk must hold a part beside its finishReason: the chats of
    google-genai forget an answer of which any chunk has no parts (`_validate_response` of its chats.py).
    """

    def __init__(self, asked: Asked) -> None:
        self.losses: list[Loss] = []
        self._asked = asked
        self._lead, self._mid, self._tail = (b"[", b",\r\n", b"]") if asked.array else (b"data: ", b"data: ", b"")
        self._stop = b"" if asked.array else b"\n\n"
        self._begun = False
        self._same = False
        self._start = Start("", None, None)
        self._end = b"}"
        self._sequencer = Sequencer()
        self._block: Block | None = None  # the open one
        self._pieces: list[str] = []
        self._seal: Signature | None = None
        self._part: bytes | None = None  # the part that waits
        self._texts: list[tuple[list[str], list[Citation]]] = []
        self._usage: Usage | None = None

    def encode(self, events: Sequence[Event]) -> bytes:
        return b"".join([self._event(event) for event in self._sequencer.feed(events)])

    def _event(self, event: Event) -> bytes:
        match event:
            case Delta(_, text):
                return self._delta(text)
            case Start():
                return self._open_stream(event)
            case Open(index, block):
                return self._open(index, block)
            case Seal(_, seal):
                return self._sealed(seal)
            case Note(index, citation):
                notes = self._texts[-1][1]
                self.losses += ledger.quote_losses((citation,), f"blocks[{index}]", len(notes))
                notes.append(citation)
                return b""
            case Close(index, own):
                if own and not self._same:
                    self.losses += ledger.leftovers(own, f"blocks[{index}]")
                return self._close(index)
            case Finish():
                return self._finish(event)
            case Failure():
                out = self._say(None) + self._frame(wire.encode(encode_failure(event, self._asked.id)))
                return out + self._tail

    def _open_stream(self, start: Start) -> bytes:
        self._start = start
        self._same = start.dialect == NAME
        self._usage = start.usage
        if not self._same:
            self.losses += ledger.leftovers(start.own, "")
        head = {"modelVersion": self._asked.request.model, "responseId": reply_id(start, self._asked)}
        self._end = b"," + wire.encode(head)[1:]
        return b""

    def _frame(self, data: bytes) -> bytes:
        lead, self._begun = self._mid if self._begun else self._lead, True
        return lead + data + self._stop

    def _say(self, part: bytes | None) -> bytes:
        """Send the part that waited; this one waits now."""
        waited, self._part = self._part, part
        if waited is None:
            return b""
        return self._frame(b'{"candidates":[{"content":{"parts":[' + waited + _ROLE + self._end)

    def _open(self, index: int, block: Block) -> bytes:
        if not self._same:
            self.losses += ledger.block_leftovers(block, index)
        self._block = block
        self._pieces, self._seal = [], None
        match block:
            case Text():
                self._texts.append((self._pieces, []))
            case Refusal():
                self.losses.append(ledger.loss(f"blocks[{index}]", "refusal"))
            case Reasoning() | ToolCall():
                pass
            case _:
                part = part_out(block, index, self.losses)
                if part is not None:
                    if self._same and not isinstance(block, Opaque):
                        put_back(part, block.own)
                    return self._say(wire.encode(part))
        return b""

    def _delta(self, text: str) -> bytes:
        if not text:
            return b""
        match self._block:
            case Text():
                self._pieces.append(text)
                return self._say(_TEXT + wire.encode(text) + b"}")
            case Reasoning():
                return self._say(_TEXT + wire.encode(text) + _THOUGHT)
            case Refusal():
                return self._say(_TEXT + wire.encode(text) + b"}")
            case ToolCall():
                self._pieces.append(text)
        return b""

    def _sealed(self, seal: Signature) -> bytes:
        match self._block:
            case Text():
                return self._say(wire.encode(sealed({"text": ""}, seal)))
            case Reasoning(redacted=redacted):
                return self._say(wire.encode(thought_out("", seal, redacted)))
            case ToolCall():
                self._seal = seal
        return b""

    def _close(self, index: int) -> bytes:
        block, self._block = self._block, None
        if not isinstance(block, ToolCall):
            return b""
        whole = replace(block, arguments=block.arguments + "".join(self._pieces), seal=self._seal or block.seal)
        part = call_out(whole, index, self.losses)
        if self._same:
            put_back(part, block.own)
        return self._say(wire.encode(part))

    def _finish(self, finish: Finish) -> bytes:
        self.losses += stop_losses(finish.stop, finish.matched)
        if not self._same:
            self.losses += ledger.leftovers(finish.own, "")
        parts = b"" if self._part is None else b'"parts":[' + self._part + b"],"
        candidate: dict[str, Any] = {"finishReason": stop_out(finish.stop, finish.native, self._same), "index": 0}
        texts = [("".join(pieces), notes) for pieces, notes in self._texts]
        if any(notes for _, notes in texts):
            candidate["groundingMetadata"] = grounding_out(texts)
        body: dict[str, Any] = {}
        usage = finish.usage or self._usage
        if usage is not None:
            body["usageMetadata"] = usage_out(self._usage.merge(usage) if self._usage is not None else usage)
        if self._same:
            own_out(finish.own, body, candidate)
        others = body.pop("candidates", [])
        rest = (b"," + wire.encode(body)[1:-1] if body else b"") + self._end
        if not parts and is_blocked(body):
            return self._frame(b"{" + rest[1:]) + self._tail  # a blocked prompt has no candidates
        content = candidate.pop("content", {})
        ours = (
            b'{"content":{' + parts + wire.encode({"role": "model", **content})[1:] + b"," + wire.encode(candidate)[1:]
        )
        theirs = b"".join([b"," + wire.encode(other) for other in others])
        return self._frame(b'{"candidates":[' + ours + theirs + b"]" + rest) + self._tail
