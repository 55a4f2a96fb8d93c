"""Limits of several workers: together they use exactly what one process may, and a dead one holds nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from math import inf

import pytest

from crosswire.proxy.costs.budget import UNIT, Budget
from crosswire.proxy.limits.bounds import AtOnce, Bound, Rate
from crosswire.proxy.limits.state import Denied, LimitGroup, MemoryState, limit_of
from crosswire.proxy.state.interface import StateGone
from crosswire.proxy.workers.channel import Channel
from crosswire.proxy.workers.limit_desk import LimitDesk, SharedLimits, read_limit, write_limit
from crosswire.proxy.workers.remote_state import RemoteState

ADA = limit_of("client ada", "requests", Rate(10, 60.0))
AT_ONCE = limit_of("client ada", "concurrent", AtOnce(3))
MONEY = limit_of("client ada", UNIT, Budget(1000, "day", zone="Europe/Berlin"))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A supervisor's limits, with as many workers as are hired; each has a channel of its own."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.state = MemoryState(self.clock, self.clock)
        self.shared = SharedLimits(self.state)
        self.desks: list[LimitDesk] = []
        self.channels: list[Channel] = []
        self.workers: list[RemoteState] = []

    async def hire(self) -> RemoteState:
        loop, (here, there) = asyncio.get_running_loop(), socket.socketpair()
        desk = LimitDesk(self.shared)
        mine = Channel({"fact": lambda *values: worker.hear(*values)})
        others = Channel({**desk.handlers, "spread": lambda kind, values: self.spread(worker, values)})
        await loop.create_connection(lambda: mine, sock=here)
        await loop.create_connection(lambda: others, sock=there)
        worker = RemoteState(mine, self.clock)
        self.desks.append(desk)
        self.channels += [mine, others]
        self.workers.append(worker)
        return worker

    def spread(self, asker: RemoteState, values: list[object]) -> None:
        for each in self.workers:
            if each is not asker:
                each.hear(*values)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    it = Bench()
    try:
        yield it
    finally:
        for channel in it.channels:
            channel.close()
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "bound", [Rate(3, 60.0), AtOnce(7), Budget(5, "month", zone="Asia/Tokyo"), Budget(5, "week", rolling=True)]
)
def test_a_limit_is_the_same_in_another_process(bound: Bound) -> None:
    limit = limit_of("client ada", "requests", bound)
    assert read_limit(write_limit(limit)) == limit


async def test_two_workers_use_what_one_may() -> None:
    group = LimitGroup((ADA,))
    async with bench() as it:
        workers = [await it.hire(), await it.hire()]
        found = await asyncio.gather(*(workers[n % 2].reserve(group, {"requests": 1}) for n in range(30)))
        granted = [each for each in found if not isinstance(each, Denied)]
        assert len(granted) == 10
        denied = [each for each in found if isinstance(each, Denied)]
        assert {each.limit for each in denied} == {ADA}
        assert all(59 < each.wait < 61 for each in denied)
        # both know what is used, whoever used it
        assert [worker.counter(ADA).used() for worker in workers] == [10, 10]
        assert [worker.counter(ADA).wait(1, 10) for worker in workers] == [1.0, 1.0]
        it.clock.now += 61
        assert [worker.counter(ADA).used() for worker in workers] == [0, 0]
        assert not isinstance(await workers[0].reserve(group, {"requests": 1}), Denied)


async def test_what_is_settled_counts_everywhere() -> None:
    group = LimitGroup((ADA, MONEY))
    async with bench() as it:
        first, second = await it.hire(), await it.hire()
        held = await first.reserve(group, {"requests": 1, UNIT: 900})
        assert not isinstance(held, Denied)
        other = await second.reserve(group, {"requests": 1, UNIT: 200})
        assert isinstance(other, Denied)
        assert other.limit == MONEY
        first.settle(held, {UNIT: 300})
        await first.refresh((MONEY,))  # which also waits until it was heard
        assert first.counter(MONEY).used() == 300
        assert not isinstance(await second.reserve(group, {"requests": 1, UNIT: 200}), Denied)
        beyond = await second.reserve(group, {"requests": 1, UNIT: 1001})
        assert isinstance(beyond, Denied)
        assert beyond.wait == inf
        # a denied request has used nothing
        assert it.state.counter(ADA).used() == 2


async def test_needs_in_place_of_amounts() -> None:
    group = LimitGroup((limit_of("backend b", "tokens", Rate(100, 60.0)),))
    async with bench() as it:
        worker = await it.hire()
        assert not isinstance(await worker.reserve(group, {"tokens": 500}, {"tokens": 1}), Denied)
        assert isinstance(await worker.reserve(group, {"tokens": 1}, {"tokens": 1}), Denied)


async def test_a_dead_worker_holds_nothing() -> None:
    group = LimitGroup((ADA, AT_ONCE))
    amounts = {"requests": 1, "concurrent": 1}
    async with bench() as it:
        first, second = await it.hire(), await it.hire()
        for _ in range(3):
            assert not isinstance(await first.reserve(group, amounts), Denied)
        full = await second.reserve(group, amounts)
        assert isinstance(full, Denied)
        assert full.limit == AT_ONCE
        it.desks[0].close()
        held = await second.reserve(group, amounts)
        assert not isinstance(held, Denied)
        assert it.state.counter(ADA).used() == 4  # its requests were made all the same
        second.settle(held, {"concurrent": 0})
        await second.refresh((AT_ONCE,))
        assert second.counter(AT_ONCE).used() == 0


async def test_a_request_that_is_cut_while_it_waits_holds_nothing() -> None:
    group = LimitGroup((AT_ONCE,))
    async with bench() as it:
        worker = await it.hire()
        waiting = asyncio.ensure_future(worker.reserve(group, {"concurrent": 1}))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await worker.refresh((AT_ONCE,))
        assert worker.counter(AT_ONCE).used() == 0


async def test_without_a_supervisor_nothing_is_let_through() -> None:
    async with bench() as it:
        worker = await it.hire()
        it.channels[1].close()
        with pytest.raises(StateGone):
            await worker.reserve(LimitGroup((ADA,)), {"requests": 1})


async def test_facts_reach_the_other_workers() -> None:
    heard: list[tuple[str, str, float]] = []
    async with bench() as it:
        first, second = await it.hire(), await it.hire()
        second.listen("cooling", lambda *fact: heard.append(fact))
        first.put("sticky", "ada", "b", 10.0)
        first.tell("cooling", "b", "429", 5.0)
        await first.refresh((ADA,))
        assert second.known("sticky", "ada") == await second.get("sticky", "ada") == "b"
        assert heard == [("b", "429", 5.0)]
        it.clock.now += 11
        assert second.known("sticky", "ada") is None


async def test_places_at_a_backend_are_told_to_all() -> None:
    place = limit_of("backend b", "concurrent", AtOnce(2))
    group = LimitGroup((place,))
    told: list[tuple[str, int, bool]] = []
    async with bench() as it:
        first, second = await it.hire(), await it.hire()

        def tell(key: str, backend: str, used: int, is_freed: bool) -> None:
            told.append((backend, used, is_freed))
            for each in it.workers:
                each.learn_places(key, used)

        it.shared.places_changed = tell
        assert second.counter(place).wait(1, 2) == 0
        held = [await first.reserve(group, {"concurrent": 1}) for _ in range(3)]
        assert [isinstance(each, Denied) for each in held] == [False, False, True]
        it.clock.now += 100
        assert second.counter(place).wait(1, 2) == 1.0  # for as long as it was told nothing else
        assert not isinstance(held[0], Denied)
        first.settle(held[0], {"concurrent": 0})
        await first.refresh((ADA,))
        assert second.counter(place).wait(1, 2) == 0
        it.desks[0].close()
        assert second.counter(place).used() == 0
        assert told == [("b", 1, False), ("b", 2, False), ("b", 1, True), ("b", 0, True)]
