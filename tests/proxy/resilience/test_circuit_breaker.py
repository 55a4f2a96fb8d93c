"""Beliefs about backends, under a given clock: the breaker, the budget, the waits. Tables first, then laws."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.proxy.resilience.circuit_breaker import (
    CONNECT_FAILURE,
    STATES,
    TRIPPING,
    BreakerSettings,
    CircuitBreakers,
)
from crosswire.proxy.resilience.retry import RETRIABLE, RetryBudget, RetrySettings, backoff

QUICK = BreakerSettings(failures=3, window_s=10, open_s=5)

# A step is `at` seconds: what happens, and the breaker's state right after it. A failure is (kind, request).
Step = tuple[float, object, str]

TABLE: dict[str, list[Step]] = {
    "nothing happened": [(0, None, "closed")],
    "as many failures as it takes": [
        (0, ("upstream_error", 1), "closed"),
        (1, ("upstream_cut", 2), "closed"),
        (2, ("overloaded", 3), "open"),
    ],
    "a success forgets": [
        (0, ("upstream_error", 1), "closed"),
        (1, ("upstream_error", 2), "closed"),
        (2, "ok", "closed"),
        (3, ("upstream_error", 3), "closed"),
        (4, ("upstream_error", 4), "closed"),
        (5, ("upstream_error", 5), "open"),
    ],
    "old failures do not count": [
        (0, ("upstream_error", 1), "closed"),
        (1, ("upstream_error", 2), "closed"),
        (11, ("upstream_error", 3), "closed"),
        (12, ("upstream_error", 4), "closed"),
        (13, ("upstream_error", 5), "open"),
    ],
    "one poison request, however often": [(at, ("upstream_error", 7), "closed") for at in range(9)],
    "a poison request and one other": [
        *[(at, ("upstream_error", 7), "closed") for at in range(4)],
        (4, ("upstream_error", 8), "closed"),
    ],
    "unreached counts whatever the request was": [
        (0, (CONNECT_FAILURE, 7), "closed"),
        (0, (CONNECT_FAILURE, 7), "closed"),
        (0, (CONNECT_FAILURE, 7), "open"),
    ],
    "a refusal is a sign of life": [
        (0, ("upstream_error", 1), "closed"),
        (1, ("upstream_error", 2), "closed"),
        (2, ("bad_request", 3), "closed"),
        (3, ("upstream_error", 4), "closed"),
        (4, ("upstream_error", 5), "closed"),
    ],
    "a rate limit is neither": [
        (0, ("upstream_error", 1), "closed"),
        (1, ("upstream_error", 2), "closed"),
        (2, ("rate_limit", 3), "closed"),
        (3, ("upstream_error", 4), "open"),
    ],
    "half-open after its time, and one asks": [
        (0, (CONNECT_FAILURE, 1), "closed"),
        (0, (CONNECT_FAILURE, 1), "closed"),
        (0, (CONNECT_FAILURE, 1), "open"),
        (4.9, None, "open"),
        (5, None, "half-open"),
        (5, "ask", "open"),
        (6, "ok", "closed"),
    ],
    "the one that asked fails": [
        (0, (CONNECT_FAILURE, 1), "closed"),
        (0, (CONNECT_FAILURE, 1), "closed"),
        (0, (CONNECT_FAILURE, 1), "open"),
        (5, "ask", "open"),
        (6, ("upstream_error", 2), "open"),
        (10.9, None, "open"),
        (11, None, "half-open"),
    ],
    "the one that asked leaves": [
        (0, (CONNECT_FAILURE, 1), "closed"),
        (0, (CONNECT_FAILURE, 1), "closed"),
        (0, (CONNECT_FAILURE, 1), "open"),
        (5, "ask", "open"),
        (6, "leave", "half-open"),
    ],
    "the one that asked hears a rate limit": [
        (0, (CONNECT_FAILURE, 1), "closed"),
        (0, (CONNECT_FAILURE, 1), "closed"),
        (0, (CONNECT_FAILURE, 1), "open"),
        (5, "ask", "open"),
        (6, ("rate_limit", 1), "half-open"),
    ],
    "a straggler of before tells nothing": [
        (0, (CONNECT_FAILURE, 1), "closed"),
        (0, (CONNECT_FAILURE, 1), "closed"),
        (0, (CONNECT_FAILURE, 1), "open"),
        (4, (CONNECT_FAILURE, 1), "open"),
        (5, None, "half-open"),
    ],
    "a straggler that succeeds does": [
        (0, (CONNECT_FAILURE, 1), "closed"),
        (0, (CONNECT_FAILURE, 1), "closed"),
        (0, (CONNECT_FAILURE, 1), "open"),
        (1, "ok", "closed"),
    ],
}


@pytest.mark.parametrize("steps", TABLE.values(), ids=TABLE)
def test_the_breaker(steps: list[Step]) -> None:
    breakers = CircuitBreakers(QUICK)
    for number, (at, what, state) in enumerate(steps):
        match what:
            case "ok":
                breakers.succeeded("b")
            case "ask":
                assert breakers.begin("b", at)
            case "leave":
                breakers.abandon("b")
            case (str() as kind, int() as request):
                breakers.failed("b", kind, request, at)
        assert (number, breakers.state("b", at)) == (number, state)
        assert ("b" in breakers.open_reasons(at)) == (state == "open")


def test_only_one_asks() -> None:
    breakers = opened()
    assert [breakers.begin("b", 5), breakers.begin("b", 5), breakers.begin("b", 99)] == [True, False, False]


def opened() -> CircuitBreakers:
    breakers = CircuitBreakers(QUICK)
    for _ in range(QUICK.failures):
        breakers.failed("b", CONNECT_FAILURE, 1, 0)
    return breakers


@pytest.mark.parametrize(("now", "wait"), [(0, 5), (3, 2), (4.5, 1), (5, 1), (99, 1)])
def test_the_wait_that_a_client_is_told(now: float, wait: float) -> None:
    assert (opened().retry_after("b", now), opened().retry_after("other", now)) == (wait, 0)


def test_it_can_be_turned_off() -> None:
    breakers = CircuitBreakers(BreakerSettings(failures=0))
    for _ in range(100):
        breakers.failed("b", CONNECT_FAILURE, 1, 0)
    assert breakers.state("b", 0) == "closed"


def test_the_words_agree() -> None:
    assert TRIPPING | {CONNECT_FAILURE, "rate_limit"} == RETRIABLE
    assert set(STATES) == {"closed", "half-open", "open"}


# ---- laws ------------------------------------------------------------------------------------------------------------

KINDS = st.sampled_from(["bad_request", "rate_limit", *sorted(RETRIABLE)])
EVENTS = st.lists(st.tuples(st.floats(0, 3), st.one_of(st.just("ok"), st.tuples(KINDS, st.integers(0, 4)))))


@settings(deadline=None)
@given(EVENTS)
def test_it_opens_only_after_enough_different_failures_without_a_success(events: list[tuple[float, object]]) -> None:
    breakers, now = CircuitBreakers(QUICK), 0.0
    since: list[object] = []
    for pause, what in events:
        now += pause
        before = breakers.state("b", now)
        if what == "ok":
            breakers.succeeded("b")
            since = []
        else:
            kind, request = what  # type: ignore[misc] # a strategy's union
            breakers.failed("b", kind, request, now)
            if kind == CONNECT_FAILURE:
                since.append(object())
            elif kind in TRIPPING and request not in since:
                since.append(request)
            elif kind == "bad_request":
                since = []
        if before == "closed" and breakers.state("b", now) == "open":
            assert len(since) >= QUICK.failures
        if before == "open":
            since = []


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 0.5), st.booleans()), max_size=300))
def test_the_budget_holds_under_a_total_outage(steps: list[tuple[float, bool]]) -> None:
    """Every request fails and wants all its tries: they stay within 1.2 a request and 3 a second."""
    retry = RetrySettings()
    budget, now, requests, further = RetryBudget(retry, 0.0), 0.0, 0, 0
    for pause, comes in steps:
        now += pause
        if comes:
            requests += 1
            budget.earn()
        further += sum(budget.spend(now) for _ in range(retry.attempts - 1))
        assert requests + further <= (1 + retry.budget) * requests + retry.floor_per_s * (1 + now) + 1e-6


def test_what_is_saved_up_is_bounded() -> None:
    budget = RetryBudget(RetrySettings(), 0.0)
    for _ in range(100_000):
        budget.earn()
    assert sum(budget.spend(1e6) for _ in range(200)) == RetryBudget.CAP


@pytest.mark.parametrize(("tried", "most"), [(0, 0.25), (1, 0.5), (2, 1), (3, 2), (10, 8), (10_000, 8)])
def test_waits_grow_to_a_cap(tried: int, most: float) -> None:
    retry = RetrySettings()
    assert [backoff(retry, tried, dice) for dice in (0, 0.5, 1)] == [0, most / 2, most]
