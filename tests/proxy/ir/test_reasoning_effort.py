"""Tests of the conversion between effort levels, budgets in tokens and the on/off switch."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.ir import ReasoningConfig
from crosswire.proxy.ir.reasoning_effort import BUDGETS, budget, effort

CASES: dict[str, tuple[ReasoningConfig, str | None, int | None]] = {
    "nothing asked": (ReasoningConfig(), None, None),
    "on": (ReasoningConfig(enabled=True), None, None),
    "off": (ReasoningConfig(enabled=False), "none", 0),
    "a level": (ReasoningConfig(effort="medium"), "medium", 8192),
    "none": (ReasoningConfig(effort="none"), "none", 0),
    "an unknown level": (ReasoningConfig(effort="heroic"), "heroic", None),
    "no tokens": (ReasoningConfig(budget=0), "none", 0),
    "one token": (ReasoningConfig(budget=1), "minimal", 1),
    "just low": (ReasoningConfig(budget=1024), "low", 1024),
    "just above low": (ReasoningConfig(budget=1025), "medium", 1025),
    "beyond all": (ReasoningConfig(budget=10**6), "max", 10**6),
    "unlimited budget": (ReasoningConfig(budget=-1), None, -1),
    "a level and a budget": (ReasoningConfig(effort="low", budget=9000), "low", 9000),
}


@pytest.mark.parametrize(("config", "level", "tokens"), CASES.values(), ids=CASES)
def test_effort_and_budget(config: ReasoningConfig, level: str | None, tokens: int | None) -> None:
    assert (effort(config), budget(config)) == (level, tokens)


def test_more_effort_is_more_tokens() -> None:
    assert all(less < more for less, more in itertools.pairwise(BUDGETS.values()))


@pytest.mark.parametrize("level", BUDGETS)
def test_a_level_converts_to_a_budget_and_back(level: str) -> None:
    assert effort(ReasoningConfig(budget=budget(ReasoningConfig(effort=level)))) == level


@given(st.integers(1, BUDGETS["xhigh"]))
def test_property_the_level_of_a_budget_covers_it(tokens: int) -> None:
    level = effort(ReasoningConfig(budget=tokens))
    assert level is not None
    assert BUDGETS[level] >= tokens
