"""One request, one set of words: header, record, metrics, `crosswire convert` and the matrix's cell say the same."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.allowed import read_matrix
from conformance.bench import Bench
from conformance.cells import Cell, Result, play
from conformance.report import json_line
from mockserver.scenario import load
from proxy.__main__ import main
from proxy.ledger import LEDGER

ROOT = Path(__file__).parents[2]
SCENARIOS = load(ROOT / "scenarios")

ASKS = (
    ("openai-chat", "anthropic", "text-fields-of-chat"),
    ("openai-chat", "gemini", "tools-strict"),
    ("openai-responses", "gemini", "text-fields-of-responses"),
    ("openai-responses", "openai", "tools-hosted"),
    ("anthropic", "openai", "text-fields-of-anthropic"),
    ("anthropic", "ollama", "tools-no-parallel"),
    ("gemini", "openai-responses", "text-fields-of-gemini"),
    ("gemini", "openai", "text-sampling"),
    ("ollama", "anthropic", "text-fields-of-ollama"),
    ("ollama", "gemini", "text-unknown-field"),
)
"""Stories of one exchange in which the request loses something, and the answer nothing."""

ANSWERS = (
    ("anthropic", "openai", "text-refusal"),
    ("ollama", "anthropic", "text-content-filter"),
    ("openai-chat", "anthropic", "text-stop-sequence"),
)
"""Stories in which the answer holds what the client's protocol has no words for."""


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench(SCENARIOS) as opened:
        yield opened


def counted(bench: Bench) -> dict[str, float]:
    """The losses by word that the proxy has counted by now."""
    answer = bench.wait(bench.send("GET", f"{bench.base_url}/metrics", {}, b""))
    found = re.findall(r'^crosswire_losses_total\{feature="(\w+)"\} (\S+)$', answer.body.decode(), re.MULTILINE)
    return {word: float(count) for word, count in found}


def played(bench: Bench, cell: Cell) -> tuple[Result, dict[str, float]]:
    """A cell, and how much its playing added to each counter of losses."""
    before = counted(bench)
    result = bench.wait(play(cell, bench, SCENARIOS, read_matrix()))
    return result, {word: n - before.get(word, 0) for word, n in counted(bench).items() if n != before.get(word)}


def told(result: Result) -> set[str]:
    """The words of the header, once record and cell are seen to have the same."""
    (step,) = result.steps
    header = step.answer.headers.get("x-crosswire-loss", "").split(",")
    assert step.record is not None
    words = {loss["feature"] for loss in step.record["losses"]}
    assert words == set(result.losses) == set(json.loads(json_line(result))["losses"])
    assert len(header) == len(set(header))
    if not result.cell.stream:
        assert set(header) == words
    assert words <= set(LEDGER)
    return words


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize(("frontend", "provider", "story"), ASKS, ids=["-".join(ask) for ask in ASKS])
def test_what_a_request_loses_has_one_set_of_words(
    frontend: str,
    provider: str,
    story: str,
    stream: bool,
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    result, added = played(bench, Cell(frontend, provider, story, stream))
    words = told(result)
    assert words, "this story must lose something"
    assert added == dict.fromkeys(words, 1)
    assert set(result.steps[0].answer.headers["x-crosswire-loss"].split(",")) == words
    body = result.steps[0].wires.client_request.encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(body)))
    flags = ["--stream"] if stream else []
    assert main(["convert", "--from", frontend, "--to", SCENARIOS.providers[provider].protocol, *flags]) == 0
    assert set(re.findall(r"^loss: (\w+)", capsys.readouterr().err, re.MULTILINE)) == words


@pytest.mark.parametrize(("frontend", "provider", "story"), ANSWERS, ids=["-".join(answer) for answer in ANSWERS])
def test_what_an_answer_loses_has_one_set_of_words(frontend: str, provider: str, story: str, bench: Bench) -> None:
    result, added = played(bench, Cell(frontend, provider, story, stream=False))
    words = told(result)
    assert words, "this story must lose something"
    assert added == dict.fromkeys(words, 1)
