"""The table of all figures beside their targets, in Markdown, and its place in the page of the benchmarks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from .cases import Group, groups
from .gateways import ALL_ON, CROSSWIRE, RELAY
from .program import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"

MORE_WITH_ALL = 0.10
"""The most that clients, limits, rows of usage and traces may add to a ratio."""

CROWD_OF_RELAY, DECISION_US, RSS_MB, START_S = 1.1, 50.0, 50.0, 0.4
"""The targets of the rows that are not of load."""

WITHOUT = "without "
"""The beginning of the names of the proxy without a lever."""

MOST_GAINS = 2
"""Rows that are shown for each lever."""

Figures = dict[str, Any]


def lines(figures: Figures) -> Iterator[str]:
    """The rows of what was measured; a target that is missed is marked."""
    columns = _columns(figures)
    yield f"| | target | {' | '.join(_title(name) for name in columns)} |"
    yield "|---|---|" + "---|" * len(columns)
    for group in groups():
        if found := figures.get("groups", {}).get(group.name):
            yield _row(group.name, _target(group), [_cell(group, found, name) for name in columns])
    if crowd := figures.get("crowd"):
        relay = crowd["of"][RELAY]["s"]
        cells = [
            f"{one['s']:.2f} s{_mark(name == CROSSWIRE and one['s'] > CROWD_OF_RELAY * relay)}"
            if (one := crowd["of"].get(name))
            else "–"
            for name in columns
        ]
        yield _row(f"{crowd['streams']:,} streams at once have all spoken", f"≤ {CROWD_OF_RELAY} × relay", cells)
        cells = [f"{crowd['of'][name]['kib']:.0f} KiB" if name in crowd["of"] else "–" for name in columns]
        yield _row("memory of an open stream", "–", cells)
    if (us := figures.get("decision_us")) is not None:
        cells = [f"{us:.1f} µs{_mark(us > DECISION_US)}" if name == CROSSWIRE else "–" for name in columns]
        yield _row("a decision with 1,000 backends that take any model", f"≤ {DECISION_US:.0f} µs", cells)
    if standing := figures.get("standing"):
        rest = [(standing.get(name), name == CROSSWIRE) for name in columns]
        cells = [
            f"{mb:.0f} MB{_mark(is_own and mb > RSS_MB)}" if one and (mb := one["rss_kib"] / 1024) else "–"
            for one, is_own in rest
        ]
        yield _row("memory at rest", f"≤ {RSS_MB:.0f} MB", cells)
        cells = [
            f"{one['start_s']:.2f} s{_mark(is_own and one['start_s'] > START_S)}" if one else "–"
            for one, is_own in rest
        ]
        yield _row("start to listening", f"≤ {START_S} s", cells)


def gains(figures: Figures) -> Iterator[str]:
    """For each lever the rows that cost most without it, beside what they cost with all; see `python -m benchmarks`."""
    yield "| without | row | with all | without it |"
    yield "|---|---|---|---|"
    named = {group.name: group for group in groups()}
    for name in (each for each in _columns(figures) if each.startswith(WITHOUT)):
        found = {row: of for row, of in figures.get("groups", {}).items() if any(name in case for case in of.values())}
        rows = sorted(found, key=lambda row: _mean(found[row], name) / _mean(found[row], CROSSWIRE), reverse=True)
        for number, row in enumerate(rows[:MOST_GAINS]):
            lever = f"`{name.removeprefix(WITHOUT)}`" if number == 0 else ""
            cells = [_cell(named[row], found[row], each, marks=False) for each in (CROSSWIRE, name)]
            yield f"| {lever} | {row} | {' | '.join(cells)} |"


def _mean(of: dict[str, dict[str, Figures]], name: str) -> float:
    """The mean CPU of a gateway in the cases of one row."""
    values = [case[name]["cpu_us"] for case in of.values() if name in case]
    return sum(values) / len(values)


def _columns(figures: Figures) -> list[str]:
    """The names of the gateways, in the order in which they were measured."""
    found = [name for group in figures.get("groups", {}).values() for case in group.values() for name in case]
    found += [*figures.get("crowd", {}).get("of", {}), *figures.get("standing", {})]
    return list(dict.fromkeys(found)) or [CROSSWIRE]


def _title(name: str) -> str:
    return "clients, limits, usage rows and traces too" if name == ALL_ON else name


def _target(group: Group) -> str:
    if group.target is None:
        return "–"
    return f"≤ {group.target:.1f} ms" if group.is_ms else f"≤ {group.target:.2f}"


def _cell(group: Group, found: dict[str, dict[str, Figures]], name: str, *, marks: bool = True) -> str:
    figures = [case[name] for case in found.values() if name in case]
    if not figures:
        return "–"
    unit = " ms" if group.is_ms else ""
    values = [each["cpu_us"] / 1000 if group.is_ms else each["of_relay"] for each in figures]
    if name == RELAY and not group.is_ms:
        return f"1 ({_span([each['cpu_us'] for each in figures], 1)} µs)"
    missed = group.target is not None and name == CROSSWIRE and round(max(values), 2) > group.target
    if name == ALL_ON and not group.is_ms:
        own = [case[CROSSWIRE]["of_relay"] for case in found.values() if {name, CROSSWIRE} <= case.keys()]
        missed = any(value - other > MORE_WITH_ALL for value, other in zip(values, own, strict=False))
    wrong = sum(each["wrong"] for each in figures)
    return f"{_span(values, 2)}{unit}{_mark(marks and missed)}" + (f", {wrong:.0f} not 200" if wrong else "")


def _span(values: Sequence[float], digits: int) -> str:
    least, most = (f"{value:.{digits}f}" for value in (min(values), max(values)))
    return least if least == most else f"{least}–{most}"


def _mark(missed: bool) -> str:
    return " ✗" if missed else ""


def _row(name: str, target: str, cells: Sequence[str]) -> str:
    return f"| {name} | {target} | {' | '.join(cells)} |"


def write(name: str, text: str) -> None:
    """Writes a part of the page between its marks, `<!-- NAME: … -->` and `<!-- /NAME -->`."""
    page = PAGE.read_text("utf-8")
    pattern = re.compile(rf"(<!-- {name}:[^\n]*-->\n).*?(<!-- /{name} -->)", re.DOTALL)
    written, number = pattern.subn(lambda match: f"{match[1]}\n{text.strip()}\n\n{match[2]}", page)
    if number != 1:
        raise SystemExit(f"{PAGE.name} has no place for {name}: <!-- {name}: … --> and <!-- /{name} -->")
    PAGE.write_text(written, "utf-8")
