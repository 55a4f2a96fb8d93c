"""Every cell ends as it must, and what went over the wires is what a person has read and committed."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from syrupy.assertion import SnapshotAssertion

from mockserver.dialects import DIALECTS

from .bench import Bench
from .cells import ROUTE, Cell, Result, Step
from .conftest import ROOT, Matrices, sections
from .live import EXACT_ON, LIVE, live_picture
from .readme import with_sections
from .routes import route_view
from .snapshot import WireOrder, deviation, grown


def test_cell(cell: Cell, matrices: Matrices) -> None:
    result = matrices.result(cell)
    known = [glob for glob in matrices.known if fnmatchcase(str(cell), glob)]
    if known:
        assert result.outcome == "fail", f"{known[0]} is listed as failing and does not: take it off the list"
    else:
        assert result.outcome != "fail", "\n".join(result.reasons)


def test_known_failing_names_cells(matrices: Matrices) -> None:
    if not matrices.filtered:
        stale = [g for g in matrices.known if not any(fnmatchcase(str(cell), g) for cell in matrices.cells)]
        assert not stale, f"known-failing.txt names no cell with {stale}"


def test_readme_shows_the_tables(matrices: Matrices, request: pytest.FixtureRequest) -> None:
    """The README's tables are those of this run, if this run is of everything."""
    if matrices.filtered or request.config.getoption("--readme") or not matrices.is_own:
        return
    text = (ROOT / "README.md").read_text("utf-8")
    matrices.of()  # whatever has not been played yet
    assert with_sections(text, sections(matrices)) == text, "run ./run-matrix.sh --readme and read the diff"


Hold: TypeAlias = Callable[[str, dict[str, Any], int], None]


@pytest.fixture
def hold(snapshot: SnapshotAssertion, request: pytest.FixtureRequest) -> Hold:
    """Hold a picture against the file of this name; where new ones are accepted, so are new names in an old one."""
    accepts = request.config.getoption("update_new_snapshots_only")
    folder = snapshots(request.config)

    def held(name: str, picture: dict[str, Any], depth: int) -> None:
        file = folder / f"{name}.{WireOrder.file_extension}"
        text = WireOrder().serialize(picture)
        if accepts and file.is_file() and grown(json.loads(file.read_text("utf-8")), json.loads(text), depth):
            file.write_text(text, "utf-8")
        assert snapshot(name=name, extension_class=WireOrder) == picture

    return held


def snapshots(config: pytest.Config) -> Path:
    """The folder of this run's snapshots."""
    return Path(__file__).parent / str(config.getoption("snapshot_dirname"))


def test_upstream(provider: str, story: str, matrices: Matrices, hold: Hold) -> None:
    """What reaches a provider is the same from every frontend, but for the deviations that stand beside it."""
    hold(f"upstream/{provider}/{story}", upstream_picture(matrices.of(provider=provider, story=story)), 1)


def test_client(frontend: str, story: str, matrices: Matrices, hold: Hold) -> None:
    """What a client hears is the same from every provider, but for the deviations that stand beside it."""
    hold(f"client/{frontend}/{story}", client_picture(_played(matrices.of(frontend=frontend, story=story))), 2)


def test_live(live: str, matrices: Matrices, hold: Hold) -> None:
    """What the local model is given is the same from every client, and so is what it says; held where it was made."""
    if (sys.platform, platform.machine()) != EXACT_ON:
        pytest.skip(f"sums of floats may round otherwise than on {' '.join(EXACT_ON)}; the cells are judged by meaning")
    hold(f"live/{live}", live_picture(matrices.of(provider=LIVE, story=live)), 1)


def test_route(routed: str, matrices: Matrices, hold: Hold) -> None:
    """What is decided, who is tried and what the client is told is the same for every frontend, but for deviations."""
    results = matrices.of(provider=ROUTE, story=routed)
    hold(f"route/{routed}", _picture(results, route_view, lambda result: f"{result.cell.frontend} {_mode(result)}"), 1)


