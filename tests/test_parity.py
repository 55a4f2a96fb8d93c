"""A cheap sample of `python -m benchmarks.parity`: mutated exchanges come out the same with levers and without."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.exchanges import Exchange, evidence, exchanges
from benchmarks.levers import LEVERS, taken_away
from benchmarks.parity import differences
from benchmarks.player import play

SHAPES = 24
"""Mutated exchanges of the sample."""


def sample(seed: int) -> list[Exchange]:
    answers = evidence()
    return list(exchanges(answers, len(answers) + SHAPES, seed))[len(answers) :]


async def test_mutated_exchanges_are_the_same_without_any_lever(tmp_path: Path) -> None:
    cases = sample(1)
    expected = await play(cases, tmp_path)
    with taken_away(LEVERS):
        found = await play(cases, tmp_path)
    assert [*differences(cases, expected, found)] == []
    assert {outcome["status"] for outcome in expected} >= {200, 502}
    assert all(outcome["record"]["outcome"] for outcome in expected)


async def test_a_difference_is_found_and_told(tmp_path: Path) -> None:
    cases = [case for case in exchanges(evidence(), 40, 2) if "reply" in case.name and case.whole][:3]
    expected = await play(cases, tmp_path)
    changed = [{**outcome, "status": 201} for outcome in expected]
    lines = [*differences(cases, expected, changed)]
    assert [line.rpartition(": status: ")[2] for line in lines] == ["…'200' with it, …'201' without"] * len(cases)
    assert [line.strip().startswith(case.name) for line, case in zip(lines, cases, strict=True)] == [True] * len(cases)


def test_a_lever_that_was_taken_away_is_given_back() -> None:
    before = {name: [getattr(thing, attribute) for thing, attribute, _ in of] for name, of in LEVERS.items()}
    with taken_away(LEVERS):
        without = {name: [getattr(thing, attribute) for thing, attribute, _ in of] for name, of in LEVERS.items()}
    assert all(without[name] != before[name] for name in LEVERS)
    assert before == {name: [getattr(thing, attribute) for thing, attribute, _ in of] for name, of in LEVERS.items()}


@pytest.mark.parametrize("seed", [1, 2])
def test_a_seed_chooses_the_same_exchanges(seed: int) -> None:
    assert sample(seed) == sample(seed) != sample(seed + 2)
