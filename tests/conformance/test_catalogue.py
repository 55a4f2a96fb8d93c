"""The catalogue of complaints holds: what it names exists and runs, no case is missing, and each says what must be."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from conformance.allowed import read_matrix
from conformance.catalogue import FILE, Case, read_catalogue
from conformance.cells import cells
from mockserver.scenario import load

ROOT = Path(__file__).parents[2]
SOURCE = ROOT.parent / "shared" / "catalogue.md"
"""The reports themselves, where they lie beside the checkout."""

CASES = read_catalogue()


def test_no_case_stands_twice() -> None:
    """YAML would let the last of two equal keys win."""
    keys = re.findall(r"^(\w+):", FILE.read_text("utf-8"), re.MULTILINE)
    assert keys == list(CASES)


def test_every_case_is_there() -> None:
    if not SOURCE.is_file():
        pytest.skip("the reports do not lie beside this checkout")
    assert sorted(CASES) == sorted(re.findall(r"^- ([A-Z]+\d+) ", SOURCE.read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_a_case_says_what_must_be(case: Case) -> None:
    assert case.must.endswith(".")
    assert len(set(case.stories)) == len(case.stories)
    assert len(set(case.tests)) == len(case.tests)
    assert case.non_goal is None or len(case.non_goal.split()) > 5, "a non-goal needs its reason"


def test_every_story_is_played() -> None:
    played = {cell.story for cell in cells(load(ROOT / "scenarios"), read_matrix())}
    assert {story for case in CASES.values() for story in case.stories} - played == set()


def test_every_test_is_collected() -> None:
    """Asked of pytest itself, so that a name that is left over from a test that went is found."""
    named = {test for case in CASES.values() for test in case.tests}
    files = sorted({test.partition("::")[0] for test in named})
    assert [file for file in files if not (ROOT / file).is_file()] == []
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    assert done.returncode == 0, done.stdout[-2000:]
    collected = {line.partition("[")[0] for line in done.stdout.splitlines() if "::" in line}
    assert named - collected - set(done.stdout.splitlines()) == set()


WRONG = (
    "A1: {must: m}",
    "A1: {must: m, stories: []}",
    "A1: {must: m, stories: [text], non_goal: because}",
    "A1: {must: m, tests: [t], non_goal: because}",
    "A1: {stories: [text]}",
    "A1: {must: m, stories: [text], storys: [text]}",
    "A1: text",
)


@pytest.mark.parametrize("text", WRONG)
def test_a_case_without_proof_or_reason_is_a_mistake(text: str, tmp_path: Path) -> None:
    file = tmp_path / "catalogue.yaml"
    file.write_text(text)
    with pytest.raises(msgspec.ValidationError):
        read_catalogue(file)
