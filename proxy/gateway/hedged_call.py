"""Two calls for one request: a second backend is called where the first is late, and the slower one is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, Generic, TypeVar
from typing import Protocol as Interface

from ..balance.hedge_budget import HedgeBudget
from ..balance.strategy import Hedge
from ..errors import UpstreamError
from ..observability.request_record import OUTRUN, Attempt, Hedged
from .context import RequestContext
from .failover_chain import PreparedCall

C = TypeVar("C", bound=PreparedCall)
A = TypeVar("A")
C_in = TypeVar("C_in", bound=PreparedCall, contravariant=True)
A_out = TypeVar("A_out", covariant=True)


class Racer(Interface[C_in, A_out]):
    """Makes one of the two calls."""

    attempt_under_way: Attempt | None

    @property
    def key(self) -> int:
        """The backend's key that it used."""
        ...

    def attempt(self, call: C_in) -> Awaitable[A_out]:
        """Calls the backend once."""
        ...


class Race(Generic[C, A]):
    """One or two calls of one request, of which the first that begins to answer wins and the other is cancelled.

    `start` makes a racer, `second_of` the call that follows a late one, None where there may be none. What is given up
    has no outcome for circuit breakers and budgets.
    """

    def __init__(
        self,
        context: RequestContext,
        hedge: Hedge,
        start: Callable[[C, Race[C, A]], Racer[C, A]],
        second_of: Callable[[C], C | None],
    ) -> None:
        self._context = context
        self._hedge = hedge
        self._start = start
        self._second_of = second_of
        self._racers: dict[asyncio.Task[A], Racer[C, A]] = {}
        self.winner: object | None = None
        """The racer that answers."""
        self.second: C | None = None
        """The second call, if it was made."""
        self.second_failure: UpstreamError | None = None
        """The failure of the second call."""
        self.first_key = 0
        """The key that the first call used."""

    async def run(self, first: C) -> A:
        """Returns the answer; raises the failure of the first call where no call is answered."""
        budget = self._budget()
        after = self._hedge.after_s if self._context.record.stream else self._hedge.whole_after_s
        leading = self._begin(first)
        began = perf_counter()
        try:
            await asyncio.wait((leading,), timeout=after)
            if not leading.done() and self.winner is None and after is not None:
                second = self._second_of(first)
                if second is not None and budget.spend():
                    self.second = second
                    backends = first.candidate.backend, second.candidate.backend
                    self._context.record.hedged = Hedged(*backends, round((perf_counter() - began) * 1000, 3))
                    self._begin(second)
            return await self._first_answer(leading)
        finally:
            self.first_key = self._racers[leading].key
            for task in self._racers:
                task.cancel()
            await asyncio.gather(*self._racers, return_exceptions=True)

    def won_by(self, racer: object, call: C) -> None:
        """This racer's call begins to answer: the other one is cancelled, and the record tells of this one's request.

        Called before the first byte goes to the client, without a wait between.
        """
        if self.winner is not None:
            return
        self.winner = racer
        record = self._context.record
        for task, other in self._racers.items():
            if other is racer and (mine := other.attempt_under_way) is not None:
                # whatever looks at the last attempt means the one that is answering
                record.attempts = [*(each for each in record.attempts if each is not mine), mine]
            elif other is not racer and not task.done():
                task.cancel()
                if (given_up := other.attempt_under_way) is not None:
                    given_up.outcome = OUTRUN
                    if record.hedged is not None:
                        record.hedged.loser, record.hedged.loser_model = given_up.backend, given_up.model
        if record.hedged is not None:
            record.hedged.winner = call.candidate.backend
            record.losses, record.added = list(call.losses), call.added

    def _begin(self, call: C) -> asyncio.Task[A]:
        racer = self._start(call, self)
        task: asyncio.Task[A] = asyncio.ensure_future(_attempt(racer, call))
        self._racers[task] = racer
        return task

    async def _first_answer(self, leading: asyncio.Task[A]) -> A:
        """The answer of the call that is answered first, else the failure of the leading one."""
        running: set[asyncio.Task[Any]] = set(self._racers)
        failure: UpstreamError | None = None
        while running:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task.cancelled():
                    continue
                error = task.exception()
                if error is None:
                    answer: A = task.result()
                    return answer
                if not isinstance(error, UpstreamError) or self._racers[task] is self.winner:
                    raise error
                if task is leading:
                    failure = error
                else:
                    self.second_failure = error
        assert failure is not None  # noqa: S101 - a call that is cancelled was given up for one that is answered
        raise failure

    def _budget(self) -> HedgeBudget:
        """The budget of the route, which this request adds to."""
        decision, budgets = self._context.record.decision, self._context.runtime.hedge_budgets
        name = decision.balance.name if decision is not None and decision.balance is not None else ""
        budget = budgets.setdefault(name, HedgeBudget())
        budget.earn(self._hedge.budget)
        return budget


async def _attempt(racer: Racer[C, A], call: C) -> A:
    return await racer.attempt(call)
