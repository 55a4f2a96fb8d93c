"""The README's drawn sections: how they are drawn, and that those which need no run are as the program says."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.catalogue import Case, read_catalogue
from conformance.cells import Cell, Outcome, Result
from conformance.readme import catalogue_section, entry, grid_section, ledger_section, with_sections, words_section
from proxy.ledger import LEDGER

README = Path(__file__).parents[2] / "README.md"
FRONTENDS = ("openai-chat", "anthropic", "ollama")


def result(frontend: str, outcome: Outcome = "pass", *words: str, stream: bool = False) -> Result:
    """A cell that ended so; the words are what was refused, or lost."""
    key = "refused" if outcome == "unsupported" else "losses"
    return Result(Cell(frontend, "gemini", "text", stream), outcome, **{key: list(words)})


def test_the_readme_is_as_the_program_says() -> None:
    text = README.read_text("utf-8")
    sections = {"ledger": ledger_section(), "catalogue": catalogue_section(read_catalogue())}
    assert with_sections(text, sections) == text, "run ./run-matrix.sh --story text --readme and read the diff"


def test_the_ledger_shows_every_word_with_its_rule() -> None:
    rows = [line for line in ledger_section().splitlines() if line.startswith("| `")]
    assert rows == [f"| `{word}` | {rule.action} | {rule.meaning} |" for word, rule in LEDGER.items()]


def test_the_grid_has_a_mark_a_frontend_and_the_figures_above_it() -> None:
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
def test_an_entry_names_words_and_whom_they_concern(results: list[Result], shown: str) -> None:
    assert entry(results, FRONTENDS) == shown


def test_the_words_have_a_row_a_story_and_a_column_a_provider() -> None:
    there = Result(Cell("ollama", "openai", "tools", stream=False), "lossy", losses=["seed"])
    routed = Result(Cell("ollama", "route", "route-nobody", stream=False))
    assert words_section([result("ollama"), there, routed], FRONTENDS).splitlines()[3:-2] == [
        "| | gemini | openai |",
        "|---|---|---|",
        "| [text](scenarios/stories/text.yaml) | native |  |",
        "| [tools](scenarios/stories/tools.yaml) |  | `seed` |",
    ]


def test_the_catalogue_counts_and_names_what_is_no_goal() -> None:
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


def test_a_section_is_written_between_its_marks_alone() -> None:
    text = "a\n<!-- one: how -->\nold\n<!-- /one -->\nb\n<!-- two: how -->\n<!-- /two -->\n"
    after = with_sections(text, {"one": r"new \1", "two": "second"})
    assert after == "a\n<!-- one: how -->\nnew \\1\n<!-- /one -->\nb\n<!-- two: how -->\nsecond\n<!-- /two -->\n"
    assert with_sections(after, {"one": r"new \1"}) == after


@pytest.mark.parametrize("text", ["", "<!-- one: how -->\n", "<!-- one: a -->\n<!-- /one -->\n" * 2])
def test_marks_that_are_missing_or_doubled_are_a_mistake(text: str) -> None:
    with pytest.raises(ValueError, match="`<!-- one: … -->`"):
        with_sections(text, {"one": "new"})
