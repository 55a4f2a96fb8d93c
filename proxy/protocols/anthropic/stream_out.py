"""Neutral events as events for an Anthropic client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import ledger, seals, wire
from ...framing import sse
from ...ir import (
    Audio,
    Block,
    Citation,
    Close,
    Delta,
    Document,
    Event,
    Failure,
    Finish,
    Image,
    Loss,
    Note,
    Opaque,
    Open,
    Own,
    Reasoning,
    Refusal,
    Seal,
    Sequencer,
    Signature,
    Start,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from ..contract import Asked
from .failure import encode_failure
from .reply_out import (
    UNCOUNTED,
    UNSAID,
    UNTOLD,
    call_out,
    carrier_out,
    citation_out,
    details_out,
    place_losses,
    raw_citations,
    reply_id,
    stop_losses,
    stop_out,
    text_out,
    thought_out,
    usage_out,
)
from .words import NAME

_DELTAS: dict[type[Block], tuple[bytes, bytes]] = {
    Text: (b'"text_delta"', b'"text"'),
    Refusal: (b'"text_delta"', b'"text"'),
    Reasoning: (b'"thinking_delta"', b'"thinking"'),
    ToolCall: (b'"input_json_delta"', b'"partial_json"'),
}
_NONE: dict[int, Signature] = {}
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class StreamEncoder:
    """Events to events: one block open at a time, numbered without gaps, and none before it has something to say."""

    def __init__(self, asked: Asked) -> None:
        self.losses: list[Loss] = []
        self._asked = asked
        self._sequencer = Sequencer()
        self._same = False
        self._usage: Usage | None = None
        self._refused: list[str] = []  # of an equal dialect, whose refusals stand beside the content
        self._told: dict[str, Any] = {}  # what message_start said of usage beside the counts
        self._next = 0  # the wire's index of the next block
        self._index = 0  # our index of the block that is being said
        self._block: Block = Text("")
        self._begun = False
        self._live = -1  # the index of the block that has begun and not ended
        self._head = b""  # the bytes of a delta up to its text
        self._seal: Signature | None = None  # of a block that has not begun
        self._late: list[Signature] = []  # seals of texts that were already told
        self._said: list[str] = []
        self._length = 0
        self._notes: list[Citation] = []

    def encode(self, events: Sequence[Event]) -> bytes:
        # a call's seal must come before it, although it may follow its arguments
        ahead = {event.index: event.seal for event in events if type(event) is Seal} if len(events) > 1 else _NONE
        out: list[bytes] = []
        for event in events:
            if type(event) is Delta and event.index == self._live:
                out.append(self._delta(event.text, ahead))  # most events are these: the open block goes on
            else:
                out += [self._event(due, ahead) for due in self._sequencer.feed((event,))]
        return b"".join(out)

    def _event(self, event: Event, ahead: dict[int, Signature]) -> bytes:
        match event:
            case Delta(_, text):
                return self._delta(text, ahead)
            case Open(index, block):
                self._index, self._block, self._begun, self._seal = index, block, False, None
                self._said, self._length, self._notes = [], 0, []
                if not self._same:
                    self.losses += ledger.block_leftovers(block, index)
                return b""
            case Close(_, own):
                return self._close(own, ahead)
            case Seal(_, seal):
                return self._sealed(seal)
            case Note(_, citation):
                self._notes.append(citation)
                return b""
            case Start():
                return self._start(event)
            case Finish():
                return self._finish(event)
            case Failure():
                return sse(wire.encode(encode_failure(event, self._asked.id)), "error")

    def _start(self, start: Start) -> bytes:
        self._same = start.dialect == NAME
        self._usage = start.usage
        message: dict[str, Any] = {
            "id": reply_id(start, self._asked),
            "type": "message",
            "role": "assistant",
            "model": self._asked.request.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            **UNSAID,
            "usage": {**UNTOLD, **usage_out(start.usage)},
        }
        if self._same and start.own:
            self._told = start.own.get("usage", {})
            message |= {key: value for key, value in start.own.items() if key != "usage"}
            message["usage"] |= self._told
        return sse(wire.encode({"type": "message_start", "message": message}), "message_start")

    def _own(self) -> dict[str, Any]:
        return self._block.own or {} if self._same and not isinstance(self._block, Opaque) else {}

    def _begin(self, ahead: dict[int, Signature]) -> bytes:
        """Start the block, after the one that carries its seal."""
        self._begun = True
        self._live = self._index
        out = b""
        block = self._block
        match block:
            case Text() | Refusal():
                shape = text_out(self._own())
            case Reasoning():
                shape = {**thought_out("", None, False), **self._own()}
            case ToolCall():
                shape = {**call_out(block), **self._own()}
            case _:
                return b""
        if not isinstance(block, Reasoning | Refusal) and (seal := self._seal or ahead.get(self._index)):
            out = self._whole(carrier_out(seal))
            self._seal = seal
        number = b'"index":%d' % self._next
        kind, key = _DELTAS[type(block)]
        self._head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta",'
            + number + b',"delta":{"type":' + kind + b"," + key + b":"
        )  # fmt: skip
        return out + self._opening(shape)

    def _opening(self, shape: dict[str, Any]) -> bytes:
        event = {"type": "content_block_start", "index": self._next, "content_block": shape}
        return sse(wire.encode(event), "content_block_start")

    def _closing(self) -> bytes:
        number = self._next
        self._next += 1
        return b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % number

    def _more(self, delta: dict[str, Any]) -> bytes:
        event = {"type": "content_block_delta", "index": self._next, "delta": delta}
        return sse(wire.encode(event), "content_block_delta")

    def _whole(self, shape: dict[str, Any]) -> bytes:
        """A block that is said at once; a thinking block's signature comes as a delta, as SDKs expect it."""
        if shape["type"] != "thinking":
            return self._opening(shape) + self._closing()
        signed = {"type": "signature_delta", "signature": shape["signature"]}
        return self._opening({**shape, "signature": ""}) + self._more(signed) + self._closing()

    def _delta(self, text: str, ahead: dict[int, Signature]) -> bytes:
        block = self._block
        if type(block) is ToolCall:
            self._said.append(text)
            if block.kind == "custom":  # the text becomes one string of an object, at the end
                return b""
        self._length += len(text)
        if self._begun:
            return self._head + wire.encode(text) + b"}}\n\n"
        if type(block) is Refusal and self._same:
            self._refused.append(text)
            return b""
        if type(block) not in _DELTAS:
            return b""
        return self._begin(ahead) + self._head + wire.encode(text) + b"}}\n\n"

    def _sealed(self, seal: Signature) -> bytes:
        block = self._block
        if isinstance(block, Reasoning) and self._begun:
            return self._more({"type": "signature_delta", "signature": seals.for_client(seal, NAME)})
        if not self._begun:
            self._seal = seal
        elif isinstance(block, Text) and self._seal is None:
            self._late.append(seal)
        elif self._seal is None:
            self.losses.append(ledger.loss(f"blocks[{self._index}].seal", "signature"))
        return b""

    def _close(self, own: Own, ahead: dict[int, Signature]) -> bytes:
        block = self._block
        self._live = -1
        path = f"blocks[{self._index}]"
        if not self._same:
            self.losses += ledger.leftovers(own, path)
        match block:
            case Text():
                return self._close_text(own, ahead, path)
            case Refusal() if self._same:
                pass
            case Refusal():
                self.losses.append(ledger.loss(path, "refusal"))
                return self._closing() if self._begun else b""
            case Reasoning() if not self._begun:
                return self._whole({**thought_out("", self._seal, block.redacted), **self._own()})
            case Reasoning():
                return self._closing()
            case ToolCall():
                return self._close_call(block, ahead, path)
            case Opaque(dialect, _, data) if dialect == NAME:
                return self._close_opaque(data)
            case Image() | Document() | Audio() | ToolResult():
                self.losses.append(Loss(path, "media_out", "dropped"))
        return b""

    def _close_text(self, own: Own, ahead: dict[int, Signature], path: str) -> bytes:
        raw = (raw_citations(own) or raw_citations(self._own())) if self._same else []
        if not raw:
            raw = [citation_out(citation) for citation in self._notes]
            self.losses += [loss for note in self._notes for loss in place_losses(note, self._length, path)]
        if not self._begun and not raw:  # a text without a word; a seal on it travels alone
            return self._whole(carrier_out(self._seal)) if self._seal else b""
        out = b"" if self._begun else self._begin(ahead)
        out += b"".join([self._more({"type": "citations_delta", "citation": citation}) for citation in raw])
        return out + self._closing()

    def _close_call(self, call: ToolCall, ahead: dict[int, Signature], path: str) -> bytes:
        out = b"" if self._begun else self._begin(ahead)
        text = "".join(self._said)
        if call.kind == "custom":
            out += self._head + wire.encode(wire.encode({"input": text}).decode()) + b"}}\n\n"
        elif not text:  # "{}" is what a call without arguments says
            out += self._head + b'"{}"}}\n\n'
        # Arguments that are no JSON stay the text that they are: "there is no guarantee that the resulting stream will
        # complete in a valid JSON string".
        # https://platform.claude.com/docs/en/agents-and-tools/tool-use/fine-grained-tool-streaming
        return out + self._closing()

    def _close_opaque(self, data: dict[str, Any]) -> bytes:
        if data.get("type") != "server_tool_use" or not data.get("input"):
            return self._whole(data)
        spoken = {"type": "input_json_delta", "partial_json": wire.encode(data["input"]).decode()}
        return self._opening({**data, "input": {}}) + self._more(spoken) + self._closing()

    def _finish(self, finish: Finish) -> bytes:
        out = b"".join([self._whole(carrier_out(seal)) for seal in self._late])
        matched = finish.matched if finish.stop == "stop_sequence" else None
        self.losses += stop_losses(finish.stop, None if matched else finish.matched)
        usage = finish.usage or self._usage
        if usage is not None and self._usage is not None:
            usage = self._usage.merge(usage)
        counted = {**UNCOUNTED, **usage_out(usage)}
        delta: dict[str, Any] = {
            "stop_reason": stop_out(finish.stop, finish.native, self._same),
            "stop_sequence": matched,
            **UNSAID,
        }
        event: dict[str, Any] = {"type": "message_delta", "delta": delta, "usage": counted}
        if not self._same:
            self.losses += ledger.leftovers(finish.own, "")
            return out + sse(wire.encode(event), "message_delta") + _STOP
        delta |= details_out(finish.own, "".join(self._refused))
        if finish.own:
            own = {key: value for key, value in finish.own.items() if key != "stop_details"}
            counted |= {k: v for k, v in own.pop("usage", {}).items() if self._told.get(k) != v}
            if "context_management" in own:
                event["context_management"] = own.pop("context_management")
            delta |= own
        return out + sse(wire.encode(event), "message_delta") + _STOP
