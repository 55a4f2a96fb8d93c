"""The retry budget and the waits, under a given clock."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.proxy.resilience.retry import RetryBudget, RetrySettings, backoff


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 0.5), st.booleans()), max_size=300))
def test_the_budget_holds_under_a_total_outage(steps: list[tuple[float, bool]]) -> None:
    """Every request fails and wants all its repeats: they stay within 0.2 a request and 3 a second, per backend."""
    retry = RetrySettings()
    budget, now, requests, repeats = RetryBudget(retry, 0.0), 0.0, 0, 0
    for pause, comes in steps:
        now += pause
        if comes:
            requests += 1
            budget.earn("b")
        repeats += sum(budget.spend("b", now) for _ in range(retry.attempts - 1))
        assert repeats <= retry.budget * requests + retry.floor_per_s * (1 + now) + 1e-6


def test_each_backend_has_a_budget_of_its_own() -> None:
    budget = RetryBudget(RetrySettings(floor_per_s=1, budget=0), 0.0)
    assert [budget.spend("a", 0), budget.spend("a", 0), budget.spend("b", 0)] == [True, False, True]


def test_a_repeat_that_is_answered_is_paid_back() -> None:
    budget = RetryBudget(RetrySettings(floor_per_s=1, budget=0), 0.0)
    for _ in range(5):
        assert budget.spend("a", 0)
        budget.pay_back("a")
    budget.pay_back("unknown")  # harmless


@pytest.mark.parametrize(("floor", "waits"), [(2, [0, 0.5, 0.25, 0]), (0, [inf, inf, inf, inf])])
def test_the_wait_for_the_next_repeat(floor: float, waits: list[float]) -> None:
    budget = RetryBudget(RetrySettings(floor_per_s=floor, budget=0), 0.0)
    found = [budget.wait("a", 0)]
    while budget.spend("a", 0):
        pass
    found += [budget.wait("a", now) for now in (0, 0.25, 0.5)]
    assert found == waits


def test_what_is_saved_up_is_bounded() -> None:
    budget = RetryBudget(RetrySettings(), 0.0)
    for _ in range(100_000):
        budget.earn("b")
    assert sum(budget.spend("b", 1e6) for _ in range(200)) == RetryBudget.CAP


@pytest.mark.parametrize(("tried", "most"), [(0, 0.25), (1, 0.5), (2, 1), (3, 2), (10, 8), (10_000, 8)])
def test_waits_grow_to_a_cap(tried: int, most: float) -> None:
    retry = RetrySettings()
    assert [backoff(retry, tried, dice) for dice in (0, 0.5, 1)] == [0, most / 2, most]
