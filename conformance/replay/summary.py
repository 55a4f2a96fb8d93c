"""Summarizes and prints verdicts: a table by pair of protocols, totals, frequent reasons, JSON lines."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct, to_builtins

from .bars import Figures, percent
from .verdict import Outcome, Verdict

PRINTED_REASONS = 25
"""Number of printed reasons."""

CAPABILITY_HEADINGS = ("protocol", "capability", "cases", "decoded", "own", "crossed and right", "losses")


class Totals(Struct, frozen=True):
    """Totals of verdicts; `crossed` of `crossings` are right, one crossing per case and other protocol.

    `refused` of the right ones are requests that the proxy refuses, as the target cannot take what they hold.
    """

    cases: int
    decoded: int
    own: int
    crossed: int
    crossings: int
    refused: int
    raised: int
    losses: dict[str, int]


def summarize(verdicts: Sequence[Verdict]) -> Totals:
    """Returns the totals of the verdicts that were not skipped."""
    verdicts = [verdict for verdict in verdicts if verdict.skipped is None]
    every = [outcome for verdict in verdicts for outcome in verdict.cross.values()]
    crossings = [outcome for outcome in every if outcome.left_out is None]
    decoded = [verdict for verdict in verdicts if verdict.decoded]
    losses = Counter(feature for verdict in verdicts for outcome in _outcomes(verdict) for feature in outcome.losses)
    others = max((len(verdict.cross) for verdict in verdicts), default=0)
    return Totals(
        cases=len(verdicts),
        decoded=len(decoded),
        own=sum(verdict.own.valid for verdict in decoded),
        crossed=sum(outcome.valid for outcome in crossings),
        crossings=len(verdicts) * others - (len(every) - len(crossings)),
        refused=sum(outcome.valid and bool(outcome.refused) for outcome in crossings),
        raised=sum(bool(verdict.raised) for verdict in verdicts),
        losses=dict(losses.most_common()),
    )


def _outcomes(verdict: Verdict) -> Iterable[Outcome]:
    return (verdict.own, *verdict.cross.values())


def figures(verdicts: Sequence[Verdict], sockets: tuple[int, int] | None = None) -> Figures:
    """Returns the shares of a run that bars can hold, in percent; `sockets` is right and all cases over sockets."""
    total = summarize(verdicts)
    found = {
        "decoded": percent(total.decoded, total.cases),
        "own": percent(total.own, total.cases),
        "crossed": percent(total.crossed, total.crossings),
    }
    for protocol, cases in _by_protocol(verdicts).items():
        found[f"{protocol} to itself"] = percent(sum(one.decoded and one.own.valid for one in cases), len(cases))
        for target in _targets(cases):
            judged = _judged(cases, target)
            found[f"{protocol} to {target}"] = percent(_right(judged, target), len(judged))
    if sockets is not None:
        found["over sockets"] = percent(*sockets)
    return found


def _by_protocol(verdicts: Iterable[Verdict]) -> dict[str, list[Verdict]]:
    groups: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.skipped is None:
            groups.setdefault(verdict.protocol, []).append(verdict)
    return dict(sorted(groups.items()))


def _targets(cases: Iterable[Verdict]) -> list[str]:
    return sorted({target for verdict in cases for target in verdict.cross})


def _judged(cases: Iterable[Verdict], target: str) -> list[Verdict]:
    """Returns the cases that show whether this crossing is right."""
    return [verdict for verdict in cases if target not in verdict.cross or verdict.cross[target].left_out is None]


def _right(cases: Iterable[Verdict], target: str) -> int:
    return sum(target in verdict.cross and verdict.cross[target].valid for verdict in cases)


# ---- printing --------------------------------------------------------------------------------------------------------


def table(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yields the lines of the report by pair of protocols, without the part about sockets."""
    cases = [verdict for verdict in verdicts if verdict.skipped is None]
    groups = _by_protocol(cases)
    targets = sorted({*groups, *_targets(cases)})
    rows = [("recorded", "cases", "decoded", "own round trip", *(f"to {target}" for target in targets), "crossed")]
    for protocol, found in (*groups.items(), ("all", cases)):
        total = summarize(found)
        rows.append(
            (
                protocol,
                str(total.cases),
                _share(total.decoded, total.cases) + (f", {total.raised} raised" if total.raised else ""),
                _share(total.own, total.cases),
                *(_pair([one for one in found if one.protocol != target], target) for target in targets),
                _share(total.crossed, total.crossings, total.refused),
            )
        )
    yield from aligned(rows)
    skipped = Counter(verdict.skipped for verdict in verdicts if verdict.skipped is not None)
    for reason, number in skipped.most_common():
        yield f"skipped {number}: {reason}"
    left_out = Counter(
        outcome.left_out for verdict in cases for outcome in verdict.cross.values() if outcome.left_out is not None
    )
    for reason, number in left_out.most_common():
        yield f"left out {number} crossings: {reason}"
    losses = summarize(cases).losses
    if losses:
        yield "declared losses: " + ", ".join(f"{feature} {number}" for feature, number in losses.items())
    yield from frequent((verdict.file, text) for verdict in cases for text in _reasons(verdict))
    too_strict = [(one.file, f"{one.protocol}: {one.own.mock}") for one in cases if one.own.mock is not None]
    if too_strict:
        yield ""
        yield f"the mock refuses {len(too_strict)} recorded requests that their providers took, which is not counted:"
        yield from _ranked(too_strict)


