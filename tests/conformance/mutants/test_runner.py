"""`crosswire-matrix mutants` reports what was killed, what survived and what proves nothing; its exit code says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAD = "direction: reply, protocols: [openai-chat], covers: [usage], loses: a test of the machinery"
CELLS = "cells: {frontend: [openai-chat], provider: [anthropic], story: [text]}"

ROWS = {
    "found": ("protocols/openai_chat/reply_encoder.py", "usage.prompt or 0", "7"),
    "without-effect": ("errors.py", "Exceptions of the proxy", "Errors of the proxy"),
    "no-place": ("errors.py", "there is no such text here", "1"),
    "no-import": ("errors.py", "MESSAGE_LIMIT = 2000", "MESSAGE_LIMIT = 1 / 0"),
    "in-a-stream": ("protocols/openai_chat/stream_encoder.py", "json_fields.encode(text) + self._after", "self._after"),
    "through-an-invariant": ("gateway/relay.py", "self._named(body) if self._renames else body", "body + b' '"),
}
"""Name of a mutant -> file, text and its replacement."""


def run(folder: Path, *names: str, survives: str = "", cells: str = CELLS) -> tuple[int, str]:
    """Runs these mutants from a table of their own; returns exit code and output."""
    expected = f", survives: {survives}" if survives else ""
    rows = []
    for name in names:
        file, find, replace = ROWS[name]
        patch = f'{{file: {file}, operator: change, find: "{find}", replace: "{replace}"}}'
        rows.append(f"- {{name: {name}, {HEAD}, {cells}, patches: [{patch}]{expected}}}")
    (folder / "rows.yaml").write_text("\n".join(rows))
    command = [sys.executable, "-m", "crosswire.conformance", "mutants", "--table", str(folder), "--jobs", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)  # noqa: S603
    return done.returncode, done.stdout + done.stderr


def test_verdicts(tmp_path: Path) -> None:
    code, text = run(tmp_path, "found", "without-effect", "no-place", "no-import", "in-a-stream")
    assert code == 1
    assert "✓ found: killed; openai-chat-anthropic-text-unary: usage" in text
    assert "✗ without-effect: survived; no check fails in 2 cells" in text
    assert "! no-place: invalid; no-place: the patch of errors.py does not apply" in text
    assert "! no-import: invalid; no-import: the changed proxy cannot be imported: ZeroDivisionError" in text
    assert "✓ in-a-stream: killed; openai-chat-anthropic-text-stream: " in text
    assert "5 mutants: 2 killed, 1 survived, 0 expected to survive, 2 invalid; " in text


def test_all_killed(tmp_path: Path) -> None:
    code, text = run(tmp_path, "found")
    assert (code, "1 mutants: 1 killed" in text) == (0, True), text


def test_an_invariant_kills(tmp_path: Path) -> None:
    cells = "cells: {frontend: [openai-chat], provider: [openai], story: [text], mode: unary}"
    code, text = run(tmp_path, "through-an-invariant", cells=cells)
    assert code == 0
    assert "killed; openai-chat-openai-text-unary: the reply changed on the way to the client" in text


def test_an_expected_survivor_is_no_failure(tmp_path: Path) -> None:
    code, text = run(tmp_path, "without-effect", survives="no story has it")
    assert code == 0
    assert "~ without-effect: expected to survive; no story has it" in text


def test_a_mutant_that_no_longer_survives_fails(tmp_path: Path) -> None:
    code, text = run(tmp_path, "found", survives="no story has it")
    assert code == 1
    assert "take `survives` out of the table" in text


def test_globs_without_a_cell_prove_nothing(tmp_path: Path) -> None:
    code, text = run(tmp_path, "found", cells="cells: {story: [no-such-story]}")
    assert code == 1
    assert "! found: invalid; found: its globs match no cell" in text


USAGE: tuple[tuple[str, ...], ...] = (
    ("--sample", "6/5"),
    ("--sample", "x"),
    ("--name", "no-such-mutant"),
    ("--table", "/no/such"),
)


@pytest.mark.parametrize("arguments", USAGE, ids=" ".join)
def test_wrong_arguments(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    from crosswire.conformance.__main__ import main

    assert main(["mutants", *arguments]) == 2
    assert capsys.readouterr().err


def test_a_list_without_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    from crosswire.conformance.__main__ import main

    assert main(["mutants", "--list", "--name", "anthropic-format-*"]) == 0
    assert capsys.readouterr().out.startswith("anthropic-format-as-prompt: a JSON schema becomes a wish")
