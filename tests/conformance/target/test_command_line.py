"""The gateways with one fault each are caught by the command: `run --target URL --profile FILE`, by its exit code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from crosswire.conformance.__main__ import main
from crosswire.conformance.harness.testbed_target import TargetTestbed
from crosswire.conformance.matrix.expectations import read_expectations
from crosswire.conformance.matrix.result import Cell
from crosswire.conformance.target import cli
from crosswire.mockserver.protocols import MOCK_PROTOCOLS

from ..fault_proxies.fault_proxy import NO_FAULT, Fault, FaultProxy
from ..fault_proxies.faults import FAULTS
from ..fault_proxies.harness import scenarios
from ..test_fault_detection import cases
from .test_fault_detection import BY_VENDORS

STRANGER = {
    "name": "stranger",
    "frontends": {name: None for name in MOCK_PROTOCOLS},
    "models": {name: "{model}" for name in scenarios().providers},
    "headers": {name: {"x-crosswire-backend": name} for name in scenarios().providers},
    "losses": ["x-crosswire-loss"],
}
"""Profile of a gateway that has nothing but its wire, and a header of losses."""

OWN_DOORS = {**STRANGER, "name": "own-doors", "record": "/crosswire/requests/{x-request-id}"}
"""Profile of the same gateway with the record of each request."""


def _cells() -> dict[str, list[Cell]]:
    """Returns for each fault two cells at most that catch it: the first of its table, and the last, which streams."""
    found: dict[str, list[Cell]] = {}
    for case in cases():
        if scenarios().stories[case.cell.story].proxy is None:
            known = found.setdefault(case.fault, [])
            known[1:] = [case.cell] if known else []
            known[:1] = known[:1] or [case.cell]
    return found


CELLS = _cells()


class Judge:
    """Runs the command against a gateway with a fault, which listens on a port as any gateway does."""

    def __init__(self, testbed: TargetTestbed, folder: Path) -> None:
        self._testbed = testbed
        self._folder = folder
        self._proxy = FaultProxy(testbed)
        self._without_fault: dict[tuple[Cell, bool], int] = {}
        testbed.wait(self._proxy.open())
        for profile in (STRANGER, OWN_DOORS):
            (folder / f"{profile['name']}.yaml").write_text(json.dumps(profile), "utf-8")

    def run(self, fault: Fault, cell: Cell, *, house: bool) -> tuple[int, str]:
        """Returns the exit code of a run of one cell, and the outcome in its JSON."""
        profile, result = self._folder / f"{'own-doors' if house else 'stranger'}.yaml", self._folder / "run.json"
        flags = ["--frontend", cell.frontend, "--provider", cell.provider, "--story", cell.story]
        flags += ["--stream" if cell.stream else "--no-stream", *(["--house"] if house else [])]
        with self._proxy.injecting(fault, cell) as url:
            target = ["--target", url, "--profile", str(profile), "--mock", self._testbed.mock_url]
            code = main(["run", *target, *flags, "--json", str(result)])
        (found,) = json.loads(result.read_text("utf-8"))["cells"]
        assert found["id"] == str(cell)
        return code, found["outcome"]

    def code_without_fault(self, cell: Cell, *, house: bool) -> int:
        if (cell, house) not in self._without_fault:
            self._without_fault[cell, house], _ = self.run(NO_FAULT, cell, house=house)
        return self._without_fault[cell, house]


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    matrix = read_expectations()
    with pytest.MonkeyPatch.context() as patch, TargetTestbed(scenarios()) as testbed:
        # read once for all runs
        patch.setattr(cli, "load_scenarios", lambda *_: scenarios())
        patch.setattr(cli, "read_expectations", lambda: matrix)
        yield Judge(testbed, tmp_path_factory.mktemp("judge"))


@pytest.mark.parametrize("fault", CELLS, ids=lambda fault: fault.replace(" ", "_"))
def test_the_command_catches_the_fault(fault: str, judge: Judge, capsys: pytest.CaptureFixture[str]) -> None:
    """Faults against a vendor's rule are caught with a plain profile, the rest by `--house` and the gateway's doors."""
    house = fault not in BY_VENDORS
    for cell in CELLS[fault]:
        assert judge.code_without_fault(cell, house=house) == 0, capsys.readouterr().out
        code, outcome = judge.run(FAULTS[fault], cell, house=house)
        assert code == 1, f"{cell}: {outcome}"
        if not house:
            assert outcome in re.findall(r"[a-z-]+", BY_VENDORS[fault])


def test_every_fault_that_a_cell_catches_is_tried() -> None:
    assert {case.fault for case in cases()} == set(CELLS)
