"""Decodes the server-sent events of an Anthropic backend into neutral events."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from ...errors import Malformed, upstream_cut
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
)
from ...ir.tool_names import Alias
from ...wire import json_fields
from ...wire.framing import DONE, Frame
from ...wire.json_fields import need, take
from ..protocol import NewId, UpstreamRequest
from .errors import error_in
from .reply_decoder import free_text_in, refusal_in, stop_in, usage_in, with_issuer, without_defaults
from .request_decoder import citation_in, citations_extra
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
        self._started = False
        self._next_index = 0
        self._has_calls = False
        self._blocks: dict[int, _BlockState] = {}
        self._native: str | None = None
        self._matched: str | None = None
        self._usage: Usage | None = None
        self._extra: dict[str, Any] = {}

    def feed(self, frame: Frame) -> list[Event]:
        """Returns the events of one frame; raises Malformed if it is not an Anthropic event."""
        if self.done:
            return []
        if frame.data == DONE:  # OpenRouter also ends this stream with [DONE]
            return self.close()
        event = json_fields.parse_object(frame.data)
        if (text := self._next_text(event)) is not None:
            return [text]
        kind = take(event, "type", str)
        out: list[Event] = []
        if self.fast_forward and kind is not None and kind.startswith("content_block"):
            return []
        match kind:
            case "content_block_delta":
                self._delta(self._open_block(event), need(event, "delta", dict), out)
            case "content_block_start":
                self._start(out, {})
                self._open(need(event, "index", int), need(event, "content_block", dict), out)
            case "content_block_stop":
                state = self._open_block(event)
                self._stop(state, out)
                self._blocks = {i: other for i, other in self._blocks.items() if other is not state}
            case "message_start":
                self._start(out, need(event, "message", dict))
            case "message_delta":
                self._start(out, {})
                self._message(event)
            case "message_stop":
                return self.close()
            case "error":
                self.done = True
                return [error_in(event.get("error"), None, None)]
            case None:
                if event.get("error") is None:
                    raise Malformed("type", "is required in an event")
                self.done = True
                return [error_in(event["error"], None, None)]
        return out  # `ping` and unknown events are ignored

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

    def _open_block(self, event: dict[str, Any]) -> _BlockState:
        index = need(event, "index", int)
        if index not in self._blocks:
            raise Malformed("index", f"no block {index} is open")
        return self._blocks[index]

    def _start(self, out: list[Event], message: dict[str, Any]) -> None:
        if self._started:
            return
        self._started = True
        usage = take(message, "usage", dict, {})
        self._usage = usage_in(usage)
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
        if index in self._blocks:
            raise Malformed("index", f"block {index} is already open")
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
                id_, name = need(block, "id", str), need(block, "name", str)
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
            if state.fragments and (text := "".join(state.fragments)):
                data["input"] = json_fields.parse(text)
            out += [
                BlockStart(self._next_index, Opaque(NAME, state.kind, {"type": state.kind, **data})),
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
        # "The token counts shown in the usage field of the message_delta event are cumulative."
        # https://platform.claude.com/docs/en/build-with-claude/streaming
        counts = usage_in(usage)
        if counts is not None:
            self._usage = self._usage.merge(counts) if self._usage else counts
        if usage := without_defaults(usage):
            self._extra["usage"] = {**self._extra.get("usage", {}), **usage}
        self._extra |= without_defaults(delta) | without_defaults(event)

    def close(self) -> list[Event]:
        """Ends the stream: returns the ReplyEnd, or a Failure if the reply is incomplete."""
        if self.done:
            return []
        self.done = True
        if self._native is None or (self._blocks and not self.fast_forward):
            return [upstream_cut()]
        stop = stop_in(self._native, self._has_calls)
        out: list[Event] = []
        refusal = refusal_in(self._extra)
        if refusal:
            out += [
                BlockStart(self._next_index, Refusal("")),
                BlockDelta(self._next_index, refusal),
                BlockEnd(self._next_index),
            ]
        return [*out, ReplyEnd(stop, self._matched, self._native, self._usage, self._extra or None)]


def _merge_delta(data: dict[str, Any], delta: dict[str, Any]) -> None:
    """Merges a delta of an unknown type into its block: strings and lists are appended, other values replaced."""
    for key, value in delta.items():
        before = data.get(key)
        if key == "type" or value is None:
            continue
        grows = type(before) is type(value) and isinstance(value, str | list)
        data[key] = data[key] + value if grows else value
