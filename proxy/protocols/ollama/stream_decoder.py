"""Decodes the lines of an Ollama backend into neutral events."""

from __future__ import annotations

from typing import Any

from ...errors import Malformed, upstream_cut
from ...ir import (
    Block,
    BlockDelta,
    BlockEnd,
    BlockStart,
    Event,
    Reasoning,
    ReplyEnd,
    ReplyStart,
    Text,
    TokenLogprob,
    ToolCall,
)
from ...ir.repairs import Repairs
from ...ir.stream import Texts
from ...ir.token_logprobs import add_logprobs, tokens_in
from ...wire import json_fields
from ...wire.error_bodies import error_in_body, is_error
from ...wire.framing import DONE, Frame
from ...wire.json_fields import take
from ..protocol import NewId, UpstreamRequest
from .errors import error_in
from .plain_line import text_lines
from .reply_decoder import calls_in, stop_in, usage_in
from .request_decoder import content_in, reasoning_in
from .tables import NAME


class StreamDecoder:
    """Decodes Ollama lines. Text and thinking end where another block begins; calls are never split."""

    def __init__(self, sent: UpstreamRequest, new_id: NewId) -> None:
        self.done = False
        self.fast_forward = False
        self._sent = sent
        self._new_id = new_id
        self._started = False
        self._next_index = 0
        self._open: tuple[type[Block], int] | None = None  # kind and index of the open text or thinking block
        self._has_calls = False
        self._repairs = Repairs()
        self._tokens: tuple[TokenLogprob, ...] = ()  # log probabilities that came without a text
        self._unsaid: list[Any] = []  # the same, as they came
        self._extra: dict[str, Any] = {}

    def feed(self, frame: Frame) -> list[Event]:
        """Returns the events of one line; raises Malformed if it is not an Ollama reply."""
        if self.done:
            return []
        if frame.data == DONE:  # gateways end every stream so
            return self._marked_end()
        line = self._parse(frame.data)
        is_part = "message" in line or "done" in line
        if line.get("error") or (not is_part and is_error(line)):
            self.done = True
            return [error_in(error_in_body(line), None, None)]
        if not is_part:
            self._repairs.add("unknown_frame")
            return []
        out: list[Event] = []
        done = take(line, "done", bool, False)
        # the last line may omit it: https://github.com/ollama/ollama/blob/main/docs/api.md#chat-request-streaming
        message = take(line, "message", dict, {})
        model = take(line, "model", str)
        if not self._started:
            self._started = True
            out.append(ReplyStart(NAME, None, model or None))
        try:
            self._message(message, out)
        except Malformed as fault:
            raise fault.under("message") from None
        self._logprobs(line, out)
        if done:
            self._end(line, out)
        else:
            line.pop("created_at", None)
            self._keep_extra(line, "")
        return out

    def feed_texts(self, objects: bytes, count: int) -> Texts | None:
        if self.done or self._open is None or self._open[0] is not Text or self._tokens:
            return None
        found = text_lines(objects, count)
        return None if found is None else Texts(self._open[1], [line.message.content for line in found])

    def _parse(self, data: bytes) -> dict[str, Any]:
        """Returns a line as one of the chat."""
        return json_fields.parse_object(data)

    def _message(self, message: dict[str, Any], out: list[Event]) -> None:
        message.pop("role", None)
        for block in (*reasoning_in(message), *content_in(message, required=False)):
            if isinstance(block, Text):
                self._add_text(Text(""), block.text, out)
            elif isinstance(block, Reasoning):
                self._add_text(Reasoning(""), block.text, out)
            else:
                self._add_block(block, "", out)
        for call in calls_in(message, self._sent, self._new_id):
            self._has_calls = True
            head = ToolCall(call.id, call.name, "", call.kind, call.namespace, extra=call.extra)
            self._add_block(head, call.arguments, out)
        if message:
            self._keep_extra(message, "message.")

    def _logprobs(self, line: dict[str, Any], out: list[Event]) -> None:
        """Adds log probabilities to the text that they came with, else to the next one."""
        if tokens := tokens_in(line.get("logprobs")):
            self._tokens += tokens
            self._unsaid += line.pop("logprobs")
        if self._tokens and self._open is not None and self._open[0] is Text:
            add_logprobs(out, self._open[1], self._tokens)
            self._tokens, self._unsaid = (), []

    def _keep_extra(self, fields: dict[str, Any], prefix: str) -> None:
        """Collects extra fields; lists of the same name (logprobs) are appended."""
        for key, value in fields.items():
            if value is None:
                continue
            known = self._extra.get(prefix + key)
            self._extra[prefix + key] = known + value if type(known) is list and type(value) is list else value

    def _add_text(self, block: Block, text: str, out: list[Event]) -> None:
        """Adds text to the open block if it is of this kind, else closes that and opens another."""
        kind = type(block)
        if self._open is None or self._open[0] is not kind:
            self._close_block(out)
            self._open = (kind, self._next_index)
            out.append(BlockStart(self._next_index, block))
            self._next_index += 1
        out.append(BlockDelta(self._open[1], text))

    def _add_block(self, block: Block, text: str, out: list[Event]) -> None:
        """Emits a complete block."""
        self._close_block(out)
        out.append(BlockStart(self._next_index, block))
        if text:
            out.append(BlockDelta(self._next_index, text))
        out.append(BlockEnd(self._next_index))
        self._next_index += 1

    def _close_block(self, out: list[Event]) -> None:
        if self._open is not None:
            out.append(BlockEnd(self._open[1]))
            self._open = None

    def _end(self, line: dict[str, Any], out: list[Event]) -> None:
        self.done = True
        self._close_block(out)
        native = take(line, "done_reason", str) or None
        usage = usage_in(line, self._repairs)
        self._keep_extra(line, "")
        if self._unsaid:  # they were of no text
            self._extra["logprobs"] = self._unsaid
        stop = stop_in(native, self._has_calls, self._repairs)
        out.append(ReplyEnd(stop, None, native, usage, self._extra or None, self._repairs.names()))

    def _marked_end(self) -> list[Event]:
        """Ends the stream at a sentinel; a relayed one is cut off, because its client waits for the last line."""
        if not self._started or self.fast_forward:
            return self.close()
        self._repairs.add("stop_missing")
        out: list[Event] = []
        self._end({}, out)
        return out

    def close(self) -> list[Event]:
        """Ends the stream: returns a Failure if the reply is incomplete."""
        if self.done:
            return []
        self.done = True
        return [upstream_cut()]
