"""The leaderboard as a page: the board, and for each gateway the causes that concern most of its cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .markdown import board, ranked
from .report import cause_of, cells_by_cause
from .verdict import CellVerdict, Finding, TargetRun

CAUSES = 3
"""Causes that the page names of each gateway."""

BEGIN, END = "<!-- leaderboard: written by `crosswire-matrix leaderboard` -->", "<!-- /leaderboard -->"
"""Marks around what is generated; the rest of an existing page stays."""

TITLE = "# Leaderboard\n"


def with_board(page: str, runs: Sequence[TargetRun]) -> str:
    """Returns a page with the board of these runs between its marks, or behind its text where it has none."""
    board_text = f"{BEGIN}\n\n{leaderboard(runs)}\n{END}\n"
    before, begin, rest = page.partition(BEGIN)
    if not begin:
        return f"{page.rstrip()}\n\n{board_text}" if page.strip() else f"{TITLE}\n{board_text}"
    return before + board_text + rest.partition(f"{END}\n")[2]


def leaderboard(runs: Sequence[TargetRun]) -> str:
    """Returns the board and the causes as Markdown."""
    stories = dict.fromkeys(cell.story for run in runs for cell in run.cells)
    lines = [
        f"{len(stories)} stories: {', '.join(f'`{story}`' for story in stories)}.",
        "",
        *board(runs),
        "",
        "*Cells* are those that the gateway offers. *Fine* are right ones, losses that the client is told of, and "
        "refusals where the provider's protocol has no place for what was asked.",
    ]
    for run in ranked(runs):
        lines += ["", f"## {run.gateway.name} {run.gateway.version}".rstrip(), "", *_about(run)]
    return "\n".join(lines) + "\n"


def _about(run: TargetRun) -> Iterator[str]:
    if len(run.cells) < run.planned:
        yield f"The run was interrupted: {len(run.cells):,} of its {run.planned:,} cells were played."
        yield ""
    found = list(_apart(cells_by_cause(run.cells)))
    cells = {cell.id: cell for cell in run.cells}
    if not found:
        yield "Nothing is wrong."
    for number, (cause, names) in enumerate(found, 1):
        name = min(names, key=lambda each: len(cells[each].findings))  # that with the least beside it
        finding = _behind(cells[name], cause)
        yield f"{number}. {len(names):,} cells: {_text(cause)}. {_text(finding.says)} {finding.source}".rstrip()
        if finding.path:
            yield f"   In this one: {_text(finding.what)}"
        yield ""
        yield f"   `{run_of(cells[name], run.gateway.name)}`"


def _apart(found: dict[str, list[str]]) -> Iterator[tuple[str, list[str]]]:
    """Yields the causes that together concern most cells; one that comes with another is not named beside it."""
    covered: set[str] = set()
    for _ in range(CAUSES):
        cause = max(found, key=lambda each: len({*found[each]} - covered), default=None)
        if cause is None or {*found[cause]} <= covered:
            return
        yield cause, found[cause]
        covered |= {*found[cause]}


def _behind(cell: CellVerdict, cause: str) -> Finding:
    """Returns the finding of this cause that made the outcome of a cell."""
    return next(each for each in cell.findings if each.outcome == cell.outcome and cause_of(each) == cause)


def run_of(cell: CellVerdict, profile: str) -> str:
    """Returns the command that plays one cell again."""
    mode = "stream" if cell.stream else "no-stream"
    axes = f"--frontend {cell.frontend} --provider {cell.provider} --story {cell.story} --{mode}"
    return f"crosswire-matrix run --profile {profile} --start {axes} --json run.json"


def _text(text: str) -> str:
    return text.replace("<", "&lt;").replace("\n", " ")
