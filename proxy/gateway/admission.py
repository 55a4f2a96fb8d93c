"""Admits repeats and last resorts to a backend, a few at a time; those that wait share the outcome of those that call.

A repeat needs a place in the backend's retry budget, a call of a backend with an open breaker one of a few slots. A
request that must wait learns from the others: if a call that began after its wait fails, its own would have failed too;
if one is answered, the backend is up and all that wait may call it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

from msgspec import Struct

from ..ir import Failure
from ..resilience.circuit_breaker import CircuitBreakers
from ..resilience.policy import rule_of
from ..resilience.retry import RetryBudget


class Ticket(Struct):
    """An admitted call of a backend, and what it holds: a paid repeat, and a slot of a backend with an open breaker."""

    backend: str
    began: float
    paid: bool = False
    slot: bool = False


class Admission:
    """Admits calls of backends for all requests. Times are seconds of the clock `now`."""

    def __init__(self, breakers: CircuitBreakers, budget: RetryBudget, now: Callable[[], float]) -> None:
        self._breakers = breakers
        self._budget = budget
        self._now = now
        self._slots: dict[str, int] = {}
        """The calls under way of backends whose breaker was open when they began."""
        self._waiting: dict[str, dict[asyncio.Future[Failure | bool], float]] = {}
        """By backend: each wait and the time at which it began. Its outcome is a failure, True for an answer, or False
        where the request should look again."""

    async def enter(self, name: str, *, pays: bool) -> Ticket | Failure | None:
        """Waits until the backend may be called.

        Returns a Failure where another request's call failed meanwhile, None where nothing will ever pay for a repeat.
        """
        breakers, since = self._breakers, self._now()
        while True:
            now = self._now()
            is_open = breakers.state(name, now) == "open"
            limit = breakers.retry_after(name, now) or None  # then an open breaker is half-open
            if not is_open or self._slots.get(name, 0) < max(1, breakers.settings.panic):
                if not pays or self._budget.spend(name, now):
                    if is_open:
                        self._slots[name] = self._slots.get(name, 0) + 1
                        breakers.call_open(name, now)
                    return Ticket(name, now, pays, is_open)
                limit = self._budget.wait(name, now)
                if limit == inf:
                    return None
            outcome = await self._wait(name, since, limit)
            if isinstance(outcome, Failure):
                return outcome
            if outcome:
                pays = False  # an answer shows that the backend is up, so the repeat is no burden

    def answering(self, ticket: Ticket) -> None:
        """The call is being answered: what it holds is given back, and all that wait for the backend may call it."""
        if ticket.slot:
            self._release(ticket)
        if ticket.paid:
            ticket.paid = False
            self._budget.pay_back(ticket.backend)
        for waiter in self._waiting.get(ticket.backend, ()):
            if not waiter.done():
                waiter.set_result(True)

    def leave(self, ticket: Ticket, failure: Failure | None) -> None:
        """The call is over: answered, failed, or without an outcome because its client left or its time was over."""
        if ticket.slot:
            self._release(ticket)
        waiting = self._waiting.get(ticket.backend)
        if not waiting:
            return
        shared = failure if failure is not None and rule_of(failure.kind).evidence in ("each", "once") else None
        for waiter, since in waiting.items():
            if not waiter.done():
                waiter.set_result(shared if shared is not None and ticket.began >= since else False)

    def _release(self, ticket: Ticket) -> None:
        ticket.slot = False
        self._slots[ticket.backend] -= 1
        if not self._slots[ticket.backend]:
            del self._slots[ticket.backend]

    async def _wait(self, name: str, since: float, limit: float | None) -> Failure | bool:
        """The outcome of the next call that ends, or False after `limit` seconds."""
        waiter: asyncio.Future[Failure | bool] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(name, {})
        waiting[waiter] = since
        try:
            async with asyncio.timeout(limit):
                return await waiter
        except TimeoutError:
            return False
        finally:
            del waiting[waiter]
            if not waiting and self._waiting.get(name) is waiting:
                del self._waiting[name]
