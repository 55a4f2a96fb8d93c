"""The README's drawn sections: tables of the program and of a whole run, each between its own marks.

It knows Markdown and where a section stands; what a section says comes from the ledger, the catalogue and the cells.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO

from proxy.ledger import LEDGER

from .catalogue import Case
from .cells import Result
from .report import Grid, summary, worst
from .routes import ROUTE


def ledger_section() -> str:
    """Every word for a loss, what becomes of it by default, and what it means."""
    rows = (f"| `{word}` | {rule.action} | {rule.meaning} |" for word, rule in LEDGER.items())
    head = ("| word | by default | what it is |", "|---|---|---|")
    return _folded(f"The ledger: {len(LEDGER)} words for what can be lost", [*head, *rows])


def catalogue_section(cases: Mapping[str, Case]) -> str:
    """How many of the known complaints are proven, and what is no goal or left out, with its reason."""
    left = {name: case.non_goal for name, case in cases.items() if case.non_goal is not None}
    parts = {name: f"without {case.without}" for name, case in cases.items() if case.without is not None}
    stories = {story for case in cases.values() for story in case.stories}
    tests = {test for case in cases.values() for test in case.tests}
    count = (
        f"**{len(cases) - len(left)} of {len(cases)}** cases are held by {len(stories)} stories "
        f"and {len(tests)} tests, {len(left)} {'is a stated non-goal' if len(left) == 1 else 'are stated non-goals'}."
    )
    return "\n".join([count, "", *(f"- {name}: {why}" for name, why in (left | parts).items())]).rstrip()


def grid_section(results: Sequence[Result], frontends: Iterable[str]) -> str:
    """The grid of a whole run and its closing figures."""
    due = Counter(result.cell.story for result in results)
    page = StringIO()
    grid = Grid(frontends, dict.fromkeys(result.cell.provider for result in results), due, page)
    grid.head()
    for result in results:
        grid.add(result)
    lines = [line.rstrip() for line in page.getvalue().splitlines()]
    return _folded(f"{len(results)} cells: {summary(results)}", ["```", *lines, "```"], is_open=True)


def words_section(results: Sequence[Result], frontends: Sequence[str]) -> str:
    """A row a story, a column a provider: native, or the ledger's words and the frontends that they concern.

    Stories with backends of their own are about routing, and left out.
    """
    results = [result for result in results if result.cell.provider != ROUTE]
    providers = dict.fromkeys(result.cell.provider for result in results)
    cells: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        cells.setdefault((result.cell.story, result.cell.provider), []).append(result)
    rows = []
    for story in dict.fromkeys(result.cell.story for result in results):
        entries = (entry(cells.get((story, provider), []), frontends) for provider in providers)
        rows.append(f"| [{story}](scenarios/stories/{story}.yaml) | {' | '.join(entries)} |")
    head = (f"| | {' | '.join(providers)} |", "|---" * (len(providers) + 1) + "|")
    return _folded("What is native, lossy or refused, story by story", [*head, *rows])


def entry(results: Sequence[Result], frontends: Sequence[str]) -> str:
    """What a story comes to at one provider: native, or the words for what is not, and of which frontends."""
    playing = [frontend for frontend in frontends if any(result.cell.frontend == frontend for result in results)]
    said: dict[str, list[str]] = {}
    for frontend in playing:
        for word in words_of([result for result in results if result.cell.frontend == frontend]):
            said.setdefault(word, []).append(frontend)
    groups: dict[str, list[str]] = {}
    for word, who in said.items():
        groups.setdefault(_whom(who, playing), []).append(word)
    if playing and not groups:
        return "native"
    return "; ".join(", ".join(words) + who for who, words in groups.items())


def _whom(who: Sequence[str], playing: Sequence[str]) -> str:
    """Which of the frontends are meant, or, where that is shorter, which are not."""
    others = [frontend for frontend in playing if frontend not in who]
    if not others:
        return ""
    return f" (not {', '.join(others)})" if len(others) < len(who) else f" ({', '.join(who)})"


def words_of(results: Sequence[Result]) -> list[str]:
    """What one frontend's cells lost or refused, in the ledger's words; nothing where all is native."""
    match worst(results):
        case "pass":
            return []
        case "fail":
            return ["fail"]
        case "lossy" | "unsupported":
            lost = dict.fromkeys(f"`{word}`" for result in results for word in result.losses)
            refused = dict.fromkeys(f"refused `{word}`" for result in results for word in result.refused)
            return [*lost, *refused]


def with_sections(text: str, sections: Mapping[str, str]) -> str:
    """The README with each section between its marks; raises ValueError where a mark is missing."""
    for name, block in sections.items():
        parts = re.split(rf"(<!-- {name}: [^\n]*-->\n).*?(<!-- /{name} -->)", text, flags=re.DOTALL)
        if len(parts) != 4:
            raise ValueError(f"README.md needs one place between `<!-- {name}: … -->` and `<!-- /{name} -->`")
        before, opening, closing, after = parts
        text = f"{before}{opening}{block}\n{closing}{after}"
    return text


def _folded(title: str, lines: Iterable[str], *, is_open: bool = False) -> str:
    """Lines that a reader unfolds, or may fold."""
    return "\n".join(
        ["<details open>" if is_open else "<details>", f"<summary>{title}</summary>", "", *lines, "", "</details>"]
    )
