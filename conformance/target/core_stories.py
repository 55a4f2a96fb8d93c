"""The core stories: those that every gateway of models has to get right."""

from __future__ import annotations

from pathlib import Path

FILE = Path(__file__).with_name("core-stories.txt")


def core_stories() -> tuple[str, ...]:
    """Returns the names of the core stories in the file's order."""
    lines = (line.strip() for line in FILE.read_text("utf-8").splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))
