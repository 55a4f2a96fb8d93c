"""Bounds of a JSON text that are checked on its bytes, before any object is built of it.

A JSON parser holds the interpreter's lock and makes a Python object of two bytes (`[]`), so 15 MB of brackets would
stop every other request for a second and take 800 MB. The scan here costs about 3 ns a byte, in slices of a fifth of a
millisecond, and stops at the first excess.
"""

from __future__ import annotations

from itertools import accumulate

from msgspec import Struct

from ..errors import Malformed

_OTHER = bytes(set(range(256)) - set(b"[]{}"))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_SPACE = b" \t\r\n"

SLICE = 64 * 1024
"""Bytes that are scanned at once."""


class JsonBounds(Struct, frozen=True, kw_only=True):
    """The most that a JSON text may hold."""

    depth: int = 128
    """Arrays and objects within each other."""
    elements: int = 1_000_000
    """Values in arrays and objects; an embeddings request may hold 300,000 token numbers."""
    containers: int = 100_000
    """Arrays and objects."""
    key_length: int = 16 * 1024
    """Bytes of an object's key."""


class BoundsScan:
    """Scans one JSON text, in one piece or in several; `feed` raises Malformed at the first excess.

    It is exact up to the first byte that is no JSON, and there the parser stops as well.
    """

    def __init__(self, bounds: JsonBounds) -> None:
        self._bounds = bounds
        self._depth = 0
        self._elements = 0
        self._containers = 0
        self._escape = b""
        """A backslash at the end of the last piece."""
        self._in_string = False
        self._string = 0
        """Bytes of the open string in the pieces before."""
        self._long = False
        """True if the last string, which ended the last piece, is too long to be a key."""

    def feed(self, piece: bytes) -> None:
        if self._escape or b"\\" in piece:
            piece = self._without_escapes(piece)
        parts = piece.split(b'"')
        strings, others = (parts[0::2], parts[1::2]) if self._in_string else (parts[1::2], parts[0::2])
        outside = b"".join(others)
        arrays, objects = outside.count(b"["), outside.count(b"{")
        opened = arrays + objects
        self._containers += opened
        self._elements += opened + outside.count(b",")
        bounds = self._bounds
        if self._containers > bounds.containers:
            raise Malformed("", f"more than {bounds.containers} arrays and objects")
        if self._elements > bounds.elements:
            raise Malformed("", f"more than {bounds.elements} values")
        if self._depth + opened > bounds.depth:
            self._count_depth(outside)
        elif opened or b"]" in outside or b"}" in outside:
            self._depth += opened - outside.count(b"]") - outside.count(b"}")
        if len(piece) + self._string > bounds.key_length or self._long:
            self._check_keys(parts, strings)
        elif not len(parts) & 1 or self._in_string:
            self._note_open_string(parts)
        self._in_string ^= not len(parts) & 1

    def _without_escapes(self, piece: bytes) -> bytes:
        """The piece without quotation marks that end no string; all lengths stay."""
        # split and join search once, replace searches twice
        piece = b"..".join((self._escape + piece).split(b"\\\\"))
        piece = b"..".join(piece.split(b'\\"'))
        self._escape = b"\\" if piece.endswith(b"\\") else b""
        return piece[: len(piece) - len(self._escape)]

    def _count_depth(self, outside: bytes) -> None:
        steps = map(_STEP.__getitem__, outside.translate(None, _OTHER))
        for depth in accumulate(steps, initial=self._depth):
            if depth > self._bounds.depth:
                raise Malformed("", f"nested more than {self._bounds.depth} levels deep")
        self._depth = depth

    def _check_keys(self, parts: list[bytes], strings: list[bytes]) -> None:
        """Refuses a string that is too long for a key and has a colon behind it."""
        most = self._bounds.key_length
        if self._long and parts[0].strip(_SPACE):
            self._refuse_key(parts[0])
            self._long = False
        if strings and (self._string or max(map(len, strings)) > most):
            first = 0 if self._in_string else 1
            for at in range(first, len(parts) - 1, 2):
                length = len(parts[at]) + (self._string if at == 0 else 0)
                if length > most:
                    following = parts[at + 1]
                    self._refuse_key(following)
                    # nothing but space follows in this piece: the colon may be in the next
                    self._long = at + 2 == len(parts) and not following.strip(_SPACE)
        self._note_open_string(parts)

    def _note_open_string(self, parts: list[bytes]) -> None:
        """Remembers how long the string is that this piece leaves open."""
        if self._in_string ^ (not len(parts) & 1):
            self._string = len(parts[-1]) + (self._string if len(parts) == 1 else 0)
        else:
            self._string = 0

    def _refuse_key(self, following: bytes) -> None:
        if following.lstrip(_SPACE).startswith(b":"):
            raise Malformed("", f"a key of more than {self._bounds.key_length} bytes")


def check_bounds(body: bytes, bounds: JsonBounds) -> None:
    """Checks a whole JSON text; raises Malformed where it holds more than it may."""
    size = len(body)
    # a small body cannot hold more than it has bytes
    is_small = size <= min(bounds.key_length, bounds.elements, 2 * bounds.containers)
    if is_small and body.count(b"[") + body.count(b"{") <= bounds.depth:
        return
    scan = BoundsScan(bounds)
    for start in range(0, size, SLICE):
        scan.feed(body[start : start + SLICE])
