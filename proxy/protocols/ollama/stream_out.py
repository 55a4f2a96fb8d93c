"""Neutral events as lines for an Ollama client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import ledger, wire
from ...framing import ndjson, one_line
from ...ir import (
    Block,
    Close,
    Delta,
    Event,
    Failure,
    Finish,
    Image,
    Loss,
    Media,
    Note,
    Open,
    Reasoning,
    Refusal,
    Seal,
    Start,
    Text,
    ToolCall,
    Usage,
)
from ..contract import Asked
from .failure import encode_failure
from .reply_out import (
    block_losses,
    call_out,
    created_at,
    own_out,
    stop_losses,
    stop_out,
    usage_out,
)
from .request_out import arguments_out
from .words import NAME

_END = b'},"done":false}\n'


class StreamEncoder:
    """Events to lines: pieces of text and thinking at once, every call whole and in its order, the counts last."""

    def __init__(self, asked: Asked) -> None:
        self.losses: list[Loss] = []
        self._asked = asked
        self._same = False
        self._cited: set[int] = set()
        self._heads: dict[int, bytes] = {}  # the start of a line for each open text, refusal and thinking
        self._calls: dict[int, ToolCall] = {}  # calls that did not go out yet
        self._pieces: dict[int, list[str]] = {}
        self._closed: set[int] = set()
        self._count = 0
        self._usage: Usage | None = None
        stamp = {"model": asked.request.model, "created_at": created_at(asked.created)}
        self._head = one_line(wire.encode(stamp))[:-1] + b',"message":{"role":"assistant","content":'
        self._thought = self._head + b'"","thinking":'

    def encode(self, events: Sequence[Event]) -> bytes:
        return b"".join([self._event(event) for event in events])

    def _event(self, event: Event) -> bytes:
        match event:
            case Delta(index, text):
                return self._delta(index, text)
            case Start():
                self._same = event.dialect == NAME
                self._usage = event.usage
                return b""  # the wire has no greeting
            case Open(index, block):
                return self._open(index, block)
            case Seal(index):
                self.losses.append(ledger.loss(f"blocks[{index}].seal", "signature"))
                return b""
            case Note(index):
                if index not in self._cited:
                    self._cited.add(index)
                    self.losses.append(ledger.loss(f"blocks[{index}].citations", "citations"))
                return b""
            case Close(index, own):
                if not self._same:
                    self.losses += ledger.leftovers(own, f"blocks[{index}]")
                return self._close(index)
            case Finish():
                return self._finish(event)
            case Failure():
                return ndjson(wire.encode(encode_failure(event, self._asked.id)))

    def _open(self, index: int, block: Block) -> bytes:
        if not self._same:
            self.losses += ledger.block_leftovers(block, index)
        self.losses += block_losses(block, index, self._same)
        match block:
            case Text(text) | Refusal(text):
                self._heads[index] = self._head
                return self._delta(index, text) if text else b""
            case Reasoning(text):
                self._heads[index] = self._thought
                return self._delta(index, text) if text else b""
            case ToolCall(arguments=arguments):
                self._calls[index] = block
                self._pieces[index] = [arguments]
            case Image(Media(data=str(data))) if self._same:
                return self._head + b'"","images":' + wire.encode([data]) + _END
        return b""

    def _delta(self, index: int, text: str) -> bytes:
        head = self._heads.get(index)
        if head is not None:
            return head + one_line(wire.encode(text)) + _END
        if index in self._pieces:
            self._pieces[index].append(text)
        return b""

    def _close(self, index: int) -> bytes:
        self._heads.pop(index, None)
        if index not in self._calls:
            return b""
        self._closed.add(index)
        due = []
        for waiting in self._calls:  # a call that closed early waits for those that opened before it
            if waiting not in self._closed:
                break
            due.append(waiting)
        return self._say_calls(due)

    def _say_calls(self, due: Sequence[int]) -> bytes:
        """One line for the calls that are whole by now: "tool_calls" are objects, so no piece can go out earlier."""
        if not due:
            return b""
        calls = []
        for index in due:
            head = self._calls.pop(index)
            arguments = "".join(self._pieces.pop(index))
            call = ToolCall(head.id, head.name, arguments, head.kind, head.namespace, own=head.own)
            if not arguments_out(call)[1]:
                self.losses.append(ledger.loss(f"blocks[{index}].arguments", "tool_arguments"))
            calls.append(call_out(call, self._count, self._same))
            self._count += 1
        return self._head + b'"","tool_calls":' + one_line(wire.encode(calls)) + _END

    def _finish(self, finish: Finish) -> bytes:
        out = self._say_calls(list(self._calls))
        self.losses += stop_losses(finish.stop, finish.matched, self._same)
        if not self._same:
            self.losses += ledger.leftovers(finish.own, "")
        message: dict[str, Any] = {"role": "assistant", "content": ""}
        body: dict[str, Any] = {
            "model": self._asked.request.model,
            "created_at": created_at(self._asked.created),
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
            own_out(finish.own, body, message)
        return out + ndjson(wire.encode(body))
