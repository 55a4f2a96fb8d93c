"""The verdicts added up and printed: a table by protocol and capability, the totals, the worst reasons, JSON lines."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct, to_builtins

from .verdict import Outcome, Verdict

OWN_SHARE = 0.99
"""How many of the round trips in the recording's own protocol must come back without an undeclared loss."""

CROSSED_SHARE = 0.98
"""How many of the crossings to another protocol must arrive valid."""

WORST = 20
"""How many reasons are printed."""

HEADINGS = ("protocol", "capability", "cases", "decoded", "own", "crossed and valid", "losses")


class Sum(Struct, frozen=True):
    """Some verdicts added up; `crossed` of `crossings`, one for every other protocol that a case was told in."""

    cases: int
    decoded: int
    own: int
    crossed: int
    crossings: int
    raised: int
    losses: dict[str, int]


def add(verdicts: Sequence[Verdict]) -> Sum:
    """The sum of those of some verdicts that were not skipped."""
    verdicts = [verdict for verdict in verdicts if verdict.skipped is None]
    crossings = [outcome for verdict in verdicts for outcome in verdict.cross.values()]
    understood = [verdict for verdict in verdicts if verdict.decoded]
    losses = Counter(word for verdict in verdicts for outcome in _outcomes(verdict) for word in outcome.losses)
    others = max((len(verdict.cross) for verdict in verdicts), default=0)
    return Sum(
        cases=len(verdicts),
        decoded=len(understood),
        own=sum(verdict.own.valid for verdict in understood),
        crossed=sum(outcome.valid for outcome in crossings),
        crossings=len(verdicts) * others,
        raised=sum(bool(verdict.raised) for verdict in verdicts),
        losses=dict(losses.most_common()),
    )


def _outcomes(verdict: Verdict) -> Iterable[Outcome]:
    return (verdict.own, *verdict.cross.values())


def good(verdicts: Sequence[Verdict]) -> bool:
    """Whether nothing raised, everything is decoded, and nearly everything is valid."""
    total = add(verdicts)
    return (
        total.raised == 0
        and total.decoded == total.cases
        and total.own >= OWN_SHARE * total.cases
        and total.crossed >= CROSSED_SHARE * total.crossings
    )


# ---- printing --------------------------------------------------------------------------------------------------------


def table(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """The lines of the whole report but for the sockets."""
    played = [verdict for verdict in verdicts if verdict.skipped is None]
    groups: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in played:
        groups.setdefault((verdict.protocol, verdict.capability), []).append(verdict)
    rows = [_row(*group, add(found)) for group, found in sorted(groups.items())]
    rows.append(_row("all", "", add(played)))
    yield from _aligned([HEADINGS, *rows])
    skipped = Counter(verdict.skipped for verdict in verdicts if verdict.skipped is not None)
    for reason, number in skipped.most_common():
        yield f"skipped {number}: {reason}"
    yield from _worst(played)


def _row(protocol: str, capability: str, total: Sum) -> tuple[str, ...]:
    raised = f", {total.raised} raised" if total.raised else ""
    return (
        protocol,
        capability,
        str(total.cases),
        f"{total.decoded}{raised}",
        f"{total.own}/{total.cases}{_percent(total.own, total.cases)}",
        f"{total.crossed}/{total.crossings}{_percent(total.crossed, total.crossings)}",
        ", ".join(f"{word} {number}" for word, number in total.losses.items()),
    )


def _percent(part: int, whole: int) -> str:
    return f" {100 * part / whole:.1f} %" if whole else ""


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join((*cells, row[-1])).rstrip()


def _worst(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """The commonest reasons, alike but for their numbers and texts."""
    found: dict[str, list[str]] = {}
    for verdict in verdicts:
        for reason in dict.fromkeys(_kind(text) for text in _reasons(verdict)):
            found.setdefault(reason, []).append(verdict.file)
    worst = sorted(found.items(), key=lambda item: -len(item[1]))
    if worst:
        yield ""
        yield f"why not, the worst {min(WORST, len(worst))} of {len(worst)} reasons (cases, reason, the first case):"
    for reason, files in worst[:WORST]:
        yield f"{len(files):5}  {reason}  [{files[0]}]"


def _reasons(verdict: Verdict) -> Iterator[str]:
    if verdict.undecoded is not None:
        yield f"{verdict.protocol}: undecoded: {verdict.undecoded}"
    for text in verdict.own.reasons:
        yield f"{verdict.protocol} to itself: {text}"
    for target, outcome in verdict.cross.items():
        for text in outcome.reasons:
            yield f"{verdict.protocol} to {target}: {text}"


def _kind(reason: str) -> str:
    """A reason without what differs from case to case."""
    return re.sub(r"\d+", "N", reason.partition(": said ")[0].partition(" against ")[0])[:150]


def lines(verdicts: Iterable[Verdict]) -> Iterator[str]:
    """One JSON object a case."""
    for verdict in verdicts:
        value = {
            "file": verdict.file,
            "protocol": verdict.protocol,
            "capability": verdict.capability,
            "skipped": verdict.skipped,
            "decoded": verdict.decoded if verdict.skipped is None else None,
            "undecoded": verdict.undecoded,
            "raised": list(verdict.raised),
            "own": _told(verdict.own),
            "cross": {target: _told(outcome) for target, outcome in verdict.cross.items()},
        }
        yield json.dumps(value, ensure_ascii=False)


def _told(outcome: Outcome) -> dict[str, object]:
    return {"valid": outcome.valid, **to_builtins(outcome)}
