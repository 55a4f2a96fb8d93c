"""pytest plugin of the matrix: options, the test bed, cells as parameters, and the reports at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine, Iterator
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from crosswire.mockserver.scenarios.folders import SHIPPED, scenario_folders
from crosswire.mockserver.scenarios.loader import Scenarios, load_scenarios

from .checks.routing import ROUTE
from .harness.child_process import ServerEnded
from .harness.testbed import Testbed
from .harness.testbed_apart import TestbedApart
from .local_model.expectations import LOCAL_PROVIDER, is_installed, read_local_expectations
from .local_model.runner import local_cells, play_local_cell
from .matrix.cells import enumerate_cells, matches
from .matrix.expectations import KNOWN_FAILING, Expectations, read_expectations, read_known_failing
from .matrix.result import Cell, Result
from .matrix.runner import play_cell
from .reports.docs import grid_section, status_line, support_section, with_sections
from .reports.grid import Grid, failures, json_line, summary
from .reports.html import render_page

CHECKOUT = Path(__file__).resolve().parents[1]
"""The folder of the checkout; of an installed package the folder that contains it."""

MATRIX_PAGE = CHECKOUT / "docs" / "matrix.md"

AXES = ("frontend", "provider", "story")

FAILED = 1
"""Exit code of a run that is ended because a server is gone."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("crosswire matrix")
    for axis in AXES:
        group.addoption(f"--{axis}", default="*", help=f"a glob of the {axis} column")
    group.addoption(
        "--mode", choices=("both", "stream", "unary"), default="both", help="unary replies, streamed replies, or both"
    )
    group.addoption("--scenarios", type=Path, help="folder whose files lie over the shipped scenarios")
    group.addoption("--apart", action="store_true", help="run the mock and the proxy as processes of their own")
    group.addoption("--known-failing", default=str(KNOWN_FAILING), help="list of the cells that are known to fail")
    group.addoption("--cells-json", help="write one JSON line per cell to this file")
    group.addoption("--cells-html", help="write the run as an HTML page to this file")
    group.addoption("--docs", action="store_true", help="after a full run write the tables of the documentation")
    group.addoption("--grid", action="store_true", help="print the grid row by row, and the closing line")


