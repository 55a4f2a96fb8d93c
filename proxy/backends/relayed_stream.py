"""Decides which frames of a relayed stream the client gets: the parts of the answer up to its end.

A converted stream has only what its decoder understands. A relay would pass everything on, so what is no part of the
answer is left out here, and what is no JSON fails, as its decoder would have said.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from ..protocols.protocol import Protocol
from ..wire import json_fields
from ..wire.framing import DONE, Frame, Framing, plain_frames
from ..wire.plain_objects import plain_objects


class RelayedStream:
    """Filters the frames of one stream."""

    def __init__(self, protocol: Protocol) -> None:
        self._fields = protocol.frame_fields
        self._frames = _frames_decoder(self._fields[0].decode().strip('"') if self._fields else None)
        self._marks = protocol.terminal_markers
        self._ends_with_done = protocol.ends_with_done
        self._passes_done = protocol.ends_with_done or protocol.ignores_done
        self._is_over = False
        self._quiet = None if protocol.quiet_frame is None else quiet_frames(protocol.quiet_frame)

    def is_unread(self, framing: Framing, whole: bytes) -> bool:
        """Returns whether frames after the first content go on unread.

        All are quiet, which is parts of the answer without usage, end and error; or sound and without a mark.
        """
        if self.is_quiet(framing.objects(whole)):
            return True
        last = whole[framing.start_of_last(whole, len(whole)) :]
        # the end of an answer is mostly in the last frame of a read, and looking through all of them costs more
        return first_of(self._marks, last) < 0 and first_of(self._marks, whole) < 0 and self.is_sound(framing, whole)

    def is_quiet(self, objects: tuple[bytes, int] | None) -> bool:
        return objects is not None and self._quiet is not None and self._quiet(*objects) is not None

    def unread_end(self, framing: Framing, whole: bytes) -> int:
        """Returns the end of the frames that are sound and without a mark; 0 where there are none."""
        end = framing.end_before(whole, first_of(self._marks, whole))
        return end if end and self.is_sound(framing, whole[:end]) else 0

    def is_sound(self, framing: Framing, whole: bytes) -> bool:
        """Returns whether these bytes are JSON objects of the answer and nothing else; a quick check."""
        plain = plain_frames(whole)
        data = plain[0] if plain is not None else [frame.data for frame in framing.parse(whole)]
        try:
            frames = self._frames(b"[%b]" % b",".join(data))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return False
        if len(frames) != len(data):
            return False
        return not self._fields or all([frame.part is not msgspec.UNSET for frame in frames])

    def keeps(self, frame: Frame, *, is_done: bool) -> bool:
        """Returns whether the client gets this frame; `is_done` once the answer was complete before it.

        Raises Malformed where it is no object although the answer is not complete; its decoder finds other faults.
        """
        if self._is_over:
            return False
        if frame.data == DONE:
            self._is_over = True
            return self._passes_done
        if is_done:
            return self._ends_with_done and json_fields.is_object(frame.data) and self._is_part(frame.data)
        if not frame.data.startswith(b"{"):
            json_fields.parse_object(frame.data)
        return self._is_part(frame.data)

    def _is_part(self, data: bytes) -> bool:
        return not self._fields or first_of(self._fields, data) >= 0


def first_of(marks: tuple[bytes, ...], data: bytes) -> int:
    """The position of the first of these marks; -1 where there is none."""
    first = -1
    for mark in marks:
        at = data.find(mark) if first < 0 else data.find(mark, 0, first)
        if at >= 0:
            first = at
    return first


quiet_frames = lru_cache(maxsize=64)(plain_objects)
"""The decoder of a protocol's quiet frames."""


@lru_cache(maxsize=64)
def _frames_decoder(field: str | None) -> Callable[[bytes], list[Any]]:
    """Decodes an array of objects as far as this field of each, as `part`."""
    part = [] if field is None else [("part", msgspec.Raw | msgspec.UnsetType, msgspec.UNSET)]
    frame = msgspec.defstruct("Frame", part, rename={"part": field or ""})
    return msgspec.json.Decoder(list[frame]).decode  # type: ignore[valid-type]
