"""Turns a rendered reply into send actions: writes, pauses, cuts, garbled frames, line ends, comments; does no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from .framing import ARRAY, JSON, SSE, dump, ndjson, sse
from .protocols.reply_context import RenderedReply
from .scenarios.model import Cut, Garble, Item, Pause, SayError
from .scenarios.story import WHOLE, Raw, Wire


class Write(Struct, frozen=True):
    """Sends the bytes in one write."""

    data: bytes


class Sleep(Struct, frozen=True):
    """Waits before the next action."""

    seconds: float


class End(Struct, frozen=True):
    """Ends the reply before it is complete: `eof` closes the connection in order, `reset` aborts it."""

    how: Literal["eof", "reset"]


Action: TypeAlias = Write | Sleep | End


def active_items(items: tuple[Item, ...], served: int) -> tuple[Item, ...]:
    """Returns the items without the faults whose `times` are used up; `served` counts the earlier replies."""
    return tuple(
        item
        for item in items
        if not isinstance(item, Pause | Cut | Garble | SayError) or item.times is None or served < item.times
    )


def error_before_content(items: tuple[Item, ...], stream: bool) -> tuple[SayError, float] | None:
    """Returns the error to send as an HTTP status and the seconds to wait before it; None when content comes first.

    A stream that has begun can only fail in the stream; a unary reply has not begun until it is complete.
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


def reply_actions(rendered: RenderedReply, wire: Wire) -> Iterator[Action]:
    """Yields the actions that send a reply, with each fault at its place, cut into writes as the wire settings say."""
    pending = b""
    for action in _frame_actions(rendered, wire):
        if isinstance(action, Write) and wire.write == WHOLE:
            pending += action.data
            continue
        if pending:
            yield Write(pending)
            pending = b""
        yield action
    if pending:
        yield Write(pending)


def _frame_actions(rendered: RenderedReply, wire: Wire) -> Iterator[Action]:
    newline = b"\r\n" if wire.newline == "crlf" else b"\n"
    ending: Cut | None = None
    garbage: Garble | None = None
    first = True
    for step in rendered.parts:
        match step:
            case Pause(seconds):
                yield Sleep(seconds)
            case Cut(how, 0) if rendered.framing != JSON:
                yield End(how)
                return
            case Cut():
                ending = step
            case Garble():
                garbage = step
            case bytes():
                data = _convert_newlines(step, rendered.framing, newline)
                if wire.comments and rendered.framing == SSE:
                    data = (b"" if first else b": still here" + newline + newline) + data
                if garbage is not None:
                    data, garbage = garbage.text.encode() + newline * 2, None
                first = False
                if ending is not None:
                    # A frame is cut in its middle unless the story gives a position.
                    yield from _split_writes(data[: ending.at or len(data) // 2], wire.write)
                    yield End(ending.how)
                    return
                yield from _split_writes(data, wire.write)
    if ending is not None:
        yield End(ending.how)


def _convert_newlines(data: bytes, framing: str, newline: bytes) -> bytes:
    """Rewrites the line ends of the framing; JSON text contains no raw ones."""
    return data if framing in (JSON, ARRAY) else data.replace(b"\r\n", b"\n").replace(b"\n", newline)


def _split_writes(data: bytes, size: int | str) -> Iterator[Write]:
    if not isinstance(size, int):
        if data:
            yield Write(data)
        return
    for at in range(0, len(data), size):
        yield Write(data[at : at + size])


def literal_reply(raw: Raw, framing: str) -> RenderedReply:
    """Renders a story's literal reply; JSON frames get the protocol's framing, text frames are sent unchanged."""
    if raw.frames is None:
        body = raw.body if isinstance(raw.body, str) else dump(raw.body)
        return RenderedReply(raw.status, raw.headers, (body.encode(),), JSON)
    return RenderedReply(raw.status, raw.headers, tuple(_frame(frame, framing) for frame in raw.frames), framing)


def _frame(frame: Any, framing: str) -> bytes:
    if isinstance(frame, str):
        return frame.encode()
    return sse(frame) if framing == SSE else ndjson(frame)
