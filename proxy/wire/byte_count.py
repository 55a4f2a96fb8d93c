"""Counts one character in texts of megabytes."""

from __future__ import annotations

from typing import AnyStr

SPARSE = 1024
"""Characters a piece from which on searching is quicker than counting: a search takes a thirtieth of the time."""


def count(text: AnyStr, character: AnyStr) -> int:
    """The number of times that a character is in a text; where it is rare, as in pictures and prose, by searches."""
    at = -1
    for number in range(len(text) // SPARSE):
        at = text.find(character, at + 1)
        if at < 0:
            return number
    return len(text) // SPARSE + text.count(character, at + 1)
