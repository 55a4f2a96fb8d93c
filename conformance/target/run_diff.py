"""Changes between two runs of one gateway: cells that were fixed, that broke, and that changed otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct

from .verdict import SEVERITY, Outcome, TargetRun


class Change(Struct, frozen=True):
    """A cell whose outcome changed."""

    cell: str
    before: Outcome
    after: Outcome


class RunDiff(Struct, frozen=True):
    """The changes between two runs, which are given by their places in a report; cells of one run only are counted."""

    before: int
    after: int
    fixed: tuple[Change, ...]
    broken: tuple[Change, ...]
    changed: tuple[Change, ...]
    only_before: int
    only_after: int


def run_diffs(runs: Sequence[TargetRun]) -> list[RunDiff]:
    """Returns the changes between each two runs of one gateway that follow one another in time."""
    found = []
    by_name: dict[str, list[int]] = {}
    for at, run in sorted(enumerate(runs), key=lambda each: each[1].at):
        by_name.setdefault(run.gateway.name, []).append(at)
    for places in by_name.values():
        found += [run_diff(runs, before, after) for before, after in pairwise(places)]
    return found


def run_diff(runs: Sequence[TargetRun], before: int, after: int) -> RunDiff:
    """Returns the changes between the two runs at these places."""
    old, new = ({cell.id: cell for cell in runs[place].cells} for place in (before, after))
    kinds: dict[str, list[Change]] = {"fixed": [], "broken": [], "changed": []}
    for name, cell in new.items():
        was = old.get(name)
        if was is None or was.outcome == cell.outcome:
            continue
        kind = "changed"
        if "not-offered" not in (was.outcome, cell.outcome):
            worse = (not cell.fine, SEVERITY[cell.outcome]) > (not was.fine, SEVERITY[was.outcome])
            both_fine = was.fine and cell.fine
            kind = "changed" if both_fine else "broken" if worse else "fixed"
        kinds[kind].append(Change(name, was.outcome, cell.outcome))
    fixed, broken, changed = (tuple(kinds[kind]) for kind in ("fixed", "broken", "changed"))
    only_before, only_after = len(old.keys() - new.keys()), len(new.keys() - old.keys())
    return RunDiff(before, after, fixed, broken, changed, only_before, only_after)
