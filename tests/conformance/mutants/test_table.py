"""The table of mutants is complete: every loss word in each direction and protocol, every subject, every patch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path

import pytest

from crosswire.conformance.matrix.expectations import read_expectations
from crosswire.conformance.mutants.mutant import SUBJECTS
from crosswire.conformance.mutants.patching import mutated_sources
from crosswire.conformance.mutants.table import (
    DIRECTIONS,
    PROTOCOLS,
    Combination,
    combinations_of_gaps,
    combinations_of_mutants,
    read_table,
    sample,
    sample_of_commit,
)
from crosswire.conformance.mutants.trial import chosen_cells
from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.scenarios.loader import load_scenarios
from crosswire.proxy.ir.loss_tables import LOSS_RULES

ROOT = Path(__file__).parents[3]
TABLE = read_table()
SCENARIOS = load_scenarios(ROOT / "scenarios")
EXPECTATIONS = read_expectations()

LEAST = 60
"""Fewest mutants of the table."""


def without_row(words: Sequence[str]) -> set[Combination]:
    """Returns the combinations of these words that have neither a mutant nor a reason."""
    every: Iterable[Combination] = product(words, DIRECTIONS, PROTOCOLS)
    return set(every) - combinations_of_mutants(TABLE, words) - set(combinations_of_gaps(TABLE))


def test_protocols_are_all() -> None:
    assert set(PROTOCOLS) == set(MOCK_PROTOCOLS)


def test_every_word_has_a_mutant_or_a_reason_in_each_direction_and_protocol() -> None:
    assert without_row(tuple(LOSS_RULES)) == set()


def test_a_new_word_needs_rows() -> None:
    assert without_row((*LOSS_RULES, "a_new_word")) == set(product(("a_new_word",), DIRECTIONS, PROTOCOLS))


def test_a_reason_stands_only_where_there_is_no_mutant() -> None:
    gaps = Counter(combinations_of_gaps(TABLE))
    assert [combination for combination, times in gaps.items() if times > 1] == []
    assert set(gaps) & combinations_of_mutants(TABLE, tuple(LOSS_RULES)) == set()


def test_mutants_cover_words_and_subjects_that_exist() -> None:
    covered = {word for mutant in TABLE.mutants for word in mutant.covers}
    assert covered - {*LOSS_RULES, *SUBJECTS} == set()
    assert {word for gap in TABLE.gaps for word in gap.words} - set(LOSS_RULES) == set()
    assert {protocol for row in (*TABLE.mutants, *TABLE.gaps) for protocol in row.protocols} == set(PROTOCOLS)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_subject_has_a_mutant_that_must_be_killed(subject: str) -> None:
    assert [mutant.name for mutant in TABLE.mutants if subject in mutant.covers and not mutant.survives]


def test_there_are_enough_mutants() -> None:
    assert len(TABLE.mutants) >= LEAST
    assert {mutant.direction for mutant in TABLE.mutants} == set(DIRECTIONS)


def test_every_mutant_says_what_a_user_would_lose() -> None:
    assert [mutant.name for mutant in TABLE.mutants if not mutant.loses or "<" in mutant.loses + mutant.name] == []
    assert [gap.words for gap in TABLE.gaps if not gap.because] == []


def test_every_patch_applies() -> None:
    for mutant in TABLE.mutants:
        assert mutated_sources(mutant)


@pytest.mark.parametrize("globs", dict.fromkeys(mutant.cells for mutant in TABLE.mutants), ids=str)
def test_every_glob_of_cells_matches(globs: object) -> None:
    assert any(True for _ in chosen_cells(globs, SCENARIOS, EXPECTATIONS))  # type: ignore[arg-type]


def test_samples_together_are_all() -> None:
    samples = [sample(TABLE.mutants, number, 5) for number in range(1, 6)]
    assert sorted(mutant.name for part in samples for mutant in part) == sorted(mutant.name for mutant in TABLE.mutants)
    assert max(map(len, samples)) - min(map(len, samples)) <= 1


def test_commits_choose_every_sample() -> None:
    chosen = [sample_of_commit(f"{number:040x}", 5) for number in range(100)]
    assert set(chosen) == {1, 2, 3, 4, 5}
    assert sample_of_commit("abc", 5) == sample_of_commit("abc", 5)
