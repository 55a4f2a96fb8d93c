"""The matrix as pytest sees it: its options, the bench, and the cells as parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from mockserver.scenario import Scenarios, load

from .allowed import KNOWN_FAILING, Matrix, known_failing, read_matrix
from .bench import Bench
from .catalogue import read_catalogue
from .cells import ROUTE, Cell, Result, cells, play
from .live import LIVE, can_run, live_cells, play_live, read_live
from .page import page
from .readme import catalogue_section, grid_section, ledger_section, with_sections, words_section
from .report import Grid, failures, json_line, summary

ROOT = Path(__file__).parent.parent
AXES = ("frontend", "provider", "story")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("crosswire matrix")
    for axis in AXES:
        group.addoption(f"--{axis}", default="*", help=f"only the {axis}s that this glob names")
    group.addoption("--mode", choices=("both", "stream", "unary"), default="both", help="which answers to play")
    group.addoption("--scenarios", default=str(ROOT / "scenarios"), help="the folder of scenarios")
    group.addoption("--known-failing", default=str(KNOWN_FAILING), help="the list of cells that are known to fail")
    group.addoption("--cells-json", help="write one JSON line a cell to this file")
    group.addoption("--cells-html", help="write the run as one page to look at to this file")
    group.addoption("--readme", action="store_true", help="write the README's tables; the grid if all is played")
    group.addoption("--grid", action="store_true", help="print the grid while it grows, and the closing line")


class Matrices:
    """The cells of a run and their results; every cell is played once, by whichever test asks first."""

    def __init__(self, config: pytest.Config) -> None:
        self.matrix: Matrix = read_matrix()
        self.scenarios: Scenarios = load(config.getoption("--scenarios"))
        self.is_own = Path(config.getoption("--scenarios")).resolve() == ROOT / "scenarios"
        chosen = []
        self._globs: dict[str, str] = {axis: config.getoption(f"--{axis}") for axis in AXES}
        self.live = read_live()
        runs = self.is_own and can_run()
        self.filtered = self.is_own and not runs  # a picture without the local model is none of everything
        local = live_cells(self.scenarios, self.matrix, self.live) if runs else ()
        self._all = (*cells(self.scenarios, self.matrix), *local)
        for cell in self._all:
            mode = config.getoption("--mode")
            wanted = mode == "both" or (mode == "stream") == cell.stream
            if wanted and all(fnmatchcase(getattr(cell, axis), glob) for axis, glob in self._globs.items()):
                chosen.append(cell)
            else:
                self.filtered = True
        self.cells: tuple[Cell, ...] = tuple(chosen)
        self.known = known_failing(Path(config.getoption("--known-failing")))
        self.results: dict[Cell, Result] = {}
        self._bench: Bench | None = None
        self.grid: Grid | None = None
        if config.getoption("--grid"):
            due: dict[str, int] = {}
            for cell in self.cells:
                due[cell.story] = due.get(cell.story, 0) + 1
            names = dict.fromkeys(cell.provider for cell in self.cells)
            self.grid = Grid([f for f in self.matrix.frontends if any(c.frontend == f for c in self.cells)], names, due)

    @property
    def bench(self) -> Bench:
        if self._bench is None:
            self._bench = Bench(self.scenarios)
            self._bench.__enter__()
        return self._bench

    def emptiness(self) -> str:
        """Why no cell was chosen: the axis whose glob names nothing, with the names that there are."""
        for axis in AXES:
            glob, names = self._globs[axis], dict.fromkeys(getattr(cell, axis) for cell in self._all)
            if not any(fnmatchcase(name, glob) for name in names):
                return f"--{axis} {glob} names none of: {', '.join(names)}"
        return "no cell fits all of these globs and flags together: a story may be only for streams, or need more"

    def whole_pairs(self, axis: str) -> list[tuple[str, str]]:
        """The pairs (value on this axis, story) of which every cell was chosen: only those make a whole picture."""
        due = Counter((getattr(cell, axis), cell.story) for cell in self._all)
        there = Counter((getattr(cell, axis), cell.story) for cell in self.cells)
        return [pair for pair in there if there[pair] == due[pair]]

    def result(self, cell: Cell) -> Result:
        """The result of a cell, played now if nobody has asked for it yet."""
        if cell not in self.results:
            bench = self.bench
            if cell.provider == LIVE:
                playing = play_live(cell, bench, self.scenarios, self.matrix, self.live)
            else:
                playing = play(cell, bench, self.scenarios, self.matrix)
            self.results[cell] = bench.wait(playing)
            if self.grid is not None:
                self.grid.add(self.results[cell])
        return self.results[cell]

    def of(self, *, frontend: str | None = None, provider: str | None = None, story: str | None = None) -> list[Result]:
        """The results of all chosen cells on these axes, in their order."""
        return [
            self.result(cell)
            for cell in self.cells
            if frontend in (None, cell.frontend) and provider in (None, cell.provider) and story in (None, cell.story)
        ]

    def close(self) -> None:
        if self._bench is not None:
            self._bench.__exit__()


_KEY = pytest.StashKey[Matrices]()


def matrices_of(config: pytest.Config) -> Matrices:
    """The matrix of this run, read once."""
    if _KEY not in config.stash:
        config.stash[_KEY] = Matrices(config)
    return config.stash[_KEY]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    matrices = matrices_of(metafunc.config)
    names = set(metafunc.fixturenames)
    if "cell" in names:
        metafunc.parametrize("cell", matrices.cells, ids=str)
    if "routed" in names:
        metafunc.parametrize("routed", [story for name, story in matrices.whole_pairs("provider") if name == ROUTE])
    if "live" in names:
        stories = [story for name, story in matrices.whole_pairs("provider") if name == LIVE]
        metafunc.parametrize("live", [s for s in stories if matrices.live.is_exact(matrices.scenarios.stories[s])])
    if {"provider", "story"} <= names:
        pairs = [pair for pair in matrices.whole_pairs("provider") if pair[0] not in (ROUTE, LIVE)]
        metafunc.parametrize(("provider", "story"), pairs, ids=["-".join(pair) for pair in pairs])
    if {"frontend", "story"} <= names:
        pairs = [pair for pair in matrices.whole_pairs("frontend") if matrices.scenarios.stories[pair[1]].proxy is None]
        metafunc.parametrize(("frontend", "story"), pairs, ids=["-".join(pair) for pair in pairs])


def pytest_collection_finish(session: pytest.Session) -> None:
    """A run of nothing would end as well as one of everything: globs that name no cell are a wrong call."""
    matrices = matrices_of(session.config)
    if session.items and not matrices.cells:
        raise pytest.UsageError(matrices.emptiness())


@pytest.fixture(scope="session")
def matrices(request: pytest.FixtureRequest) -> Iterator[Matrices]:
    found = matrices_of(request.config)
    if found.grid is not None:
        print(flush=True)
        found.grid.head()
    yield found
    found.close()


def sections(matrices: Matrices) -> dict[str, str]:
    """The README's drawn sections as they must be; those of the cells only where everything was played."""
    drawn = {"ledger": ledger_section(), "catalogue": catalogue_section(read_catalogue())}
    if not matrices.filtered and matrices.is_own and all(cell in matrices.results for cell in matrices.cells):
        results, frontends = matrices.of(), matrices.matrix.frontends
        drawn |= {"matrix": grid_section(results, frontends), "words": words_section(results, frontends)}
    return drawn


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
        Path(path).write_text(page(results, config.stash[_KEY].matrix.frontends), "utf-8")
    if config.getoption("--readme"):
        readme = ROOT / "README.md"
        readme.write_text(with_sections(readme.read_text("utf-8"), sections(config.stash[_KEY])), "utf-8")
    if config.getoption("--grid"):
        for line in failures(results):
            terminalreporter.write_line(line)
        terminalreporter.write_line(f"{len(results)} cells: {summary(results)}")
