"""A chat backend's chunks as neutral events."""

from __future__ import annotations

from typing import Any

import msgspec

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
    Open,
    Reasoning,
    Refusal,
    Seal,
    Start,
    Text,
    ToolCall,
    Usage,
)
from ...names import Alias
from ...wire import each, take
from ..contract import NewId, Sent
from .failure import cut, error_in
from .reply_in import citations_in, stop_in, usage_in
from .request_in import google_seal_in, part_in, reasoning_in
from .words import NAME, PLAIN_CHOICE, PLAIN_CHUNK, PLAIN_DELTA


class StreamDecoder:
    """Chunks to events. Chat never says that a block ended: text ends where another block begins, calls at the end."""

    def __init__(self, sent: Sent, new_id: NewId) -> None:
        self.done = False
        self.skims = False
        self._sent = sent
        self._new_id = new_id
        self._started = False
        self._next = 0
        self._open: tuple[type[Block], int] | None = None  # the text, refusal or thinking that is being said
        self._part: tuple[Any, ...] = ()  # which of several reasoning details is being said
        self._sealed = False
        self._calls: dict[Any, tuple[int, str]] = {}  # the wire's index (or id) -> our index and the call's id
        self._last_call: Any = None
        self._native: str | None = None
        self._usage: Usage | None = None
        self._own: dict[str, Any] = {}

    def feed(self, frame: Frame) -> list[Event]:
        if self.done:
            return []
        if frame.data == DONE:
            return self._end()
        chunk = wire.parse_object(frame.data)
        if (text := self._more_text(chunk)) is not None:
            return [text]
        if chunk.get("error") is not None:
            self.done = True
            return [error_in(chunk["error"], None, None)]
        out: list[Event] = []
        choices = take(chunk, "choices", list)
        usage = take(chunk, "usage", dict)
        id_, model = take(chunk, "id", str), take(chunk, "model", str)
        if choices is None and usage is None:
            raise Malformed("choices", "is required in a chunk")
        if not self._started and (choices or usage):
            self._started = True
            out.append(Start(NAME, id_ or None, model or None))
        for choice in choices or ():
            if type(choice) is not dict:
                raise Malformed("choices", "must hold objects")
            if choice.get("index"):
                self._own.setdefault("n", []).append(choice)
            else:
                self._choice(choice, out)
        self._keep(chunk, "")
        if usage:
            self._usage = usage_in(usage)
        if self._native is not None and self._usage is not None:
            out += self._end()
        return out

    def _more_text(self, chunk: dict[str, Any]) -> Delta | None:
        """What nearly every chunk is: one more piece of the open text, beside book-keeping that was kept before."""
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
        return Delta(self._open[1], text) if plain else None

    def _choice(self, choice: dict[str, Any], out: list[Event]) -> None:
        native = take(choice, "finish_reason", str)
        delta = take(choice, "delta", dict) or {}
        delta.pop("role", None)
        self._reasoning(delta, out)
        self._content(delta, out)
        if refusal := take(delta, "refusal", str):
            self._say(Refusal(""), refusal, out)
        for call in take(delta, "tool_calls", list, []):
            if type(call) is not dict:
                raise Malformed("tool_calls", "must hold objects")
            self._call(call, out)
        function = take(delta, "function_call", dict)
        if function and any(function.values()):  # hosts that fill every field in say {"name": "", "arguments": ""}
            self._call({"index": 0, "function": function}, out)
        self._keep(delta, "choices[0].message.")
        self._keep(choice, "choices[0].")
        if native:
            self._native = native

    def _keep(self, fields: dict[str, Any], prefix: str) -> None:
        """Remember what nobody asked for; lists of the same name (logprobs) grow."""
        for key, value in fields.items():
            path = prefix + key
            if value is None or key == "obfuscation":
                continue
            if key == "logprobs" and path in self._own:
                self._own[path]["content"] = (self._own[path].get("content") or []) + (value.get("content") or [])
            else:
                self._own[path] = value

    def _content(self, delta: dict[str, Any], out: list[Event]) -> None:
        content = delta.pop("content", None)
        if type(content) is list:
            for block in each(content, "content", part_in):
                if isinstance(block, Text | Reasoning | Refusal):
                    self._say(msgspec.structs.replace(block, text=""), block.text, out)
        elif type(content) is str:
            if content:
                self._say(Text(""), content, out)
        elif content is not None:
            raise Malformed("content", f"must be a string, is {wire.describe(content)}")
        for citation in citations_in(delta):
            out.append(Note(self._say(Text(""), "", out), citation))

    def _reasoning(self, delta: dict[str, Any], out: list[Event]) -> None:
        for block in reasoning_in(delta, self._sent.target.provider):
            part = (block.redacted, block.summary, (block.own or {}).get("index"))
            if part != self._part or self._sealed:
                self._hush(out)  # another detail, or one that its signature ended
            self._part = part
            head = msgspec.structs.replace(block, text="", seal=None)
            index = self._say(head, block.text, out)
            if block.seal:
                self._sealed = True
                out.append(Seal(index, block.seal))

    def _say(self, block: Block, text: str, out: list[Event]) -> int:
        """Add to the open block of this kind, or close the one that is open and begin another."""
        kind = type(block)
        if self._open is None or self._open[0] is not kind:
            self._hush(out)
            self._sealed = False
            self._open = (kind, self._next)
            out.append(Open(self._next, block))
            self._next += 1
        index = self._open[1]
        if text:
            out.append(Delta(index, text))
        return index

    def _hush(self, out: list[Event]) -> None:
        if self._open is not None:
            out.append(Close(self._open[1]))
            self._open = None

    def _call(self, call: dict[str, Any], out: list[Event]) -> None:
        id_ = take(call, "id", str)
        custom = call.get("custom")
        function = (custom if type(custom) is dict else call.get("function")) or {}
        name, arguments = function.get("name"), function.get("arguments", function.get("input"))
        # Compatible hosts leave `index` out, and some give every call the same one: a new id then means a new call.
        key = call.get("index")
        if key is None:
            key = id_ or self._last_call
        known = self._calls.get(key)
        if known is None or (id_ and name and id_ != known[1]):
            if not name:
                raise Malformed("tool_calls", "a call's first piece must name its function")
            self._hush(out)
            alias = self._sent.names.get(name) or Alias(name)
            id_ = id_ or self._new_id("call_")
            known = self._calls[key] = (self._next, id_)
            # as in a body, what nobody asked for stays with the call; the signature is no such thing
            own = {k: v for k, v in call.items() if k not in ("index", "type", "function", "custom", "extra_content")}
            block = ToolCall(id_, alias.name, "", "custom" if custom else "function", alias.namespace, own=own or None)
            out.append(Open(self._next, block))
            self._next += 1
        self._last_call = key
        if arguments:
            text = arguments if type(arguments) is str else wire.encode(arguments).decode()
            out.append(Delta(known[0], text))
        if seal := google_seal_in(call, self._sent.target.provider):
            out.append(Seal(known[0], seal))

    def _end(self) -> list[Event]:
        self.done = True
        if self._native is None:
            return [cut()]
        out: list[Event] = []
        self._hush(out)
        out += [Close(index) for index, _ in sorted(self._calls.values())]
        stop = stop_in(self._native, bool(self._calls))
        out.append(Finish(stop, None, self._native, self._usage, self._own or None))
        return out

    def close(self) -> list[Event]:
        return [] if self.done else self._end()
