"""Deadlines of many waits of one length, with one timer of the event loop for all of them.

Almost no wait lasts until its deadline, so a timer for each would be made and cancelled in vain.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Protocol

_EARLY_S = 0.001
"""Seconds by which the event loop may call a timer before its time."""


class Expiring(Protocol):
    """A wait that has a deadline."""

    def expire(self) -> None:
        """The deadline is over."""
        ...


class DeadlineQueue:
    """The waits that are under way, each of which may last so many seconds; the first that began expires first."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._due: dict[Expiring, float] = {}
        self._is_watched = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, wait: Expiring) -> None:
        """The wait begins; it expires in time unless it is removed before."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        due = self._due[wait] = self._loop.time() + self.seconds
        if not self._is_watched:
            self._is_watched = True
            self._loop.call_at(due, self._look)

    def remove(self, wait: Expiring) -> None:
        """The wait is over; twice is harmless."""
        self._due.pop(wait, None)

    def _look(self) -> None:
        """Expires the waits whose time is over, and looks again at that of the next one."""
        loop, self._is_watched = asyncio.get_running_loop(), False
        while self._due:
            wait, due = next(iter(self._due.items()))
            if due > loop.time() + _EARLY_S:
                self._is_watched = True
                loop.call_at(due, self._look)
                return
            del self._due[wait]
            wait.expire()


class Deadline:
    """Cancels what its task does within it once the time of its queue is over, and raises TimeoutError there."""

    __slots__ = ("_cancelled_before", "_queue", "_task", "has_expired")

    def __init__(self, queue: DeadlineQueue) -> None:
        self._queue = queue
        self.has_expired = False

    def __enter__(self) -> Deadline:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a deadline is for what a task waits for
        self._task = task
        self._cancelled_before = task.cancelling()
        self._queue.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.remove(self)
        if (
            self.has_expired
            and self._task.uncancel() <= self._cancelled_before
            and kind is not None
            and issubclass(kind, asyncio.CancelledError)
        ):
            raise TimeoutError from error

    def lift(self) -> None:
        """The deadline no longer applies."""
        self._queue.remove(self)

    def expire(self) -> None:
        self.has_expired = True
        self._task.cancel()
