"""Adding a provider or a story takes one file: the matrix is run on copied scenarios by its command line alone.

The tests use the command line, its exit codes, its files and its last line, and no Python of the suite.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from msgspec import Struct

ROOT = Path(__file__).parents[2]
PROTOCOLS = ["openai-chat", "openai-responses", "anthropic", "gemini", "ollama"]

GROQ = """\
protocol: openai-chat
base_path: /openai/v1
models: {llama-3.3-70b: llama-3.3-70b-versatile}
capabilities: [text, tools, tools.parallel]
auth: {header: authorization, key: test-key-groq}
"""

FULL = {
    "openai-chat": ("openai", "/v9", "any-model"),
    "anthropic": ("anthropic", "", "claude-sonnet-4-5"),
    "gemini": ("gemini", "", "gemini-2.5-flash"),
}
"""Made-up providers with every capability of a shipped one of their protocol: that one, a base path, the
name of its model upstream."""

STORY = """\
why: A story written by a test.
source: https://platform.openai.com/docs/api-reference/chat/create
needs: [text]
ask: {user: "Is this made up?"}
say: [{text: It is.}]
"""


class Run(Struct, frozen=True):
    """A finished run: its exit code, what it printed, and its last line."""

    code: int
    out: str
    err: str

    @property
    def closing(self) -> str:
        return self.out.rstrip().splitlines()[-1]


class Folder(Struct, frozen=True):
    """A copy of the scenarios with a folder of snapshots, and the command line that runs the matrix on them.

    It runs in the folder, whose `./scenarios` is taken where it is: `--scenarios` would lay it over the shipped ones.
    """

    root: Path

    @property
    def scenarios(self) -> Path:
        return self.root / "scenarios"

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    def run(self, *flags: str) -> Run:
        command = [sys.executable, "-m", "crosswire.conformance", "run", "--snapshots", str(self.snapshots), *flags]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)  # noqa: S603 - our own
        return Run(done.returncode, done.stdout, done.stderr)

    def cells(self, *flags: str) -> list[dict[str, Any]]:
        """Runs the matrix and returns the cells of its JSON lines."""
        file = self.root / "cells.jsonl"
        file.unlink(missing_ok=True)
        self.run(*flags, "--json", str(file))
        return [json.loads(line) for line in file.read_text("utf-8").splitlines()]

    def written(self) -> dict[str, str]:
        """Returns all snapshots by path."""
        files = sorted(self.snapshots.rglob("*.json"))
        return {str(file.relative_to(self.snapshots)): file.read_text("utf-8") for file in files}

    def keep(self, **axes: set[str]) -> None:
        """Removes all other providers and stories."""
        for axis, names in axes.items():
            for file in (self.scenarios / axis).glob("*.yaml"):
                if file.stem not in names:
                    file.unlink()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    shutil.copytree(ROOT / "scenarios", tmp_path / "scenarios")
    return Folder(tmp_path)


@pytest.fixture
def small(folder: Folder) -> Folder:
    """One story and a provider for each protocol: the smallest complete run."""
    folder.keep(providers={"openai", "openai-responses", "anthropic", "gemini", "ollama"}, stories={"text"})
    return folder


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The small folder with accepted snapshots; shared, so not to be changed."""
    root = tmp_path_factory.mktemp("first")
    shutil.copytree(ROOT / "scenarios", root / "scenarios")
    folder = Folder(root)
    folder.keep(providers={"openai", "openai-responses", "anthropic", "gemini", "ollama"}, stories={"text"})
    run = folder.run("--accept-new")
    assert run.code == 0, run.out
    return folder


@pytest.fixture
def accepted(first_run: Folder, tmp_path: Path) -> Folder:
    """A copy of the small folder with accepted snapshots."""
    shutil.copytree(first_run.root, tmp_path / "accepted")
    return Folder(tmp_path / "accepted")


# ---- a provider or story more ----------------------------------------------------------------------------------------


