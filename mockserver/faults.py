"""What an answer goes through on its way out: pauses, cuts, garbage, writes, line ends, comments. It sends nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from .dialects.contract import Spoken
from .frames import ARRAY, JSON, SSE, dump, ndjson, sse
from .scenario import Raw, Wire
from .speech import Cut, Garble, Item, Pause, SayError


class Write(Struct, frozen=True):
    """These bytes in one write."""

    data: bytes


class Sleep(Struct, frozen=True):
    seconds: float


class End(Struct, frozen=True):
    """The answer ends here before its time: `eof` in order, `reset` by breaking the connection."""

    how: Literal["eof", "reset"]


Action: TypeAlias = Write | Sleep | End


def standing(items: tuple[Item, ...], played: int) -> tuple[Item, ...]:
    """The items without the faults that have had their `times`, after this many plays."""
    return tuple(
        item
        for item in items
        if not isinstance(item, Pause | Cut | Garble | SayError) or item.times is None or played < item.times
    )


def early(items: tuple[Item, ...], stream: bool) -> tuple[SayError, float] | None:
    """The error that comes as a status, and how long to wait before it; None when content comes first.

    A stream that has begun can only fail inside itself; a unary answer has not begun until all of it is there.
    """
    waited = 0.0
    for item in items:
        match item:
            case SayError(in_stream=True) if stream:
                return None
            case SayError():
                return item, waited
            case Pause(seconds):
                waited += seconds
            case _ if stream:
                return None
            case _:
                pass
    return None


def play(spoken: Spoken, wire: Wire) -> Iterator[Action]:
    """The actions that send an answer, its faults at their place."""
    newline = b"\r\n" if wire.newline == "crlf" else b"\n"
    ending: Cut | None = None
    garbage: Garble | None = None
    first = True
    for step in spoken.steps:
        match step:
            case Pause(seconds):
                yield Sleep(seconds)
            case Cut(how, 0) if spoken.framing != JSON:
                yield End(how)
                return
            case Cut():
                ending = step
            case Garble():
                garbage = step
            case bytes():
                data = _framed(step, spoken.framing, newline)
                if wire.comments and spoken.framing == SSE:
                    data = (b"" if first else b": still here" + newline + newline) + data
                if garbage is not None:
                    data, garbage = garbage.text.encode() + newline * 2, None
                first = False
                if ending is not None:
                    # An answer in one piece is cut in its middle unless the story says where.
                    yield from _writes(data[: ending.at or len(data) // 2], wire.write)
                    yield End(ending.how)
                    return
                yield from _writes(data, wire.write)
    if ending is not None:
        yield End(ending.how)


def _framed(data: bytes, framing: str, newline: bytes) -> bytes:
    """JSON text holds no raw line end, so only the framing's own are rewritten."""
    return data if framing in (JSON, ARRAY) else data.replace(b"\r\n", b"\n").replace(b"\n", newline)


def _writes(data: bytes, size: int | None) -> Iterator[Write]:
    if size is None:
        if data:
            yield Write(data)
        return
    for at in range(0, len(data), size):
        yield Write(data[at : at + size])


def literal(raw: Raw, framing: str) -> Spoken:
    """A story's literal reply; JSON frames get the dialect's framing, text goes out as it stands."""
    if raw.frames is None:
        body = raw.body if isinstance(raw.body, str) else dump(raw.body)
        return Spoken(raw.status, raw.headers, (body.encode(),), JSON)
    return Spoken(raw.status, raw.headers, tuple(_frame(frame, framing) for frame in raw.frames), framing)


def _frame(frame: Any, framing: str) -> bytes:
    if isinstance(frame, str):
        return frame.encode()
    return sse(frame) if framing == SSE else ndjson(frame)
