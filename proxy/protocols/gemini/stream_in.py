"""A Gemini backend's chunks as neutral events."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ... import wire
from ...errors import Malformed
from ...framing import Frame
from ...ir import (
    Block,
    Close,
    Delta,
    Event,
    Finish,
    Note,
    Open,
    Reasoning,
    Seal,
    Start,
    Text,
    ToolCall,
    Usage,
)
from ...wire import take
from ..contract import NewId, Sent
from .arguments import Arguments
from .failure import cut, error_in
from .fields import named, several
from .grounding import citations_in
from .parts import Pairs, join, seal_in
from .reply_in import feedback_in, finish_in, free_text, minted, renamed, reply_block_in, stop_in, usage_in
from .words import NAME


class StreamDecoder:
    """Chunks to events. There is no last chunk: the end of the bytes ends an answer that has said its finishReason."""

    def __init__(self, sent: Sent, new_id: NewId) -> None:
        self.done = False
        self.skims = False
        self._sent = sent
        self._pairs = Pairs(lambda: new_id("call_"))
        self._started = False
        self._next = 0
        self._open: Block | None = None  # the text or thinking that is being said, without its text
        self._said: list[str] = []
        self._call: tuple[int, ToolCall, Arguments] | None = None  # the call whose arguments come in pieces
        self._called = False
        self._native: str | None = None
        self._feedback: str | None = None
        self._usage: Usage | None = None
        self._own: dict[str, Any] = {}

    def feed(self, frame: Frame) -> list[Event]:
        if self.done:
            return []
        chunk = wire.parse(frame.data)
        if type(chunk) is list and len(chunk) == 1:
            chunk = chunk[0]
        if type(chunk) is not dict:
            raise Malformed("", f"must be a JSON object, is {wire.describe(chunk)}")
        if chunk.get("error") is not None:
            self.done = True
            return [error_in(chunk["error"], None, None)]
        out: list[Event] = []
        known = "candidates" in chunk or "usageMetadata" in chunk or "promptFeedback" in chunk
        candidates = several(chunk, "candidates")
        usage = take(chunk, "usageMetadata", dict)
        id_, model = take(chunk, "responseId", str), take(chunk, "modelVersion", str)
        if not known:
            raise Malformed("candidates", "is required in a chunk")
        if usage and (counted := usage_in(usage)) is not None:
            self._usage = self._usage.merge(counted) if self._usage else counted
        if not self._started:
            self._started = True
            out.append(Start(NAME, id_, model, self._usage))
        self._feedback = feedback_in(chunk) or self._feedback
        for candidate in candidates:
            if type(candidate) is not dict:
                raise Malformed("candidates", "must hold objects")
            if candidate.get("index"):
                self._own.setdefault("n", []).append(named(candidate))
            else:
                self._candidate(candidate, out)
        self._keep(chunk, "")
        return out

    def _candidate(self, candidate: dict[str, Any], out: list[Event]) -> None:
        content = take(candidate, "content", dict, {})
        content.pop("role", None)
        native = finish_in(candidate)
        for part in several(content, "parts"):
            if type(part) is not dict:
                raise Malformed("candidates[0].content.parts", "must hold objects")
            if part:
                self._part(part, out)
        self._keep(content, "candidates[0].content.")
        self._keep(candidate, "candidates[0].")
        self._native = native or self._native

    def _keep(self, fields: dict[str, Any], prefix: str) -> None:
        """Remember what nobody asked for; of what comes in several chunks, lists grow and objects fill up."""
        for key, value in named(fields).items():
            if value is None:
                continue
            path = prefix + key
            held = self._own.get(path)
            if type(held) is dict and type(value) is dict and key in _GROWING:
                self._own[path] = {**held, **{k: _grown(held.get(k), v) for k, v in value.items()}}
            else:
                self._own[path] = {**held, **value} if type(held) is dict and type(value) is dict else value

    def _part(self, part: dict[str, Any], out: list[Event]) -> None:
        call = part.get("functionCall")
        if type(call) is dict and ("partialArgs" in call or call.get("willContinue") or not call.get("name")):
            self._piece(part, call, out)
            return
        block = reply_block_in(part, self._sent, self._pairs)
        match block:
            case Text(text, _, seal) | Reasoning(text, seal):
                if text or seal or block.own:
                    self._say(block, text, out)
            case ToolCall(arguments=arguments, seal=seal):
                self._hush(out)
                self._called = True
                index = self._begin(replace(block, arguments="", seal=None), out)
                if seal:
                    out.append(Seal(index, seal))
                if arguments:
                    out.append(Delta(index, arguments))
                out.append(Close(index))
            case _:
                self._hush(out)
                out.append(Close(self._begin(block, out)))

    def _begin(self, block: Block, out: list[Event]) -> int:
        out.append(Open(self._next, block))
        self._next += 1
        return self._next - 1

    def _say(self, block: Text | Reasoning, text: str, out: list[Event]) -> None:
        """Add to the open block of this kind, or close what is open and begin another; a seal ends it."""
        if self._open is None or join(self._open, block) is None:
            self._hush(out)
            self._open = replace(block, text="", seal=None)
            self._begin(self._open, out)
        index = self._next - 1
        if text:
            self._said.append(text)
            out.append(Delta(index, text))
        if block.seal:
            self._open = replace(self._open, seal=block.seal)
            out.append(Seal(index, block.seal))

    def _hush(self, out: list[Event]) -> None:
        """Close what is being said."""
        if self._open is not None:
            out.append(Close(self._next - 1))
            self._open = None
            self._said = []
        if self._call is not None:
            index, call, arguments = self._call
            text = arguments.text()
            out += [Delta(index, free_text(text) if call.kind == "custom" else text), Close(index)]
            self._call = None

    def _piece(self, part: dict[str, Any], call: dict[str, Any], out: list[Event]) -> None:
        """One piece of a call that is streamed: the first names it, the last does not say that more will come."""
        name, id_ = take(call, "name", str), take(call, "id", str)
        args, pieces = take(call, "args", dict, {}), several(call, "partialArgs")
        more = take(call, "willContinue", bool, False)
        if name:
            self._hush(out)
            self._called = True
            begun = renamed(ToolCall(self._pairs.call(id_, name), name), self._sent)
            self._call = (self._begin(begun, out), begun, Arguments(args))
            if seal := seal_in(part):
                out.append(Seal(self._call[0], minted(seal.value, self._sent)))
        elif self._call is None:
            if pieces or args:
                raise Malformed("functionCall.name", "is required in a call's first piece")
            return  # the end of a call that its last piece had ended already
        assert self._call is not None  # noqa: S101 - either way above
        for piece in pieces:
            if type(piece) is dict:
                self._call[2].add(piece)
        if not more:
            self._hush(out)

    def _end(self) -> list[Event]:
        self.done = True
        if self._native is None and self._feedback is None:
            return [cut()]
        out: list[Event] = []
        if isinstance(self._open, Text):
            candidate = {k[14:]: self._own.pop(k) for k in list(self._own) if k in _SOURCES}
            out += [Note(self._next - 1, note) for note in citations_in(candidate, "".join(self._said))]
            self._own |= {f"candidates[0].{key}": value for key, value in candidate.items()}
        self._hush(out)
        stop = stop_in(self._native, self._feedback, self._called)
        out.append(Finish(stop, None, self._native or self._feedback, self._usage, self._own or None))
        return out

    def close(self) -> list[Event]:
        return [] if self.done else self._end()


_GROWING = ("citationMetadata", "logprobsResult")
_SOURCES = ("candidates[0].groundingMetadata", "candidates[0].citationMetadata")


def _grown(held: Any, value: Any) -> Any:
    return held + value if type(held) is list and type(value) is list else value