def test_adding_a_provider_takes_one_file(folder: Folder) -> None:
    (folder.scenarios / "providers/groq.yaml").write_text(GROQ)
    stories = {file.stem: yaml.safe_load(file.read_text("utf-8")) for file in folder.scenarios.glob("stories/*.yaml")}
    supported = {
        name
        for name, story in stories.items()
        if set(story["needs"]) <= {"text", "tools", "tools.parallel"} and not {"servers", "proxy"} & set(story)
    }
    assert len(supported) >= 14

    first = folder.run("--provider", "groq", "--accept-new", "--json", str(folder.root / "first.jsonl"))
    assert first.code == 0, first.out
    found = [json.loads(line) for line in (folder.root / "first.jsonl").read_text("utf-8").splitlines()]
    assert {cell["provider"] for cell in found} == {"groq"}
    assert {cell["frontend"] for cell in found} == set(PROTOCOLS)
    assert {cell["story"] for cell in found} >= supported
    assert {cell["outcome"] for cell in found} <= {"pass", "lossy", "unsupported"}
    assert {cell["stream"] for cell in found} == {True, False}

    upstream = json.loads(folder.written()["upstream/groq/text.json"])
    (request,) = upstream["openai-chat unary"]["requests"]
    assert request["path"] == "/groq/openai/v1/chat/completions"
    assert request["body"]["model"] == "llama-3.3-70b-versatile"
    assert {path.split("/")[1] for path in folder.written()} == {"groq"}

    # a second run finds the snapshots and writes nothing
    before = folder.written()
    second = folder.run("--provider", "groq", "--story", "text*")
    assert second.code == 0, second.out
    assert re.fullmatch(r"\d+ passed, 0 failed", second.closing)
    assert folder.written() == before


@pytest.mark.parametrize("protocol", FULL)
def test_a_provider_of_a_known_protocol_needs_no_line_in_the_expectations(protocol: str, folder: Folder) -> None:
    shipped, base_path, model = FULL[protocol]
    provider = yaml.safe_load((folder.scenarios / f"providers/{shipped}.yaml").read_text("utf-8"))
    header = provider["auth"]["header"]
    made_up = {
        **{"protocol": protocol, "base_path": base_path, "models": {f"{model}-made-up": model}, "priority": 5},
        **{"capabilities": provider["capabilities"], "auth": {"header": header, "key": "test-key-made-up"}},
    }
    (folder.scenarios / "providers/made-up.yaml").write_text(yaml.safe_dump(made_up))
    run = folder.run("--provider", "made-up", "--no-stream", "--accept-new", "--json", str(folder.root / "cells.jsonl"))
    found = [json.loads(line) for line in (folder.root / "cells.jsonl").read_text("utf-8").splitlines()]
    assert [
        f"{cell['frontend']}-{cell['story']}: {cell['reason']}" for cell in found if cell["outcome"] == "fail"
    ] == []
    assert run.code == 0, run.out[-2000:]
    assert {cell["outcome"] for cell in found} == {"pass", "lossy", "unsupported"}


def test_a_new_provider_changes_nothing_of_the_others(accepted: Folder) -> None:
    before = {path: json.loads(text) for path, text in accepted.written().items()}
    (accepted.scenarios / "providers/groq.yaml").write_text(GROQ)
    assert accepted.run("--accept-new").code == 0
    after = {path: json.loads(text) for path, text in accepted.written().items()}
    assert set(after) - set(before) == {"upstream/groq/text.json"}
    for path, view in before.items():
        if path.startswith("client/"):
            assert {"groq"} <= set(after[path]["unary"]) & set(after[path]["stream"])
            for mode in view.values():
                mode["groq"] = after[path]["unary" if mode is view["unary"] else "stream"]["groq"]
        assert after[path] == view
    assert accepted.run().code == 0


