"""Measures: the peak-sensitive average, failures, choices and promises."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.balance.measures import DECAY_S, FAILURE_MS, Measures, peak_average

A = ("a", "m", True)
positive = st.floats(0, 1e6)


@given(positive, positive, st.floats(0, 1e6))
def test_an_average_lies_between_what_it_was_and_what_was_measured(before: float, ms: float, elapsed: float) -> None:
    found = peak_average(before, ms, elapsed)
    assert min(before, ms) - 1e-6 <= found <= max(before, ms) + 1e-6
    assert ms < before or found == ms


def test_it_rises_at_once_and_falls_slowly() -> None:
    measures = Measures()
    assert measures.latency(A, 0) is None
    measures.answered(A, 100, 0)
    measures.answered(A, 900, 1)
    assert measures.latency(A, 3) == (900, 2)
    measures.answered(A, 100, 1 + DECAY_S)
    found = measures.latency(A, 1 + DECAY_S)
    assert found is not None
    assert round(found[0]) == 394


def test_a_failure_is_slow_however_fast_it_came() -> None:
    measures = Measures()
    measures.failed(A, 1, 0)
    assert measures.latency(A, 0) == (FAILURE_MS, 0)
    measures.failed(A, 1, 0)
    assert measures.latency(A, 0) == (2 * FAILURE_MS, 0)
    measures.failed(A, 9 * FAILURE_MS, 0)
    assert measures.latency(A, 0) == (9 * FAILURE_MS, 0)


def test_choices_are_numbered_and_promises_end() -> None:
    measures = Measures()
    measures.choose(A)
    measures.choose(("b", "m", True))
    measures.choose(A)
    assert (measures.last_choice(A), measures.last_choice(("b", "m", True)), measures.last_choice(("c", "", True))) == (
        *(3, 2),
        0,
    )
    assert measures.promised("a") == 2
    for _ in range(3):
        measures.arrive("a")
    assert measures.promised("a") == 0
