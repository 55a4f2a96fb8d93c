"""Repairs of a backend's answer before it is decoded: its mark, a body in place of a stream, and the names of both."""

from __future__ import annotations

from collections.abc import AsyncIterator

from msgspec.structs import replace

from ..errors import Malformed
from ..ir import Event, Reply, ReplyEnd
from ..ir.repairs import Repairs
from ..wire.text_repair import BOM, without_mark

_UNCLEAR = 1024
"""Bytes of blank lines after which an answer is a stream."""

_LONG_LINE = 64 * 1024
"""Bytes without a line's end after which an answer in lines is a stream."""


def without_mark_noted(data: bytes, repairs: Repairs) -> bytes:
    if data.startswith(BOM):
        repairs.add("bom")
    return without_mark(data)


def is_body(head: bytes, framing: str) -> bool | None:
    """Returns whether an answer that begins so is one JSON body and no stream; None where that is not known yet."""
    text = head.lstrip()
    if not text or BOM.startswith(text):
        return None if len(head) < _UNCLEAR else False
    if not text.startswith((b"{", b"[")):
        return False
    if framing != "ndjson":
        return True  # no line of server-sent events begins so
    line, end, _ = text.partition(b"\n")
    if not end:
        return None if len(head) < _LONG_LINE else False
    return not line.rstrip().endswith(b"}")  # a line of a stream is a whole object


async def rest_of_body(head: bytes, chunks: AsyncIterator[bytes], limit: int) -> bytes:
    """Returns a body that begins so; raises Malformed where it has more than `limit` bytes."""
    parts, size = [head], len(head)
    async for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size > limit:
            raise Malformed("", f"more than {limit} bytes, limits.response")
    return b"".join(parts)


def with_repairs(reply: Reply, repairs: Repairs) -> Reply:
    return replace(reply, repaired=(*repairs.names(), *reply.repaired)) if repairs else reply


def note_repairs(events: list[Event], repairs: Repairs) -> None:
    """Adds the repairs of bytes to those of the decoder, which the last event names."""
    if events and type(events[-1]) is ReplyEnd and repairs:
        names = (*repairs.names(), *events[-1].repaired)
        events[-1] = replace(events[-1], repaired=names)