def test_adding_a_story_takes_one_file(accepted: Folder) -> None:
    (accepted.scenarios / "stories/text-made-up.yaml").write_text(STORY)
    run = accepted.run("--accept-new")
    assert run.code == 0, run.out
    assert len([path for path in accepted.written() if path.endswith("/text-made-up.json")]) == 2 * len(PROTOCOLS)


# ---- writing snapshots -----------------------------------------------------------------------------------------------


def test_a_run_writes_no_snapshot(small: Folder) -> None:
    small.snapshots.mkdir()
    missing = small.run()
    assert missing.code == 1
    assert re.fullmatch(r"\d+ passed, 10 failed", missing.closing), missing.closing  # 5 providers and 5 frontends
    assert not small.written()


def test_a_changed_snapshot_fails_until_it_is_updated(accepted: Folder) -> None:
    before = accepted.written()
    file = accepted.snapshots / "upstream/gemini/text.json"
    file.write_text(before["upstream/gemini/text.json"].replace("Hello!", "Good day!"))
    changed = accepted.written()
    assert changed != before

    for flags in ((), ("--accept-new",)):
        run = accepted.run("--provider", "gemini", *flags)
        assert run.code == 1, flags
        assert "test_upstream[gemini-text]" in run.out
        assert run.closing.endswith(" passed, 1 failed")
        assert accepted.written() == changed, "a change is never accepted as new"
    assert accepted.run("--provider", "gemini", "--update").code == 0
    assert accepted.written() == before


def test_a_stale_snapshot_fails_a_complete_run_and_is_never_deleted(accepted: Folder) -> None:
    left = accepted.snapshots / "upstream/gemini/gone.json"
    left.write_text("{}\n")
    assert accepted.run("--provider", "gemini").code == 0, "a filtered run ignores the other snapshots"
    run = accepted.run("--update")
    assert run.code == 1
    assert "upstream/gemini/gone" in run.out
    assert left.is_file()


# ---- selecting cells -------------------------------------------------------------------------------------------------

FILTERS: tuple[tuple[tuple[str, ...], dict[str, set[Any]]], ...] = (
    (
        ("--frontend", "openai-*", "--provider", "gem*", "--stream"),
        {"frontend": {"openai-chat", "openai-responses"}, "provider": {"gemini"}, "stream": {True}},
    ),
    (
        ("--story", "te?t", "--provider", "[!o]*", "--no-stream"),
        {"story": {"text"}, "provider": {"anthropic", "gemini"}, "frontend": set(PROTOCOLS), "stream": {False}},
    ),
)


@pytest.mark.parametrize(("flags", "wanted"), FILTERS, ids=["stream", "no-stream"])
def test_flags_choose_the_cells(flags: tuple[str, ...], wanted: dict[str, set[Any]], accepted: Folder) -> None:
    found = accepted.cells(*flags)
    assert {axis: {cell[axis] for cell in found} for axis in wanted} == wanted


def test_reports_contain_every_cell(accepted: Folder) -> None:
    file, page = accepted.root / "cells.xml", accepted.root / "cells.html"
    reports = ("--junit", str(file), "--html", str(page))
    found = accepted.cells("--frontend", "anthropic", "--provider", "openai", *reports)
    for cell, stream in zip(found, (False, True), strict=True):
        assert cell.pop("ms") > 0
        assert cell.pop("decision")["chosen"] == {"backend": "openai", "model": "gpt-5-nano"}
        assert cell == {
            **{"frontend": "anthropic", "provider": "openai", "story": "text", "stream": stream},
            **{"outcome": "pass", "reason": None, "losses": [], "lost": []},
        }
    names = [case.get("name") for case in ElementTree.parse(file).iter("testcase")]  # noqa: S314 - our own file
    for mode in ("unary", "stream"):
        assert f"test_cell[anthropic-openai-text-{mode}]" in names
        assert f'href="#anthropic-openai-text-{mode}"' in page.read_text("utf-8")


# ---- results and exit codes ------------------------------------------------------------------------------------------


