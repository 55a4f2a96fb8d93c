"""Assembles the arguments of a streamed call from fragments: each a value and the JSON path of its place."""

from __future__ import annotations

import re
from typing import Any

from ...wire import json_fields

# "A JSON Path (RFC 9535) to the argument being streamed", of which only names and positions occur
_STEP = re.compile(r"""\.([^.\[]+)|\[(\d+)\]|\[(['"])(.*?)\3\]""")
_MAX_POSITION = 10_000
"""Upper bound for a list position: a bad one must not make us allocate a huge list."""

Step = str | int


class StreamedArguments:
    """The arguments received so far.

    https://docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling
    """

    def __init__(self, args: dict[str, Any]) -> None:
        self._args = args
        self._continued: list[Step] | None = None  # path of the string that the next fragment may continue

    def add(self, fragment: dict[str, Any]) -> None:
        """Adds one entry of `partialArgs`."""
        path = fragment.get("jsonPath")
        steps = _steps(path) if type(path) is str else []
        if not steps:
            return
        for key in ("stringValue", "numberValue", "boolValue", "nullValue"):
            if key in fragment:
                value = None if key == "nullValue" else fragment[key]
                appends = type(value) is str and steps == self._continued
                _set(self._args, steps, value, appends)
                break
        self._continued = steps if fragment.get("willContinue") is True else None

    def text(self) -> str:
        """Returns the arguments as JSON text."""
        return json_fields.encode(self._args).decode()


def _steps(path: str) -> list[Step]:
    return [int(m[2]) if m[2] is not None else (m[1] if m[1] is not None else m[4]) for m in _STEP.finditer(path)]


def _set(container: Any, steps: list[Step], value: Any, appends: bool) -> None:
    """Sets the value at a path, creating missing containers; with `appends` it is appended to an existing string."""
    for position, step in enumerate(steps):
        current = _get(container, step)
        if current is _MISSING:
            return
        if position == len(steps) - 1:
            container[step] = current + value if appends and type(current) is str else value
            return
        if type(current) is not dict and type(current) is not list:
            current = container[step] = [] if type(steps[position + 1]) is int else {}
        container = current


_MISSING = object()


def _get(container: Any, step: Step) -> Any:
    """Returns the current value at this step; a list is extended to hold it."""
    if type(container) is dict and type(step) is str:
        return container.get(step)
    if type(container) is list and type(step) is int and step <= _MAX_POSITION:
        container.extend([None] * (step + 1 - len(container)))
        return container[step]
    return _MISSING