class MatrixRun:
    """The cells of a run and their results; each cell is played once, when a test first needs its result."""

    def __init__(self, config: pytest.Config) -> None:
        self.matrix: Expectations = read_expectations()
        self.folders = folders = scenario_folders(config.getoption("--scenarios"))
        self.apart: bool = config.getoption("--apart")
        self.scenarios: Scenarios = load_scenarios(*folders)
        self.has_own_scenarios = [folder.resolve() for folder in folders] == [SHIPPED]
        selected = []
        self._globs: dict[str, str] = {axis: config.getoption(f"--{axis}") for axis in AXES}
        self.local = read_local_expectations()
        has_local_model = self.has_own_scenarios and is_installed()
        # without the local model a run of the own scenarios is not complete
        self.filtered = self.has_own_scenarios and not has_local_model
        local = local_cells(self.scenarios, self.matrix, self.local) if has_local_model else ()
        self._all_cells = (*enumerate_cells(self.scenarios, self.matrix), *local)
        for cell in self._all_cells:
            mode = config.getoption("--mode")
            in_mode = mode == "both" or (mode == "stream") == cell.stream
            if in_mode and all(matches(getattr(cell, axis), globs) for axis, globs in self._globs.items()):
                selected.append(cell)
            else:
                self.filtered = True
        self.cells: tuple[Cell, ...] = tuple(selected)
        listed = Path(config.getoption("--known-failing"))
        # the shipped list is about the shipped scenarios
        applies = listed != KNOWN_FAILING or SHIPPED in [folder.resolve() for folder in folders]
        self.known = read_known_failing(listed) if applies else {}
        self.results: dict[Cell, Result] = {}
        self.recut: dict[tuple[Cell, int | str], Result] = {}
        self._testbed: Testbed | None = None
        self.grid: Grid | None = None
        if config.getoption("--grid"):
            counts = Counter(cell.story for cell in self.cells)
            providers = dict.fromkeys(cell.provider for cell in self.cells)
            played = {cell.frontend for cell in self.cells}
            self.grid = Grid([name for name in self.matrix.frontends if name in played], providers, counts)

    @property
    def testbed(self) -> Testbed:
        if self._testbed is None:
            made = TestbedApart(self.scenarios, self.folders) if self.apart else Testbed(self.scenarios)
            try:
                self._testbed = made.__enter__()
            except ServerEnded as ended:
                pytest.exit(str(ended), FAILED)
        return self._testbed

    def no_cell_reason(self) -> str:
        """Returns why no cell was selected: the flag whose glob matches nothing, with the known names."""
        for axis in AXES:
            glob, names = self._globs[axis], dict.fromkeys(getattr(cell, axis) for cell in self._all_cells)
            if not any(matches(name, glob) for name in names):
                near = get_close_matches(glob.strip("*?"), names, 5, 0.5)
                hint = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(names)}"
                return f"--{axis} {glob} matches none of {len(names)} {axis} names; {hint}"
        return "no cell matches all flags together: a story may be stream-only, or need what the provider lacks"

    def complete_pairs(self, axis: str) -> list[tuple[str, str]]:
        """Returns the pairs (value on the axis, story) of which every cell was selected."""
        existing = Counter((getattr(cell, axis), cell.story) for cell in self._all_cells)
        counts = Counter((getattr(cell, axis), cell.story) for cell in self.cells)
        return [pair for pair in counts if counts[pair] == existing[pair]]

    def result(self, cell: Cell) -> Result:
        """Returns the result of a cell, playing it first if necessary."""
        if cell not in self.results:
            if cell.provider == LOCAL_PROVIDER:
                playing = play_local_cell(cell, self.testbed, self.scenarios, self.matrix, self.local)
            else:
                playing = play_cell(cell, self.testbed, self.scenarios, self.matrix)
            self.results[cell] = self.play(playing)
            if self.grid is not None:
                self.grid.add(self.results[cell])
        return self.results[cell]

    def play(self, playing: Coroutine[Any, Any, Result]) -> Result:
        """Plays a cell; a failure gets what the servers printed, and the run ends where one of them is gone."""
        testbed, before = self.testbed, self.testbed.positions()
        try:
            result = testbed.wait(playing)
        except ServerEnded as ended:
            pytest.exit(str(ended), FAILED)
        if result.outcome == "fail":
            if ending := testbed.ending():
                pytest.exit(ending, FAILED)
            result.reasons += testbed.printed(before)
        return result

    def is_known_to_fail(self, cell: Cell) -> bool:
        """Returns whether a cell is listed as known to fail."""
        return any(fnmatchcase(str(cell), glob) for glob in self.known)

    def is_known_to_differ(self, cell: Cell, write: int | str) -> bool:
        """Returns whether a cell is listed as known to differ when its replies are cut in this way."""
        return any(fnmatchcase(f"{cell}@{write}", glob) for glob in self.known)

    def result_cut(self, cell: Cell, write: int | str) -> Result:
        """Returns the result of a cell whose replies the mock cuts in this way, playing it first if necessary."""
        if (cell, write) not in self.recut:
            self.testbed.wait(self.testbed.cut_replies(write))
            try:
                playing = play_cell(cell, self.testbed, self.scenarios, self.matrix)
                self.recut[cell, write] = self.play(playing)
            finally:
                self.testbed.wait(self.testbed.cut_replies(None))
        return self.recut[cell, write]

    def results_of(
        self, *, frontend: str | None = None, provider: str | None = None, story: str | None = None
    ) -> list[Result]:
        """Returns the results of all selected cells with these values, in order."""
        return [
            self.result(cell)
            for cell in self.cells
            if frontend in (None, cell.frontend) and provider in (None, cell.provider) and story in (None, cell.story)
        ]

    def close(self) -> None:
        if self._testbed is not None:
            self._testbed.__exit__()


_KEY = pytest.StashKey[MatrixRun]()


