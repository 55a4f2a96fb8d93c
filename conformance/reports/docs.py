"""Generates the Markdown of a complete run: the tables of docs/matrix.md, and the status line of the README.

A section is written between its own marks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO

from ..checks.routing import ROUTE
from ..matrix.result import Result
from .grid import Grid, summary, worst


def status_line(results: Sequence[Result]) -> str:
    """Returns the cells of a complete run by outcome, in one line."""
    return f"**{len(results):,} cells**: {summary(results)}. [The whole matrix](docs/matrix.md)"


def grid_section(results: Sequence[Result], frontends: Iterable[str]) -> str:
    """Returns the grid of a complete run, with the number of cells by outcome."""
    cell_counts = Counter(result.cell.story for result in results)
    page = StringIO()
    grid = Grid(frontends, dict.fromkeys(result.cell.provider for result in results), cell_counts, page)
    grid.head()
    for result in results:
        grid.add(result)
    lines = [line.rstrip() for line in page.getvalue().splitlines()]
    return _details(f"{len(results):,} cells: {summary(results)}", ["```", *lines, "```"], is_open=True)


def support_section(results: Sequence[Result], frontends: Sequence[str]) -> str:
    """Returns a table with a row per story and a column per provider; see `support_entry`.

    Stories with backends of their own are about routing and left out.
    """
    results = [result for result in results if result.cell.provider != ROUTE]
    providers = dict.fromkeys(result.cell.provider for result in results)
    cells: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        cells.setdefault((result.cell.story, result.cell.provider), []).append(result)
    rows = []
    for story in dict.fromkeys(result.cell.story for result in results):
        entries = (support_entry(cells.get((story, provider), []), frontends) for provider in providers)
        rows.append(f"| [{story}](../scenarios/stories/{story}.yaml) | {' | '.join(entries)} |")
    head = (f"| | {' | '.join(providers)} |", "|---" * (len(providers) + 1) + "|")
    return _details("What is native, lossy or refused, story by story", [*head, *rows])


def support_entry(results: Sequence[Result], frontends: Sequence[str]) -> str:
    """Returns `native`, or the lost and refused features, each with the frontends concerned."""
    covered = [frontend for frontend in frontends if any(result.cell.frontend == frontend for result in results)]
    by_feature: dict[str, list[str]] = {}
    for frontend in covered:
        for feature in features_of([result for result in results if result.cell.frontend == frontend]):
            by_feature.setdefault(feature, []).append(frontend)
    groups: dict[str, list[str]] = {}
    for feature, concerned in by_feature.items():
        groups.setdefault(_frontend_note(concerned, covered), []).append(feature)
    if covered and not groups:
        return "native"
    return "; ".join(", ".join(features) + note for note, features in groups.items())


def _frontend_note(concerned: Sequence[str], covered: Sequence[str]) -> str:
    """Returns the frontends concerned, or those that are not, if that is shorter."""
    others = [frontend for frontend in covered if frontend not in concerned]
    if not others:
        return ""
    return f" (not {', '.join(others)})" if len(others) < len(concerned) else f" ({', '.join(concerned)})"


def features_of(results: Sequence[Result]) -> list[str]:
    """Returns the lost and refused features of one frontend's cells; an empty list if all are native."""
    match worst(results):
        case "pass":
            return []
        case "fail":
            return ["fail"]
        case "lossy" | "unsupported":
            lost = dict.fromkeys(f"`{feature}`" for result in results for feature in result.losses)
            refused = dict.fromkeys(f"refused `{feature}`" for result in results for feature in result.refused)
            return [*lost, *refused]


def with_sections(text: str, sections: Mapping[str, str]) -> str:
    """Returns the text with each section replaced between its marks; raises ValueError if a mark is missing."""
    for name, block in sections.items():
        parts = re.split(rf"(<!-- {name}(?:: [^\n]*)? -->\n).*?(<!-- /{name} -->)", text, flags=re.DOTALL)
        if len(parts) != 4:
            raise ValueError(f"the file needs one place between `<!-- {name} -->` and `<!-- /{name} -->`")
        before, opening, closing, after = parts
        text = f"{before}{opening}{block}\n{closing}{after}"
    return text


def _details(title: str, lines: Iterable[str], *, is_open: bool = False) -> str:
    """Returns a collapsible block of lines."""
    return "\n".join(
        ["<details open>" if is_open else "<details>", f"<summary>{title}</summary>", "", *lines, "", "</details>"]
    )
