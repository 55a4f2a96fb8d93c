"""What people read of a run while it runs: the grid as it grows, the failures, the sum, and one JSON line a cell."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TextIO

from .cells import Outcome, Result

MARKS: dict[Outcome, str] = {"pass": "✓", "lossy": "~", "unsupported": "·", "fail": "✗"}
COLORS: dict[Outcome, str] = {"pass": "32", "lossy": "33", "unsupported": "2", "fail": "31;1"}
WORST: tuple[Outcome, ...] = ("pass", "unsupported", "lossy", "fail")


def json_line(result: Result) -> str:
    """One cell as the documented JSON line."""
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
            "decision": result.decision,
            "ms": round(result.ms, 1),
        },
        ensure_ascii=False,
    )


class Grid:
    """A row a story, a group of marks a provider, a mark a frontend; each row is printed once all its cells are in."""

    def __init__(
        self, frontends: Iterable[str], providers: Iterable[str], due: Mapping[str, int], out: TextIO = sys.stdout
    ) -> None:
        self._frontends = tuple(frontends)
        self._providers = tuple(providers)
        self._due = Counter(due)
        self._out = out
        self._color = out.isatty()
        self._results: dict[str, dict[tuple[str, str], list[Result]]] = {}
        self._width = max([len(story) for story in self._due] + [8])

    def head(self) -> None:
        """The column heads, and what the marks mean."""
        legend = "  ".join(f"{mark} {outcome}" for outcome, mark in MARKS.items())
        print(
            f"one mark a frontend ({', '.join(self._frontends)}), unary and stream together:  {legend}", file=self._out
        )
        print(" " * self._width, *(name.ljust(self._column(name)) for name in self._providers), file=self._out)

    def _column(self, provider: str) -> int:
        return max(len(provider), len(self._frontends))

    def add(self, result: Result) -> None:
        """Take one cell in; print the story's row when it was the last."""
        story = result.cell.story
        row = self._results.setdefault(story, {})
        row.setdefault((result.cell.provider, result.cell.frontend), []).append(result)
        self._due[story] -= 1
        if self._due[story] == 0:
            self._row(story)

    def _row(self, story: str) -> None:
        columns = []
        for provider in self._providers:
            marks = [self._mark(self._results[story].get((provider, name), [])) for name in self._frontends]
            columns.append("".join(marks) + " " * (self._column(provider) - len(marks)))
        print(story.ljust(self._width), *columns, file=self._out, flush=True)

    def _mark(self, results: list[Result]) -> str:
        if not results:
            return " "
        outcome = worst(results)
        return f"\x1b[{COLORS[outcome]}m{MARKS[outcome]}\x1b[0m" if self._color else MARKS[outcome]


def worst(results: Iterable[Result]) -> Outcome:
    """What several cells come to when one mark stands for all of them."""
    return max((result.outcome for result in results), key=WORST.index)


def failures(results: Iterable[Result]) -> Iterable[str]:
    """The failed cells with their reasons, ready to print."""
    for result in results:
        if result.outcome == "fail":
            yield f"✗ {result.cell}"
            for reason in result.reasons:
                yield f"    {reason}"


def summary(results: Iterable[Result]) -> str:
    """How many cells ended how, in one line."""
    counts = Counter(result.outcome for result in results)
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in MARKS)