def matrix_run_of(config: pytest.Config) -> MatrixRun:
    """Returns the run that belongs to this pytest config; it is created once."""
    if _KEY not in config.stash:
        config.stash[_KEY] = MatrixRun(config)
    return config.stash[_KEY]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    matrix_run = matrix_run_of(metafunc.config)
    names = set(metafunc.fixturenames)
    if "cell" in names:
        metafunc.parametrize("cell", matrix_run.cells, ids=str)
    if "routed_story" in names:
        metafunc.parametrize(
            "routed_story", [story for name, story in matrix_run.complete_pairs("provider") if name == ROUTE]
        )
    if "local_story" in names:
        stories = [story for name, story in matrix_run.complete_pairs("provider") if name == LOCAL_PROVIDER]
        metafunc.parametrize(
            "local_story", [s for s in stories if matrix_run.local.is_exact(matrix_run.scenarios.stories[s])]
        )
    if {"provider", "story"} <= names:
        pairs = [pair for pair in matrix_run.complete_pairs("provider") if pair[0] not in (ROUTE, LOCAL_PROVIDER)]
        metafunc.parametrize(("provider", "story"), pairs, ids=["-".join(pair) for pair in pairs])
    if {"frontend", "story"} <= names:
        pairs = [
            pair
            for pair in matrix_run.complete_pairs("frontend")
            if matrix_run.scenarios.stories[pair[1]].proxy is None
        ]
        metafunc.parametrize(("frontend", "story"), pairs, ids=["-".join(pair) for pair in pairs])


def snapshot_folder(config: pytest.Config) -> Path:
    """Returns the folder of this run's snapshots; an absolute one, as given by --snapshots, replaces the default."""
    return Path(__file__).resolve().parent / str(config.getoption("snapshot_dirname"))


SNAPSHOT_TESTS = ("test_upstream", "test_client", "test_route", "test_local_model", "test_no_snapshot_is_left_over")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the comparisons with snapshots where there are none and none are written: outside a checkout."""
    writes = config.getoption("update_snapshots") or config.getoption("update_new_snapshots_only")
    if not writes and not snapshot_folder(config).is_dir():
        left_out = [item for item in items if item.name.partition("[")[0] in SNAPSHOT_TESTS]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
        print("no snapshots here: cells are judged by the stories and the expectations alone", flush=True)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Rejects globs that match no cell, as an empty run would pass."""
    matrix_run = matrix_run_of(session.config)
    if session.items and not matrix_run.cells:
        raise pytest.UsageError(matrix_run.no_cell_reason())


@pytest.fixture(scope="session")
def matrix_run(request: pytest.FixtureRequest) -> Iterator[MatrixRun]:
    run = matrix_run_of(request.config)
    if run.grid is not None:
        print(flush=True)
        run.grid.head()
    yield run
    run.close()


def generated_sections(matrix_run: MatrixRun) -> dict[Path, dict[str, str]]:
    """Returns the sections that a complete run writes, by file; none for a filtered run and outside a checkout."""
    complete = all(cell in matrix_run.results for cell in matrix_run.cells)
    if matrix_run.filtered or not matrix_run.has_own_scenarios or not complete or not MATRIX_PAGE.is_file():
        return {}
    results, frontends = matrix_run.results_of(), matrix_run.matrix.frontends
    tables = {"matrix": grid_section(results, frontends), "words": support_section(results, frontends)}
    return {MATRIX_PAGE: tables, CHECKOUT / "README.md": {"status": status_line(results)}}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if _KEY not in config.stash:
        return
    results = list(config.stash[_KEY].results.values())
    if not results:
        return
    path = config.getoption("--cells-json")
    if path:
        Path(path).write_text("".join(json_line(result) + "\n" for result in results), "utf-8")
    path = config.getoption("--cells-html")
    if path:
        Path(path).write_text(render_page(results, config.stash[_KEY].matrix.frontends), "utf-8")
    if config.getoption("--docs"):
        for file, sections in generated_sections(config.stash[_KEY]).items():
            file.write_text(with_sections(file.read_text("utf-8"), sections), "utf-8")
    if config.getoption("--grid"):
        for line in failures(results):
            terminalreporter.write_line(line)
        terminalreporter.write_line(f"{len(results)} cells: {summary(results)}")
