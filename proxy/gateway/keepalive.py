"""Keeps a streamed answer's connection open with pings while the backend is silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from .stream_writer import ClientGone, ResponseWriter


class KeepaliveWriter:
    """A ResponseWriter with pings. It has three states, which decide what a failure may still become:

    | state     | `opened` | `committed` | sent so far              | a failure becomes              | failover |
    |-----------|----------|-------------|--------------------------|--------------------------------|----------|
    | waiting   | no       | no          | nothing                  | a status and a body            | yes      |
    | held open | yes      | no          | headers and pings        | an error in band, then a break | yes      |
    | committed | yes      | yes         | content of one backend   | an error in band, then a break | no       |

    `kept_bytes` of what was sent are collected in `body`, for the stage log and the page.
    """

    def __init__(
        self,
        writer: ResponseWriter,
        ping: bytes,
        interval: float,
        held_headers: Callable[[], Mapping[str, str]],
        kept_bytes: int,
    ) -> None:
        self._writer = writer
        self._ping = ping
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._last_write = self._loop.time()
        self._timer = self._loop.call_later(interval, self._tick)
        self._pinging: asyncio.Task[None] | None = None
        self._held_headers = held_headers
        self.opened = False
        self.committed = False
        self.is_over = False
        """True once the stream was ended or aborted."""
        self.kept_bytes = kept_bytes
        self.body: list[bytes] = []

    async def will_tell(self) -> bool:
        """Returns whether headers are still to be sent, so that they can tell what is known by then."""
        await self._await_ping()
        return self._writer.has_headers and not self.opened

    async def open(self, headers: Mapping[str, str]) -> None:
        """Sends the headers, unless a ping already did."""
        await self._await_ping()
        if not self.opened:
            self.opened = True
            await self._writer.open(headers)

    async def write(self, data: bytes) -> None:
        if self._pinging is not None:
            await self._await_ping()
        self._last_write = self._loop.time()
        if self.kept_bytes > 0:
            self.body.append(data)
            self.kept_bytes -= len(data)
        await self._writer.write(data)

    @property
    def write_now(self) -> Callable[[bytes], None] | None:
        """The same as of a ResponseWriter, which tells of no ping under way and keeps no bytes."""
        self._last_write = self._loop.time()
        return None if self._pinging is not None or self.kept_bytes > 0 else self._writer.write_now

    async def end(self) -> None:
        await self._await_ping()
        self.stop()
        self.is_over = True
        await self._writer.end()

    def abort(self) -> None:
        self.stop()
        self.is_over = True
        self._writer.abort()

    def stop(self) -> None:
        """Ends the pings."""
        self._timer.cancel()
        if self._pinging is not None:
            self._pinging.cancel()

    async def _await_ping(self) -> None:
        if self._pinging is not None:
            pinging, self._pinging = self._pinging, None
            await pinging

    def _tick(self) -> None:
        silent = self._loop.time() - self._last_write
        if silent >= self._interval and (self._pinging is None or self._pinging.done()):
            self._pinging = self._loop.create_task(self._send_ping())
            silent = 0
        self._timer = self._loop.call_later(self._interval - silent, self._tick)

    async def _send_ping(self) -> None:
        try:
            if not self.opened:
                self.opened = True
                await self._writer.open(self._held_headers())
            self._last_write = self._loop.time()
            await self._writer.write(self._ping)
        except ClientGone:
            return  # the next write, or the server, notices it too
