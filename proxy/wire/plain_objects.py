"""Decodes the data of many frames at once, where all of them are of one simple type."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)

LONGEST = 64 * 1024
"""Bytes beyond which frames are decoded one by one, with the bounds of that."""


def plain_objects(kind: type[T]) -> Callable[[bytes, int], list[T] | None]:
    """Returns a decoder of this many objects, all of this type; it returns None where one is not."""
    decode = msgspec.json.Decoder(kind).decode_lines

    def decode_all(objects: bytes, count: int) -> list[T] | None:
        if len(objects) > LONGEST:
            return None
        try:
            found = decode(objects)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None
        return found if len(found) == count else None

    return decode_all
