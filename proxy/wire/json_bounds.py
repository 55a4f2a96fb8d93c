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
_PLAIN = bytes(set(range(256)) - set(b'[]{},"'))
_ALIKE = bytes.maketrans(b"{}", b"[]")
_SPACE = b" \t\r\n"

_SAMPLE, _DENSE = 2048, 32
"""Bytes of a piece that show whether it has many strings, and the quotation marks that are many. As many bytes at the
end of a slice are worth to be left out."""

_LEVELS = 16
"""Levels that are removed before they are counted one by one."""

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
        self.elements = 0
        """Values in the arrays and objects so far."""
        self._containers = 0
        self._escape = b""
        """A backslash at the end of the last piece."""
        self._in_string = False
        self._string = 0
        """Bytes of the open string in the pieces before."""
        self._long = False
        """True if the last string, which ended the last piece, is too long to be a key."""

    def feed(self, data: bytes) -> None:
        for start in range(0, len(data), SLICE):
            end = min(start + SLICE, len(data))
            if self._escape or data.find(b"\\", start, end) >= 0:
                self._scan(self._without_escapes(data[start:end]))
            elif self._long:
                self._scan(data[start:end])
            else:
                self._feed_plain(data, start, end)

    def _feed_plain(self, data: bytes, start: int, end: int) -> None:
        """Scans a slice without escapes: of a picture that it begins or ends with, only the length."""
        first = data.find(b'"', start, end) if self._in_string else start
        if first < 0:
            self._string += end - start
            return
        last = data.rfind(b'"', first, end)
        if last < 0 or end - last < _SAMPLE:
            last = end - 1
        self._string += first - start
        self._scan(data[first : last + 1])
        if self._in_string:
            self._string += end - 1 - last
        elif last + 1 < end:
            self._scan(data[last + 1 : end])

    def _scan(self, piece: bytes) -> None:
        if self._in_string and not self._long and b'"' not in piece:  # a part of a text with escapes
            self._string += len(piece)
            return
        outside, ends_in_other = self._outside(piece)
        arrays, objects = outside.count(b"["), outside.count(b"{")
        opened = arrays + objects
        self._containers += opened
        self.elements += opened + outside.count(b",")
        bounds = self._bounds
        if self._containers > bounds.containers:
            raise Malformed("", f"more than {bounds.containers} arrays and objects")
        if self.elements > bounds.elements:
            raise Malformed("", f"more than {bounds.elements} values")
        if self._depth + opened > bounds.depth and not self._is_shallow(outside, bounds.depth - self._depth):
            self._count_depth(outside)
        elif opened or b"]" in outside or b"}" in outside:
            self._depth += opened - outside.count(b"]") - outside.count(b"}")
        most = bounds.key_length
        if self._long or (
            len(piece) + self._string > most
            and ((self._string and self._string + piece.find(b'"') > most) or _may_hold_longer(piece, most))
        ):
            self._check_keys(piece)
        self._in_string ^= ends_in_other
        self._note_open_string(piece)

    def _outside(self, piece: bytes) -> tuple[bytes, bool]:
        """The brackets and commas outside of strings, perhaps with more; and if the piece changes between the two."""
        middle = len(piece) // 2
        if piece.count(b'"', middle, middle + _SAMPLE) >= _DENSE:
            # two quotation marks with nothing between them change nothing for what is before and behind them
            piece = piece.translate(None, _PLAIN).replace(b'""', b"")
        parts = piece.split(b'"')
        return b"".join(parts[1 if self._in_string else 0 :: 2]), not len(parts) & 1

    def _without_escapes(self, piece: bytes) -> bytes:
        """The piece without quotation marks that end no string; all lengths stay."""
        # split and join search once, replace searches twice
        piece = b"..".join((self._escape + piece).split(b"\\\\"))
        piece = b"..".join(piece.split(b'\\"'))
        self._escape = b"\\" if piece.endswith(b"\\") else b""
        return piece[: len(piece) - len(self._escape)]

    def _is_shallow(self, outside: bytes, most: int) -> bool:
        """Returns True if this part nests at most so deep, as far as a few replacements show it.

        Each one removes the innermost containers, and with them one level.
        """
        brackets = outside.translate(_ALIKE, _OTHER)
        for level in range(min(most, _LEVELS)):
            fewer = brackets.replace(b"[]", b"")
            if len(fewer) == len(brackets):
                return level + brackets.count(b"[") <= most
            brackets = fewer
        return False

    def _count_depth(self, outside: bytes) -> None:
        steps = map(_STEP.__getitem__, outside.translate(None, _OTHER))
        for depth in accumulate(steps, initial=self._depth):
            if depth > self._bounds.depth:
                raise Malformed("", f"nested more than {self._bounds.depth} levels deep")
        self._depth = depth

    def _check_keys(self, piece: bytes) -> None:
        """Refuses a string that is too long for a key and has a colon behind it."""
        most, parts = self._bounds.key_length, piece.split(b'"')
        if self._long and parts[0].strip(_SPACE):
            self._refuse_key(parts[0])
            self._long = False
        for at in range(0 if self._in_string else 1, len(parts) - 1, 2):
            length = len(parts[at]) + (self._string if at == 0 else 0)
            if length > most:
                following = parts[at + 1]
                self._refuse_key(following)
                # nothing but space follows in this piece: the colon may be in the next
                self._long = at + 2 == len(parts) and not following.strip(_SPACE)

    def _note_open_string(self, piece: bytes) -> None:
        """Remembers how long the string is that this piece leaves open."""
        if self._in_string:
            last = piece.rfind(b'"')
            self._string = len(piece) - 1 - last + (self._string if last < 0 else 0)
        else:
            self._string = 0

    def _refuse_key(self, following: bytes) -> None:
        if following.lstrip(_SPACE).startswith(b":"):
            raise Malformed("", f"a key of more than {self._bounds.key_length} bytes")


def _may_hold_longer(piece: bytes, most: int) -> bool:
    """Returns False if no string of a piece without escapes is longer than so many bytes: it would span a window."""
    window = max(most // 2, 1)
    if len(piece) <= most:
        return False
    return any(piece.find(b'"', at, at + window) < 0 for at in range(0, len(piece), window))


def check_bounds(body: bytes, bounds: JsonBounds) -> None:
    """Checks a whole JSON text; raises Malformed where it holds more than it may."""
    size = len(body)
    # a small body cannot hold more than it has bytes
    is_small = size <= min(bounds.key_length, bounds.elements, 2 * bounds.containers)
    if is_small and body.count(b"[") + body.count(b"{") <= bounds.depth:
        return
    BoundsScan(bounds).feed(body)
