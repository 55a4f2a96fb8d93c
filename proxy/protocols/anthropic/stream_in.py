"""An Anthropic backend's events as neutral events."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from ... import wire
from ...errors import Malformed
from ...framing import DONE, Frame
from ...ir import (
    Block,
    Close,
    Delta,
    Event,
    Finish,
    Note,
    Opaque,
    Open,
    Own,
    Reasoning,
    Refusal,
    Seal,
    Start,
    Text,
    ToolCall,
    Usage,
)
from ...names import Alias
from ...wire import need, take
from ..contract import NewId, Sent
from .failure import cut, error_in
from .reply_in import custom_in, minted, refusal_in, said, stop_in, usage_in
from .request_in import citation_in, citations_own
from .words import NAME


class _Said(Struct):
    """A block that the wire has opened: our index, and what must wait for its end."""

    index: int | None
    kind: str
    data: dict[str, Any]
    own: dict[str, Any] = {}
    length: int = 0
    custom: bool = False
    spoken: bool = False
    pieces: list[str] = field(default_factory=list)
    citations: list[Any] = field(default_factory=list)


class StreamDecoder:
    """Events to events. The wire's blocks carry an index and an end; citations and hosted tools wait for that end."""

    def __init__(self, sent: Sent, new_id: NewId) -> None:
        self.done = False
        self.skims = False
        self._sent = sent
        self._started = False
        self._next = 0
        self._called = False
        self._blocks: dict[int, _Said] = {}
        self._native: str | None = None
        self._matched: str | None = None
        self._usage: Usage | None = None
        self._own: dict[str, Any] = {}

    def feed(self, frame: Frame) -> list[Event]:
        if self.done:
            return []
        if frame.data == DONE:  # OpenRouter ends this stream too as OpenAI's ends
            return self.close()
        event = wire.parse_object(frame.data)
        if (text := self._more_text(event)) is not None:
            return [text]
        kind = take(event, "type", str)
        out: list[Event] = []
        if self.skims and kind is not None and kind.startswith("content_block"):
            return []
        match kind:
            case "content_block_delta":
                self._delta(self._known(event), need(event, "delta", dict), out)
            case "content_block_start":
                self._start(out, {})
                self._open(need(event, "index", int), need(event, "content_block", dict), out)
            case "content_block_stop":
                said_ = self._known(event)
                self._stop(said_, out)
                self._blocks = {i: other for i, other in self._blocks.items() if other is not said_}
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
        return out  # `ping`, and events unknown today, say nothing

    def _more_text(self, event: dict[str, Any]) -> Delta | None:
        """What nearly every event is: one more piece of an open text, and nothing beside it."""
        delta = event.get("delta")
        if event.get("type") != "content_block_delta" or type(delta) is not dict or len(event) != 3 or len(delta) != 2:
            return None
        index, text = event.get("index"), delta.get("text")
        said_ = self._blocks.get(index) if type(index) is int else None
        if said_ is None or said_.kind != "text" or said_.index is None or delta.get("type") != "text_delta":
            return None
        if type(text) is not str or not text:
            return None
        said_.length += len(text)
        return Delta(said_.index, text)

    def _known(self, event: dict[str, Any]) -> _Said:
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
        own = said(message)
        if usage := said(usage):
            own["usage"] = usage
        self._own |= own
        # the output that is counted here is that of the first token
        first = Usage(self._usage.input, None, self._usage.cache_read, self._usage.cache_write) if self._usage else None
        out.append(Start(NAME, id_, model, first, own or None))

    def _open(self, index: int, block: dict[str, Any], out: list[Event]) -> None:
        kind = need(block, "type", str)
        if index in self._blocks:
            raise Malformed("index", f"block {index} is already open")
        said_ = self._blocks[index] = _Said(None, kind, block)
        match kind:
            case "text":
                text = take(block, "text", str, "")
                said_.citations = take(block, "citations", list, [])
                self._say(said_, Text("", own=said(block) or None), text, out)
            case "thinking":
                text, seal = take(block, "thinking", str, ""), take(block, "signature", str)
                self._say(said_, Reasoning("", own=said(block) or None), text, out)
                if seal:
                    self._seal(said_, seal, out)
            case "redacted_thinking":
                data = need(block, "data", str)
                self._say(said_, Reasoning("", redacted=True, own=said(block) or None), "", out)
                self._seal(said_, data, out)
            case "tool_use":
                id_, name = need(block, "id", str), need(block, "name", str)
                said_.data = {"input": take(block, "input", dict, {})}
                alias = self._sent.names.get(name) or Alias(name)
                said_.custom = alias.kind == "custom"
                self._called = True
                call = ToolCall(id_, alias.name, "", alias.kind, alias.namespace, own=said(block) or None)
                self._say(said_, call, "", out)

    def _say(self, said_: _Said, block: Block, text: str, out: list[Event]) -> None:
        said_.index = self._next
        self._next += 1
        out.append(Open(said_.index, block))
        if text:
            said_.length += len(text)
            out.append(Delta(said_.index, text))

    def _seal(self, said_: _Said, seal: str, out: list[Event]) -> None:
        if said_.index is not None:
            out.append(Seal(said_.index, minted(seal, self._sent)))

    def _delta(self, said_: _Said, delta: dict[str, Any], out: list[Event]) -> None:
        match delta, said_.index:
            case {"type": "text_delta", "text": str(text)}, int(index) if said_.kind == "text":
                if text:
                    said_.length += len(text)
                    out.append(Delta(index, text))
            case {"type": "thinking_delta", "thinking": str(text)}, int(index) if said_.kind == "thinking":
                if text:
                    out.append(Delta(index, text))
            case {"type": "signature_delta", "signature": str(seal)}, int() if said_.kind == "thinking":
                if seal:
                    self._seal(said_, seal, out)
            case {"type": "input_json_delta", "partial_json": str(text)}, int(index) if said_.kind == "tool_use":
                if text and said_.custom:
                    said_.pieces.append(text)
                elif text:
                    said_.spoken = True
                    out.append(Delta(index, text))
            case {"type": "citations_delta", "citation": citation}, int() if said_.kind == "text":
                said_.citations.append(citation)
            case {"type": "input_json_delta", "partial_json": str(text)}, None:
                said_.pieces.append(text)
            case {"type": "text_delta" | "thinking_delta" | "signature_delta" | "input_json_delta"}, int():
                raise Malformed("delta.type", f"a {delta['type']} in a block of type {said_.kind}")
            case {"type": str()}, _:
                _grow(said_.data if said_.index is None else said_.own, delta)
            case _:
                raise Malformed("delta.type", "is required")

    def _stop(self, said_: _Said, out: list[Event]) -> None:
        index = said_.index
        if index is None:
            data = said_.data
            if said_.pieces and (text := "".join(said_.pieces)):
                data["input"] = wire.parse(text)
            out += [Open(self._next, Opaque(NAME, said_.kind, {"type": said_.kind, **data})), Close(self._next)]
            self._next += 1
            return
        if said_.kind == "tool_use" and not said_.spoken:
            text = "".join(said_.pieces) or wire.encode(said_.data["input"]).decode()
            if said_.custom:
                text = custom_in(text)
            if text:
                out.append(Delta(index, text))
        for item in said_.citations:
            citation = citation_in(item, said_.length)
            if citation is not None:
                out.append(Note(index, citation))
        own: Own = {**said_.own, **(citations_own(said_.citations) or {})}
        out.append(Close(index, own or None))

    def _message(self, event: dict[str, Any]) -> None:
        delta = take(event, "delta", dict, {})
        self._native = take(delta, "stop_reason", str, self._native or "") or None
        self._matched = take(delta, "stop_sequence", str, self._matched or "") or None
        usage = take(event, "usage", dict, {})
        # "The token counts shown in the usage field of the message_delta event are cumulative."
        # https://platform.claude.com/docs/en/build-with-claude/streaming
        counted = usage_in(usage)
        if counted is not None:
            self._usage = self._usage.merge(counted) if self._usage else counted
        if usage := said(usage):
            self._own["usage"] = {**self._own.get("usage", {}), **usage}
        self._own |= said(delta) | said(event)

    def close(self) -> list[Event]:
        if self.done:
            return []
        self.done = True
        if self._native is None or (self._blocks and not self.skims):
            return [cut()]
        stop = stop_in(self._native, self._called)
        out: list[Event] = []
        refusal = refusal_in(self._own)
        if refusal:
            out += [Open(self._next, Refusal("")), Delta(self._next, refusal), Close(self._next)]
        return [*out, Finish(stop, self._matched, self._native, self._usage, self._own or None)]


def _grow(data: dict[str, Any], delta: dict[str, Any]) -> None:
    """Put a piece of a kind unknown here where its block would have it whole: texts and lists grow, the rest is set."""
    for key, value in delta.items():
        before = data.get(key)
        if key == "type" or value is None:
            continue
        grows = type(before) is type(value) and isinstance(value, str | list)
        data[key] = data[key] + value if grows else value
