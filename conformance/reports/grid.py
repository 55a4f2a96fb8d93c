"""Text reports of a run: the grid, printed row by row, the failures, the summary, and one JSON line per cell."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TextIO

from ..matrix.result import Outcome, Result

MARKS: dict[Outcome, str] = {"pass": "✓", "lossy": "~", "unsupported": "·", "fail": "✗"}
COLORS: dict[Outcome, str] = {"pass": "32", "lossy": "33", "unsupported": "2", "fail": "31;1"}
LABELS: dict[Outcome, str] = {
    "pass": "right",
    "lossy": "lossy by a vendor's limit",
    "unsupported": "refused",
    "fail": "failed",
}
WORST: tuple[Outcome, ...] = ("pass", "unsupported", "lossy", "fail")


def json_line(result: Result) -> str:
    """Formats a cell's result as the documented JSON line."""
    cell = result.cell
    return json.dumps(
        {
            "frontend": cell.frontend,
            "provider": cell.provider,
            "story": cell.story,
            "stream": cell.stream,
            "outcome": result.outcome,
            "reason": "; ".join(result.reasons) or None,
            "losses": result.losses,
            "lost": [str(lost) for lost in result.lost],
            "decision": result.decision,
            "ms": round(result.ms, 1),
        },
        ensure_ascii=False,
    )


class Grid:
    """Grid with a row per story, a column per provider and a mark per frontend; prints each row once it is complete."""

    def __init__(
        self,
        frontends: Iterable[str],
        providers: Iterable[str],
        cell_counts: Mapping[str, int],
        out: TextIO = sys.stdout,
    ) -> None:
        self._frontends = tuple(frontends)
        self._providers = tuple(providers)
        self._remaining = Counter(cell_counts)
        self._out = out
        self._color = out.isatty()
        self._results: dict[str, dict[tuple[str, str], list[Result]]] = {}
        self._width = max([len(story) for story in self._remaining] + [8])

    def head(self) -> None:
        """Prints the legend and the column headings."""
        legend = "  ".join(f"{mark} {LABELS[outcome]}" for outcome, mark in MARKS.items())
        print(
            f"one mark per frontend ({', '.join(self._frontends)}), unary and stream together:  {legend}",
            file=self._out,
        )
        print(" " * self._width, *(name.ljust(self._column_width(name)) for name in self._providers), file=self._out)

    def _column_width(self, provider: str) -> int:
        return max(len(provider), len(self._frontends))

    def add(self, result: Result) -> None:
        """Adds one cell's result; prints the story's row if it was the last."""
        story = result.cell.story
        row = self._results.setdefault(story, {})
        row.setdefault((result.cell.provider, result.cell.frontend), []).append(result)
        self._remaining[story] -= 1
        if self._remaining[story] == 0:
            self._print_row(story)

    def _print_row(self, story: str) -> None:
        columns = []
        for provider in self._providers:
            marks = [self._mark(self._results[story].get((provider, name), [])) for name in self._frontends]
            columns.append("".join(marks) + " " * (self._column_width(provider) - len(marks)))
        print(story.ljust(self._width), *columns, file=self._out, flush=True)

    def _mark(self, results: list[Result]) -> str:
        if not results:
            return " "
        outcome = worst(results)
        return f"\x1b[{COLORS[outcome]}m{MARKS[outcome]}\x1b[0m" if self._color else MARKS[outcome]


def worst(results: Iterable[Result]) -> Outcome:
    """Returns the worst outcome of several cells."""
    return max((result.outcome for result in results), key=WORST.index)


def failures(results: Iterable[Result]) -> Iterable[str]:
    """Yields the failed cells with their reasons as lines to print."""
    for result in results:
        if result.outcome == "fail":
            yield f"✗ {result.cell}"
            for reason in result.reasons:
                yield f"    {reason}"


def summary(results: Iterable[Result]) -> str:
    """Returns the number of cells by outcome as one line."""
    counts = Counter(result.outcome for result in results)
    return ", ".join(f"{counts[outcome]:,} {label}" for outcome, label in LABELS.items())
