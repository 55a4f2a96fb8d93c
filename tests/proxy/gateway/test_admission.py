"""Admission of repeats and last resorts: who must wait shares the outcome of who calls."""

from __future__ import annotations

import asyncio

import pytest

from crosswire.proxy.errors import failure
from crosswire.proxy.gateway.admission import Admission, Ticket
from crosswire.proxy.resilience.circuit_breaker import BreakerSettings, CircuitBreakers
from crosswire.proxy.resilience.retry import RetryBudget, RetrySettings

DOWN = failure("upstream_error", "it is down")


class Bench:
    """An admission with one slot, and one repeat that is paid for."""

    def __init__(self, *, is_open: bool = False, floor: float = 1) -> None:
        now = asyncio.get_running_loop().time
        self.breakers = CircuitBreakers(BreakerSettings(failures=1, open_s=600, panic=1))
        self.budget = RetryBudget(RetrySettings(floor_per_s=floor, budget=0), now())
        self.it = Admission(self.breakers, self.budget, now)
        if is_open:
            self.breakers.failed("b", "upstream_unreachable", 0, now())

    async def waiting(self, number: int, *, pays: bool) -> list[asyncio.Task[object]]:
        tasks: list[asyncio.Task[object]] = [
            asyncio.ensure_future(self.it.enter("b", pays=pays)) for _ in range(number)
        ]
        await asyncio.sleep(0.01)
        return tasks


async def test_what_costs_nothing_never_waits() -> None:
    bench = Bench(floor=0)
    assert [await bench.it.enter("b", pays=False) for _ in range(3)] == [
        Ticket("b", pytest.approx(asyncio.get_running_loop().time(), abs=1))
    ] * 3


@pytest.mark.parametrize("is_open", [True, False], ids=["a slot", "the budget"])
async def test_a_failure_is_shared(is_open: bool) -> None:
    """A call that began after the wait did fails for all that wait."""
    bench = Bench(is_open=is_open, floor=1)
    first = await bench.it.enter("b", pays=not is_open)
    assert isinstance(first, Ticket)
    waiting = await bench.waiting(3, pays=not is_open)
    bench.it.leave(first, DOWN)  # it began before they waited, and says nothing of now
    await asyncio.sleep(0)
    assert not all(task.done() for task in waiting)
    later = Ticket("b", asyncio.get_running_loop().time())
    bench.it.leave(later, DOWN)
    await asyncio.sleep(0.01)
    assert sum(task.done() and task.result() == DOWN for task in waiting) >= 2
    for task in waiting:
        task.cancel()


@pytest.mark.parametrize("is_open", [True, False], ids=["a slot", "the budget"])
async def test_an_answer_lets_all_go(is_open: bool) -> None:
    bench = Bench(is_open=is_open, floor=1)
    first = await bench.it.enter("b", pays=not is_open)
    assert isinstance(first, Ticket)
    waiting = await bench.waiting(3, pays=not is_open)
    bench.breakers.succeeded("b")
    bench.it.answering(first)
    bench.it.leave(first, None)
    async with asyncio.timeout(5):
        assert all([isinstance(await task, Ticket) for task in waiting])


async def test_what_says_nothing_of_the_backend_is_not_shared() -> None:
    bench = Bench(is_open=True)
    first = await bench.it.enter("b", pays=False)
    assert isinstance(first, Ticket)
    waiting = await bench.waiting(2, pays=False)
    bench.it.leave(first, failure("bad_request", "this request is wrong"))
    await asyncio.sleep(0.01)
    assert [task.done() for task in waiting] == [True, False]  # one slot is free now
    waiting[1].cancel()


async def test_who_waits_for_a_slot_sees_the_breaker_half_open() -> None:
    """The call that has the slot hangs; a second later the breaker lets a request probe the backend."""
    bench = Bench(is_open=True)
    bench.breakers.settings = BreakerSettings(failures=1, open_s=0.01, panic=1)
    bench.breakers.failed("b", "upstream_unreachable", 0, asyncio.get_running_loop().time())
    bench.it._slots["b"] = 1
    async with asyncio.timeout(5):
        assert isinstance(await bench.it.enter("b", pays=False), Ticket)


async def test_time_pays_for_repeats() -> None:
    bench = Bench(floor=50)
    async with asyncio.timeout(5):
        assert all([isinstance(await bench.it.enter("b", pays=True), Ticket) for _ in range(53)])


async def test_where_nothing_ever_pays() -> None:
    assert await Bench(floor=0).it.enter("b", pays=True) is None


async def test_who_leaves_while_waiting_leaves_nothing_behind() -> None:
    bench = Bench(is_open=True)
    first = await bench.it.enter("b", pays=False)
    assert isinstance(first, Ticket)
    for task in await bench.waiting(3, pays=False):
        task.cancel()
    await asyncio.sleep(0.01)
    assert not bench.it._waiting
    bench.it.leave(first, None)
    assert not bench.it._slots
