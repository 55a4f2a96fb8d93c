"""Arguments of a call that come in pieces, each with the JSON path of its place; it knows no call and no stream."""

from __future__ import annotations

import re
from typing import Any

STEP = re.compile(r"\.([A-Za-z_$][\w$-]*)|\[(\d+)\]|\['((?:[^'\\]|\\.)*)'\]|\[\"((?:[^\"\\]|\\.)*)\"\]")
"""A step of a JSON path: `.name`, `[0]`, `['name']`. https://www.rfc-editor.org/rfc/rfc9535"""

VALUES = ("stringValue", "numberValue", "boolValue", "nullValue")
"""The fields of which a piece has one.

https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1/Content#PartialArg
"""


class Pieces:
    """What the pieces so far amount to; text at one path is appended."""

    def __init__(self) -> None:
        self.value: Any = {}

    def add(self, piece: Any) -> str | None:
        """Puts one piece at its place; what is wrong with it, or None."""
        if not isinstance(piece, dict) or not isinstance(piece.get("jsonPath"), str):
            return f"a piece of arguments without a jsonPath: {piece!r}"
        steps = path_of(piece["jsonPath"])
        if not steps:
            return f"not a path to a value: {piece['jsonPath']!r}"
        given = [key for key in VALUES if key in piece]
        if len(given) > 1:
            return f"a piece of arguments with more than one value: {given}"
        if not given:
            return None
        value = None if given == ["nullValue"] else piece[given[0]]
        place: Any = self.value
        for at, step in enumerate(steps):
            last = at == len(steps) - 1
            if isinstance(step, int):
                if not isinstance(place, list) or step > len(place):
                    return f"no place for {piece['jsonPath']!r}"
                if step == len(place):
                    place.append(None)
            elif not isinstance(place, dict):
                return f"no place for {piece['jsonPath']!r}"
            else:
                place.setdefault(step, None)
            if last:
                old = place[step]
                place[step] = old + value if isinstance(old, str) and isinstance(value, str) else value
            else:
                if place[step] is None:
                    place[step] = [] if isinstance(steps[at + 1], int) else {}
                place = place[step]
        return None


def path_of(text: str) -> list[str | int]:
    """The steps of a JSON path, none when it is not one."""
    if not text.startswith("$"):
        return []
    steps: list[str | int] = []
    at = 1
    while at < len(text):
        found = STEP.match(text, at)
        if found is None:
            return []
        name, index, single, double = found.groups()
        steps.append(int(index) if index is not None else name or re.sub(r"\\(.)", r"\1", single or double or ""))
        at = found.end()
    return steps
