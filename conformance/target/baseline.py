"""The baseline of a run in continuous integration: what is known to fail, by globs or by an earlier run."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec
from msgspec import Struct

from ..matrix.expectations import read_known_failing
from .verdict import SEVERITY, TargetRun, Verdict


class Baseline(Struct, frozen=True):
    """Known failures: globs of cells with reasons, or the outcomes of an earlier run by cell."""

    globs: dict[str, str] = {}
    outcomes: dict[str, str] = {}


def read_baseline(file: Path) -> Baseline:
    """Reads a list of globs, or the JSON of an earlier run; raises msgspec.DecodeError for JSON of another shape."""
    if file.suffix != ".json":
        return Baseline(globs=read_known_failing(file))
    run = msgspec.json.decode(file.read_bytes(), type=TargetRun)
    return Baseline(outcomes={cell.id: cell.outcome for cell in run.cells if not cell.fine})


def regressions(verdicts: Sequence[Verdict], baseline: Baseline) -> list[str]:
    """Returns a line for each cell that fails and is not known to, or that got worse."""
    found = []
    for verdict in verdicts:
        name, before = str(verdict.cell), baseline.outcomes.get(str(verdict.cell))
        if verdict.is_fine or any(fnmatchcase(name, glob) for glob in baseline.globs):
            continue
        if before is None:
            found.append(f"{name}: {verdict.outcome}")
        elif SEVERITY[verdict.outcome] > SEVERITY[before]:  # type: ignore[index]
            found.append(f"{name}: {verdict.outcome}, was {before}")
    return found


def stale_entries(verdicts: Sequence[Verdict], baseline: Baseline, *, whole: bool) -> list[str]:
    """Returns a line for each entry whose cells are all fine now; one without a cell is stale in a whole run only."""
    found = []
    by_name = {str(verdict.cell): verdict for verdict in verdicts}
    for glob, reason in baseline.globs.items():
        covered = [verdict for name, verdict in by_name.items() if fnmatchcase(name, glob)]
        if not covered and whole:
            found.append(f"{glob}: matches no cell{f' ({reason})' if reason else ''}")
        elif covered and all(verdict.is_fine for verdict in covered):
            found.append(f"{glob}: its {len(covered)} cells are fine now{f' ({reason})' if reason else ''}")
    for name, outcome in baseline.outcomes.items():
        if name in by_name and by_name[name].is_fine:
            found.append(f"{name}: was {outcome}, is {by_name[name].outcome}; write the baseline anew")
    return found
