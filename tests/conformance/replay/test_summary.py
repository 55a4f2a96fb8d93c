"""The summary of verdicts: figures, the table by pair of protocols, reasons and the JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from crosswire.conformance.replay.summary import capability_table, figures, json_lines, summarize, table
from crosswire.conformance.replay.verdict import Outcome, Verdict


def verdicts(valid: int, invalid: int, own: int = 0, **head: Any) -> Iterator[Verdict]:
    """Yields verdicts with valid and invalid crossings, of which the first `own` also fail in their own protocol."""
    fields = {"file": "f.json", "protocol": "anthropic", "capability": "text", **head}
    lost = ("reply: stop (stop_reason): sent 'end', received 'length'",)
    for at, wrong in enumerate([()] * valid + [lost] * invalid):
        itself = Outcome(lost if at < own else ())
        yield Verdict(**fields, own=itself, cross={"gemini": Outcome(wrong, ("seed",))})


def test_the_table() -> None:
    refused = Verdict(
        file="r.json",
        protocol="anthropic",
        capability="pdf",
        own=Outcome(mock="Unknown name 'x'"),
        cross={"gemini": Outcome((), ("document",), ("document",))},
    )
    cases = [*verdicts(2, 1), refused, *verdicts(1, 0, skipped="not a chat"), *verdicts(0, 1, raised=("boom",))]
    text = [" ".join(line.split()) for line in table(cases)]
    assert text[0] == "recorded cases decoded own round trip to anthropic to gemini crossed"
    assert "anthropic 5 5/5 100.00 %, 1 raised 5/5 100.00 % - 3/5 60.00 % (1 refused) 3/5 60.00 % (1 refused)" in text
    assert "skipped 1: not a chat" in text
    assert "declared losses: seed 4, document 1" in text
    assert "2 anthropic to gemini: reply: stop (stop_reason) [f.json]" not in text  # one file counts once
    assert "1 anthropic to gemini: reply: stop (stop_reason) [f.json]" in text
    assert "1 anthropic: Unknown name … [r.json]" in text


def test_the_table_by_capability() -> None:
    cases = [*verdicts(2, 1), *verdicts(1, 0, capability="pdf")]
    text = [" ".join(line.split()) for line in capability_table(cases)]
    assert "anthropic text 3 3 3/3 100.00 % 2/3 66.66 % seed 3" in text
    assert "anthropic pdf 1 1 1/1 100.00 % 1/1 100.00 % seed 1" in text


def test_figures() -> None:
    cases = [*verdicts(2, 1, own=1), *verdicts(0, 1, undecoded="reply: not a reply"), *verdicts(0, 9, skipped="no")]
    assert figures(cases, (9, 10)) == {
        "decoded": 75.0,
        "own": 50.0,
        "crossed": 50.0,
        "anthropic to itself": 50.0,
        "anthropic to gemini": 50.0,
        "over sockets": 90.0,
    }
    assert "over sockets" not in figures(cases)
    assert summarize(cases).losses == {"seed": 4}


def test_json_lines() -> None:
    (line,) = json_lines(verdicts(0, 1), {"f.json": ["cut"]})
    value = json.loads(line)
    assert value["cross"]["gemini"]["valid"] is False
    assert value["own"] == {"valid": True, "reasons": [], "losses": [], "refused": [], "mock": None, "left_out": None}
    assert value["sockets"] == ["cut"]
    assert (value["protocol"], value["capability"], value["decoded"]) == ("anthropic", "text", True)


def test_a_crossing_that_a_recording_cannot_show_counts_for_nothing() -> None:
    damaged = Verdict(
        file="g.json",
        protocol="gemini",
        capability="images",
        cross={"ollama": Outcome(left_out="a damaged image"), "anthropic": Outcome()},
    )
    total = summarize([damaged])
    assert (total.crossed, total.crossings) == (1, 1)
    assert figures([damaged])["gemini to anthropic"] == 100
    assert "left out 1 crossings: a damaged image" in list(table([damaged]))
