"""Every cell ends as expected, and its requests, replies and decisions equal the committed snapshots."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

import pytest
from syrupy.assertion import SnapshotAssertion

from .checks.routing import ROUTE
from .conftest import MatrixRun, generated_sections, snapshot_folder
from .local_model.expectations import EXACT_ON, LOCAL_PROVIDER
from .matrix.result import Cell, Result
from .reports.docs import with_sections
from .snapshots.store import JsonSnapshot, is_extension
from .snapshots.views import client_view, local_view, route_view, upstream_view


def test_cell(cell: Cell, matrix_run: MatrixRun) -> None:
    result = matrix_run.result(cell)
    if matrix_run.is_known_to_fail(cell):
        assert result.outcome == "fail", f"{cell} is listed as known to fail, but passes: remove it from the list"
    else:
        assert result.outcome != "fail", "\n".join(result.reasons)


def test_known_failing_names_cells(matrix_run: MatrixRun) -> None:
    if not matrix_run.filtered:
        stale = [
            g
            for g in matrix_run.known
            if not any(fnmatchcase(str(cell), g.partition("@")[0]) for cell in matrix_run.cells)
        ]
        assert not stale, f"known-failing.txt has globs that match no cell: {stale}"


def test_docs_show_the_run(matrix_run: MatrixRun, request: pytest.FixtureRequest) -> None:
    """The tables in the documentation are those of this run, if the run is complete."""
    if matrix_run.filtered or request.config.getoption("--docs"):
        return
    matrix_run.results_of()  # plays the remaining cells
    for file, sections in generated_sections(matrix_run).items():
        text = file.read_text("utf-8")
        assert with_sections(text, sections) == text, "run ./run-matrix.sh --docs and review the diff"


CheckSnapshot: TypeAlias = Callable[[str, dict[str, Any], int], None]


@pytest.fixture
def check_snapshot(snapshot: SnapshotAssertion, request: pytest.FixtureRequest) -> CheckSnapshot:
    """Compares a view with the snapshot of this name; with --accept-new, new keys in an old snapshot pass too."""
    accepts = request.config.getoption("update_new_snapshots_only")
    folder = snapshot_folder(request.config)

    def check(name: str, view: dict[str, Any], depth: int) -> None:
        file = folder / f"{name}.{JsonSnapshot.file_extension}"
        text = JsonSnapshot().serialize(view)
        if accepts and file.is_file() and is_extension(json.loads(file.read_text("utf-8")), json.loads(text), depth):
            file.write_text(text, "utf-8")
        assert snapshot(name=name, extension_class=JsonSnapshot) == view

    return check


def skip_known_failures(results: list[Result], matrix_run: MatrixRun) -> None:
    """Skips a comparison where a cell is known to fail: its snapshot shows what is right, not the failure."""
    known = [str(result.cell) for result in results if matrix_run.is_known_to_fail(result.cell)]
    if known:
        pytest.skip(f"known to fail: {', '.join(known)}")


def test_upstream(provider: str, story: str, matrix_run: MatrixRun, check_snapshot: CheckSnapshot) -> None:
    """A provider receives the same request from every frontend, except for the deviations in the snapshot."""
    results = matrix_run.results_of(provider=provider, story=story)
    skip_known_failures(results, matrix_run)
    check_snapshot(f"upstream/{provider}/{story}", upstream_view(results), 1)


def test_client(frontend: str, story: str, matrix_run: MatrixRun, check_snapshot: CheckSnapshot) -> None:
    """A client receives the same reply from every provider, except for the deviations in the snapshot."""
    results = played_by_mock(matrix_run.results_of(frontend=frontend, story=story))
    skip_known_failures(results, matrix_run)
    check_snapshot(f"client/{frontend}/{story}", client_view(results), 2)


def test_local_model(local_story: str, matrix_run: MatrixRun, check_snapshot: CheckSnapshot) -> None:
    """The local model's prompts and outputs are the same for every client; compared on one platform only."""
    if (sys.platform, platform.machine()) != EXACT_ON:
        pytest.skip(f"sums of floats may round differently than on {' '.join(EXACT_ON)}; the cells check the content")
    results = matrix_run.results_of(provider=LOCAL_PROVIDER, story=local_story)
    check_snapshot(f"live/{local_story}", local_view(results), 1)


def test_route(routed_story: str, matrix_run: MatrixRun, check_snapshot: CheckSnapshot) -> None:
    """Decisions, attempts and response headers are the same for every frontend, except for the deviations."""
    results = matrix_run.results_of(provider=ROUTE, story=routed_story)
    skip_known_failures(results, matrix_run)
    check_snapshot(f"route/{routed_story}", route_view(results), 1)


def test_no_snapshot_is_left_over(matrix_run: MatrixRun, request: pytest.FixtureRequest) -> None:
    """Every file in the folder is a snapshot of this run, if the run is complete."""
    if matrix_run.filtered:
        return
    folder = snapshot_folder(request.config)
    pairs = [("upstream", *pair) for pair in matrix_run.complete_pairs("provider")]
    pairs += [("client", *pair) for pair in matrix_run.complete_pairs("frontend")]
    routes = {story for _, name, story in pairs if name == ROUTE}
    expected = {f"{side}/{one}/{story}" for side, one, story in pairs if story not in routes}
    expected |= {f"route/{story}" for story in routes}
    expected |= {f"live/{story}" for _, name, story in pairs if name == LOCAL_PROVIDER}
    existing = {file.relative_to(folder).with_suffix("").as_posix() for file in folder.rglob("*.json")}
    stale = sorted(existing - expected)
    assert not stale, f"no cell belongs to the snapshots {', '.join(stale)}: delete them"


def played_by_mock(results: list[Result]) -> list[Result]:
    """Returns the results without those of the local model, which has snapshots of its own."""
    return [result for result in results if result.cell.provider != LOCAL_PROVIDER]
