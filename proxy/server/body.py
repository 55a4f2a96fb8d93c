"""Receives a request's body piece by piece: decompressed, and never more of it than its limits allow."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ..config.settings import Settings
from ..errors import Malformed, failure
from ..ir import Failure
from ..wire.content_coding import ACCEPTED, ContentDecoder, is_known
from ..wire.json_bounds import SLICE, BoundsScan, check_bounds
from .connection import ClientConnection

BROKEN_HTTP = (HttpProcessingError, web.RequestPayloadError)
"""The exceptions by which aiohttp reports a client's broken HTTP."""

YIELD_AFTER = 512 * 1024
"""Bytes after which other requests get their turn, where more is there at once."""

CHUNK_OVERHEAD = 64 * 1024
"""Bytes that the framing of a chunked body may take, and beside them one for each byte of content."""


EXPANDED = 4 * 2**20
"""Bytes to which any body may grow when it is decompressed."""


class _Refused(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


async def receive_body(request: web.Request, settings: Settings) -> bytes | Failure:
    """The body's bytes, empty where there are none, or the failure that is wrong with them.

    The JSON in them is not parsed, but its limits are kept.
    """
    try:
        return await _receive(request, settings)
    except _Refused as refused:
        return refused.failure
    except TimeoutError:
        return late_body(settings)
    except Malformed as fault:
        return failure("bad_request", f"Invalid request: {fault}.")
    except (*BROKEN_HTTP, ValueError):
        return failure("bad_request", "The body cannot be read: its content-encoding or its chunks are broken.")


def late_body(settings: Settings) -> Failure:
    """The failure for a body that does not come in time."""
    limit_s = settings.body_timeout_s
    return failure("too_slow", f"The body did not come within {limit_s:g} s; raise body_timeout_s to allow it.")


async def _receive(request: web.Request, settings: Settings) -> bytes:
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity") and not is_known(coding):
        raise _Refused(
            failure("content_coding", f"The content-encoding {coding[:50]!r} is not taken; send {ACCEPTED}.")
        )
    # a server that was not made by make_runner decompresses by itself
    is_coded = coding not in ("", "identity") and isinstance(request.protocol, ClientConnection)
    if (length := request.content_length) is not None:
        _check_size(length, settings.limits.encoded_body if is_coded else settings.body_limit, is_coded)
    content = request.content
    if content.is_eof() and not is_coded:  # it came with its headers, as most do: nothing to wait for
        body = content.read_nowait(-1)
        _check_size(len(body), settings.body_limit, False)
        check_bounds(body, settings.limits)
        return body
    async with asyncio.timeout(settings.body_timeout_s):
        return await _receive_in_pieces(request, settings, ContentDecoder(coding) if is_coded else None)


async def _receive_in_pieces(request: web.Request, settings: Settings, decoder: ContentDecoder | None) -> bytes:
    limits, content, connection = settings.limits, request.content, request.protocol
    scan, pieces, size, received, next_yield = BoundsScan(limits), [], 0, 0, YIELD_AFTER
    while data := await content.readany():
        if isinstance(connection, ClientConnection) and connection.received > 2 * content.total_bytes + CHUNK_OVERHEAD:
            # a byte in a chunk of its own costs a hundred times what it costs in a large one
            raise _Refused(failure("bad_request", "The chunks of the body are too small; send larger ones."))
        for start in range(0, len(data), SLICE):
            coded = data if len(data) <= SLICE else data[start : start + SLICE]
            received += len(coded)
            if decoder is not None:
                _check_size(received, limits.encoded_body, True)
            for piece in (coded,) if decoder is None else decoder.feed(coded):
                size += len(piece)
                _check_size(size, settings.body_limit, False)
                if decoder is not None and size > max(limits.expansion * received, EXPANDED):
                    what = f"The body grows to more than {limits.expansion} times its size; raise limits.expansion."
                    raise _Refused(failure("too_large", what))
                scan.feed(piece)
                pieces.append(piece)
                if size > next_yield:
                    next_yield = size + YIELD_AFTER
                    await asyncio.sleep(0)
    if decoder is not None and received:
        decoder.close()
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _check_size(size: int, limit: int, is_coded: bool) -> None:
    if size > limit:
        key = "limits.encoded_body" if is_coded else "body_limit"
        raise _Refused(failure("too_large", f"The body has more than {limit} bytes; raise {key} to allow it."))
