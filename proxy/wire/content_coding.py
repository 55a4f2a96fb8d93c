"""Decodes the content codings of request bodies piece by piece, so that no piece is larger than asked for.

https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol as Interface

import brotli

from ..errors import Malformed

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PIECE = 64 * 1024
"""Bytes of a decoded piece."""

MEMBERS = 1000
"""Members of one body, where a coding lets several stand one after the other."""

_WINDOW_LOG = 23
"""Logarithm of the largest window of a zstd frame.

"Zstandard-compressed content … MUST NOT use a Window_Size larger than 8 MB"
https://www.rfc-editor.org/rfc/rfc9659#section-3
"""


class _Member(Interface):
    """Decodes one member of a coded body."""

    def feed(self, data: bytes) -> bytes:
        """Decodes some of the data and keeps the rest; empty data goes on with what is kept."""
        ...

    @property
    def is_whole(self) -> bool: ...

    @property
    def left(self) -> bytes:
        """Bytes behind the member's end."""
        ...


class _Zlib:
    """gzip, or deflate in zlib's format; some clients send deflate without that."""

    def __init__(self, wbits: int | None) -> None:
        self._wbits = wbits
        self._decoder = None if wbits is None else zlib.decompressobj(wbits)
        self._kept = b""

    def feed(self, data: bytes) -> bytes:
        data = self._kept + data
        if self._decoder is None:
            # "the "deflate" coding is a "zlib" data format"; its first byte names method 8
            # https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1.2
            self._decoder = zlib.decompressobj(zlib.MAX_WBITS if data[:1] and data[0] & 15 == 8 else -zlib.MAX_WBITS)
        out = self._decoder.decompress(data, PIECE)
        self._kept = self._decoder.unconsumed_tail
        return out

    @property
    def is_whole(self) -> bool:
        return self._decoder is not None and self._decoder.eof

    @property
    def left(self) -> bytes:
        return b"" if self._decoder is None else self._decoder.unused_data


class _Zstd:
    def __init__(self) -> None:
        self._decoder = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})

    def feed(self, data: bytes) -> bytes:
        return self._decoder.decompress(data, PIECE)

    @property
    def is_whole(self) -> bool:
        return self._decoder.eof

    @property
    def left(self) -> bytes:
        return self._decoder.unused_data


class _Brotli:
    left = b""  # bytes behind the end are an error of the library

    def __init__(self) -> None:
        self._decoder = brotli.Decompressor()

    def feed(self, data: bytes) -> bytes:
        out: bytes = self._decoder.process(data, output_buffer_limit=PIECE)
        return out

    @property
    def is_whole(self) -> bool:
        return bool(self._decoder.is_finished())


_MEMBERS: dict[str, Callable[[], _Member]] = {
    "gzip": lambda: _Zlib(zlib.MAX_WBITS | 16),
    # "A recipient SHOULD consider "x-gzip" to be equivalent to "gzip"."
    # https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1.3
    "x-gzip": lambda: _Zlib(zlib.MAX_WBITS | 16),
    "deflate": lambda: _Zlib(None),
    "zstd": _Zstd,
    "br": _Brotli,
}

ACCEPTED = "gzip, deflate, zstd, br"
"""The codings of request bodies, as `accept-encoding` lists them."""

_SEVERAL = ("gzip", "x-gzip", "zstd")
"""Codings of which several members may follow each other."""


def is_known(coding: str) -> bool:
    """Returns whether bodies of this coding are taken, in lower case."""
    return coding in _MEMBERS


class ContentDecoder:
    """Decodes one body of a known coding."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._member: _Member = _MEMBERS[coding]()
        self._members = 1

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields decoded pieces of about PIECE bytes; raises Malformed where the data is not of the coding."""
        while True:
            try:
                if data and self._member.is_whole:
                    self._next_member()
                piece = self._member.feed(data)
            except (zlib.error, zstd.ZstdError, brotli.error, EOFError, ValueError) as fault:
                raise Malformed("", f"not {self._coding}: {type(fault).__name__}") from None
            if piece:
                yield piece
            if self._member.is_whole:
                data = self._member.left
                if not data:
                    return
            elif not piece:
                return
            else:
                data = b""  # what the member keeps may give more

    def _next_member(self) -> None:
        self._members += 1
        if self._coding not in _SEVERAL or self._members > MEMBERS:
            raise ValueError("bytes behind the end")
        self._member = _MEMBERS[self._coding]()

    def close(self) -> None:
        """Raises Malformed where the body ended before its coding did."""
        if not self._member.is_whole:
            raise Malformed("", f"not {self._coding}: it is cut")
