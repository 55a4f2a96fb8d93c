"""Decodes the server-sent events of an Anthropic backend into neutral events."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from ...errors import Malformed, UpstreamError, upstream_cut
from ...ir import (
    Block,
    BlockCitation,
    BlockDelta,
    BlockEnd,
    BlockSignature,
    BlockStart,
    Event,
    Extra,
    Opaque,
    Reasoning,
    Refusal,
    ReplyEnd,
    ReplyStart,
    Text,
    ToolCall,
    Usage,
    unfold,
)
from ...ir.repairs import Repairs
from ...ir.stream import Texts
from ...ir.tool_names import Alias
from ...wire import json_fields
from ...wire.error_bodies import error_in_body, is_error
from ...wire.framing import DONE, Frame
from ...wire.json_fields import need, take
from ..protocol import NewId, UpstreamRequest
from .errors import error_in
from .hosted_tools import HostedCalls
from .plain_event import text_events
from .reply_decoder import decode_reply, free_text_in, refusal_in, stop_in, usage_in, with_issuer, without_defaults
from .request_decoder import citation_in, citations_extra, readable_text
from .tables import NAME


class _BlockState(Struct):
    """An open content block.

    `index` is the neutral one, None for a block that is decoded as Opaque at its end; `data`, `fragments` and
    `citations` are collected until then.
    """

    index: int | None
    kind: str
    data: dict[str, Any]
    extra: dict[str, Any] = {}
    length: int = 0
    custom: bool = False
    has_arguments: bool = False
    fragments: list[str] = field(default_factory=list)
    citations: list[Any] = field(default_factory=list)


class StreamDecoder:
    """Decodes Anthropic events; citations and hosted tools are emitted at the end of their block."""

    def __init__(self, sent: UpstreamRequest, new_id: NewId) -> None:
        self.done = False
        self.fast_forward = False
        self._sent = sent
        self._new_id = new_id
        self._started = False
        self._next_index = 0
        self._has_calls = False
        self._blocks: dict[int, _BlockState] = {}
        self._native: str | None = None
        self._matched: str | None = None
        self._usage: Usage | None = None
        self._repairs = Repairs()
        self._extra: dict[str, Any] = {}
        self._hosted = HostedCalls()

    def feed(self, frame: Frame) -> list[Event]:
        """Returns the events of one frame; raises Malformed if it is not an Anthropic event."""
        if self.done:
            return []
        if frame.data == DONE:  # OpenRouter also ends this stream with [DONE]
            return self._end()
        event = json_fields.parse_object(frame.data)
        if (text := self._next_text(event)) is not None:
            return [text]
        kind = take(event, "type", str) or frame.event
        out: list[Event] = []
        if self.fast_forward and kind is not None and kind.startswith("content_block"):
            return []
        match kind:
            case "content_block_delta":
                delta = take(event, "delta", dict)
                self._start(out, {})
                if not delta or self._is_unknown(event, delta):
                    self._repairs.add("unknown_frame")
                else:
                    self._delta(self._block_of(event, delta, out), delta, out)
            case "content_block_start":
                self._start(out, {})
                self._open(self._next_wire_index(event, out), need(event, "content_block", dict), out)
            case "content_block_stop":
                if (index := self._index_of(event)) is not None:
                    self._stop(self._blocks.pop(index), out)
            case "message_start":
                message = need(event, "message", dict)
                if self._started and not self._began_again(message, out):
                    return out
                self._start(out, message)
            case "message_delta":
                self._start(out, {})
                self._message(event)
            case "message_stop":
                if event.get("usage") is not None:
                    self._repairs.add("usage_place")
                    self._message({"usage": event["usage"]})
                return self._end()
            case "error":
                self.done = True
                return [error_in(error_in_body(event), None, None)]
            case "message":  # a whole answer in one frame
                return self._whole({"type": kind, **event})
            case None if is_error(event):
                self.done = True
                return [error_in(error_in_body(event), None, None)]
            case None if not event.keys().isdisjoint(_PARTS_OF_ANSWERS):
                raise Malformed("type", "is required in an event")
            case None:
                self._repairs.add("unknown_frame")
        return out  # `ping` and unknown events are ignored

    def feed_texts(self, objects: bytes, count: int) -> Texts | None:
        events = None if self.done else text_events(objects, count)
        state = None if events is None else self._blocks.get(events[0].index)
        if events is None or state is None or state.kind != "text" or state.index is None:
            return None
        pieces = [event.delta.text for event in events if event.index == events[0].index]
        if len(pieces) != count:
            return None
        state.length += sum(map(len, pieces))
        return Texts(state.index, pieces)

    def _next_text(self, event: dict[str, Any]) -> BlockDelta | None:
        """Fast path for most events: a text delta of an open text block without further fields."""
        delta = event.get("delta")
        if event.get("type") != "content_block_delta" or type(delta) is not dict or len(event) != 3 or len(delta) != 2:
            return None
        index, text = event.get("index"), delta.get("text")
        state = self._blocks.get(index) if type(index) is int else None
        if state is None or state.kind != "text" or state.index is None or delta.get("type") != "text_delta":
            return None
        if type(text) is not str or not text:
            return None
        state.length += len(text)
        return BlockDelta(state.index, text)

    def _began_again(self, message: dict[str, Any], out: list[Event]) -> bool:
        """Ends the open blocks where a host begins its answer once more; False where half a call was told already."""
        self._repairs.add("unclosed")
        for state in self._blocks.values():
            if state.kind == "tool_use" and state.has_arguments:
                self.done = True
                out.append(upstream_cut())
                return False
            self._stop(state, out)
        self._blocks = {}
        self._message({"usage": message.get("usage")})
        return True

    def _index_of(self, event: dict[str, Any]) -> int | None:
        """Returns the wire's index of the open block that an event is about, the last where the event has no index."""
        index = take(event, "index", int)
        if index is None:
            self._repairs.add("index")
            return next(reversed(self._blocks), None)
        return index if index in self._blocks else None

    def _next_wire_index(self, event: dict[str, Any], out: list[Event]) -> int:
        """Returns the index of a block that starts; a block that is still open under the same one ends."""
        index = take(event, "index", int)
        if index is None:
            self._repairs.add("index")
            index = max(self._blocks, default=-1) + 1
        if index in self._blocks:
            self._repairs.add("index")
            self._stop(self._blocks.pop(index), out)
        return index

    def _block_of(self, event: dict[str, Any], delta: dict[str, Any], out: list[Event]) -> _BlockState:
        """Returns the open block of a delta; a text or thinking that nothing announced starts with its first delta."""
        wire = event.get("index")
        index = self._index_of(event)
        if index is not None:
            return self._blocks[index]
        kind = _DELTA_KINDS.get(str(delta.get("type")))
        if kind is None:
            raise Malformed("index", f"no block {wire} is open")
        self._repairs.add("index")
        index = wire if type(wire) is int else 0
        self._open(index, {"type": kind}, out)
        return self._blocks[index]

    def _is_unknown(self, event: dict[str, Any], delta: dict[str, Any]) -> bool:
        """Returns whether a delta is of no known type and of no open block, so that it says nothing of the answer."""
        index = event.get("index")
        is_open = type(index) is int and index in self._blocks
        return not is_open and delta.get("type") not in _KNOWN_DELTAS

    def _start(self, out: list[Event], message: dict[str, Any]) -> None:
        if self._started:
            return
        self._started = True
        usage = take(message, "usage", dict, {})
        self._usage = usage_in(usage, self._repairs)
        id_, model = take(message, "id", str), take(message, "model", str)
        for key in ("type", "role", "content", "stop_reason", "stop_sequence"):
            message.pop(key, None)
        extra = without_defaults(message)
        if usage := without_defaults(usage):
            extra["usage"] = usage
        self._extra |= extra
        # message_start counts the output of the first token only
        first = Usage(self._usage.input, None, self._usage.cache_read, self._usage.cache_write) if self._usage else None
        out.append(ReplyStart(NAME, id_, model, first, extra or None))

    def _open(self, index: int, block: dict[str, Any], out: list[Event]) -> None:
        kind = need(block, "type", str)
        state = self._blocks[index] = _BlockState(None, kind, block)
        match kind:
            case "text":
                text = take(block, "text", str, "")
                state.citations = take(block, "citations", list, [])
                self._start_block(state, Text("", extra=without_defaults(block) or None), text, out)
            case "thinking":
                text, signature = take(block, "thinking", str, ""), take(block, "signature", str)
                self._start_block(state, Reasoning("", extra=without_defaults(block) or None), text, out)
                if signature:
                    self._add_signature(state, signature, out)
            case "redacted_thinking":
                data = need(block, "data", str)
                self._start_block(state, Reasoning("", redacted=True, extra=without_defaults(block) or None), "", out)
                self._add_signature(state, data, out)
            case "tool_use":
                name = need(block, "name", str)
                id_ = take(block, "id", str)
                if not id_:
                    self._repairs.add("call_id")
                    id_ = self._new_id("toolu_")
                state.data = {"input": take(block, "input", dict, {})}
                alias = self._sent.names.get(name) or Alias(name)
                state.custom = alias.kind == "custom"
                self._has_calls = True
                call = ToolCall(id_, alias.name, "", alias.kind, alias.namespace, extra=without_defaults(block) or None)
                self._start_block(state, call, "", out)

    def _start_block(self, state: _BlockState, block: Block, text: str, out: list[Event]) -> None:
        """Emits the start of a block, and its first text."""
        state.index = self._next_index
        self._next_index += 1
        out.append(BlockStart(state.index, block))
        if text:
            state.length += len(text)
            out.append(BlockDelta(state.index, text))

    def _add_signature(self, state: _BlockState, signature: str, out: list[Event]) -> None:
        if state.index is not None:
            out.append(BlockSignature(state.index, with_issuer(signature, self._sent)))

    def _delta(self, state: _BlockState, delta: dict[str, Any], out: list[Event]) -> None:
        match delta, state.index:
            case {"type": "text_delta", "text": str(text)}, int(index) if state.kind == "text":
                if text:
                    state.length += len(text)
                    out.append(BlockDelta(index, text))
            case {"type": "thinking_delta", "thinking": str(text)}, int(index) if state.kind == "thinking":
                if text:
                    out.append(BlockDelta(index, text))
            case {"type": "signature_delta", "signature": str(signature)}, int() if state.kind == "thinking":
                if signature:
                    self._add_signature(state, signature, out)
            case {"type": "input_json_delta", "partial_json": str(text)}, int(index) if state.kind == "tool_use":
                if text and state.custom:
                    state.fragments.append(text)
                elif text:
                    state.has_arguments = True
                    out.append(BlockDelta(index, text))
            case {"type": "citations_delta", "citation": citation}, int() if state.kind == "text":
                state.citations.append(citation)
            case {"type": "input_json_delta", "partial_json": str(text)}, None:
                state.fragments.append(text)
            case {"type": "text_delta" | "thinking_delta" | "signature_delta" | "input_json_delta"}, int():
                raise Malformed("delta.type", f"a {delta['type']} in a block of type {state.kind}")
            case {"type": str()}, _:
                _merge_delta(state.data if state.index is None else state.extra, delta)
            case _:
                raise Malformed("delta.type", "is required")

    def _stop(self, state: _BlockState, out: list[Event]) -> None:
        index = state.index
        if index is None:
            data = state.data
            if state.fragments and (text := "".join(state.fragments)) and json_fields.is_value(text):
                data["input"] = json_fields.parse(text)
            whole = Opaque(NAME, state.kind, {"type": state.kind, **data}, readable_text(state.kind, data))
            out += [
                BlockStart(self._next_index, self._hosted.with_call(whole)),
                BlockEnd(self._next_index),
            ]
            self._next_index += 1
            return
        if state.kind == "tool_use" and not state.has_arguments:
            text = "".join(state.fragments) or json_fields.encode(state.data["input"]).decode()
            if state.custom:
                text = free_text_in(text)
            if text:
                out.append(BlockDelta(index, text))
        for item in state.citations:
            citation = citation_in(item, state.length)
            if citation is not None:
                out.append(BlockCitation(index, citation))
        extra: Extra = {**state.extra, **(citations_extra(state.citations) or {})}
        out.append(BlockEnd(index, extra or None))

    def _message(self, event: dict[str, Any]) -> None:
        delta = take(event, "delta", dict, {})
        self._native = take(delta, "stop_reason", str, self._native or "") or None
        self._matched = take(delta, "stop_sequence", str, self._matched or "") or None
        usage = take(event, "usage", dict, {})
        if not usage and type(inner := delta.pop("usage", None)) is dict:
            self._repairs.add("usage_place")
            usage = inner
        # "The token counts shown in the usage field of the message_delta event are cumulative."
        # https://platform.claude.com/docs/en/build-with-claude/streaming
        is_zero = usage.get("input_tokens") == 0
        counts = usage_in(usage, self._repairs)
        if counts is not None:
            if is_zero and not counts.prompt:  # hosts that count the prompt at the start alone
                counts = Usage(None, counts.output, reasoning=counts.reasoning)
            self._usage = self._usage.merge(counts) if self._usage else counts
        if usage := without_defaults(usage):
            self._extra["usage"] = {**self._extra.get("usage", {}), **usage}
        self._extra |= without_defaults(delta) | without_defaults(event)

    def close(self) -> list[Event]:
        """Ends the stream: returns the ReplyEnd, or a Failure if the reply is incomplete."""
        if self.done:
            return []
        if self._native is None:
            self.done = True
            return [upstream_cut()]
        return self._end()

    def _end(self) -> list[Event]:
        """Ends the stream where it says that it is complete: by its stop reason, its last event or the sentinel."""
        self.done = True
        if self._native is None and (self.fast_forward or not self._started or not self._next_index):
            return [upstream_cut()]  # a relay's client waits for the stop reason
        out: list[Event] = []
        for state in self._blocks.values() if not self.fast_forward else ():
            self._repairs.add("unclosed")
            self._stop(state, out)
        self._blocks = {}
        stop = stop_in(self._native, None if self.fast_forward else self._has_calls, self._repairs)
        refusal = refusal_in(self._extra)
        if refusal:
            out += [
                BlockStart(self._next_index, Refusal("")),
                BlockDelta(self._next_index, refusal),
                BlockEnd(self._next_index),
            ]
        names = self._repairs.names()
        return [*out, ReplyEnd(stop, self._matched, self._native, self._usage, self._extra or None, names)]

    def _whole(self, body: dict[str, Any]) -> list[Event]:
        """The events of a whole answer."""
        self.done = True
        try:
            reply = decode_reply(body, self._sent, self._new_id)
        except UpstreamError as error:
            return [error.failure]
        return list(unfold(reply))


_DELTA_KINDS = {"text_delta": "text", "thinking_delta": "thinking"}
"""Deltas whose block holds nothing else, and its type."""

_PARTS_OF_ANSWERS = ("delta", "content_block", "message", "choices", "candidates")
"""Keys of frames that belong to an answer, of this protocol or of the others that a wrong address would speak."""

_KNOWN_DELTAS = (*_DELTA_KINDS, "signature_delta", "input_json_delta", "citations_delta")


def _merge_delta(data: dict[str, Any], delta: dict[str, Any]) -> None:
    """Merges a delta of an unknown type into its block: strings and lists are appended, other values replaced."""
    for key, value in delta.items():
        before = data.get(key)
        if key == "type" or value is None:
            continue
        grows = type(before) is type(value) and isinstance(value, str | list)
        data[key] = data[key] + value if grows else value