def test_no_snapshot_is_left_over(matrices: Matrices, request: pytest.FixtureRequest) -> None:
    """Each file in the folder is a picture of this run, if this run is of everything."""
    if matrices.filtered:
        return
    folder = snapshots(request.config)
    pairs = [("upstream", *pair) for pair in matrices.whole_pairs("provider")]
    pairs += [("client", *pair) for pair in matrices.whole_pairs("frontend")]
    routes = {story for _, name, story in pairs if name == ROUTE}
    due = {f"{side}/{one}/{story}" for side, one, story in pairs if story not in routes}
    due |= {f"route/{story}" for story in routes}
    due |= {f"live/{story}" for _, name, story in pairs if name == LIVE}
    there = {file.relative_to(folder).with_suffix("").as_posix() for file in folder.rglob("*.json")}
    stale = sorted(there - due)
    assert not stale, f"no cell is shown by {', '.join(stale)}: delete them"


SHOWN = ("content-type", "retry-after", "x-should-retry", "x-crosswire-attempts", "x-crosswire-loss")
"""The headers that a client's snapshot shows."""

# ---- pictures --------------------------------------------------------------------------------------------------------


def upstream_picture(results: list[Result]) -> dict[str, Any]:
    """The requests that reached one provider: the first frontend's in full, every other as what differs."""
    return _picture(results, _upstream, lambda result: f"{result.cell.frontend} {_mode(result)}")


def client_picture(results: list[Result]) -> dict[str, Any]:
    """The answers that one client heard: the first provider's in full, every other as what differs."""
    unary = [result for result in results if not result.cell.stream]
    stream = [result for result in results if result.cell.stream]
    name = lambda result: result.cell.provider  # noqa: E731
    return {mode: _picture(some, _heard, name) for mode, some in (("unary", unary), ("stream", stream)) if some}


def _played(results: list[Result]) -> list[Result]:
    """Without the model that nobody plays, which has pictures of its own."""
    return [result for result in results if result.cell.provider != LIVE]


def _mode(result: Result) -> str:
    return "stream" if result.cell.stream else "unary"


def _picture(results: list[Result], view: Any, name: Any) -> dict[str, Any]:
    first, *others = results
    base = view(first)
    out: dict[str, Any] = {name(first): base}
    for result in others:
        differs = deviation(base, view(result))
        out[name(result)] = differs or "the same"
    return out


def _upstream(result: Result) -> dict[str, Any]:
    return {
        "decision": result.decision,
        "requests": [_upstream_request(step) for step in result.steps],
    }


def _upstream_request(step: Step) -> Any:
    if not step.entries:
        return "nothing reached the provider"
    entry = step.entries[-1]
    path = entry["path"]
    return {"path": path, "body": json.loads(Bench.plain(step.wires.upstream_request) or "null")}


def _heard(result: Result) -> dict[str, Any]:
    return {"losses": result.losses, "answers": [_answer(step, result) for step in result.steps]}


def _answer(step: Step, result: Result) -> dict[str, Any]:
    told = {name: value for name, value in step.answer.headers.items() if name in SHOWN}
    return {"status": step.answer.status, "headers": told, "body": _body(step, result)}


def _body(step: Step, result: Result) -> Any:
    # whose model answered is judged in every cell; here it would only hide what differs
    model = step.answer.headers.get("x-crosswire-model") or step.heard.model or ""
    text = Bench.plain(step.wires.client_response)
    if model:
        text = text.replace(f'"{model}"', '"(model)"')
    if result.cell.stream and step.answer.status == 200:
        lines = text.split("\n")
        return [*lines, "(the connection broke)"] if step.answer.broken else lines
    try:
        return json.loads(text)
    except ValueError:
        return text


@pytest.fixture(autouse=True, scope="session")
def _dialects_known() -> None:
    assert set(DIALECTS) >= {"openai-chat"}
