"""What a model says, cut into answer, thinking and calls at its marks, and ended at a stop sequence, to the character.

It knows texts, and neither tokens nor what the marks of any model are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

Part: TypeAlias = Literal["text", "thinking", "call"]


class Marks(Struct, frozen=True):
    """The texts by which a model opens and closes a part; empty where it has none. An empty `call_close` is its end."""

    think_open: str = ""
    think_close: str = ""
    call_open: str = ""
    call_close: str = ""


class Piece(Struct, frozen=True):
    """A stretch of one part; `closes` where the part ends with it."""

    part: Part
    text: str
    closes: bool = False


class Splitter:
    """Text in as it comes, pieces out; what may be the beginning of a mark or of a stop waits for what follows it."""

    def __init__(self, marks: Marks, stops: Sequence[str] = (), *, part: Part = "text") -> None:
        self.part: Part = part
        self.matched: str | None = None
        """The stop sequence that ended the answer; nothing comes after it."""
        self._held = ""
        text: dict[str, Part | None] = {mark: None for mark in stops if mark}
        if marks.think_open:
            text.setdefault(marks.think_open, "thinking")
        if marks.call_open:
            text.setdefault(marks.call_open, "call")
        thinking: dict[str, Part | None] = {marks.think_close: "text"} if marks.think_close else {}
        call: dict[str, Part | None] = {marks.call_close: "text"} if marks.call_close else {}
        self._leads: dict[Part, dict[str, Part | None]] = {"text": text, "thinking": thinking, "call": call}
        self._finds = {part: _finder(tuple(leads)) for part, leads in self._leads.items()}

        firsts = {part: "".join(re.escape(mark[0]) for mark in leads) for part, leads in self._leads.items()}
        self._begins = {part: re.compile(f"[{chars}]" if chars else r"(?!)") for part, chars in firsts.items()}

    def feed(self, text: str) -> list[Piece]:
        """The pieces that are certain now."""
        if text and not self._held and self.matched is None and not self._begins[self.part].search(text):
            return [Piece(self.part, text)]
        out: list[Piece] = []
        self._held += text
        while self._held and self.matched is None:
            found = self._finds[self.part]
            hit = None if found is None else _first(found, self._held)
            if hit is None:
                keep = _open_end(self._held, self._leads[self.part])
                said, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
                if said:
                    out.append(Piece(self.part, said))
                break
            mark = hit.group(1)
            to = self._leads[self.part][mark]
            said, self._held = self._held[: hit.start()], self._held[hit.start() + len(mark) :]
            if to is None:
                self.matched = mark
            if said or self.part != "text":
                out.append(Piece(self.part, said, closes=to is not None and self.part != "text"))
            self.part = to or self.part
        return out

    def end(self) -> list[Piece]:
        """What waited, now that nothing follows."""
        held, self._held = self._held, ""
        return [Piece(self.part, held)] if held and self.matched is None else []


def _finder(marks: tuple[str, ...]) -> re.Pattern[str] | None:
    """Finds where any mark begins, overlaps included; of those that begin at one place the shortest is whole first."""
    ordered = sorted(marks, key=len)
    return re.compile(f"(?=({'|'.join(map(re.escape, ordered))}))") if ordered else None


def _first(finder: re.Pattern[str], text: str) -> re.Match[str] | None:
    """The mark that is whole first, as if the text had come character by character."""
    hits = list(finder.finditer(text))
    return min(hits, key=lambda hit: hit.start() + len(hit.group(1)), default=None)


def _open_end(text: str, marks: dict[str, Part | None]) -> int:
    """How many characters at the end may be the beginning of a mark."""
    longest = 0
    for mark in marks:
        for size in range(min(len(mark) - 1, len(text)), longest, -1):
            if text.endswith(mark[:size]):
                longest = size
                break
    return longest
