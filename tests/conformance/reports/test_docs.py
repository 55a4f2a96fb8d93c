"""Generated sections of the README: their format, and that those which need no run are up to date."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.complaints.catalogue import Case, read_catalogue
from conformance.matrix.result import Cell, Outcome, Result
from conformance.reports.docs import (
    catalogue_section,
    grid_section,
    loss_section,
    support_entry,
    support_section,
    with_sections,
)
from proxy.ir.loss_tables import LOSS_RULES

README = Path(__file__).parents[3] / "README.md"
FRONTENDS = ("openai-chat", "anthropic", "ollama")


def result(frontend: str, outcome: Outcome = "pass", *features: str, stream: bool = False) -> Result:
    """Returns a result with this outcome and these refused or lost features."""
    key = "refused" if outcome == "unsupported" else "losses"
    return Result(Cell(frontend, "gemini", "text", stream), outcome, **{key: list(features)})


def test_the_readme_is_up_to_date() -> None:
    text = README.read_text("utf-8")
    sections = {"ledger": loss_section(), "catalogue": catalogue_section(read_catalogue())}
    assert with_sections(text, sections) == text, "run ./run-matrix.sh --story text --readme and review the diff"


def test_the_loss_section_has_a_row_per_feature() -> None:
    rows = [line for line in loss_section().splitlines() if line.startswith("| `")]
    assert rows == [f"| `{feature}` | {rule.action} | {rule.meaning} |" for feature, rule in LOSS_RULES.items()]


def test_the_grid_section_has_the_outcomes_and_a_mark_per_frontend() -> None:
    results = [result("ollama", "lossy", "seed"), result("ollama", stream=True), result("anthropic")]
    shown = grid_section(results, FRONTENDS).splitlines()
    assert shown[:2] == ["<details open>", "<summary>3 cells: 2 pass, 1 lossy, 0 unsupported, 0 fail</summary>"]
    assert shown[-5:] == ["         gemini", "text      ✓~", "```", "", "</details>"]


ENTRIES: list[tuple[list[Result], str]] = [
    ([], ""),
    ([result("ollama")], "native"),
    ([result("ollama"), result("anthropic", stream=True)], "native"),
    ([result("ollama", "unsupported", "audio"), result("anthropic", "unsupported", "audio")], "refused `audio`"),
    ([result("ollama", "lossy", "top_k", "seed"), result("anthropic", "lossy", "seed", "top_k")], "`seed`, `top_k`"),
    ([result("ollama", "lossy", "seed"), result("anthropic")], "`seed` (ollama)"),
    ([result("ollama", "lossy", "seed"), result("ollama", "pass", stream=True)], "`seed`"),
    ([result("ollama", "lossy", "n"), result("ollama", "unsupported", "stop", stream=True)], "`n`, refused `stop`"),
    ([result("ollama", "fail"), result("anthropic", "unsupported", "n")], "refused `n` (anthropic); fail (ollama)"),
    (
        [result("openai-chat", "lossy", "n"), result("anthropic", "lossy", "n"), result("ollama", "unsupported", "n")],
        "`n` (not ollama); refused `n` (ollama)",
    ),
    ([*map(result, FRONTENDS), result("ollama", "lossy", "n", "seed")], "`n`, `seed` (ollama)"),
]


@pytest.mark.parametrize(("results", "shown"), ENTRIES)
def test_a_support_entry_names_features_and_frontends(results: list[Result], shown: str) -> None:
    assert support_entry(results, FRONTENDS) == shown


def test_the_support_section_has_a_row_per_story_and_a_column_per_provider() -> None:
    other = Result(Cell("ollama", "openai", "tools", stream=False), "lossy", losses=["seed"])
    routed = Result(Cell("ollama", "route", "route-nobody", stream=False))
    assert support_section([result("ollama"), other, routed], FRONTENDS).splitlines()[3:-2] == [
        "| | gemini | openai |",
        "|---|---|---|",
        "| [text](scenarios/stories/text.yaml) | native |  |",
        "| [tools](scenarios/stories/tools.yaml) |  | `seed` |",
    ]


def test_the_catalogue_section_counts_cases_and_names_non_goals() -> None:
    cases = {
        "A1": Case("one", stories=("text", "tools"), tests=("t::a",)),
        "A2": Case("two", tests=("t::a", "t::b")),
        "A3": Case("three", non_goal="because"),
        "A4": Case("four", tests=("t::b",), without="a part: so it is"),
    }
    assert catalogue_section(cases).splitlines() == [
        *("**3 of 4** cases are held by 2 stories and 2 tests, 1 is a stated non-goal.", ""),
        *("- A3: because", "- A4: without a part: so it is"),
    ]
    assert catalogue_section({"A2": cases["A2"]}).endswith("0 are stated non-goals.")


def test_only_the_text_between_the_marks_is_replaced() -> None:
    text = "a\n<!-- one: how -->\nold\n<!-- /one -->\nb\n<!-- two: how -->\n<!-- /two -->\n"
    after = with_sections(text, {"one": r"new \1", "two": "second"})
    assert after == "a\n<!-- one: how -->\nnew \\1\n<!-- /one -->\nb\n<!-- two: how -->\nsecond\n<!-- /two -->\n"
    assert with_sections(after, {"one": r"new \1"}) == after


@pytest.mark.parametrize("text", ["", "<!-- one: how -->\n", "<!-- one: a -->\n<!-- /one -->\n" * 2])
def test_missing_or_duplicate_marks_raise(text: str) -> None:
    with pytest.raises(ValueError, match="`<!-- one: … -->`"):
        with_sections(text, {"one": "new"})
