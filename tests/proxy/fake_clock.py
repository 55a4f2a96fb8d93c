"""An event loop whose clock jumps: it never waits, so that hours of waits take milliseconds, and always the same."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Jumps to the next timer in place of waiting for it."""

    def __init__(self, loop: FakeClockLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if timeout is not None:
            # a real clock moves on meanwhile too: a timer that fires early is not due for ever
            self._loop.now += (0.0 if ready else timeout) + 1e-7
        assert ready or timeout is not None, "everything waits, and no timer is left"
        return ready


class FakeClockLoop(asyncio.SelectorEventLoop):
    """A loop without waits; `now` is its clock in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self.now


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine on a loop of its own; `asyncio.get_running_loop().time()` is the fake clock."""
    loop = FakeClockLoop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()
