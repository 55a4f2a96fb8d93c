"""Arguments of a call that come piece by piece: each a value and the JSON path where it belongs.

It knows paths and values, and nothing of the call around them.
"""

from __future__ import annotations

import re
from typing import Any

from ... import wire

# "A JSON Path (RFC 9535) to the argument being streamed", of which only names and positions occur
_STEP = re.compile(r"""\.([^.\[]+)|\[(\d+)\]|\[(['"])(.*?)\3\]""")
_FAR = 10_000
"""A position beyond this is garbage, and must not make us build a list of that length."""

Step = str | int


class Arguments:
    """The arguments as far as they were said.

    https://docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling
    """

    def __init__(self, args: dict[str, Any]) -> None:
        self._args = args
        self._growing: list[Step] | None = None  # the string that the next piece of the same path continues

    def add(self, piece: dict[str, Any]) -> None:
        """Put one of `partialArgs` in its place."""
        path = piece.get("jsonPath")
        steps = _steps(path) if type(path) is str else []
        if not steps:
            return
        for key in ("stringValue", "numberValue", "boolValue", "nullValue"):
            if key in piece:
                value = None if key == "nullValue" else piece[key]
                grows = type(value) is str and steps == self._growing
                _set(self._args, steps, value, grows)
                break
        self._growing = steps if piece.get("willContinue") is True else None

    def text(self) -> str:
        return wire.encode(self._args).decode()


def _steps(path: str) -> list[Step]:
    return [int(m[2]) if m[2] is not None else (m[1] if m[1] is not None else m[4]) for m in _STEP.finditer(path)]


def _set(place: Any, steps: list[Step], value: Any, grows: bool) -> None:
    """Walk to the place, building what is not there yet; a string may grow at its end."""
    for position, step in enumerate(steps):
        held = _at(place, step)
        if held is _NOWHERE:
            return
        if position == len(steps) - 1:
            place[step] = held + value if grows and type(held) is str else value
            return
        if type(held) is not dict and type(held) is not list:
            held = place[step] = [] if type(steps[position + 1]) is int else {}
        place = held


_NOWHERE = object()


def _at(place: Any, step: Step) -> Any:
    """What is at this step so far; a list is made long enough."""
    if type(place) is dict and type(step) is str:
        return place.get(step)
    if type(place) is list and type(step) is int and step <= _FAR:
        place.extend([None] * (step + 1 - len(place)))
        return place[step]
    return _NOWHERE
