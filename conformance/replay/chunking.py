"""Decodes and encodes recorded streams with the proxy's protocols, with the bytes cut into arbitrary chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from random import Random
from zlib import crc32

from crosswire.proxy.ir import Event, Loss
from crosswire.proxy.protocols.protocol import NewId, Protocol, ReplyContext, UpstreamRequest
from crosswire.proxy.wire.framing import FRAME_LIMIT, FRAMINGS


def sequential_ids() -> NewId:
    """Returns a source of numbered ids, so that two runs over the same bytes get the same ids."""
    numbers = count(1)
    return lambda prefix: f"{prefix}{next(numbers):024d}"


def decode_stream(
    protocol: Protocol, sent: UpstreamRequest, chunks: Iterable[bytes], *, array: bool = False
) -> Iterator[list[Event]]:
    """Yields the events of a backend's stream, one list for every frame that has any."""
    framing = FRAMINGS["json-array" if array else protocol.framing](FRAME_LIMIT)
    decoder = protocol.stream_decoder(sent, sequential_ids())
    for chunk in chunks:
        complete = framing.cut(chunk)
        for frame in framing.parse(complete) if complete else ():
            if events := decoder.feed(frame):
                yield events
            if decoder.done:
                return
    for frame in framing.rest():
        if events := decoder.feed(frame):
            yield events
    if events := decoder.close():
        yield events


def encode_stream(
    protocol: Protocol, context: ReplyContext, batches: Iterable[list[Event]]
) -> tuple[bytes, list[Loss]]:
    """Returns the stream that a client of this protocol receives for these events, and the declared losses."""
    encoder = protocol.stream_encoder(context)
    body = b"".join([encoder.encode(batch) for batch in batches])
    return body, list(encoder.losses)


def random_chunks(body: bytes, seed: str) -> Iterator[bytes]:
    """Yields the bytes in chunks of random size, the same for the same seed."""
    random = Random(crc32(seed.encode()))
    at = 0
    while at < len(body):
        size = random.choice((1, 2, 7, 40, 300, 2000))
        yield body[at : at + size]
        at += size