def test_known_failing_cells_must_exist_and_fail(accepted: Folder) -> None:
    known = accepted.root / "known.txt"
    known.write_text("# these pass\nollama-gemini-text-*\n\n# no such cell\nollama-unknown-*\n")
    run = accepted.run("--known-failing", str(known))
    assert run.code == 1
    assert run.closing.endswith(" passed, 3 failed"), "two cells that pass, and a glob without cells"
    assert accepted.run("--known-failing", str(known), "--frontend", "anthropic").code == 0, (
        "only a complete run checks the list"
    )


def broken_story(folder: Folder) -> None:
    """Adds a story that no proxy can pass: it expects another text upstream than the client sends."""
    wrong = STORY + 'expect: {openai-chat: {"$.messages[0].content": Something else.}}\n'
    (folder.scenarios / "stories/text-broken.yaml").write_text(wrong)


def test_a_failing_cell_fails_the_run(small: Folder) -> None:
    broken_story(small)
    flags = ("--provider", "openai", "--story", "text-broken", "--frontend", "ollama")
    failed = small.run(*flags, "--json", str(small.root / "cells.jsonl"))
    assert failed.code == 1
    assert "✗ ollama-openai-text-broken-unary" in failed.out
    assert "the story expects Something else." in failed.out
    assert failed.closing.endswith(" passed, 2 failed")
    found = [json.loads(line) for line in (small.root / "cells.jsonl").read_text("utf-8").splitlines()]
    assert [cell["outcome"] for cell in found] == ["fail", "fail"]
    known = small.root / "known.txt"
    known.write_text("# expects another text\n*-text-broken-*\n")
    assert small.run(*flags, "--known-failing", str(known)).code == 0


def test_x_stops_at_the_first_failure(small: Folder) -> None:
    broken_story(small)
    stopped = small.run("--provider", "openai", "--story", "text-broken", "-x")
    assert stopped.code == 1
    assert stopped.closing.endswith(" passed, 1 failed")


USAGE: tuple[tuple[tuple[str, ...], str], ...] = (
    (("--story", "unknown-*"), "--story unknown-* matches none of 1 story names; there are text"),
    (("--frontend", "telnet"), "matches none of 5 frontend names; there are openai-chat, openai-responses"),
    (("--scenarios", "/nowhere"), "has no providers/"),
    (("--json", "/nowhere/cells.jsonl"), "--json /nowhere/cells.jsonl: cannot be written"),
    (("--html", "/nowhere/cells.html"), "--html /nowhere/cells.html: cannot be written"),
    (("--junit", "/nowhere/cells.xml"), "--junit /nowhere/cells.xml: cannot be written"),
    (("--known-failing", "/nowhere/known.txt"), "no such file"),
    (("--no-such-flag",), "unrecognized arguments: --no-such-flag"),
)


@pytest.mark.parametrize(("flags", "error"), USAGE, ids=["-".join(flags) for flags, _ in USAGE])
def test_wrong_flags_exit_with_2(flags: tuple[str, ...], error: str, small: Folder) -> None:
    run = small.run(*flags)
    assert run.code == 2
    assert error in run.err
    assert "✓" not in run.out.replace("✓ right", "")


def test_flags_that_match_no_cell_exit_with_2(folder: Folder) -> None:
    run = folder.run("--story", "stream-cut", "--no-stream")
    assert run.code == 2
    assert "no cell matches" in run.err


def test_invalid_scenarios_exit_with_2(small: Folder) -> None:
    (small.scenarios / "stories/text-made-up.yaml").write_text(STORY.replace("needs", "neds"))
    (small.scenarios / "providers/groq.yaml").write_text(GROQ.replace("openai-chat", "smoke-signals"))
    run = small.run()
    assert run.code == 2
    assert re.search(r"stories/text-made-up\.yaml:3\b.*neds", run.err), run.err
    assert re.search(r"providers/groq\.yaml:1\b.*smoke-signals", run.err), run.err
