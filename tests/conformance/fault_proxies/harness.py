"""Plays cells of the matrix through a fault proxy."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from msgspec import Struct

from crosswire.conformance.harness.testbed import Testbed
from crosswire.conformance.matrix.cells import enumerate_cells
from crosswire.conformance.matrix.expectations import read_expectations
from crosswire.conformance.matrix.result import Cell, Result
from crosswire.conformance.matrix.runner import play_cell
from crosswire.mockserver.scenarios.loader import Scenarios, load_scenarios

from .fault_proxy import NO_FAULT, Fault, FaultProxy

SCENARIOS_FOLDER = Path(__file__).parents[3] / "scenarios"


@cache
def scenarios() -> Scenarios:
    return load_scenarios(SCENARIOS_FOLDER)


def cells_of(story: str) -> list[Cell]:
    """Returns all cells of a story."""
    return [cell for cell in enumerate_cells(scenarios(), read_expectations()) if cell.story == story]


class FaultCase(Struct, frozen=True):
    """A fault, the cell that must detect it, and a part of the reason that the cell must give."""

    fault: str
    cell: Cell
    reason: str

    def __str__(self) -> str:
        return f"{self.fault.replace(' ', '_')}-{self.cell}"


class FaultHarness:
    """Plays cells on a test bed through a proxy with a fault."""

    def __init__(self, testbed: Testbed) -> None:
        self._testbed = testbed
        self._proxy = FaultProxy(testbed)
        self._without_fault: dict[Cell, Result] = {}
        testbed.wait(self._proxy.open())

    def play(self, fault: Fault, cell: Cell) -> Result:
        with self._proxy.injecting(fault, cell) as url:
            return self._testbed.wait(play_cell(cell, self._testbed, scenarios(), read_expectations(), url))

    def play_without_fault(self, cell: Cell) -> Result:
        """Plays the cell through the same proxy without a fault; once per cell."""
        if cell not in self._without_fault:
            self._without_fault[cell] = self.play(NO_FAULT, cell)
        return self._without_fault[cell]

    def failures(self, fault: Fault, cells: Iterable[Cell]) -> dict[str, list[str]]:
        """Returns the cells that fail with this fault, and their reasons."""
        results = [self.play(fault, cell) for cell in cells]
        return {str(result.cell): result.reasons for result in results if result.outcome == "fail"}
