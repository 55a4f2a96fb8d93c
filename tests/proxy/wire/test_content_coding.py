"""Every coding of a request body: decoded as it comes, in pieces that are never large; refused where it is broken."""

from __future__ import annotations

import gzip
import os
import sys
import zlib
from collections.abc import Callable

import brotli
import pytest

from crosswire.proxy.errors import Malformed
from crosswire.proxy.wire.content_coding import ACCEPTED, MEMBERS, PIECE, ContentDecoder, is_known

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def raw_deflate(data: bytes) -> bytes:
    coder = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return coder.compress(data) + coder.flush()


def large_window(data: bytes) -> bytes:
    coder = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    return coder.compress(data, coder.FLUSH_BLOCK) + coder.flush()


CODERS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("gzip", lambda data: gzip.compress(data[:100]) + gzip.compress(data[100:])),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("zstd", zstd.compress),
    ("zstd", lambda data: zstd.compress(data[:5000]) + zstd.compress(data[5000:])),
    ("br", brotli.compress),
]


def decoded(coding: str, data: bytes, step: int) -> list[bytes]:
    decoder = ContentDecoder(coding)
    pieces = [piece for at in range(0, len(data), step) for piece in decoder.feed(data[at : at + step])]
    decoder.close()
    return pieces


@pytest.mark.parametrize("step", [1, 999, 10**9])
@pytest.mark.parametrize(("coding", "encode"), CODERS)
def test_what_was_encoded_comes_back_in_pieces(coding: str, encode: Callable[[bytes], bytes], step: int) -> None:
    data = os.urandom(2000) + b"abc" * 100_000
    pieces = decoded(coding, encode(data), step)
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= 2 * PIECE


@pytest.mark.parametrize(("coding", "encode"), CODERS)
@pytest.mark.parametrize(
    "spoil", [lambda data: data[:-1], lambda data: data + b"junk" * 9, lambda data: b"\x01{}" * 40]
)
def test_what_is_broken(coding: str, encode: Callable[[bytes], bytes], spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(Malformed, match=f"not {coding}"):
        decoded(coding, spoil(encode(b"abc" * 1000)), 10**9)


def test_a_bomb_is_decoded_only_as_far_as_it_is_read() -> None:
    decoder = ContentDecoder("gzip")
    first = next(decoder.feed(gzip.compress(b" " * 200_000_000, 1)))
    assert len(first) <= PIECE


def test_members_without_end() -> None:
    with pytest.raises(Malformed):
        decoded("gzip", gzip.compress(b"") * (MEMBERS + 1), 10**9)


def test_a_window_of_more_than_eight_megabytes() -> None:
    with pytest.raises(Malformed):
        decoded("zstd", large_window(os.urandom(9_000_000)), 10**9)


def test_what_is_known() -> None:
    assert all(is_known(coding) for coding in ACCEPTED.split(", "))
    assert not any(is_known(coding) for coding in ("compress", "identity", "gzip, br", ""))
