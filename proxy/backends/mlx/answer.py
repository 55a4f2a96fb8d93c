"""What the engine says of one job as neutral events, under the client's own names, and as lines of a log."""

from __future__ import annotations

from itertools import groupby

import msgspec
from msgspec import Struct

from ... import wire
from ...errors import upstream_failure
from ...ir import Close, Delta, Event, Failure, Finish, Open, Reasoning, Start, Text, ToolCall, Usage
from ...protocols.contract import NewId, Sent
from .engine import Done, Prompt, Said
from .markup import Part, Piece
from .speech import NAME


class _Call(Struct):
    """What stands between the marks of a call: https://huggingface.co/docs/transformers/chat_extras"""

    name: str
    arguments: msgspec.Raw


_decode_call = msgspec.json.Decoder(_Call).decode


class Answer:
    """Turns what is said into events. A call goes out whole: one that is cut off was never made."""

    def __init__(self, sent: Sent, new_id: NewId) -> None:
        self._sent = sent
        self._new_id = new_id
        self._blocks = 0
        self._open: Part | None = None
        self._call: list[str] = []
        self._blank = ""
        """White space that may only part a thought or a call from what follows."""

    def hear(self, said: Said) -> tuple[list[Event], bytes]:
        """The events in this, and the line of it."""
        match said:
            case Prompt(text, new, known):
                usage = Usage(new, 0, known)
                return [Start(NAME, None, self._sent.target.model, usage)], _line({"prompt": text})
            case Done(stop, matched, usage):
                return [*self._close(), Finish(stop, matched, stop, usage)], _line({"stop": stop, "usage": usage})
            case Failure():
                return [said], _line({"error": said.message})
            case _:
                pieces = _joined(said)
                events = [event for piece in pieces for event in self._piece(piece)]
                return events, _line({pieces[0].part: pieces[0].text} if len(pieces) == 1 else {"said": pieces})

    def _piece(self, piece: Piece) -> list[Event]:
        if piece.part == "call":
            self._call.append(piece.text)
            return [*self._close(), *self._called()] if piece.closes else self._close()
        events: list[Event] = []
        text = piece.text
        if self._open != piece.part:
            if piece.part == "text" and self._blocks:
                text = text.lstrip()
            if not text:
                return self._close() if piece.closes else []
            events += self._close()
            self._open = piece.part
            events.append(Open(self._blocks, Text("") if piece.part == "text" else Reasoning("")))
            self._blocks += 1
        if text:
            events.append(Delta(self._blocks - 1, text))
        return [*events, *self._close()] if piece.closes else events

    def _called(self) -> list[Event]:
        text, self._call = "".join(self._call), []
        try:
            call = _decode_call(text)
        except (msgspec.DecodeError, RecursionError):
            return [upstream_failure(502, kind="upstream_garbage")]
        alias = self._sent.names.get(call.name)
        arguments = bytes(call.arguments).decode()
        head = ToolCall(self._new_id("call_"), call.name)
        if alias is not None:
            head = ToolCall(head.id, alias.name, "", alias.kind, alias.namespace)
            arguments = _free_text(arguments) if alias.kind == "custom" else arguments
        index = self._blocks
        self._blocks += 1
        return [Open(index, head), Delta(index, arguments), Close(index)]

    def _close(self) -> list[Event]:
        if self._open is None:
            return []
        self._open = None
        return [Close(self._blocks - 1)]


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Pieces that follow one another in one part, as one."""
    if len(pieces) == 1:
        return pieces
    out: list[Piece] = []
    for part, run in groupby(pieces, lambda piece: piece.part):
        text = []
        for piece in run:
            text.append(piece.text)
            if piece.closes:
                out.append(Piece(part, "".join(text), closes=True))
                text = []
        if text:
            out.append(Piece(part, "".join(text)))
    return out


def _free_text(arguments: str) -> str:
    """What a free-text tool was told, out of the one argument of the function that plays it."""
    match wire.parse(arguments):
        case {"input": str(text)}:
            return text
        case _:
            return arguments


def _line(what: dict[str, object]) -> bytes:
    return wire.encode(what) + b"\n"
