"""Limits: never more than allowed in any period, and never less than promised, with a clock of the tests' own."""

from __future__ import annotations

import asyncio
from math import inf, isinf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.proxy.limits.bounds import AtOnce, LimitSet, Rate, parse_rate
from crosswire.proxy.limits.state import Denied, Held, Limit, LimitGroup, MemoryState, limit_of
from crosswire.proxy.limits.window import SLOTS, SlidingWindow

PERIOD = 60.0
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.001, 0.05, 0.06, 1.0, 7.3, 29.99, 59.93, 60.0, 61.0]),
        st.integers(0, 12),
        st.sampled_from(["keep", "less", "more", "none"]),
    ),
    max_size=60,
)
"""Steps of a client: seconds that pass, tokens that are asked for, and how the reservation is settled."""


class Clock:
    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def reserve(state: MemoryState, charges: list[tuple[Limit, int]]) -> list[Held] | Denied:
    """Reserves an amount on each of these limits, which have different units."""
    return state.reserve_now(LimitGroup(limit for limit, _ in charges), {limit.unit: n for limit, n in charges})


def actual_of(asked: int, how: str) -> int:
    return {"keep": asked, "less": asked // 2, "more": asked + 3, "none": 0}[how]


@given(steps=STEPS, limit=st.integers(1, 20))
@settings(max_examples=300, deadline=None)
def test_never_more_than_allowed_and_never_less_than_promised(steps: list[tuple[float, int, str]], limit: int) -> None:
    clock = Clock()
    state, rate = MemoryState(clock, clock), limit_of("ada", "tokens", Rate(limit, PERIOD))
    kept: list[tuple[float, int, int]] = []  # when, reserved, actual
    for passed, asked, how in steps:
        clock.now += passed
        reserved = reserve(state, [(rate, asked)])
        used = sum(actual for when, _, actual in kept if when > clock.now - PERIOD)
        longest = sum(actual for when, _, actual in kept if when > clock.now - PERIOD * (1 + 1 / SLOTS) - 1e-6)
        if isinstance(reserved, Denied):
            assert longest + asked > limit, "what fits must be let through"
            assert isinf(reserved.wait) == (asked > limit)
            assert reserved.wait > 0
        else:
            assert used + asked <= limit, "no period may hold more than the limit"
            actual = actual_of(asked, how)
            state.settle(reserved, {"tokens": actual})
            kept.append((clock.now, asked, actual))


@given(steps=STEPS, limit=st.integers(5, 20))
@settings(max_examples=200, deadline=None)
def test_who_waits_as_long_as_told_is_let_through(steps: list[tuple[float, int, str]], limit: int) -> None:
    clock = Clock()
    window = SlidingWindow(PERIOD, clock)
    for passed, asked, _ in steps:
        clock.now += passed
        wait = window.wait(asked, limit)
        if wait == inf:
            assert asked > limit
            continue
        clock.now += wait
        assert window.wait(asked, limit) == 0
        window.add(asked)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=60))
@settings(max_examples=100, deadline=None)
def test_requests_under_way(steps: list[tuple[bool, int]]) -> None:
    state, most = MemoryState(Clock(), Clock()), limit_of("ada", "concurrent", AtOnce(3))
    under_way: list[Any] = []
    for begins, which in steps:
        if begins:
            reserved = reserve(state, [(most, 1)])
            assert isinstance(reserved, Denied) == (len(under_way) >= 3)
            if not isinstance(reserved, Denied):
                under_way.append(reserved)
        elif under_way:
            state.settle(under_way.pop(which % len(under_way)), {"concurrent": 0})


def test_all_or_nothing() -> None:
    """A request that one limit refuses has taken nothing of the others."""
    clock = Clock()
    state = MemoryState(clock, clock)
    many, few = limit_of("ada", "requests", Rate(10, 60)), limit_of("ada", "tokens", Rate(5, 60))
    assert not isinstance(reserve(state, [(many, 1), (few, 5)]), Denied)
    denied = reserve(state, [(many, 1), (few, 1)])
    assert isinstance(denied, Denied)
    assert denied.limit is few
    assert state.counter(many).used() == 1
    assert not isinstance(asyncio.run(state.reserve(LimitGroup([many]), {"requests": 9})), Denied)


def test_what_ends_long_after_its_period_changes_nothing() -> None:
    clock = Clock()
    state, rate = MemoryState(clock, clock), limit_of("ada", "tokens", Rate(5, 60))
    held = reserve(state, [(rate, 5)])
    assert not isinstance(held, Denied)
    clock.now += 100
    state.settle(held, {"tokens": 1000})
    assert state.counter(rate).used() == 0


def test_memory_is_bounded() -> None:
    clock = Clock()
    window = SlidingWindow(PERIOD, clock)
    for _ in range(50_000):
        clock.now += 0.0007
        window.add(1)
    assert len(window._entries) <= SLOTS + 2
    assert window.whole_in() <= PERIOD * (1 + 1 / SLOTS)


def test_unused_counters_are_forgotten_and_others_stay() -> None:
    clock = Clock()
    state, first, second = MemoryState(clock, clock), limit_of("a", "r", Rate(1, 60)), limit_of("b", "r", Rate(1, 600))
    reserve(state, [(first, 1), (second, 1)])
    clock.now += 100
    state.forget_unused()
    assert list(state._counters) == [second.key]


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("60/min", Rate(60, 60)),
        ("5/s", Rate(5, 1)),
        ("100 / 10s", Rate(100, 10)),
        ("7/2h", Rate(7, 7200)),
        ("9/day", Rate(9, 86400)),
        ("0/min", None),
        ("-1/min", None),
        ("5/0s", None),
        ("5", None),
        ("5/year", None),
        ("1e3/min", None),
    ],
)
def test_rates_as_text(text: str, rate: Rate | None) -> None:
    assert parse_rate(text) == rate


def test_a_set_without_limits_is_false() -> None:
    assert not LimitSet()
    assert LimitSet(requests=Rate(1, 1))
