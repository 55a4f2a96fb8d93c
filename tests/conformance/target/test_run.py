"""A run: what it prints and writes, its schema, its baseline, and what is said where the gateway cannot be reached."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from crosswire.conformance.__main__ import main
from crosswire.conformance.matrix.result import Cell
from crosswire.conformance.target.baseline import Baseline, regressions, stale_entries
from crosswire.conformance.target.cli import run_schema
from crosswire.conformance.target.verdict import Finding, Outcome, Verdict

from ...source_tree import ROOT


@pytest.fixture(scope="module")
def run_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The JSON of a run against Crosswire, started as its profile says."""
    file = tmp_path_factory.mktemp("run") / "run.json"
    flags = ["--story", "tools-strict-all", "--provider", "o*", "--frontend", "anthropic", "--json", str(file)]
    assert main(["run", "--profile", "crosswire", "--start", "--house", *flags]) == 0
    return file


def test_the_json_of_a_run_fits_the_published_schema(run_file: Path) -> None:
    run = json.loads(run_file.read_text("utf-8"))
    published = json.loads((ROOT / "docs" / "run.schema.json").read_text("utf-8"))
    assert published == run_schema()
    jsonschema.Draft202012Validator(published).validate(run)
    assert sum(run["outcomes"].values()) == len(run["cells"]) == 8
    assert run["outcomes"]["lossy-told"] >= 1


def test_a_cell_is_shown_with_rule_and_wires(run_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "anthropic-ollama-tools-strict-all-unary", "--from", str(run_file), "--markdown"]) == 0
    text = capsys.readouterr().out
    for part in ("**lossy, told**", "Rule (vendor):", "https://", "### Client → gateway", "### Gateway → provider"):
        assert part in text
    assert "POST /v1/messages" in text
    assert main(["show", "anthropic-olama-tools-strict-all-unary", "--from", str(run_file)]) == 2
    assert "near: anthropic-ollama-tools-strict-all-unary" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--target", "http://127.0.0.1:9"], 2, "--target needs --profile"),
        (["--profile", "lighthouse"], 2, "shipped: any-llm, claude-code-router, crosswire"),
        (["--profile", "crosswire", "--target", "http://127.0.0.1:9", "--mock-port", "0"], 3, "no answer of"),
        (["--profile", "crosswire", "--start", "--update"], 2, "--update is about Crosswire's own matrix"),
        (["--profile", "crosswire", "--start", "--story", "nothing"], 2, "no cell matches"),
        (["--house"], 2, "--house: is about another gateway"),
    ],
    ids=str,
)
def test_a_wrong_call_says_what_to_do(
    flags: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *flags]) == code
    assert said in capsys.readouterr().err


def verdict(story: str, outcome: Outcome) -> Verdict:
    found = Verdict(Cell("gemini", "openai", story, False))
    if outcome != "right":
        found.add(Finding(outcome, "content", "vendor", "", "", ""))
    return found


VERDICTS = [verdict("text", "right"), verdict("tools", "wrong"), verdict("audio", "silent-could")]


@pytest.mark.parametrize(
    ("baseline", "worse", "stale"),
    [
        (Baseline(), ["gemini-openai-tools-unary: wrong", "gemini-openai-audio-unary: silent-could"], []),
        (Baseline({"*-tools-*": "why", "*-audio-*": "why"}), [], []),
        (
            Baseline({"*-tools-*": "", "*-audio-*": "", "*-text-*": "old"}),
            [],
            ["*-text-*: its 1 cells are fine now (old)"],
        ),
        (Baseline({"*-[ta]*o*": "", "*-sea-*": "old"}), [], ["*-sea-*: matches no cell (old)"]),
        (
            Baseline(outcomes={"gemini-openai-tools-unary": "off-shape", "gemini-openai-audio-unary": "wrong"}),
            ["gemini-openai-tools-unary: wrong, was off-shape"],
            [],
        ),
    ],
    ids=["none", "all known", "stale", "no cell", "an earlier run"],
)
def test_a_baseline_fails_on_what_is_worse_and_on_stale_entries(
    baseline: Baseline, worse: list[str], stale: list[str]
) -> None:
    assert regressions(VERDICTS, baseline) == worse
    assert stale_entries(VERDICTS, baseline, whole=True) == stale
