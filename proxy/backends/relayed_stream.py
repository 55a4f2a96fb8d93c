"""Decides which frames of a relayed stream the client gets: the parts of the answer up to its end.

A converted stream has only what its decoder understands. A relay would pass everything on, so what is no part of the
answer is left out here, and what is no JSON fails, as its decoder would have said.
"""

from __future__ import annotations

import msgspec

from ..protocols.protocol import Protocol
from ..wire import json_fields
from ..wire.framing import DONE, Frame, Framing

_value = msgspec.json.Decoder(msgspec.Raw).decode
_values = msgspec.json.Decoder(list[msgspec.Raw]).decode


class RelayedStream:
    """Filters the frames of one stream."""

    def __init__(self, protocol: Protocol) -> None:
        self._fields = protocol.frame_fields
        self._ends_with_done = protocol.ends_with_done
        self._passes_done = protocol.ends_with_done or protocol.ignores_done
        self._is_over = False

    def is_sound(self, framing: Framing, whole: bytes) -> bool:
        """Returns whether these bytes are JSON objects of the answer and nothing else; a quick check."""
        if whole.startswith(b"data: ") and whole.find(b"\n") == len(whole) - 2:
            data = [whole[6:-2]]  # one frame, as most hosts write and flush it
        else:
            data = [frame.data for frame in framing.parse(whole)]
        if self._fields and whole.count(self._fields[0]) < len(data):
            return False
        try:
            if len(data) == 1:
                _value(data[0])
            elif len(_values(b"[%b]" % b",".join(data))) != len(data):
                return False
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return False
        return all([each.startswith(b"{") for each in data])

    def keeps(self, frame: Frame, *, is_done: bool) -> bool:
        """Returns whether the client gets this frame; `is_done` once the answer was complete before it.

        Raises Malformed where the frame is no JSON although the answer is not complete.
        """
        if self._is_over:
            return False
        if frame.data == DONE:
            self._is_over = True
            return self._passes_done
        if is_done:
            return self._ends_with_done and json_fields.is_object(frame.data) and self._is_part(frame.data)
        json_fields.parse_object(frame.data)
        return self._is_part(frame.data)

    def _is_part(self, data: bytes) -> bool:
        return not self._fields or any(field in data for field in self._fields)
