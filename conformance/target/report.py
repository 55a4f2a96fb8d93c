"""Text of a run: the table of outcomes, the causes that concern most cells, and one cell as text or Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from .verdict import LABELS, CellVerdict, Exchanged, Finding, Gateway, Message, TargetRun

CAUSES = 8
"""Causes that a summary names."""

BODY_LIMIT = 4000
"""Characters of a body that the text of a cell shows."""

WIRES = (
    ("client_request", "Client → gateway"),
    ("provider_request", "Gateway → provider"),
    ("provider_response", "Provider → gateway"),
    ("client_response", "Gateway → client"),
)


def outcome_table(cells: Sequence[CellVerdict]) -> list[str]:
    """Returns a line for each outcome that occurs, with its number of cells, and one for each frontend."""
    counts = Counter(cell.outcome for cell in cells)
    width = max(map(len, LABELS.values()))
    lines = [f"{label.ljust(width)}  {counts[outcome]:>6,}" for outcome, label in LABELS.items() if counts[outcome]]
    played = [cell for cell in cells if cell.outcome != "not-offered"]
    for frontend in dict.fromkeys(cell.frontend for cell in played):
        own = [cell for cell in played if cell.frontend == frontend]
        right = sum(cell.outcome == "right" for cell in own)
        lines.append(f"  {frontend}: {right:,} of {len(own):,} right")
    return lines


def causes(cells: Iterable[CellVerdict]) -> list[tuple[str, int, str]]:
    """Returns the causes of what is not fine: what, number of cells, and one of them; the most frequent first."""
    found = cells_by_cause(cells)
    return sorted(((cause, len(names), names[0]) for cause, names in found.items()), key=lambda each: -each[1])


def cells_by_cause(cells: Iterable[CellVerdict]) -> dict[str, list[str]]:
    """Returns the names of the cells that are not fine by what made their outcome; a cell may have several causes."""
    found: dict[str, list[str]] = {}
    for cell in cells:
        if cell.fine:
            continue
        for cause in dict.fromkeys(map(cause_of, (f for f in cell.findings if f.outcome == cell.outcome))):
            found.setdefault(cause, []).append(cell.id)
    return found


def cause_of(finding: Finding) -> str:
    """Returns what findings of one cause have in common: the outcome with the place, or with the words."""
    if finding.feature and finding.feature != "wrong":
        return f"{LABELS[finding.outcome]}: {finding.feature} at {finding.path}"
    if finding.path:
        return f"{LABELS[finding.outcome]}: {finding.path}"
    return f"{LABELS[finding.outcome]}: {finding.what[:110]}"


def summary(run: TargetRun) -> list[str]:
    """Returns the lines that a run prints at its end."""
    gateway = run.gateway
    rules = "the rules of the vendors and of this house" if run.house else "the rules of the vendors"
    lines = [f"{gateway.name} {gateway.version}".strip() + f" at {gateway.url}, by {rules}:", *outcome_table(run.cells)]
    found = causes(run.cells)
    if found:
        lines += ["", "What concerns most cells, each with one of them:"]
        lines += [f"  {count:>5,}  {cause}\n         {name}" for cause, count, name in found[:CAUSES]]
    return lines


def shown(cell: CellVerdict, gateway: Gateway, *, markdown: bool) -> Iterator[str]:
    """Yields the lines of one cell: what is not right, by which rule, and all wires."""
    mode = "stream" if cell.stream else "unary"
    heading = f"{gateway.name} {gateway.version}".strip() + f": {LABELS[cell.outcome]}"
    yield f"## {heading}" if markdown else heading
    yield ""
    yield f"{cell.frontend} client, {cell.provider} as the provider, story {cell.story}, {mode}. {cell.reason}".rstrip()
    for finding in cell.findings:
        yield ""
        name = f"**{LABELS[finding.outcome]}**" if markdown else LABELS[finding.outcome]
        yield f"- {name} (exchange {finding.step + 1}): {_inline(finding.what, markdown=markdown)}"
        yield f"  Rule ({finding.by}): {finding.says} {finding.source}"
    for number, step in enumerate(cell.steps, 1):
        yield from _wires(number, step, several=len(cell.steps) > 1, markdown=markdown)
    if not cell.steps:
        yield ""
        yield "The wires of cells that are right are not kept."


def _inline(text: str, *, markdown: bool) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;") if markdown else text


def _wires(number: int, step: Exchanged, *, several: bool, markdown: bool) -> Iterator[str]:
    for name, title in WIRES:
        message: Message | None = getattr(step, name)
        title = f"{title}, exchange {number}" if several else title
        yield ""
        yield f"### {title}" if markdown else f"--- {title}"
        if message is None:
            yield "Nothing was sent."
            continue
        body = message.body if len(message.body) <= BODY_LIMIT else message.body[:BODY_LIMIT] + "…"
        fence = "`" * max(3, 1 + max((len(run) for run in _runs_of_backticks(body)), default=0))
        if markdown:
            yield f"{fence}http"
        yield message.head
        yield from (f"{key}: {value}" for key, value in message.headers.items())
        yield ""
        yield body
        if markdown:
            yield fence


def _runs_of_backticks(text: str) -> list[str]:
    import re

    return re.findall(r"`+", text)
