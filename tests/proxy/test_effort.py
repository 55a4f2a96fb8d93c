"""Effort, budget and switch: one table, read both ways."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.effort import BUDGETS, budget, effort
from proxy.ir import Thinking

CASES: dict[str, tuple[Thinking, str | None, int | None]] = {
    "nothing asked": (Thinking(), None, None),
    "on": (Thinking(enabled=True), None, None),
    "off": (Thinking(enabled=False), "none", 0),
    "a word": (Thinking(effort="medium"), "medium", 8192),
    "none": (Thinking(effort="none"), "none", 0),
    "a word that no table has": (Thinking(effort="heroic"), "heroic", None),
    "no tokens": (Thinking(budget=0), "none", 0),
    "one token": (Thinking(budget=1), "minimal", 1),
    "just low": (Thinking(budget=1024), "low", 1024),
    "just above low": (Thinking(budget=1025), "medium", 1025),
    "beyond all": (Thinking(budget=10**6), "xhigh", 10**6),
    "as the model likes": (Thinking(budget=-1), None, -1),
    "a word and a budget": (Thinking(effort="low", budget=9000), "low", 9000),
}


@pytest.mark.parametrize(("thinking", "word", "tokens"), CASES.values(), ids=CASES)
def test_effort_and_budget(thinking: Thinking, word: str | None, tokens: int | None) -> None:
    assert (effort(thinking), budget(thinking)) == (word, tokens)


def test_more_effort_is_more_tokens() -> None:
    assert all(less < more for less, more in itertools.pairwise(BUDGETS.values()))


@pytest.mark.parametrize("word", BUDGETS)
def test_a_word_goes_there_and_back(word: str) -> None:
    assert effort(Thinking(budget=budget(Thinking(effort=word)))) == word


@given(st.integers(1, BUDGETS["xhigh"]))
def test_a_budgets_word_is_never_below_it(tokens: int) -> None:
    word = effort(Thinking(budget=tokens))
    assert word is not None
    assert BUDGETS[word] >= tokens
