"""The way to the client of one streamed answer: what goes out as it comes, and pings while nothing does.

It knows frames and how a client's protocol encodes them, and nothing of where the answer comes from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol as Interface

from .backends.door import Piece
from .framing import FRAMINGS
from .ir import Failure
from .protocols.contract import Protocol, StreamEncoder
from .relay import Relay


class ClientGone(Exception):
    """The client left while its answer was under way; a Sink raises it, and nobody failed."""


class Sink(Interface):
    """Where a streamed answer goes. `abort` lets out what was written and closes without a proper end."""

    async def open(self, headers: Mapping[str, str]) -> None: ...
    async def write(self, data: bytes) -> None: ...
    async def end(self) -> None: ...
    def abort(self) -> None: ...


class Out:
    """Pieces of a backend's stream as the client gets them: re-encoded, or relayed whole."""

    def __init__(self, relay: Relay | None, frontend: Protocol, encoder: StreamEncoder) -> None:
        self._relay = relay
        self._frontend = frontend
        self._first = self._last = b""
        self.encoder = encoder
        self.relayed = relay is not None
        self.losses = encoder.losses

    def piece(self, piece: Piece) -> bytes:
        if self._relay is None:
            if self._last:
                self._first = self._last  # it went out, or nobody would ask for more
            self._last = self.encoder.encode(piece.events)
            return self._last
        if piece.raw:
            self._first = self._first or piece.raw
            self._last = piece.raw
        return self._relay.frames(piece.raw)

    def failure(self, broken: Failure) -> bytes:
        """The error in band, after whatever went out; a converted piece that would lose something did not."""
        told = (self._first, self._last) if self._relay is not None else (self._first,) if broken.kind == "loss" else ()
        if self._frontend.resume is not None and any(told):
            framing = FRAMINGS[self._frontend.framing](sum(map(len, told)))
            self._frontend.resume(self.encoder, [frame for data in told for frame in framing.parse(data)])
        return self.encoder.encode([broken])


class Line:
    """The way to the client of one stream, with pings while it is silent.

    `opened` once headers are out (held open, if only pings followed them), `committed` once the first word of an
    answer is. With `keeps` what was heard and said is kept for a log.
    """

    def __init__(self, sink: Sink, ping: bytes, interval: float, held_headers: dict[str, str], keeps: bool) -> None:
        self._sink = sink
        self._ping = ping
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._timer = self._loop.call_later(interval, self._tick)
        self._pinging: asyncio.Task[None] | None = None
        self._held_headers = held_headers
        self.opened = False
        self.committed = False
        self.keeps = keeps
        self.heard: list[bytes] = []
        self.said: list[bytes] = []

    async def open(self, headers: Mapping[str, str]) -> None:
        await self._settle()
        if not self.opened:
            self.opened = True
            await self._sink.open(headers)

    async def write(self, data: bytes) -> None:
        await self._settle()
        self._last = self._loop.time()
        if self.keeps:
            self.said.append(data)
        await self._sink.write(data)

    async def end(self) -> None:
        await self._settle()
        self.stop()
        await self._sink.end()

    def abort(self) -> None:
        self.stop()
        self._sink.abort()

    def stop(self) -> None:
        """No more pings."""
        self._timer.cancel()
        if self._pinging is not None:
            self._pinging.cancel()

    async def _settle(self) -> None:
        if self._pinging is not None:
            pinging, self._pinging = self._pinging, None
            await pinging

    def _tick(self) -> None:
        silent = self._loop.time() - self._last
        if silent >= self._interval and (self._pinging is None or self._pinging.done()):
            self._pinging = self._loop.create_task(self._send_ping())
            silent = 0
        self._timer = self._loop.call_later(self._interval - silent, self._tick)

    async def _send_ping(self) -> None:
        try:
            if not self.opened:
                self.opened = True
                await self._sink.open(self._held_headers)
            self._last = self._loop.time()
            await self._sink.write(self._ping)
        except ClientGone:
            return  # whoever writes next, or the server, notices it too
