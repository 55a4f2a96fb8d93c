"""A difference between what was said and what arrived, and the word that may excuse it; it knows no dialect."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

WRONG = "wrong"
"""The word of a difference that no loss can excuse."""


class Difference(Struct, frozen=True):
    """Something said that arrived otherwise: the word that may excuse it, where, and both sides."""

    word: str
    path: str
    said: Any
    arrived: Any

    def __str__(self) -> str:
        return f"{self.path} ({self.word}): said {short(self.said)}, arrived {short(self.arrived)}"


def short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "…"
