"""The order in which one request calls its candidates."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.resilience.rounds import Rounds

Ranks = Mapping[str, tuple[int, float]]


def calls(rounds: Rounds[str], ranks: Ranks, *, most: int = 100) -> str:
    """The candidates in the order in which they are called while all fail."""
    order = ""
    while len(order) < most and (found := rounds.next(lambda each: ranks.get(each, (0, 0.0)))) is not None:
        order += found
        rounds.failed(found, due=float(len(order)))
    return order


@pytest.mark.parametrize(
    ("candidates", "attempts", "ranks", "order"),
    [
        ("a", 3, {}, "aaa"),
        ("a", 1, {}, "a"),
        ("ab", 1, {}, "ab"),
        ("abc", 3, {}, "abcabcabc"),
        # all are open: the one that was left alone longest comes first
        ("abc", 1, {"a": (2, 3.0), "b": (2, 1.0), "c": (2, 2.0)}, "bca"),
        # the others are repeated before one with an open breaker is called
        ("ab", 3, {"a": (2, 1.0)}, "bbbababa"),
        ("ab", 1, {"a": (2, 1.0)}, "ba"),
        # one that asked to be left alone comes between
        ("abc", 1, {"a": (2, 1.0), "b": (1, 9.0)}, "cba"),
        ("", 3, {}, ""),
    ],
)
def test_the_order(candidates: str, attempts: int, ranks: Ranks, order: str) -> None:
    assert calls(Rounds(candidates, attempts), ranks) == order


def test_the_one_that_may_be_called_again_first_is() -> None:
    rounds = Rounds("ab", 2)
    for each, asked in (("a", 9.0), ("b", 1.0)):
        rounds.failed(each, asked, asked)
    assert rounds.next(lambda _: (0, 0.0)) == "b"


def test_candidates_that_are_left_out() -> None:
    rounds = Rounds("abc", 2)
    rounds.drop("b")
    rounds.drop("b")
    assert rounds.remaining() == ["a", "c"]
    rounds.pass_over("a")
    assert calls(rounds, {}) == "cac"
    rounds = Rounds("abc", 2)
    rounds.failed("a", 0)
    rounds.keep_only("a")
    assert calls(rounds, {}) == "a"


@given(
    st.integers(1, 5),
    st.integers(1, 4),
    st.lists(st.booleans(), min_size=5, max_size=5),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 4)), max_size=3),
)
def test_property_the_one_that_is_up_is_found(
    number: int, attempts: int, opened: list[bool], changes: list[tuple[int, int]]
) -> None:
    """While the one that is up changes at most `attempts - 1` times, a request comes upon it."""
    candidates = "abcde"[:number]
    changes = sorted(changes)[: attempts - 1]
    rounds: Rounds[str] = Rounds(candidates, attempts)
    up = candidates[-1]
    for step in range(200):
        for at, which in changes:
            if at == step:
                up = candidates[which % number]
        found = rounds.next(lambda each: (2, 0.0) if opened[candidates.index(each)] else (0, 0.0))
        assert found is not None
        if found == up:
            return
        rounds.failed(found, float(step))
    raise AssertionError("it goes on for ever")
