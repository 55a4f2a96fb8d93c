"""Assembles call arguments from fragments that each carry a JSON path and a value."""

from __future__ import annotations

import re
from typing import Any

PATH_STEP = re.compile(r"\.([A-Za-z_$][\w$-]*)|\[(\d+)\]|\['((?:[^'\\]|\\.)*)'\]|\[\"((?:[^\"\\]|\\.)*)\"\]")
"""One step of a JSON path: `.name`, `[0]`, `['name']`. https://www.rfc-editor.org/rfc/rfc9535"""

VALUE_FIELDS = ("stringValue", "numberValue", "boolValue", "nullValue")
"""The value fields, of which a fragment has at most one.

https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1/Content#PartialArg
"""


class ArgumentAssembler:
    """The arguments assembled so far; texts at the same path are concatenated."""

    def __init__(self) -> None:
        self.value: Any = {}

    def add(self, fragment: Any) -> str | None:
        """Sets the value of one fragment; returns what is wrong with it, or None."""
        if not isinstance(fragment, dict) or not isinstance(fragment.get("jsonPath"), str):
            return f"a piece of arguments without a jsonPath: {fragment!r}"
        steps = parse_json_path(fragment["jsonPath"])
        if not steps:
            return f"not a path to a value: {fragment['jsonPath']!r}"
        given = [key for key in VALUE_FIELDS if key in fragment]
        if len(given) > 1:
            return f"a piece of arguments with more than one value: {given}"
        if not given:
            return None
        value = None if given == ["nullValue"] else fragment[given[0]]
        target: Any = self.value
        for at, step in enumerate(steps):
            last = at == len(steps) - 1
            if isinstance(step, int):
                if not isinstance(target, list) or step > len(target):
                    return f"no place for {fragment['jsonPath']!r}"
                if step == len(target):
                    target.append(None)
            elif not isinstance(target, dict):
                return f"no place for {fragment['jsonPath']!r}"
            else:
                target.setdefault(step, None)
            if last:
                old = target[step]
                target[step] = old + value if isinstance(old, str) and isinstance(value, str) else value
            else:
                if target[step] is None:
                    target[step] = [] if isinstance(steps[at + 1], int) else {}
                target = target[step]
        return None


def parse_json_path(text: str) -> list[str | int]:
    """Returns the steps of a JSON path; an empty list if it is invalid."""
    if not text.startswith("$"):
        return []
    steps: list[str | int] = []
    at = 1
    while at < len(text):
        found = PATH_STEP.match(text, at)
        if found is None:
            return []
        name, index, single, double = found.groups()
        steps.append(int(index) if index is not None else name or re.sub(r"\\(.)", r"\1", single or double or ""))
        at = found.end()
    return steps
