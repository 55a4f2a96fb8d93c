"""Circuit breakers under a given clock. Tables first, then laws."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.proxy.resilience.circuit_breaker import COOLING_LIMIT, STATES, BreakerSettings, CircuitBreakers
from crosswire.proxy.resilience.policy import POLICY, RETRIABLE

CONNECT_FAILURE = "upstream_unreachable"
TRIPPING = {kind for kind, rule in POLICY.items() if rule.evidence == "once"}

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
    "one body, which others answer": [
        (0, ("upstream_error", 7), "closed"),
        (0, ("confirmed", 7), "closed"),
        (1, ("upstream_error", 7), "closed"),
        (1, ("confirmed", 7), "closed"),
        (2, ("upstream_error", 7), "open"),
    ],
    "one body, which others answer, and it succeeds": [
        (0, ("upstream_error", 7), "closed"),
        (0, ("confirmed", 7), "closed"),
        (1, "ok", "closed"),
        (2, ("upstream_error", 7), "closed"),
        (3, ("confirmed", 7), "closed"),
    ],
    "another body is confirmed": [
        *[(at, ("upstream_error", 7), "closed") for at in range(4)],
        (4, ("confirmed", 8), "closed"),
    ],
    "the key, the quota and our own trouble say nothing": [
        (0, ("upstream_error", 1), "closed"),
        (1, ("upstream_error", 2), "closed"),
        *[(2, (kind, 3), "closed") for kind in ("upstream_auth", "upstream_quota", "upstream_dns", "out_of_resources")],
        (3, ("upstream_error", 4), "open"),
    ],
    "an answer that begins closes it, on trial": [
        *[(0, (CONNECT_FAILURE, 1), state) for state in ("closed", "closed", "open")],
        (5, "ask", "open"),
        (6, "begin", "closed"),
        (7, ("upstream_cut", 9), "open"),
    ],
    "an answer that begins, and ends well": [
        *[(0, (CONNECT_FAILURE, 1), state) for state in ("closed", "closed", "open")],
        (5, "ask", "open"),
        (6, "begin", "closed"),
        (7, "ok", "closed"),
        (8, ("upstream_cut", 9), "closed"),
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
    "the one that asked hears a rate limit, after another did": [
        (0, (CONNECT_FAILURE, 1), "closed"),
        (0, (CONNECT_FAILURE, 1), "closed"),
        (0, (CONNECT_FAILURE, 1), "open"),
        (5, "ask", "open"),
        (6, ("rate_limit", 2), "open"),
        (6, ("rate_limit", 1), "open"),
        (6, "leave", "half-open"),
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
            case "begin":
                breakers.answering("b", at)
            case ("confirmed", int() as request):
                breakers.confirmed("b", request, at)
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


def test_the_states_are_those_of_the_type() -> None:
    assert set(STATES) == {"closed", "half-open", "open"}


def test_the_one_that_was_left_alone_longest() -> None:
    """Of two open breakers the one that was called last comes last."""
    breakers = CircuitBreakers(QUICK)
    for at, name in enumerate(("a", "b")):
        for _ in range(QUICK.failures):
            breakers.failed(name, CONNECT_FAILURE, 1, at)
    assert breakers.left_alone_since("a") < breakers.left_alone_since("b")
    breakers.call_open("a", 2)
    assert breakers.left_alone_since("b") < breakers.left_alone_since("a")
    assert breakers.state("a", 5) == "half-open"
    assert breakers.left_alone_since("c") == 0


def test_a_backend_that_asked_to_be_left_alone() -> None:
    breakers = CircuitBreakers(QUICK)
    assert breakers.quiet
    breakers.cool("b", "m", 7, 0)
    assert not breakers.quiet
    assert [breakers.cooling("b", "m", 6), breakers.cooling("b", "other", 6)] == [7, 0]
    assert [breakers.cooling("b", "m", 7), breakers.quiet] == [0, True]
    for number in range(COOLING_LIMIT + 1):
        breakers.cool("b", str(number), 9, 0)
    assert [breakers.cooling("b", "0", 1), breakers.cooling("b", "1", 1)] == [0, 9]
    off = CircuitBreakers(BreakerSettings(failures=0))
    off.cool("b", "m", 7, 0)
    assert off.quiet


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
