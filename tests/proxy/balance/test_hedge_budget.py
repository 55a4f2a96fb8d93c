"""Budgets of hedged requests: a share of the requests, and one from the start."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.balance.hedge_budget import SAVED, HedgeBudget


@given(st.floats(0.001, 1), st.lists(st.booleans(), max_size=200))
def test_second_calls_are_at_most_their_share_and_one(share: float, requests: list[bool]) -> None:
    budget, spent = HedgeBudget(), 0
    for number, wants in enumerate(requests, 1):
        budget.earn(share)
        spent += wants and budget.spend()
        assert spent <= 1 + share * number + 1e-9


def test_what_is_saved_is_bounded() -> None:
    budget = HedgeBudget()
    for _ in range(1000):
        budget.earn(1)
    assert sum(budget.spend() for _ in range(1000)) == SAVED
