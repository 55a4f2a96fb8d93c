"""Ends a connection whose client reads nothing of what waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class ReaderWatch:
    """Watches one client from the moment at which too much waits for it; `limit_s` gives its seconds of silence."""

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, limit_s: Callable[[], float]):
        self._loop = loop
        self._transport = transport
        self._limit_s = limit_s
        self._timer: asyncio.TimerHandle | None = None
        self._unread = 0
        """Bytes that the client had not read when the timer was set."""

    def start(self) -> None:
        self._unread = self._transport.get_write_buffer_size()
        if self._timer is None:
            self._timer = self._loop.call_later(self._limit_s(), self._check)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        unread = self._transport.get_write_buffer_size()
        if unread < self._unread:  # a slow reader of a large answer
            self.start()
        else:
            self._transport.abort()
