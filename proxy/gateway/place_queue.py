"""Queues of requests that wait for a place at a full backend, first come first served."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from ..errors import Refused

if TYPE_CHECKING:
    from .context import RequestContext

T = TypeVar("T")


class QueueBound(Struct, frozen=True):
    """The number of requests that may wait for a backend, and for how many seconds."""

    size: int
    seconds: float


class PlaceQueues:
    """The queues of all backends. A place that was given to one that waits is `promised` until it is taken."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self.promised: dict[str, int] = {}

    async def wait(self, name: str, bound: QueueBound, until: float) -> bool:
        """Waits for a place until this time of the loop; False where the queue is full, or the time is over."""
        loop = asyncio.get_running_loop()
        waiting = self._waiting.setdefault(name, deque())
        if len(waiting) >= bound.size or loop.time() >= until:
            return False
        place: asyncio.Future[None] = loop.create_future()
        waiting.append(place)
        try:
            async with asyncio.timeout_at(until):
                await place
        except TimeoutError:
            return False
        finally:
            if place in waiting:
                waiting.remove(place)
            if place.done() and not place.cancelled():
                self._take(name)
        return True

    def freed(self, name: str) -> None:
        """A place became free: the first that waits gets it."""
        for place in self._waiting.get(name, ()):
            if not place.done():
                self.promised[name] = self.promised.get(name, 0) + 1
                place.set_result(None)
                return

    def _take(self, name: str) -> None:
        self.promised[name] -= 1
        if not self.promised[name]:
            del self.promised[name]


async def with_place(context: RequestContext, select: Callable[[], Awaitable[T]]) -> T:
    """Selects a backend; where all that could serve are full and one has a queue, waits there and selects again."""
    runtime = context.runtime
    until = None
    while True:
        try:
            return await select()
        except Refused as refused:
            name = next((name for name in _full_backends(context) if name in runtime.queues), None)
            if refused.failure.kind != "overloaded" or name is None:
                raise
            bound = runtime.queues[name]
            until = until or asyncio.get_running_loop().time() + bound.seconds
            if not await runtime.places.wait(name, bound, until):
                raise


def _full_backends(context: RequestContext) -> list[str]:
    """The backends that were not chosen because they are full, in the order of the decision."""
    decision, full = context.record.decision, context.runtime.health().full
    considered = () if decision is None else decision.considered
    return [each.backend for each in considered if full.get(each.backend) == each.why]
