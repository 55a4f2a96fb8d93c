"""An event loop in a thread of its own, and the servers that run on it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

from aiohttp import web

T = TypeVar("T")

WITHIN_S = 60.0
"""Seconds that a start or an end of a server may take."""


class LoopThread:
    """Runs coroutines on a loop of its own, while the tests' thread waits for them."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="llm_mock", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine to its end, from another thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WITHIN_S)

    def serve(self, runner: web.AppRunner) -> str:
        """Serves on a free loopback port; returns the URL."""

        async def start() -> str:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            return f"http://127.0.0.1:{runner.addresses[0][1]}"

        return self.wait(start())

    def end(self, runner: web.AppRunner) -> None:
        """Ends a server, and closes its connections."""
        self.wait(runner.cleanup())