def _pair(cases: Sequence[Verdict], target: str) -> str:
    """Returns the cell of one pair: right ones, and how many of them the proxy refuses."""
    cases = _judged(cases, target)
    if not cases:
        return "-"
    refused = sum(target in one.cross and one.cross[target].valid and bool(one.cross[target].refused) for one in cases)
    return _share(_right(cases, target), len(cases), refused)


def _share(part: int, whole: int, refused: int = 0) -> str:
    return f"{part}/{whole}{_percent(part, whole)}" + (f" ({refused} refused)" if refused else "")


def capability_table(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yields the lines of the report by protocol and capability."""
    groups: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.skipped is None:
            groups.setdefault((verdict.protocol, verdict.capability), []).append(verdict)
    yield from aligned(
        [CAPABILITY_HEADINGS, *(_row(*group, summarize(found)) for group, found in sorted(groups.items()))]
    )


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
    return f" {percent(part, whole):.2f} %" if whole else ""


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yields the rows as lines with aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join((*cells, row[-1])).rstrip()


def frequent(reasons: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yields the most frequent reasons of pairs of file and reason, with the number of cases and the first one."""
    lines = list(_ranked(reasons))
    if lines:
        yield ""
        shown = min(PRINTED_REASONS, len(lines))
        yield f"the {shown} most frequent of {len(lines)} reasons (cases, reason, first case):"
        yield from lines[:PRINTED_REASONS]


def _ranked(reasons: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yields all reasons by frequency; those that differ only in numbers and values are counted together."""
    found: dict[str, dict[str, None]] = {}
    for file, reason in reasons:
        found.setdefault(_kind(reason), {})[file] = None
    for reason, files in sorted(found.items(), key=lambda item: -len(item[1])):
        yield f"{len(files):5}  {reason}  [{next(iter(files))}]"


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
    text = reason.partition(": sent ")[0].partition(" against ")[0]
    return re.sub(r"\d+", "N", re.sub(r"'[^']{1,80}'|\"[^\"]{1,80}\"", "…", text))[:150]


def json_lines(verdicts: Iterable[Verdict], sockets: Mapping[str, Sequence[str]] | None = None) -> Iterator[str]:
    """Yields one JSON object per case; `sockets` has what is wrong with a case over sockets, by file."""
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
            "sockets": list((sockets or {}).get(verdict.file, ())),
        }
        yield json.dumps(value, ensure_ascii=False)


def _outcome_json(outcome: Outcome) -> dict[str, object]:
    return {"valid": outcome.valid, **to_builtins(outcome)}
