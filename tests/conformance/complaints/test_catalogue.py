"""The catalogue of complaints is valid: its stories and tests exist, and each case states the required behaviour."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from crosswire.conformance.complaints.catalogue import FILE, Case, read_catalogue
from crosswire.conformance.matrix.cells import enumerate_cells
from crosswire.conformance.matrix.expectations import read_expectations
from crosswire.mockserver.scenarios.loader import load_scenarios

ROOT = Path(__file__).parents[3]
CASES = read_catalogue()


def test_ids_are_unique() -> None:
    """YAML accepts duplicate keys and keeps the last one."""
    keys = re.findall(r"^(\w+):", FILE.read_text("utf-8"), re.MULTILINE)
    assert keys == list(CASES)


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_a_case_states_the_required_behaviour(case: Case) -> None:
    assert case.must.endswith(".")
    assert len(set(case.stories)) == len(case.stories)
    assert len(set(case.tests)) == len(case.tests)
    assert case.non_goal is None or len(case.non_goal.split()) > 5, "a non-goal needs its reason"


def test_the_stories_have_cells() -> None:
    played = {cell.story for cell in enumerate_cells(load_scenarios(ROOT / "scenarios"), read_expectations())}
    assert {story for case in CASES.values() for story in case.stories} - played == set()


def test_the_tests_are_collected() -> None:
    """pytest itself collects the tests, so that names of removed tests are found."""
    named = {test for case in CASES.values() for test in case.tests}
    files = sorted({test.partition("::")[0] for test in named})
    assert [file for file in files if not (ROOT / file).is_file()] == []
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    assert done.returncode == 0, done.stdout[-2000:]
    collected = {line.partition("[")[0] for line in done.stdout.splitlines() if "::" in line}
    assert named - collected - set(done.stdout.splitlines()) == set()


INVALID = (
    "A1: {must: m}",
    "A1: {must: m, stories: []}",
    "A1: {must: m, stories: [text], non_goal: because}",
    "A1: {must: m, tests: [t], non_goal: because}",
    "A1: {stories: [text]}",
    "A1: {must: m, stories: [text], storys: [text]}",
    "A1: text",
)


@pytest.mark.parametrize("text", INVALID)
def test_a_case_needs_tests_or_a_reason(text: str, tmp_path: Path) -> None:
    file = tmp_path / "catalogue.yaml"
    file.write_text(text)
    with pytest.raises(msgspec.ValidationError):
        read_catalogue(file)
