"""The four classic checks print what the README shows, and fail where an answer is another."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from conformance.classic import play_classic

ROOT = Path(__file__).parent.parent.parent


def readme_block() -> str:
    text = (ROOT / "README.md").read_text("utf-8")
    block = text.partition("<!-- classic -->\n```\n")[2].partition("```\n<!-- /classic -->")[0]
    assert block, "the README has no block between its classic marks"
    return block


def test_they_print_what_the_readme_shows(capsys: pytest.CaptureFixture[str]) -> None:
    assert play_classic(ROOT / "scenarios") == 0
    assert capsys.readouterr().out == readme_block()


def test_another_answer_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(ROOT / "scenarios", tmp_path / "scenarios")
    story = tmp_path / "scenarios" / "providers" / "gemini.yaml"
    text = story.read_text("utf-8")
    assert "Hello!" in text
    story.write_text(text.replace("Hello!", "Good day!"), "utf-8")
    assert play_classic(tmp_path / "scenarios") == 1
    out = capsys.readouterr().out
    assert "✗ OpenAI API → Gemini backend, text" in out
    assert "Good day!" in out
    assert out.endswith("All Tests Complete!\n")
