"""Encodes neutral events as lines for an Ollama client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...ir import (
    Block,
    BlockCitation,
    BlockDelta,
    BlockEnd,
    BlockSignature,
    BlockStart,
    Event,
    Failure,
    Image,
    Media,
    Reasoning,
    Refusal,
    ReplyEnd,
    ReplyStart,
    Text,
    TokenLogprob,
    ToolCall,
    Usage,
)
from ...ir.losses import block_extra_losses, declare_loss, reply_field_losses
from ...ir.readable import PART_BREAK
from ...ir.stream import Texts
from ...ir.stream_losses import StreamLosses
from ...ir.token_logprobs import tokens_out
from ...wire import json_fields
from ...wire.framing import ndjson, one_line
from ..protocol import ReplyContext
from .errors import encode_failure
from .fields import restore_extra
from .reply_encoder import block_losses, call_out, created_at, stop_losses, stop_out, usage_out
from .request_encoder import arguments_out
from .tables import NAME

_LINE_END = b',"done":false}\n'


def _logprobs_out(tokens: Sequence[TokenLogprob]) -> bytes:
    return b',"logprobs":' + one_line(json_fields.encode(tokens_out(tokens)))


class StreamEncoder:
    """Encodes text and thinking as they come, every call as a whole and in order, and the token counts at the end."""

    def __init__(self, context: ReplyContext) -> None:
        self.losses = StreamLosses()
        self._context = context
        self._same = False
        self._cited: set[int] = set()
        self._heads: dict[int, bytes] = {}  # index of an open text, refusal or thinking block -> start of its lines
        self._calls: dict[int, ToolCall] = {}  # calls that were not sent yet
        self._fragments: dict[int, list[str]] = {}
        self._closed: set[int] = set()
        self._has_thought = False
        self._breaks: set[int] = set()  # thinking that follows other thinking, of which nothing was sent yet
        self._call_count = 0
        self._usage: Usage | None = None
        stamp = {"model": context.request.model, "created_at": created_at(context.created)}
        self._head = one_line(json_fields.encode(stamp))[:-1] + b',"message":{"role":"assistant","content":'
        self._thought = self._head + b'"","thinking":'
        self._tail = b"}" + _LINE_END

    def encode(self, events: Sequence[Event]) -> bytes:
        """Returns the lines for these events."""
        return b"".join([self._event(event) for event in events])

    def encode_texts(self, texts: Texts) -> bytes | None:
        if self._heads.get(texts.index) is not self._head:
            return None
        lines = (self._tail + self._head).join(map(json_fields.encode, texts.pieces))
        return self._head + one_line(lines) + self._tail

    def _event(self, event: Event) -> bytes:
        match event:
            case BlockDelta(index, text, logprobs):
                line = self._delta(index, text)
                return line.removesuffix(_LINE_END) + _logprobs_out(logprobs) + _LINE_END if logprobs and line else line
            case ReplyStart():
                self._same = event.protocol == NAME
                self._usage = event.usage
                return b""  # Ollama streams have no start line
            case BlockStart(index, block):
                return self._open(index, block)
            case BlockSignature(index):
                self.losses.append(declare_loss(f"blocks[{index}].seal", "signature"))
                return b""
            case BlockCitation(index):
                if index not in self._cited:
                    self._cited.add(index)
                    self.losses.append(declare_loss(f"blocks[{index}].citations", "citations"))
                return b""
            case BlockEnd(index, extra):
                if not self._same:
                    self.losses += reply_field_losses(extra, f"blocks[{index}]")
                return self._close(index)
            case ReplyEnd():
                return self._finish(event)
            case Failure():
                error = encode_failure(event, self._context.id)
                self.losses.tell_late(error)
                return ndjson(json_fields.encode(error))

    def _open(self, index: int, block: Block) -> bytes:
        if not self._same:
            self.losses += block_extra_losses(block, index)
        self.losses += block_losses(block, index, self._same)
        match block:
            case Text(text) | Refusal(text):
                self._heads[index] = self._head
                return self._delta(index, text) if text else b""
            case Reasoning(text):
                self._heads[index] = self._thought
                if self._has_thought and not self._same:
                    self._breaks.add(index)
                return self._delta(index, text) if text else b""
            case ToolCall(arguments=arguments):
                self._calls[index] = block
                self._fragments[index] = [arguments]
            case Image(Media(data=str(data))) if self._same:
                return self._head + b'"","images":' + json_fields.encode([data]) + self._tail
        return b""

    def _delta(self, index: int, text: str) -> bytes:
        head = self._heads.get(index)
        if head is not None:
            if head is self._thought and text:
                self._has_thought = True
                if index in self._breaks:
                    self._breaks.discard(index)
                    text = PART_BREAK + text
            return head + one_line(json_fields.encode(text)) + self._tail
        if index in self._fragments:
            self._fragments[index].append(text)
        return b""

    def _close(self, index: int) -> bytes:
        self._heads.pop(index, None)
        if index not in self._calls:
            return b""
        self._closed.add(index)
        ready = []
        for waiting in self._calls:  # calls are sent in the order in which they were opened
            if waiting not in self._closed:
                break
            ready.append(waiting)
        return self._write_calls(ready)

    def _write_calls(self, ready: Sequence[int]) -> bytes:
        """Returns one line with these complete calls: their arguments are objects, which cannot be split."""
        if not ready:
            return b""
        calls = []
        for index in ready:
            head = self._calls.pop(index)
            arguments = "".join(self._fragments.pop(index))
            call = ToolCall(head.id, head.name, arguments, head.kind, head.namespace, extra=head.extra)
            if not arguments_out(call)[1]:
                self.losses.append(declare_loss(f"blocks[{index}].arguments", "tool_arguments"))
            calls.append(call_out(call, self._call_count, self._same))
            self._call_count += 1
        return self._head + b'"","tool_calls":' + one_line(json_fields.encode(calls)) + self._tail

    def _finish(self, finish: ReplyEnd) -> bytes:
        out = self._write_calls(list(self._calls))
        self.losses += stop_losses(finish.stop, finish.matched, self._same)
        if not self._same:
            self.losses += reply_field_losses(finish.extra, "")
        message: dict[str, Any] = {"role": "assistant", "content": ""}
        body: dict[str, Any] = {
            "model": self._context.request.model,
            "created_at": created_at(self._context.created),
            "message": message,
            "done": True,
            "done_reason": stop_out(finish.stop, finish.native, self._same),
        }
        usage = finish.usage or self._usage
        if usage is not None and self._usage is not None:
            usage = self._usage.merge(usage)
        if usage is not None:
            body |= usage_out(usage)
        if self._same:
            restore_extra(body, "message", finish.extra)
        self.losses.tell_late(body)
        return out + ndjson(json_fields.encode(self._last(body)))

    def _last(self, body: dict[str, Any]) -> dict[str, Any]:
        """Returns the last line, which has no content of its own."""
        return body
