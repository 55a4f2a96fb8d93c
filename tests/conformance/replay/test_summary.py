"""The summary of verdicts: required shares, the table and the JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from crosswire.conformance.replay.summary import is_good, json_lines, table
from crosswire.conformance.replay.verdict import Outcome, Verdict


def verdicts(valid: int, invalid: int, own: int = 0, **head: Any) -> Iterator[Verdict]:
    """Yields verdicts with valid and invalid crossings, of which the first `own` also fail in their own protocol."""
    fields = {"file": "f.json", "protocol": "anthropic", "capability": "text", **head}
    lost = ("reply: stop (stop_reason): sent 'end', received 'length'",)
    for at, wrong in enumerate([()] * valid + [lost] * invalid):
        itself = Outcome(lost if at < own else ())
        yield Verdict(**fields, own=itself, cross={"gemini": Outcome(wrong, ("seed",))})


GOOD: list[tuple[str, list[Verdict], bool]] = [
    ("all valid", [*verdicts(5, 0)], True),
    ("98 of a hundred crossings", [*verdicts(98, 2)], True),
    ("97 of a hundred crossings", [*verdicts(97, 3)], False),
    ("99 of a hundred round trips", [*verdicts(100, 0, own=1)], True),
    ("98 of a hundred round trips", [*verdicts(100, 0, own=2)], False),
    ("one not decoded", [*verdicts(99, 0), *verdicts(1, 0, undecoded="reply: not a reply")], False),
    ("one raised", [*verdicts(99, 0), *verdicts(1, 0, raised=("boom",))], False),
    ("skipped ones do not count", [*verdicts(5, 0), *verdicts(0, 9, skipped="not a chat")], True),
]


@pytest.mark.parametrize(("cases", "verdict"), [row[1:] for row in GOOD], ids=[row[0] for row in GOOD])
def test_required_shares(cases: list[Verdict], verdict: bool) -> None:
    assert is_good(cases) is verdict


def test_the_table() -> None:
    cases = [*verdicts(2, 1), *verdicts(1, 0, capability="pdf"), *verdicts(1, 0, skipped="not a chat")]
    text = [" ".join(line.split()) for line in table(cases)]
    assert "anthropic text 3 3 3/3 100.0 % 2/3 66.7 % seed 3" in text
    assert "anthropic pdf 1 1 1/1 100.0 % 1/1 100.0 % seed 1" in text
    assert "all 4 4 4/4 100.0 % 3/4 75.0 % seed 4" in text
    assert "skipped 1: not a chat" in text
    assert "1 anthropic to gemini: reply: stop (stop_reason) [f.json]" in text


def test_json_lines() -> None:
    (line,) = json_lines(verdicts(0, 1))
    value = json.loads(line)
    assert value["cross"]["gemini"]["valid"] is False
    assert value["own"] == {"valid": True, "reasons": [], "losses": []}
    assert (value["protocol"], value["capability"], value["decoded"]) == ("anthropic", "text", True)
