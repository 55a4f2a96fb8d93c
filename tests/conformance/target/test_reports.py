"""Reports of runs: what changed, JUnit, Markdown, badge, and the command that writes them."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from crosswire.conformance.__main__ import main
from crosswire.conformance.target.badge import badge, shown_share
from crosswire.conformance.target.junit import junit
from crosswire.conformance.target.markdown import markdown
from crosswire.conformance.target.run_diff import Change, RunDiff, run_diffs
from crosswire.conformance.target.verdict import Outcome

from .sample_runs import RUNS, cell, run


def test_runs_of_one_gateway_are_compared_in_the_order_of_time() -> None:
    fixed = Change("anthropic-openai-audio-unary", "silent-could", "right")
    broken = Change("anthropic-openai-tools-unary", "right", "wrong")
    assert run_diffs(RUNS) == [RunDiff(1, 0, (fixed,), (broken,), (), 1, 1)]


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("wrong", "off-shape", "fixed"),
        ("off-shape", "wrong", "broken"),
        ("lossy-told", "silent-could", "broken"),
        ("silent-could", "lossy-told", "fixed"),
        ("right", "lossy-told", "changed"),
        ("wrong", "not-offered", "changed"),
        ("not-offered", "wrong", "changed"),
    ],
)
def test_each_change_is_of_one_kind(before: Outcome, after: Outcome, kind: str) -> None:
    (diff,) = run_diffs([run("g", "1", 1, cell("s", before)), run("g", "2", 2, cell("s", after))])
    assert {name: len(getattr(diff, name)) for name in ("fixed", "broken", "changed")} == {
        **dict.fromkeys(("fixed", "broken", "changed"), 0),
        kind: 1,
    }


def test_junit_has_a_suite_a_run_and_a_case_a_cell() -> None:
    suites = ElementTree.fromstring(junit(RUNS))  # noqa: S314 - made here
    assert [
        (suite.get("name"), suite.get("tests"), suite.get("failures"), suite.get("skipped")) for suite in suites
    ] == [
        ("lighthouse 1.1", "4", "1", "0"),
        ("lighthouse 1.0", "4", "1", "0"),
        ("ferry 3", "3", "2", "1"),
    ]
    failure = suites.find("./testsuite/testcase[@name='tools-unary']/failure")
    assert failure is not None
    assert failure.get("type") == "wrong"
    assert "tools \ufffd is lost: <script>" in (failure.text or "")


def test_the_markdown_ranks_runs_and_names_causes_and_changes() -> None:
    lines = markdown(RUNS).splitlines()
    rows = [line for line in lines if line.startswith(("| lighthouse", "| ferry"))]
    assert [row.split(" | ")[:5] for row in rows] == [
        ["| lighthouse", "1.1", "2026-11-20", "4", "75 %"],
        ["| lighthouse", "1.0", "2026-11-10", "4", "75 %"],
        ["| ferry", "3", "2026-11-15", "2", "0 %"],
    ]
    assert "- 1 cells: wrong: tool_choice at tool_choice (`anthropic-openai-tools-unary`)" in lines
    assert "- broken: `anthropic-openai-tools-unary`: right → wrong" in lines
    assert "1 fixed, 1 broken, 0 changed otherwise." in lines


@pytest.mark.parametrize(
    ("outcomes", "shown", "colour"),
    [
        (["right"] * 3, "100 %", "#1b7a43"),
        (["right"] * 1999 + ["wrong"], "99.9 %", "#1b7a43"),
        (["right"] * 9 + ["wrong"], "90 %", "#8a5a00"),
        (["wrong", "not-offered"], "0 %", "#b3261e"),
        (["not-offered"], "no cells", "#b3261e"),
    ],
    ids=str,
)
def test_the_badge_says_the_share_of_fine_cells(outcomes: list[Outcome], shown: str, colour: str) -> None:
    one = run("a <b>", "", 1, *(cell("s", outcome) for outcome in outcomes))
    assert shown_share(one) == shown
    image = ElementTree.fromstring(badge(one))  # noqa: S314 - made here
    assert image.get("aria-label") == f"a <b>: conformance {shown}"
    assert colour in badge(one)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    files = [tmp_path / f"{number}.json" for number in range(len(RUNS))]
    for file, one in zip(files, RUNS, strict=True):
        file.write_bytes(msgspec.json.encode(one))
    return list(map(str, files))


def test_the_command_writes_every_report(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", *files, "--html", "--junit", "j.xml", "--markdown", "m.md", "--badge", "b.svg"]) == 0
    printed = capsys.readouterr().out
    assert "lighthouse: 1 fixed, 1 broken, 0 changed" in printed
    for name, begin in (("report.html", "<!doctype html>"), ("j.xml", "<?xml"), ("m.md", "## "), ("b.svg", "<svg")):
        assert f"Wrote {name}." in printed
        assert (tmp_path / name).read_text("utf-8").startswith(begin)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["nothing.json"], "No such file"),
        (["--html", "0.json"], "are required"),
        (["0.json", "--html", "1.json"], "would overwrite a run"),
        (["0.json", "--badge", "nowhere/b.svg"], "cannot be written"),
        (["bad.json"], "give the JSON that"),
    ],
    ids=str,
)
def test_a_wrong_call_of_the_command_says_what_to_do(
    flags: list[str],
    said: str,
    files: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text("{}", "utf-8")
    try:
        code = main(["report", *flags])
    except SystemExit as ended:  # what argparse refuses
        code = int(ended.code or 0)
    assert code == 2
    assert said in capsys.readouterr().err
