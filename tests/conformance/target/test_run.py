"""A run: what it prints and writes, its schema, its baseline, and what is said where the gateway cannot be reached."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from aiohttp import web

from crosswire.conformance.__main__ import main
from crosswire.conformance.harness.testbed_target import TargetTestbed
from crosswire.conformance.matrix.result import Cell
from crosswire.conformance.target.baseline import Baseline, regressions, stale_entries
from crosswire.conformance.target.cli import run_schema
from crosswire.conformance.target.verdict import Finding, Outcome, Verdict
from crosswire.mockserver.scenarios.loader import Scenarios

from ...source_tree import ROOT


@pytest.fixture(scope="module")
def run_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The JSON of a run against Crosswire, started as its profile says."""
    file = tmp_path_factory.mktemp("run") / "run.json"
    flags = ["--story", "tools-strict-all", "--provider", "o*", "--frontend", "anthropic", "--json", str(file)]
    assert main(["run", "--profile", "crosswire", "--start", "--house", *flags]) == 0
    return file


def test_the_json_of_a_run_fits_the_published_schema(run_file: Path) -> None:
    run = json.loads(run_file.read_text("utf-8"))
    published = json.loads((ROOT / "docs" / "run.schema.json").read_text("utf-8"))
    assert published == run_schema()
    jsonschema.Draft202012Validator(published).validate(run)
    assert sum(run["outcomes"].values()) == len(run["cells"]) == 8
    assert run["outcomes"]["lossy-told"] >= 1


def test_a_cell_is_shown_with_rule_and_wires(run_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "anthropic-ollama-tools-strict-all-unary", "--from", str(run_file), "--markdown"]) == 0
    text = capsys.readouterr().out
    for part in ("**lossy, told**", "Rule (vendor):", "https://", "### Client → gateway", "### Gateway → provider"):
        assert part in text
    assert "POST /v1/messages" in text
    assert main(["show", "anthropic-olama-tools-strict-all-unary", "--from", str(run_file)]) == 2
    assert "near: anthropic-ollama-tools-strict-all-unary" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--target", "http://127.0.0.1:9"], 2, "--target needs --profile"),
        (["--profile", "lighthouse"], 2, "shipped: any-llm, claude-code-router, crosswire"),
        (["--profile", "crosswire", "--target", "http://127.0.0.1:9", "--mock-port", "0"], 3, "no answer of"),
        (["--profile", "crosswire", "--start", "--update"], 2, "--update is about Crosswire's own matrix"),
        (["--profile", "crosswire", "--start", "--story", "nothing"], 2, "no cell matches"),
        (["--house"], 2, "--house: is about another gateway"),
        (["--profile", "crosswire", "--target", "127.0.0.1:9"], 2, "it begins with http:// or https://"),
    ],
    ids=str,
)
def test_a_wrong_call_says_what_to_do(
    flags: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *flags]) == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--help"], 0, "\n  profile      draft or check the profile of a gateway\n"),
        (["shwo"], 2, "no command shwo; did you mean show?"),
        (["lighthouse"], 2, "there are run, profile, show, report, leaderboard, replay, mutants"),
    ],
)
def test_the_commands_are_told(arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == code
    printed = capsys.readouterr()
    assert said in (printed.err if code else printed.out)


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_is_taken_says_what_to_do(busy_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--target", "http://127.0.0.1:9", "--mock-port", str(busy_port), "--story", "text"]
    assert main(["run", "--profile", "crosswire", *flags]) == 3
    assert f"the port is taken; a crosswire-mock that runs there is used with --mock http://127.0.0.1:{busy_port}" in (
        capsys.readouterr().err
    )


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """The address of a gateway that wants a key, and whose providers are not the mock."""

    async def refuse(request: web.Request) -> web.Response:
        is_known = request.headers.get("authorization") == "Bearer my-key"
        error = {"message": "?", "type": "server_error", "param": None, "code": None}
        return web.json_response({"error": error}, status=500 if is_known else 401)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", refuse)
    with TargetTestbed(Scenarios({}, {})) as testbed:
        yield testbed.wait(testbed.start(app))


def test_a_gateway_that_never_asks_the_mock_is_told_where_it_is(
    elsewhere: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, (flags, said) in enumerate(
        (([], "It wants a key: give it with --key"), (["--key", "my-key"], "No request reached the mock"))
    ):
        file = tmp_path / f"{number}.yaml"
        assert main(["profile", "new", elsewhere, "--mock-port", "0", "-o", str(file), *flags]) == 0
        assert said in capsys.readouterr().out
    file.write_text(file.read_text("utf-8").replace("# openai: {gpt-5-nano: ?}", "openai: '{model}'"), "utf-8")
    flags = ["--story", "text", "--provider", "openai", "--mock-port", "0", "--html", str(tmp_path / "page.html")]
    assert main(["run", "--profile", str(file), *flags]) == 1
    printed = capsys.readouterr()
    assert "point the gateway's providers at http://127.0.0.1:" in printed.err
    assert f"Wrote {tmp_path / 'page.html'}." in printed.out


def verdict(story: str, outcome: Outcome) -> Verdict:
    found = Verdict(Cell("gemini", "openai", story, False))
    if outcome != "right":
        found.add(Finding(outcome, "content", "vendor", "", "", ""))
    return found


VERDICTS = [verdict("text", "right"), verdict("tools", "wrong"), verdict("audio", "silent-could")]


@pytest.mark.parametrize(
    ("baseline", "worse", "stale"),
    [
        (Baseline(), ["gemini-openai-tools-unary: wrong", "gemini-openai-audio-unary: silent-could"], []),
        (Baseline({"*-tools-*": "why", "*-audio-*": "why"}), [], []),
        (
            Baseline({"*-tools-*": "", "*-audio-*": "", "*-text-*": "old"}),
            [],
            ["*-text-*: its 1 cells are fine now (old)"],
        ),
        (Baseline({"*-[ta]*o*": "", "*-sea-*": "old"}), [], ["*-sea-*: matches no cell (old)"]),
        (
            Baseline(outcomes={"gemini-openai-tools-unary": "off-shape", "gemini-openai-audio-unary": "wrong"}),
            ["gemini-openai-tools-unary: wrong, was off-shape"],
            [],
        ),
    ],
    ids=["none", "all known", "stale", "no cell", "an earlier run"],
)
def test_a_baseline_fails_on_what_is_worse_and_on_stale_entries(
    baseline: Baseline, worse: list[str], stale: list[str]
) -> None:
    assert regressions(VERDICTS, baseline) == worse
    assert stale_entries(VERDICTS, baseline, whole=True) == stale
