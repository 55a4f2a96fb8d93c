"""Header, record, metrics, `crosswire convert` and the matrix's cell report the same losses for a request."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crosswire.conformance.harness.testbed import Testbed
from crosswire.conformance.matrix.expectations import read_expectations
from crosswire.conformance.matrix.result import Cell, Result
from crosswire.conformance.matrix.runner import play_cell
from crosswire.conformance.reports.grid import json_line
from crosswire.mockserver.scenarios.loader import load_scenarios
from crosswire.proxy.cli.main import main
from crosswire.proxy.ir.loss_tables import LOSS_RULES

ROOT = Path(__file__).parents[2]
SCENARIOS = load_scenarios(ROOT / "scenarios")

REQUEST_LOSSES = (
    ("openai-chat", "anthropic", "text-fields-of-chat"),
    ("openai-chat", "gemini", "text-fields-of-chat"),
    ("openai-responses", "gemini", "text-fields-of-responses"),
    ("openai-responses", "openai", "tools-hosted"),
    ("anthropic", "openai", "text-fields-of-anthropic"),
    ("anthropic", "ollama", "tools-no-parallel"),
    ("gemini", "openai-responses", "text-fields-of-gemini"),
    ("gemini", "openai", "text-sampling"),
    ("ollama", "anthropic", "text-fields-of-ollama"),
    ("ollama", "gemini", "text-unknown-field"),
)
"""(frontend, provider, story of one exchange) in which only the request has losses."""

REPLY_LOSSES = (
    ("ollama", "openai", "text-refusal"),
    ("ollama", "anthropic", "text-content-filter"),
    ("openai-chat", "anthropic", "text-stop-sequence"),
)
"""(frontend, provider, story) in which the reply has content that the client's protocol cannot express."""

LATE_LOSSES = (
    ("openai-chat", "anthropic", "stream-late-stop"),
    ("openai-responses", "anthropic", "stream-late-stop"),
    ("gemini", "anthropic", "stream-late-stop"),
    ("ollama", "anthropic", "stream-late-stop"),
    ("anthropic", "openai", "stream-late-citations"),
    ("ollama", "gemini", "stream-late-citations"),
)
"""(frontend, provider, story of one stream) in which a loss becomes known when the headers are sent."""


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    with Testbed(SCENARIOS) as opened:
        yield opened


def loss_counters(testbed: Testbed) -> dict[str, float]:
    """Returns the proxy's loss counters by feature."""
    answer = testbed.wait(testbed.send("GET", f"{testbed.base_url}/metrics", {}, b""))
    found = re.findall(r'^crosswire_losses_total\{feature="(\w+)"\} (\S+)$', answer.body.decode(), re.MULTILINE)
    return {feature: float(count) for feature, count in found}


def play(testbed: Testbed, cell: Cell) -> tuple[Result, dict[str, float]]:
    """Plays a cell; returns its result and the increase of each loss counter."""
    before = loss_counters(testbed)
    result = testbed.wait(play_cell(cell, testbed, SCENARIOS, read_expectations()))
    return result, {
        name: n - before.get(name, 0) for name, n in loss_counters(testbed).items() if n != before.get(name)
    }


def reported_losses(result: Result) -> set[str]:
    """Returns the losses of a cell after checking that header, last event, record and JSON line agree."""
    (step,) = result.steps
    header = list(filter(None, step.response.headers.get("x-crosswire-loss", "").split(",")))
    late = [loss.word for loss in step.reply.told.losses]
    assert step.record is not None
    losses = {loss["feature"] for loss in step.record["losses"]}
    assert losses == set(result.losses) == set(json.loads(json_line(result))["losses"])
    assert len(header) == len(set(header))
    assert {*header, *late} == losses
    assert result.cell.stream or not late
    assert losses <= set(LOSS_RULES)
    return losses


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize(
    ("frontend", "provider", "story"), REQUEST_LOSSES, ids=["-".join(ask) for ask in REQUEST_LOSSES]
)
def test_losses_of_a_request_agree_everywhere(
    frontend: str,
    provider: str,
    story: str,
    stream: bool,
    testbed: Testbed,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    result, added = play(testbed, Cell(frontend, provider, story, stream))
    losses = reported_losses(result)
    assert losses, "this story must have a loss"
    assert added == dict.fromkeys(losses, 1)
    assert set(result.steps[0].response.headers["x-crosswire-loss"].split(",")) == losses
    body = result.steps[0].transcript.client_request.encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(body)))
    flags = ["--model", result.decision["chosen"]["model"], *(["--stream"] if stream else [])]
    assert main(["convert", "--from", frontend, "--to", SCENARIOS.providers[provider].protocol, *flags]) == 0
    assert set(re.findall(r"^loss: (\w+)", capsys.readouterr().err, re.MULTILINE)) == losses


@pytest.mark.parametrize(
    ("frontend", "provider", "story"), REPLY_LOSSES, ids=["-".join(answer) for answer in REPLY_LOSSES]
)
def test_losses_of_a_reply_agree_everywhere(frontend: str, provider: str, story: str, testbed: Testbed) -> None:
    result, added = play(testbed, Cell(frontend, provider, story, stream=False))
    losses = reported_losses(result)
    assert losses, "this story must have a loss"
    assert added == dict.fromkeys(losses, 1)


@pytest.mark.parametrize(("frontend", "provider", "story"), LATE_LOSSES, ids=["-".join(late) for late in LATE_LOSSES])
def test_losses_late_in_a_stream_agree_everywhere(frontend: str, provider: str, story: str, testbed: Testbed) -> None:
    result, added = play(testbed, Cell(frontend, provider, story, stream=True))
    losses = reported_losses(result)
    (step,) = result.steps
    assert losses == {loss.word for loss in step.reply.told.losses} != set()
    assert "x-crosswire-loss" not in step.response.headers
    assert set(added) == losses
