"""Decodes the chunks of a chat backend into neutral events."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ...errors import Malformed, upstream_cut
from ...ir import (
    Block,
    BlockCitation,
    BlockDelta,
    BlockEnd,
    BlockSignature,
    BlockStart,
    Event,
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
from ...wire.json_fields import each, maybe, need, take
from ..protocol import NewId, UpstreamRequest
from .errors import error_in
from .reply_decoder import citations_in, stop_in, usage_in
from .request_decoder import google_signature_in, part_in, reasoning_in
from .tables import NAME, PLAIN_CHOICE, PLAIN_CHUNK, PLAIN_DELTA


class StreamDecoder:
    """Decodes chunks into events.

    Chat does not mark the end of a block: text ends where another block begins, calls end with the stream.
    """

    def __init__(self, sent: UpstreamRequest, new_id: NewId) -> None:
        self.done = False
        self.fast_forward = False
        self._sent = sent
        self._new_id = new_id
        self._started = False
        self._next_index = 0
        self._open: tuple[type[Block], int] | None = None  # the open text, refusal or thinking
        self._detail: tuple[Any, ...] = ()  # which of several reasoning details is open
        self._signed = False  # the open thinking has its signature
        self._calls: dict[Any, tuple[int, str]] = {}  # the wire's index (or id) -> the block's index and the call's id
        self._last_call: Any = None
        self._native: str | None = None
        self._usage: Usage | None = None
        self._extra: dict[str, Any] = {}

    def feed(self, frame: Frame) -> list[Event]:
        """Returns the events of one frame; raises Malformed if it is not a chat chunk."""
        if self.done:
            return []
        if frame.data == DONE:
            return self._end()
        chunk = json_fields.parse_object(frame.data)
        if (text := self._next_text(chunk)) is not None:
            return [text]
        if chunk.get("error") is not None:
            self.done = True
            return [error_in(chunk["error"], None, None)]
        out: list[Event] = []
        choices = take(chunk, "choices", list)
        usage = take(chunk, "usage", dict)
        id_, model = take(chunk, "id", str), take(chunk, "model", str)
        if choices is None and usage is None:
            return []  # no part of the answer: some hosts send pings of their own
        if not self._started and (choices or usage):
            self._started = True
            out.append(ReplyStart(NAME, id_ or None, model or None))
        for choice in choices or ():
            if type(choice) is not dict:
                raise Malformed("choices", "must hold objects")
            if choice.get("index"):
                self._extra.setdefault("n", []).append(choice)
            else:
                self._choice(choice, out)
        self._keep_extra(chunk, "")
        if usage:
            self._usage = usage_in(usage)
        if self._native is not None and self._usage is not None:
            out += self._end()
        return out

    def _next_text(self, chunk: dict[str, Any]) -> BlockDelta | None:
        """Decodes the commonest chunk fast: another piece of the open text, and no field that is not kept already."""
        choices = chunk.get("choices")
        if self._open is None or self._open[0] is not Text or type(choices) is not list or len(choices) != 1:
            return None
        choice = choices[0]
        delta = choice.get("delta") if type(choice) is dict else None
        text = delta.get("content") if type(delta) is dict else None
        if type(text) is not str or not text or type(delta) is not dict:
            return None
        plain = (
            delta.keys() <= PLAIN_DELTA
            and choice.keys() <= PLAIN_CHOICE
            and chunk.keys() <= PLAIN_CHUNK
            and not choice.get("index")
            and choice.get("finish_reason") is None
            and choice.get("logprobs") is None
            and chunk.get("usage") is None
        )
        return BlockDelta(self._open[1], text) if plain else None

    def _choice(self, choice: dict[str, Any], out: list[Event]) -> None:
        native = take(choice, "finish_reason", str)
        delta = take(choice, "delta", dict) or {}
        delta.pop("role", None)
        self._reasoning(delta, out)
        self._content(delta, out)
        if refusal := take(delta, "refusal", str):
            self._add_text(Refusal(""), refusal, out)
        for call in take(delta, "tool_calls", list, []):
            if type(call) is not dict:
                raise Malformed("tool_calls", "must hold objects")
            self._call(call, out)
        function = take(delta, "function_call", dict)
        if function and any(function.values()):  # some hosts send {"name": "", "arguments": ""} without a call
            self._call({"index": 0, "function": function}, out)
        self._keep_extra(delta, "choices[0].message.")
        self._keep_extra(choice, "choices[0].")
        if native:
            self._native = native

    def _keep_extra(self, fields: dict[str, Any], prefix: str) -> None:
        """Keeps fields without a neutral slot; a later value replaces an earlier one, but logprobs accumulate."""
        for key, value in fields.items():
            path = prefix + key
            if value is None or key == "obfuscation":
                continue
            before = self._extra.get(path)
            if key == "logprobs" and type(before) is dict and type(value) is dict:
                tokens = (maybe(before, "content", list) or []) + (maybe(value, "content", list) or [])
                self._extra[path] = {**before, "content": tokens}
            else:
                self._extra[path] = value

    def _content(self, delta: dict[str, Any], out: list[Event]) -> None:
        content = delta.pop("content", None)
        if type(content) is list:
            for block in each(content, "content", part_in):
                if isinstance(block, Text | Reasoning | Refusal):
                    self._add_text(replace(block, text=""), block.text, out)
        elif type(content) is str:
            if content:
                self._add_text(Text(""), content, out)
        elif content is not None:
            raise Malformed("content", f"must be a string, is {json_fields.describe(content)}")
        for citation in citations_in(delta):
            out.append(BlockCitation(self._add_text(Text(""), "", out), citation))

    def _reasoning(self, delta: dict[str, Any], out: list[Event]) -> None:
        for block in reasoning_in(delta, self._sent.target.provider):
            detail = (block.redacted, block.summary, (block.extra or {}).get("index"))
            if detail != self._detail or self._signed:
                self._close_block(out)  # another detail, or one that ended with its signature
            self._detail = detail
            head = replace(block, text="", signature=None)
            index = self._add_text(head, block.text, out)
            if block.signature:
                self._signed = True
                out.append(BlockSignature(index, block.signature))

    def _add_text(self, block: Block, text: str, out: list[Event]) -> int:
        """Appends text to the open block if it has this type, else closes it and opens this one; returns the index."""
        kind = type(block)
        if self._open is None or self._open[0] is not kind:
            self._close_block(out)
            self._signed = False
            self._open = (kind, self._next_index)
            out.append(BlockStart(self._next_index, block))
            self._next_index += 1
        index = self._open[1]
        if text:
            out.append(BlockDelta(index, text))
        return index

    def _close_block(self, out: list[Event]) -> None:
        if self._open is not None:
            out.append(BlockEnd(self._open[1]))
            self._open = None

    def _call(self, call: dict[str, Any], out: list[Event]) -> None:
        id_ = take(call, "id", str)
        custom = maybe(call, "custom", dict)
        function = {} if call.get("function") is None and custom is None else custom or need(call, "function", dict)
        name, arguments = take(function, "name", str), function.get("arguments", function.get("input"))
        # Compatible hosts leave `index` out, and some give every call the same one: a new id then means a new call.
        key: Any = maybe(call, "index", int)
        if key is None:
            key = maybe(call, "index", str) or id_ or self._last_call
        known = self._calls.get(key)
        if known is None or (id_ and name and id_ != known[1]):
            if not name:
                raise Malformed("tool_calls", "a call's first piece must name its function")
            self._close_block(out)
            alias = self._sent.names.get(name) or Alias(name)
            id_ = id_ or self._new_id("call_")
            known = self._calls[key] = (self._next_index, id_)
            # as in a body, the extra fields stay with the call; the signature has an event of its own
            extra = {k: v for k, v in call.items() if k not in ("index", "type", "function", "custom", "extra_content")}
            block = ToolCall(
                id_, alias.name, "", "custom" if custom else "function", alias.namespace, extra=extra or None
            )
            out.append(BlockStart(self._next_index, block))
            self._next_index += 1
        self._last_call = key
        if arguments:
            text = arguments if type(arguments) is str else json_fields.encode(arguments).decode()
            out.append(BlockDelta(known[0], text))
        if signature := google_signature_in(call, self._sent.target.provider):
            out.append(BlockSignature(known[0], signature))

    def _end(self) -> list[Event]:
        self.done = True
        if self._native is None:
            return [upstream_cut()]
        out: list[Event] = []
        self._close_block(out)
        out += [BlockEnd(index) for index, _ in sorted(self._calls.values())]
        stop = stop_in(self._native, bool(self._calls))
        out.append(ReplyEnd(stop, None, self._native, self._usage, self._extra or None))
        return out

    def close(self) -> list[Event]:
        """Ends the stream: returns the ReplyEnd, or a Failure if the reply is incomplete."""
        return [] if self.done else self._end()
