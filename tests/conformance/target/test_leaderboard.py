"""The leaderboard: its page, its command, and the installation of gateways."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from crosswire.conformance.__main__ import main
from crosswire.conformance.target import installation, leaderboard
from crosswire.conformance.target.core_stories import core_stories
from crosswire.conformance.target.installation import NotInstalled, install
from crosswire.conformance.target.leaderboard_page import BEGIN, END, with_board
from crosswire.conformance.target.profile import Frontend, Installation, Profile
from crosswire.conformance.target.profile_parser import find_profile, shipped_profiles
from crosswire.conformance.target.verdict import CellVerdict
from crosswire.mockserver.scenarios.folders import scenario_folders
from crosswire.mockserver.scenarios.loader import load_scenarios

from .sample_runs import RUNS, cell, run

FERRY = Profile(name="ferry", version="3.1", frontends={"gemini": Frontend()}, models={"openai": {"*": "m"}})


def test_the_board_stands_between_its_marks_and_the_rest_of_the_page_stays() -> None:
    page = with_board("", RUNS)
    assert page.startswith("# Leaderboard\n")
    around = f"# Ours\n\nHello.\n\n{BEGIN}\nthe last board\n{END}\n\nBye.\n"
    again = with_board(around, RUNS)
    assert again.startswith("# Ours\n\nHello.\n\n")
    assert again.endswith("\n\nBye.\n")
    assert "the last board" not in again
    assert with_board(again, RUNS) == again


def test_a_cause_is_named_with_its_rule_and_the_command_that_shows_it() -> None:
    page = with_board("", RUNS)
    assert "## lighthouse 1.1" in page
    assert "`crosswire-matrix run --profile lighthouse --start --frontend" in page
    assert "was interrupted" not in page
    short = replace(RUNS[0], planned=len(RUNS[0].cells) + 5)
    assert f"{len(short.cells)} of its {len(short.cells) + 5} cells were played" in with_board("", [short])


def test_a_cause_that_only_comes_with_another_is_not_named() -> None:
    def wrong(story: str, *paths: str) -> CellVerdict:
        one = cell(story, "wrong")
        return replace(one, findings=[replace(one.findings[0], feature="", path=path) for path in paths])

    cells = [
        wrong("text", "text", "usage"),
        wrong("audio", "text", "usage"),
        wrong("tools", "text"),
        wrong("n", "stop"),
    ]
    page = with_board("", [run("ferry", "3", 1, *cells)])
    named = [line.partition(". It")[0] for line in page.splitlines() if line[:2] in ("1.", "2.", "3.")]
    assert named == ["1. 3 cells: wrong: text", "2. 1 cells: wrong: stop"]


def test_every_core_story_exists_once() -> None:
    stories = core_stories()
    assert len(set(stories)) == len(stories) == 59
    assert set(stories) <= set(load_scenarios(*scenario_folders(None)).stories)


def test_every_shipped_profile_names_what_it_is_installed_from() -> None:
    for name in shipped_profiles():
        file = find_profile(name)
        assert file is not None
        assert ("\ninstall:" in file.read_text("utf-8")) is (name != "crosswire")


@pytest.mark.parametrize(
    ("wanted", "programs", "commands"),
    [
        (
            Installation(pip=("ferry[gateway]=={version}",)),
            "bin",
            ["-m venv", "-m pip install --quiet ferry[gateway]==3.1"],
        ),
        (
            Installation(npm=("@sea/ferry@{version}",)),
            "node_modules/.bin",
            ["npm install --no-audit --no-fund @sea/ferry@3.1"],
        ),
    ],
    ids=["pip", "npm"],
)
def test_a_gateway_is_installed_once(
    wanted: Installation, programs: str, commands: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        ran.append(" ".join(command))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(installation.subprocess, "run", run)
    folder = tmp_path / "ferry"
    for _ in range(2):
        assert install(replace(FERRY, install=wanted), folder) == folder / programs
    assert len(ran) == len(commands)
    assert all(part in line for part, line in zip(commands, ran, strict=True))
    install(replace(FERRY, version="3.2", install=wanted), folder)
    assert len(ran) == 2 * len(commands)


def test_a_failed_installation_says_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ferry = replace(FERRY, install=Installation(npm=("ferry",)))
    monkeypatch.setattr(installation.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1, "", "E404"))
    with pytest.raises(NotInstalled, match=r"npm install .* ended with 1:\nE404"):
        install(ferry, tmp_path / "ferry")
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotInstalled, match="npm: No such file or directory"):
        install(ferry, tmp_path / "ferry")


def test_the_command_judges_and_writes_page_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands: list[list[str]] = []

    def judge(command: list[str], environment: dict[str, str], minutes: float | None) -> int:
        commands.append(command)
        Path(command[command.index("--json") + 1]).write_bytes(msgspec.json.encode(RUNS[0]))
        assert minutes == 2
        return 1

    monkeypatch.setattr(leaderboard, "_judge", judge)
    folder = tmp_path / "board"
    assert main(["leaderboard", "--gateway", "crosswire", "--folder", str(folder), "--minutes", "2"]) == 0
    assert "--core" in commands[0]
    assert "| lighthouse | 1.1 |" in (folder / "leaderboard.md").read_text("utf-8")
    assert json.loads((folder / "runs" / "crosswire.json").read_bytes())["gateway"]["name"] == "lighthouse"
    assert main(["leaderboard", "--gateway", "ferries", "--folder", str(folder)]) == 2
    assert "--gateway ferries: none of" in capsys.readouterr().err


def test_a_gateway_without_a_run_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(leaderboard, "_judge", lambda *_: 3)
    assert main(["leaderboard", "--gateway", "crosswire", "--folder", str(tmp_path)]) == 1
    assert "no run in" in capsys.readouterr().err


def test_a_run_ends_after_its_minutes(tmp_path: Path) -> None:
    script = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(1)); print(); time.sleep(60)"
    assert leaderboard._judge([sys.executable, "-c", script], {}, 0.01) in (1, -15)
