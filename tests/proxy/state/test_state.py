"""Replicas that share a real server: what they count together, and what each does where the server is gone."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from crosswire.proxy.costs.budget import Budget
from crosswire.proxy.limits.bounds import AtOnce, Bound, Rate
from crosswire.proxy.limits.state import Denied, Limit, LimitGroup, MemoryState, limit_of
from crosswire.proxy.state.interface import StateGone
from crosswire.proxy.state.replica import ReplicaState
from crosswire.proxy.state.settings import FailSettings, StateSettings

from ..backends.test_tls import DAY, NOW, Authority
from ..valkey import Mortal

NOON = 1_750_000_000.0

BOUNDS: dict[str, tuple[str, Bound]] = {
    "window": ("tokens", Rate(20, 1000)),
    "at once": ("concurrent", AtOnce(6)),
    "calendar": ("money", Budget(30, "day")),
    "rolling": ("money", Budget(30, "day", rolling=True)),
}


class Clock:
    """A clock that both kinds of state read, in steps that both can represent."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def replica(shared: StateSettings, clock: Any = None) -> AsyncIterator[ReplicaState]:
    """A replica that is connected; with a clock, the server goes by it too."""
    state = ReplicaState(shared, time.monotonic, clock or time.time, server_time=clock)
    state.start()
    try:
        yield state
    finally:
        await state.close()


def amounts(number: int) -> dict[str, int]:
    return dict.fromkeys(("requests", "tokens", "concurrent", "money"), number)


