"""Splits the text of a model into answer, thinking and calls at its delimiters, and ends it at a stop sequence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

Part: TypeAlias = Literal["text", "thinking", "call"]
"""The kinds of output of a model."""


class Delimiters(Struct, frozen=True):
    """The texts with which a model opens and closes thinking and calls; empty if it has none.

    With an empty `call_close`, a call ends with the output.
    """

    think_open: str = ""
    think_close: str = ""
    call_open: str = ""
    call_close: str = ""


class Fragment(Struct, frozen=True):
    """Some text of one part; `closes` if the part ends with it."""

    part: Part
    text: str
    closes: bool = False


class OutputParser:
    """Parses text incrementally; text that may be the beginning of a delimiter or stop sequence is held back."""

    def __init__(self, delimiters: Delimiters, stops: Sequence[str] = (), *, part: Part = "text") -> None:
        self.part: Part = part
        self.matched: str | None = None
        """The stop sequence that ended the output; later text is ignored."""
        self._pending = ""
        text: dict[str, Part | None] = {delimiter: None for delimiter in stops if delimiter}
        if delimiters.think_open:
            text.setdefault(delimiters.think_open, "thinking")
        if delimiters.call_open:
            text.setdefault(delimiters.call_open, "call")
        thinking: dict[str, Part | None] = {delimiters.think_close: "text"} if delimiters.think_close else {}
        call: dict[str, Part | None] = {delimiters.call_close: "text"} if delimiters.call_close else {}
        self._transitions: dict[Part, dict[str, Part | None]] = {"text": text, "thinking": thinking, "call": call}
        self._finders = {part: _finder(tuple(transitions)) for part, transitions in self._transitions.items()}

        first_chars = {
            part: "".join(re.escape(delimiter[0]) for delimiter in transitions)
            for part, transitions in self._transitions.items()
        }
        self._first_chars = {
            part: re.compile(f"[{chars}]" if chars else r"(?!)") for part, chars in first_chars.items()
        }

    def feed(self, text: str) -> list[Fragment]:
        """Returns the fragments that are complete now."""
        if text and not self._pending and self.matched is None and not self._first_chars[self.part].search(text):
            return [Fragment(self.part, text)]
        out: list[Fragment] = []
        self._pending += text
        while self._pending and self.matched is None:
            finder = self._finders[self.part]
            match = None if finder is None else _first_complete(finder, self._pending)
            if match is None:
                partial = _partial_length(self._pending, self._transitions[self.part])
                split = len(self._pending) - partial
                content, self._pending = self._pending[:split], self._pending[split:]
                if content:
                    out.append(Fragment(self.part, content))
                break
            delimiter = match.group(1)
            next_part = self._transitions[self.part][delimiter]
            content, self._pending = self._pending[: match.start()], self._pending[match.start() + len(delimiter) :]
            if next_part is None:
                self.matched = delimiter
            if content or self.part != "text":
                out.append(Fragment(self.part, content, closes=next_part is not None and self.part != "text"))
            self.part = next_part or self.part
        return out

    def end(self) -> list[Fragment]:
        """Returns the text that was held back, at the end of the output."""
        pending, self._pending = self._pending, ""
        return [Fragment(self.part, pending)] if pending and self.matched is None else []


def _finder(delimiters: tuple[str, ...]) -> re.Pattern[str] | None:
    """Returns a pattern for all delimiters, overlaps included; of two at one position the shorter is complete first."""
    ordered = sorted(delimiters, key=len)
    return re.compile(f"(?=({'|'.join(map(re.escape, ordered))}))") if ordered else None


def _first_complete(finder: re.Pattern[str], text: str) -> re.Match[str] | None:
    """Returns the delimiter that is complete first if the text is read character by character."""
    hits = list(finder.finditer(text))
    return min(hits, key=lambda match: match.start() + len(match.group(1)), default=None)


def _partial_length(text: str, delimiters: dict[str, Part | None]) -> int:
    """Returns how many characters at the end may be the beginning of a delimiter."""
    longest = 0
    for delimiter in delimiters:
        for size in range(min(len(delimiter) - 1, len(text)), longest, -1):
            if text.endswith(delimiter[:size]):
                longest = size
                break
    return longest
