"""An Ollama backend's lines as neutral events."""

from __future__ import annotations

from typing import Any

from ... import wire
from ...errors import Malformed
from ...framing import Frame
from ...ir import (
    Block,
    Close,
    Delta,
    Event,
    Finish,
    Open,
    Reasoning,
    Start,
    Text,
    ToolCall,
)
from ...wire import need, take
from ..contract import NewId, Sent
from .failure import cut, error_in
from .reply_in import calls_in, stop_in, usage_in
from .request_in import content_in, reasoning_in
from .words import NAME


class StreamDecoder:
    """Lines to events. Text and thinking come in pieces and end where another block begins; calls come whole."""

    def __init__(self, sent: Sent, new_id: NewId) -> None:
        self.done = False
        self.skims = False
        self._sent = sent
        self._new_id = new_id
        self._started = False
        self._next = 0
        self._open: tuple[type[Block], int] | None = None  # the text or thinking that is being said
        self._called = False
        self._own: dict[str, Any] = {}

    def feed(self, frame: Frame) -> list[Event]:
        if self.done:
            return []
        line = wire.parse_object(frame.data)
        if line.get("error") is not None:
            self.done = True
            return [error_in(line["error"], None, None)]
        out: list[Event] = []
        done = take(line, "done", bool, False)
        # The last line may leave it out: https://github.com/ollama/ollama/blob/main/docs/api.md#chat-request-streaming
        message = take(line, "message", dict, {}) if done else need(line, "message", dict)
        model = take(line, "model", str)
        if not self._started:
            self._started = True
            out.append(Start(NAME, None, model or None))
        try:
            self._message(message, out)
        except Malformed as fault:
            raise fault.under("message") from None
        if done:
            self._end(line, out)
        else:
            line.pop("created_at", None)
            self._keep(line, "")
        return out

    def _message(self, message: dict[str, Any], out: list[Event]) -> None:
        message.pop("role", None)
        for block in (*reasoning_in(message), *content_in(message, required=False)):
            if isinstance(block, Text):
                self._say(Text(""), block.text, out)
            elif isinstance(block, Reasoning):
                self._say(Reasoning(""), block.text, out)
            else:
                self._whole(block, "", out)
        for call in calls_in(message, self._sent, self._new_id):
            self._called = True
            head = ToolCall(call.id, call.name, "", call.kind, call.namespace, own=call.own)
            self._whole(head, call.arguments, out)
        if message:
            self._keep(message, "message.")

    def _keep(self, fields: dict[str, Any], prefix: str) -> None:
        """Remember what nobody asked for; lists of the same name (logprobs) grow."""
        for key, value in fields.items():
            if value is None:
                continue
            known = self._own.get(prefix + key)
            self._own[prefix + key] = known + value if type(known) is list and type(value) is list else value

    def _say(self, block: Block, text: str, out: list[Event]) -> None:
        """Add to the open block of this kind, or close the one that is open and begin another."""
        kind = type(block)
        if self._open is None or self._open[0] is not kind:
            self._hush(out)
            self._open = (kind, self._next)
            out.append(Open(self._next, block))
            self._next += 1
        out.append(Delta(self._open[1], text))

    def _whole(self, block: Block, text: str, out: list[Event]) -> None:
        """A block that comes in one piece."""
        self._hush(out)
        out.append(Open(self._next, block))
        if text:
            out.append(Delta(self._next, text))
        out.append(Close(self._next))
        self._next += 1

    def _hush(self, out: list[Event]) -> None:
        if self._open is not None:
            out.append(Close(self._open[1]))
            self._open = None

    def _end(self, line: dict[str, Any], out: list[Event]) -> None:
        self.done = True
        self._hush(out)
        native = take(line, "done_reason", str)
        usage = usage_in(line)
        self._keep(line, "")
        out.append(Finish(stop_in(native, self._called), None, native, usage, self._own or None))

    def close(self) -> list[Event]:
        if self.done:
            return []
        self.done = True
        return [cut()]