async def until(true: Any, seconds: float = 10) -> None:
    """Waits until this is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came true"
        await asyncio.sleep(0.01)


async def used(state: ReplicaState, limit: Limit) -> int:
    """The amount that the server says is used of a limit."""
    [answer, _] = await state._session.ask(("look", state._session.time(), *state.counter(limit).row("", 0, NOON)))
    return int(answer)


async def spend(state: ReplicaState, limit: Limit, amount: int) -> None:
    held = await state.reserve(LimitGroup([limit]), amounts(amount))
    assert not isinstance(held, Denied)
    state.settle(held, {})


# ---- the same as in memory -------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.5, 1.0, 3.25, 400.0, 999.0, 1000.0, 50_000.0]),
        st.integers(0, 12),
        st.sampled_from([None, 0, 1, 5, 12]),
        st.booleans(),
    ),
    max_size=14,
)
"""Steps: seconds that pass, an amount that is asked for, the actual one, and whether the oldest is settled first."""


@pytest.mark.parametrize("kinds", [["window"], ["at once"], ["calendar"], ["rolling"], list(BOUNDS)[:3]])
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_a_sequence_has_the_same_outcome_as_in_memory(
    kinds: list[str], shared: StateSettings, steps: list[tuple[float, int, int | None, bool]]
) -> None:
    async def play() -> None:
        clock = Clock()
        fresh = replace(shared, prefix=f"{shared.prefix}-{time.monotonic_ns()}", lease_s=1e9)
        limits = [limit_of("ada", *BOUNDS[kind]) for kind in kinds]
        memory = MemoryState(clock, clock)
        ours, theirs = LimitGroup(limits), LimitGroup(limits)
        under_way: list[tuple[Any, Any, int | None]] = []

        async with replica(fresh, clock) as state:
            for passed, asked, actual, settles in steps:
                clock.now += passed
                if settles and under_way:
                    here, there, what = under_way.pop(0)
                    known = {"concurrent": 0} | ({} if what is None else {"tokens": what, "money": what})
                    memory.settle(here, known)
                    state.settle(there, known)
                here, there = memory.reserve_now(ours, amounts(asked)), await state.reserve(theirs, amounts(asked))
                assert isinstance(here, Denied) == isinstance(there, Denied)
                if isinstance(here, Denied) and isinstance(there, Denied):
                    assert here.limit == there.limit
                    assert there.wait == pytest.approx(here.wait, abs=1e-5)
                else:
                    under_way.append((here, there, actual))
                for limit, counter, _, _ in memory.counters(ours):
                    assert await used(state, limit) == counter.used(), limit

    asyncio.run(play())


async def test_racing_replicas_get_no_more_than_there_is(shared: StateSettings) -> None:
    group = [limit_of("ada", "requests", Rate(40, 60)), limit_of("ada", "concurrent", AtOnce(1000))]
    async with replica(shared) as one, replica(shared) as two:
        groups = {one: LimitGroup(group), two: LimitGroup(group)}
        answers = await asyncio.gather(
            *(each.reserve(groups[each], amounts(1)) for _ in range(60) for each in (one, two))
        )
        assert sum(not isinstance(answer, Denied) for answer in answers) == 40
        assert await used(one, group[1]) == 40, "what one limit refuses takes nothing of the others"


async def test_what_one_gives_back_the_other_gets(shared: StateSettings) -> None:
    group = LimitGroup([limit_of("ada", "concurrent", AtOnce(1))])
    async with replica(shared) as one, replica(shared) as two:
        held = await one.reserve(group, amounts(1))
        other = LimitGroup(group.limits)
        assert isinstance(await two.reserve(other, amounts(1)), Denied)
        assert not isinstance(held, Denied)
        one.settle(held, {"concurrent": 0})
        one.settle(held, {"concurrent": 0})  # once is enough
        assert isinstance(await one.reserve(group, amounts(1)), list), "it is settled before what follows"


async def test_prefixes_keep_deployments_apart(shared: StateSettings) -> None:
    limit = limit_of("ada", "requests", Rate(1, 60))
    async with replica(shared) as one, replica(replace(shared, prefix=f"{shared.prefix}-b")) as two:
        for state in (one, two):
            assert not isinstance(await state.reserve(LimitGroup([limit]), amounts(1)), Denied)
            assert isinstance(await state.reserve(LimitGroup([limit]), amounts(1)), Denied)


@pytest.mark.parametrize("kind", BOUNDS)
async def test_what_a_dead_replica_held_is_free_after_its_lease(kind: str, shared: StateSettings) -> None:
    clock = Clock()
    limit = limit_of("ada", *BOUNDS[kind])
    shared = replace(shared, lease_s=10)
    async with replica(shared, clock) as one, replica(shared, clock) as two:
        assert not isinstance(await one.reserve(LimitGroup([limit]), amounts(5)), Denied)
        assert await used(two, limit) == 5
        one._session._task.cancel()  # type: ignore[union-attr]
        clock.now += 9
        await two._session.ask(("beat", two._session.time(), two._session.name, "10000000", ""))
        assert await used(two, limit) == 5
        clock.now += 2
        await two._session.ask(("beat", two._session.time(), two._session.name, "10000000", ""))
        assert await used(two, limit) == 0
        one._session.is_up = False


async def test_a_replica_that_was_taken_for_dead_holds_what_it_has_again(shared: StateSettings) -> None:
    limit = limit_of("ada", "concurrent", AtOnce(3))
    async with replica(shared) as one, replica(shared) as two:
        held = await one.reserve(LimitGroup([limit]), amounts(1))
        name = one._session.name
        await two._session.ask(("leave", "", name))
        assert await used(two, limit) == 0
        again = await one.reserve(LimitGroup([limit]), amounts(1))
        assert one._session.name != name
        assert await used(two, limit) == 2
        for each in (held, again):
            assert not isinstance(each, Denied)
            one.settle(each, {"concurrent": 0})
        assert await used(one, limit) == 0


async def test_a_request_that_leaves_while_it_waits_holds_nothing(shared: StateSettings) -> None:
    limit = limit_of("ada", "concurrent", AtOnce(3))
    async with replica(shared) as state:
        await state.reserve(LimitGroup([limit_of("ada", "requests", Rate(9, 60))]), amounts(1))
        leaving = [asyncio.ensure_future(state.reserve(LimitGroup([limit]), amounts(1))) for _ in range(3)]
        await asyncio.sleep(0)
        for each in leaving:
            each.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
        await until(lambda: not state._under_way or state.outcomes["shared"] > 1)
        assert await used(state, limit) == 0


@pytest.mark.parametrize("kind", ["calendar", "rolling"])
async def test_the_past_of_a_budget_is_added_by_one_replica_only(kind: str, shared: StateSettings) -> None:
    clock = Clock()
    limit = limit_of("ada", *BOUNDS[kind])
    async with replica(shared, clock) as one, replica(shared, clock) as two:
        assert list(await one.lacking([limit], 0)) == [limit.key]
        assert not isinstance(await two.reserve(LimitGroup([limit]), amounts(4)), Denied)
        assert (await two.lacking([limit], 0))[limit.key] == pytest.approx(NOON)
        for state in (one, two):
            await state.add_past(limit, [(NOON - 90_000, 100), (NOON - 600, 2), (NOON - 30, 3)])
        assert await used(one, limit) == 9
        assert await one.lacking([limit], 0) == {}


async def test_what_was_used_while_the_server_was_gone_is_not_read_from_the_ledger_too(mortal: Mortal) -> None:
    limit = limit_of("ada", *BOUNDS["rolling"])
    async with replica(gone(mortal, "local")) as state:
        await spend(state, limit, 3)
        assert await used(state, limit) == 3
        mortal.kill()
        await until(lambda: state.complaint is not None)
        gone_at, epoch = time.time(), state.epoch
        await asyncio.sleep(0.3)
        await spend(state, limit, 4)
        mortal.start()
        await until(lambda: state.complaint is None)
        assert state.epoch > epoch, "whoever has a ledger asks again"
        assert (await state.lacking([limit], 0))[limit.key] == pytest.approx(gone_at, abs=0.15)
        await state.add_past(limit, [(gone_at - 5, 3)])
        assert await used(state, limit) == 7


# ---- facts -----------------------------------------------------------------------------------------------------------


async def test_facts_are_seen_by_others_until_their_time_is_over(shared: StateSettings) -> None:
    async with replica(shared) as one, replica(shared) as two:
        await until(lambda: one._session.is_up and two._session.is_up)
        one.put("sticky", "ada", "first", 60)
        one.put("sticky", "bob", "second", 0.05)
        assert one.known("sticky", "ada") == "first"
        assert await one.get("sticky", "ada") == await two.get("sticky", "ada") == "first"
        await asyncio.sleep(0.1)
        assert await two.get("sticky", "bob") is None
        assert two.known("sticky", "ada") is None


async def test_hints_reach_every_replica_but_the_one_that_tells(shared: StateSettings) -> None:
    heard: dict[str, list[tuple[str, str]]] = {"one": [], "two": []}
    async with replica(shared) as one, replica(shared) as two:
        one.listen("breaker", lambda key, value, left: heard["one"].append((key, value)))
        two.listen("breaker", lambda key, value, left: heard["two"].append((key, value)) if left > 50 else None)
        await until(lambda: one._session.is_up and two._session.is_up)
        one.tell("breaker", "backend-a", "open", 60)
        one.tell("unheard", "backend-a", "open", 60)
        await until(lambda: heard["two"])
        assert heard == {"one": [], "two": [("backend-a", "open")]}


# ---- where the server is gone ----------------------------------------------------------------------------------------


def gone(mortal: Mortal, rule: str) -> StateSettings:
    fails = FailSettings(limits=rule, budgets=rule, concurrency=rule)  # type: ignore[arg-type]
    return StateSettings(url=mortal.url, timeout_s=0.5, fails=fails)


@pytest.mark.parametrize("rule", ["local", "open", "closed"])
async def test_a_killed_server_is_replaced_by_the_rule_and_what_was_used_is_added_later(
    rule: str, mortal: Mortal, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    limits = [limit_of("ada", "requests", Rate(5, 600)), limit_of("ada", "concurrent", AtOnce(4))]
    group = LimitGroup(limits)

    async def ask() -> str:
        try:
            answer = await state.reserve(group, amounts(1))
        except StateGone:
            return "closed"
        if isinstance(answer, Denied):
            return "denied"
        state.settle(answer, {"concurrent": 0})
        return "let through"

    async with replica(gone(mortal, rule)) as state:
        kept = await state.reserve(group, amounts(1))
        assert [await ask() for _ in range(2)] == ["let through"] * 2
        assert [await used(state, limit) for limit in limits] == [3, 1]
        mortal.kill()
        expected = {
            "local": ["let through"] * 2 + ["denied"] * 2,
            "open": ["let through"] * 4,
            "closed": ["closed"] * 4,
        }
        assert [await ask() for _ in range(4)] == expected[rule]
        assert state.complaint is not None
        assert rule in state.complaint
        assert not isinstance(kept, Denied)
        mortal.start()
        await until(lambda: state.complaint is None)
        # a server that lost everything knows what is under way, and what was used while it was gone
        later = {"local": 2, "open": 4, "closed": 0}[rule]
        assert [await used(state, limit) for limit in limits] == [1 + later, 1]
        state.settle(kept, {"concurrent": 0})
        assert await used(state, limits[1]) == 0
    assert len([line for line in caplog.messages if "cannot be used" in line]) == 1
    assert len([line for line in caplog.messages if "can be used again" in line]) == 1


async def test_a_silent_server_is_waited_for_once() -> None:
    group = LimitGroup([limit_of("ada", "requests", Rate(500, 600))])
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        state = ReplicaState(StateSettings(url=url, timeout_s=0.05), time.monotonic, time.time)
        for _ in range(100):
            assert not isinstance(await asyncio.wait_for(state.reserve(group, amounts(1)), 5), Denied)
        assert state.outcomes == {"local": 100}
        await state.close()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("is_trusted", [True, False])
async def test_tls_verifies_the_servers_name_and_authority(
    host: str, is_trusted: bool, mortal: Mortal, tmp_path: Path
) -> None:
    authority = Authority()
    (tmp_path / "server.pem").write_bytes(b"".join(authority.pair("localhost", NOW + DAY)))
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    mortal.kill()
    mortal.start(tmp_path / "server.pem")
    ca_file = str(tmp_path / "ca.pem") if is_trusted else None
    made = StateSettings(url=f"valkeys://{host}:{mortal.port}", ca_file=ca_file, timeout_s=2)
    async with replica(made) as state:
        assert await state._session.came_up() == (is_trusted and host == "localhost")
        assert (state.complaint is None) == state._session.is_up


async def test_a_password_is_neither_logged_nor_told(valkey: str, caplog: pytest.LogCaptureFixture) -> None:
    place = valkey.rpartition("@")[2]
    wrong = StateSettings(url=f"redis://:hunter2-is-secret@{place}")
    async with replica(wrong) as state:
        await until(lambda: state.complaint is not None)
        said = f"{state.complaint} {wrong!r} {caplog.text}"
    assert "hunter2" not in said
    assert place.partition("/")[0] in said
