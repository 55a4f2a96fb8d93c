"""Converts the engine's output to neutral events, with the client's tool names, and to lines for the log."""

from __future__ import annotations

from itertools import groupby

import msgspec
from msgspec import Struct

from ...errors import upstream_failure
from ...ir import (
    BlockDelta,
    BlockEnd,
    BlockStart,
    Event,
    Failure,
    Reasoning,
    ReplyEnd,
    ReplyStart,
    Text,
    ToolCall,
    Usage,
)
from ...protocols.protocol import NewId, UpstreamRequest
from ...wire import json_fields
from .engine import Done, EngineOutput, Prompt
from .output_parser import Fragment, Part
from .spec import NAME


class _Call(Struct):
    """The text of a call between its delimiters: https://huggingface.co/docs/transformers/chat_extras"""

    name: str
    arguments: msgspec.Raw


_decode_call = msgspec.json.Decoder(_Call).decode


class EventBuilder:
    """Builds the events of one request. A call is emitted as a whole, and not at all if it is cut off."""

    def __init__(self, sent: UpstreamRequest, new_id: NewId) -> None:
        self._sent = sent
        self._new_id = new_id
        self._next_index = 0
        self._open: Part | None = None
        self._call_fragments: list[str] = []

    def feed(self, output: EngineOutput) -> tuple[list[Event], bytes]:
        """Returns the events of this output, and its line for the log."""
        match output:
            case Prompt(text, new_tokens, cached_tokens):
                usage = Usage(new_tokens, 0, cached_tokens)
                return [ReplyStart(NAME, None, self._sent.target.model, usage)], _log_line({"prompt": text})
            case Done(stop, matched, usage):
                return [*self._close(), ReplyEnd(stop, matched, stop, usage)], _log_line({"stop": stop, "usage": usage})
            case Failure():
                return [output], _log_line({"error": output.message})
            case _:
                fragments = _merge_fragments(output)
                events = [event for fragment in fragments for event in self._fragment(fragment)]
                first = fragments[0]
                return events, _log_line({first.part: first.text} if len(fragments) == 1 else {"said": fragments})

    def _fragment(self, fragment: Fragment) -> list[Event]:
        if fragment.part == "call":
            self._call_fragments.append(fragment.text)
            return [*self._close(), *self._finish_call()] if fragment.closes else self._close()
        events: list[Event] = []
        text = fragment.text
        if self._open != fragment.part:
            if fragment.part == "text" and self._next_index:
                text = text.lstrip()  # whitespace that only separates thinking or a call from the text
            if not text:
                return self._close() if fragment.closes else []
            events += self._close()
            self._open = fragment.part
            events.append(BlockStart(self._next_index, Text("") if fragment.part == "text" else Reasoning("")))
            self._next_index += 1
        if text:
            events.append(BlockDelta(self._next_index - 1, text))
        return [*events, *self._close()] if fragment.closes else events

    def _finish_call(self) -> list[Event]:
        text, self._call_fragments = "".join(self._call_fragments), []
        try:
            call = _decode_call(text)
        except (msgspec.DecodeError, RecursionError):
            return [upstream_failure(502, kind="upstream_garbage")]
        alias = self._sent.names.get(call.name)
        arguments = bytes(call.arguments).decode()
        head = ToolCall(self._new_id("call_"), call.name)
        if alias is not None:
            head = ToolCall(head.id, alias.name, "", alias.kind, alias.namespace)
            arguments = _free_text_in(arguments) if alias.kind == "custom" else arguments
        index = self._next_index
        self._next_index += 1
        return [BlockStart(index, head), BlockDelta(index, arguments), BlockEnd(index)]

    def _close(self) -> list[Event]:
        if self._open is None:
            return []
        self._open = None
        return [BlockEnd(self._next_index - 1)]


def _merge_fragments(fragments: list[Fragment]) -> list[Fragment]:
    """Joins consecutive fragments of the same part."""
    if len(fragments) == 1:
        return fragments
    out: list[Fragment] = []
    for part, run in groupby(fragments, lambda fragment: fragment.part):
        text = []
        for fragment in run:
            text.append(fragment.text)
            if fragment.closes:
                out.append(Fragment(part, "".join(text), closes=True))
                text = []
        if text:
            out.append(Fragment(part, "".join(text)))
    return out


def _free_text_in(arguments: str) -> str:
    """Returns the text for a custom tool, which the model knows as a function with one string parameter."""
    match json_fields.parse(arguments):
        case {"input": str(text)}:
            return text
        case _:
            return arguments


def _log_line(entry: dict[str, object]) -> bytes:
    return json_fields.encode(entry) + b"\n"
