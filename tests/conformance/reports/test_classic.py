"""The four classic checks print the output that the guide shows, and fail for another reply."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from crosswire.conformance.reports.classic import run_classic_checks

ROOT = Path(__file__).parents[3]


def shown_block() -> str:
    """Returns the example output of the guide."""
    text = (ROOT / "docs" / "conformance.md").read_text("utf-8")
    block = text.partition("<!-- classic -->\n```\n")[2].partition("```\n<!-- /classic -->")[0]
    assert block, "the guide has no block between its classic marks"
    return block


def test_the_output_equals_the_guide(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_classic_checks([ROOT / "scenarios"]) == 0
    assert capsys.readouterr().out == shown_block()


def test_another_reply_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(ROOT / "scenarios", tmp_path / "scenarios")
    story = tmp_path / "scenarios" / "providers" / "gemini.yaml"
    text = story.read_text("utf-8")
    assert "Hello!" in text
    story.write_text(text.replace("Hello!", "Good day!"), "utf-8")
    assert run_classic_checks([tmp_path / "scenarios"]) == 1
    out = capsys.readouterr().out
    assert "✗ OpenAI API → Gemini backend, text" in out
    assert "Good day!" in out
    assert out.endswith("All Tests Complete!\n")
