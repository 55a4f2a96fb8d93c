"""Tries one mutant: plays the cells that it may touch against the changed proxy, and stops at the first failing check.

A trial runs in a process of its own, in which nothing of the proxy was imported before. Cells are judged by stories,
expectations and invariants alone; snapshots are never read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import astuple, replace

from crosswire.mockserver.scenarios.loader import Scenarios

from .mutant import CellGlobs, Mutant
from .mutated_import import install_mutated_sources
from .patching import PatchError, mutated_sources

if TYPE_CHECKING:  # these import the proxy, which must be changed before
    from ..matrix.expectations import Expectations
    from ..matrix.result import Cell, Result

CellKey = tuple[str, str, str, bool]
"""A cell as plain values, to pass between processes."""


class Finding(Struct, frozen=True):
    """The first failing check of a trial: the cells it needs, the last of which failed, and the reason."""

    cells: tuple[CellKey, ...]
    reason: str

    def __str__(self) -> str:
        frontend, provider, story, stream = self.cells[-1]
        return f"{frontend}-{provider}-{story}-{'stream' if stream else 'unary'}: {self.reason}"


class Trial(Struct, frozen=True):
    """The result of a trial: what failed first, the number of cells played, or why the mutant cannot be tried."""

    finding: Finding | None = None
    cells: int = 0
    fault: str = ""


def try_mutant(mutant: Mutant, scenarios: Scenarios) -> Trial:
    """Imports the proxy with the mutant's changes and plays its cells; to be called once in a process."""
    try:
        install_mutated_sources(mutated_sources(mutant))
    except PatchError as reason:
        return Trial(fault=str(reason))
    try:
        import crosswire.proxy.server.app  # noqa: F401
    except Exception as reason:
        return Trial(fault=f"{mutant.name}: the changed proxy cannot be imported: {reason!r}")
    from ..matrix.expectations import read_expectations

    matrix = read_expectations()
    chosen = list(chosen_cells(mutant.cells, scenarios, matrix))
    if not chosen:
        return Trial(fault=f"{mutant.name}: its globs match no cell")
    finding, played = _first_finding(chosen, scenarios, matrix)
    return Trial(finding, played)


def play_unchanged(findings: Sequence[Finding], scenarios: Scenarios) -> dict[Finding, str]:
    """Returns the findings that the unchanged proxy has too, each with its reason there."""
    from ..matrix.expectations import read_expectations
    from ..matrix.result import Cell

    matrix = read_expectations()
    out = {}
    for finding in findings:
        found, _ = _first_finding([Cell(*cell) for cell in finding.cells], scenarios, matrix)
        if found is not None:
            out[finding] = found.reason
    return out


def chosen_cells(globs: CellGlobs, scenarios: Scenarios, matrix: Expectations) -> Iterator[Cell]:
    """Yields the cells of the globs, without those that are known to fail."""
    from ..matrix.cells import enumerate_cells
    from ..matrix.expectations import read_known_failing

    known = read_known_failing()
    for cell in enumerate_cells(scenarios, matrix):
        if globs.mode != "both" and (globs.mode == "stream") != cell.stream:
            continue
        axes = ((cell.frontend, globs.frontend), (cell.provider, globs.provider), (cell.story, globs.story))
        if not all(not some or any(fnmatchcase(name, glob) for glob in some) for name, some in axes):
            continue
        if not any(fnmatchcase(str(cell), glob) for glob in known):
            yield cell


def _first_finding(cells: Sequence[Cell], scenarios: Scenarios, matrix: Expectations) -> tuple[Finding | None, int]:
    """Plays cells until a check fails; returns the finding, if any, and the number of cells played."""
    from ..harness.testbed import Testbed
    from ..matrix.runner import play_cell

    results: dict[Cell, Result] = {}
    with Testbed(scenarios) as testbed:
        for number, cell in enumerate(cells, 1):
            try:
                result = testbed.wait(play_cell(cell, testbed, scenarios, matrix))
            except Exception as raised:  # what a test would report as an error: a hang, an answer that is no HTTP
                return Finding((astuple(cell),), f"playing it raised {raised!r}"), number
            results[cell] = result
            if result.outcome == "fail":
                return Finding((astuple(cell),), "; ".join(result.reasons)), number
            finding = _broken_invariant(result, results, scenarios)
            if finding is not None:
                return finding, number
    return None, len(cells)


def _broken_invariant(result: Result, results: Mapping[Cell, Result], scenarios: Scenarios) -> Finding | None:
    """Returns the first broken invariant of a cell: relayed bytes, and the equality of a stream and its unary twin."""
    from ..checks.routing import ROUTE
    from ..test_invariants import fold_differences, relay_changes

    cell = result.cell
    providers = scenarios.providers.values() if cell.provider == ROUTE else (scenarios.providers[cell.provider],)
    for provider in providers:
        if provider.protocol == cell.frontend and (changes := relay_changes(result, provider)):
            return Finding((astuple(cell),), "; ".join(changes))
    twin = replace(cell, stream=not cell.stream)
    if cell.provider == ROUTE or twin not in results:
        return None
    pair = (results[twin], result) if cell.stream else (result, results[twin])
    if differences := fold_differences(*pair):
        return Finding((astuple(twin), astuple(cell)), f"the stream differs from the body: {'; '.join(differences)}")
    return None
