"""Summarizes and prints verdicts: a table by protocol and capability, totals, frequent reasons, JSON lines."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct, to_builtins

from .verdict import Outcome, Verdict

OWN_SHARE = 0.99
"""Required share of valid round trips in the recording's own protocol."""

CROSSED_SHARE = 0.98
"""Required share of valid conversions to another protocol."""

PRINTED_REASONS = 20
"""Number of printed reasons."""

HEADINGS = ("protocol", "capability", "cases", "decoded", "own", "crossed and valid", "losses")


class Totals(Struct, frozen=True):
    """Totals of verdicts; `crossed` of `crossings` are valid, one crossing per case and other protocol."""

    cases: int
    decoded: int
    own: int
    crossed: int
    crossings: int
    raised: int
    losses: dict[str, int]


def summarize(verdicts: Sequence[Verdict]) -> Totals:
    """Returns the totals of the verdicts that were not skipped."""
    verdicts = [verdict for verdict in verdicts if verdict.skipped is None]
    crossings = [outcome for verdict in verdicts for outcome in verdict.cross.values()]
    decoded = [verdict for verdict in verdicts if verdict.decoded]
    losses = Counter(feature for verdict in verdicts for outcome in _outcomes(verdict) for feature in outcome.losses)
    others = max((len(verdict.cross) for verdict in verdicts), default=0)
    return Totals(
        cases=len(verdicts),
        decoded=len(decoded),
        own=sum(verdict.own.valid for verdict in decoded),
        crossed=sum(outcome.valid for outcome in crossings),
        crossings=len(verdicts) * others,
        raised=sum(bool(verdict.raised) for verdict in verdicts),
        losses=dict(losses.most_common()),
    )


def _outcomes(verdict: Verdict) -> Iterable[Outcome]:
    return (verdict.own, *verdict.cross.values())


def is_good(verdicts: Sequence[Verdict]) -> bool:
    """Returns True if nothing raised, everything was decoded, and nearly everything is valid."""
    total = summarize(verdicts)
    return (
        total.raised == 0
        and total.decoded == total.cases
        and total.own >= OWN_SHARE * total.cases
        and total.crossed >= CROSSED_SHARE * total.crossings
    )


# ---- printing --------------------------------------------------------------------------------------------------------


def table(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yields the lines of the report, without the part about sockets."""
    cases = [verdict for verdict in verdicts if verdict.skipped is None]
    groups: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in cases:
        groups.setdefault((verdict.protocol, verdict.capability), []).append(verdict)
    rows = [_row(*group, summarize(found)) for group, found in sorted(groups.items())]
    rows.append(_row("all", "", summarize(cases)))
    yield from _aligned([HEADINGS, *rows])
    skipped = Counter(verdict.skipped for verdict in verdicts if verdict.skipped is not None)
    for reason, number in skipped.most_common():
        yield f"skipped {number}: {reason}"
    yield from _frequent_reasons(cases)


def _row(protocol: str, capability: str, total: Totals) -> tuple[str, ...]:
    raised = f", {total.raised} raised" if total.raised else ""
    return (
        protocol,
        capability,
        str(total.cases),
        f"{total.decoded}{raised}",
        f"{total.own}/{total.cases}{_percent(total.own, total.cases)}",
        f"{total.crossed}/{total.crossings}{_percent(total.crossed, total.crossings)}",
        ", ".join(f"{feature} {number}" for feature, number in total.losses.items()),
    )


def _percent(part: int, whole: int) -> str:
    return f" {100 * part / whole:.1f} %" if whole else ""


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join((*cells, row[-1])).rstrip()


def _frequent_reasons(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yields the most frequent reasons; reasons that differ only in numbers and values are counted together."""
    found: dict[str, list[str]] = {}
    for verdict in verdicts:
        for reason in dict.fromkeys(_kind(text) for text in _reasons(verdict)):
            found.setdefault(reason, []).append(verdict.file)
    ranked = sorted(found.items(), key=lambda item: -len(item[1]))
    if ranked:
        yield ""
        shown = min(PRINTED_REASONS, len(ranked))
        yield f"the {shown} most frequent of {len(ranked)} reasons (cases, reason, first case):"
    for reason, files in ranked[:PRINTED_REASONS]:
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
    """Returns a reason without the numbers and values that differ from case to case."""
    return re.sub(r"\d+", "N", reason.partition(": sent ")[0].partition(" against ")[0])[:150]


def json_lines(verdicts: Iterable[Verdict]) -> Iterator[str]:
    """Yields one JSON object per case."""
    for verdict in verdicts:
        value = {
            "file": verdict.file,
            "protocol": verdict.protocol,
            "capability": verdict.capability,
            "skipped": verdict.skipped,
            "decoded": verdict.decoded if verdict.skipped is None else None,
            "undecoded": verdict.undecoded,
            "raised": list(verdict.raised),
            "own": _outcome_json(verdict.own),
            "cross": {target: _outcome_json(outcome) for target, outcome in verdict.cross.items()},
        }
        yield json.dumps(value, ensure_ascii=False)


def _outcome_json(outcome: Outcome) -> dict[str, object]:
    return {"valid": outcome.valid, **to_builtins(outcome)}
