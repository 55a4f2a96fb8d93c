"""Generated sections of the documentation: the grid, the table of support, the status line, and their marks."""

from __future__ import annotations

import pytest

from crosswire.conformance.matrix.result import Cell, Outcome, Result
from crosswire.conformance.reports.docs import (
    grid_section,
    status_line,
    support_entry,
    support_section,
    with_sections,
)

FRONTENDS = ("openai-chat", "anthropic", "ollama")


def result(frontend: str, outcome: Outcome = "pass", *features: str, stream: bool = False) -> Result:
    """Returns a result with this outcome and these refused or lost features."""
    key = "refused" if outcome == "unsupported" else "losses"
    return Result(Cell(frontend, "gemini", "text", stream), outcome, **{key: list(features)})


def test_the_grid_section_has_the_outcomes_and_a_mark_per_frontend() -> None:
    results = [result("ollama", "lossy", "seed"), result("ollama", stream=True), result("anthropic")]
    shown = grid_section(results, FRONTENDS).splitlines()
    assert shown[:2] == [
        "<details open>",
        "<summary>3 cells: 2 right, 1 lossy by a vendor's limit, 0 refused, 0 failed</summary>",
    ]
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
        "| [text](../scenarios/stories/text.yaml) | native |  |",
        "| [tools](../scenarios/stories/tools.yaml) |  | `seed` |",
    ]


def test_the_status_line_counts_the_cells() -> None:
    line = status_line([result("ollama", "lossy", "seed"), result("anthropic")])
    assert (
        line
        == "**2 cells**: 1 right, 1 lossy by a vendor's limit, 0 refused, 0 failed. [The whole matrix](docs/matrix.md)"
    )


def test_a_mark_needs_no_explanation() -> None:
    assert with_sections("<!-- one -->\nold\n<!-- /one -->\n", {"one": "new"}) == "<!-- one -->\nnew\n<!-- /one -->\n"


def test_only_the_text_between_the_marks_is_replaced() -> None:
    text = "a\n<!-- one: how -->\nold\n<!-- /one -->\nb\n<!-- two: how -->\n<!-- /two -->\n"
    after = with_sections(text, {"one": r"new \1", "two": "second"})
    assert after == "a\n<!-- one: how -->\nnew \\1\n<!-- /one -->\nb\n<!-- two: how -->\nsecond\n<!-- /two -->\n"
    assert with_sections(after, {"one": r"new \1"}) == after


@pytest.mark.parametrize("text", ["", "<!-- one: how -->\n", "<!-- one: a -->\n<!-- /one -->\n" * 2])
def test_missing_or_duplicate_marks_raise(text: str) -> None:
    with pytest.raises(ValueError, match="`<!-- one -->`"):
        with_sections(text, {"one": "new"})
