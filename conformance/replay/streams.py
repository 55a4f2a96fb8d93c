"""A stream through a protocol, in and out, cut in any way; it knows frames and events, and nothing of what they say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from random import Random
from zlib import crc32

from proxy.framing import FRAME_LIMIT, FRAMINGS
from proxy.ir import Event, Loss
from proxy.protocols.contract import Asked, NewId, Protocol, Sent


def ids() -> NewId:
    """Ids in the order in which they are asked for, so that two runs over the same bytes get the same ones."""
    numbers = count(1)
    return lambda prefix: f"{prefix}{next(numbers):024d}"


def decoded(protocol: Protocol, sent: Sent, chunks: Iterable[bytes], *, array: bool = False) -> Iterator[list[Event]]:
    """The events of a backend's stream, a list for every read that brought any."""
    framing = FRAMINGS["json-array" if array else protocol.framing](FRAME_LIMIT)
    decoder = protocol.stream_decoder(sent, ids())
    for chunk in chunks:
        whole = framing.cut(chunk)
        for frame in framing.parse(whole) if whole else ():
            if events := decoder.feed(frame):
                yield events
            if decoder.done:
                return
    for frame in framing.rest():
        if events := decoder.feed(frame):
            yield events
    if events := decoder.close():
        yield events


def encoded(protocol: Protocol, asked: Asked, batches: Iterable[list[Event]]) -> tuple[bytes, list[Loss]]:
    """The stream that a client of this protocol gets for these events, and the losses on the way."""
    encoder = protocol.stream_encoder(asked)
    body = b"".join([encoder.encode(batch) for batch in batches])
    return body, list(encoder.losses)


def random_cuts(body: bytes, seed: str) -> Iterator[bytes]:
    """The bytes in pieces of random size, the same for the same seed."""
    dice = Random(crc32(seed.encode()))
    at = 0
    while at < len(body):
        size = dice.choice((1, 2, 7, 40, 300, 2000))
        yield body[at : at + size]
        at += size
