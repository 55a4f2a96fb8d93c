"""Table of the repairs: what a decoder accepts although it breaks its protocol, each named in the request's record."""

from __future__ import annotations

from collections.abc import Iterable

from .model import StopReason

REPAIRS: dict[str, str] = {
    # bytes
    "bom": "a byte order mark before the text was left out",
    "utf8": "bytes that are no UTF-8 became U+FFFD",
    "number": "NaN or Infinity, which JSON does not have, became null",
    "surrogate": "half of a character was joined with its other half, or became U+FFFD",
    "null_frame": "a frame without data, or with null, was skipped",
    "whole_body": "one JSON body came where a stream was asked for",
    # frames and blocks
    "unknown_frame": "a frame that is no part of an answer was skipped",
    "index": "an index was missing, or two blocks had the same; the order decided",
    "unclosed": "a block that was never closed ended with the answer",
    "text_twice": "a text that had been streamed under another index came again",
    # calls
    "call_id": "a call without an id got one",
    "call_repeated": "a call of the conversation had no id or that of an earlier call; it and its result got another",
    "call_name": "the name of a call came after its first piece",
    "call_empty": "a call without a name and arguments was left out",
    # the end
    "stop_missing": "the answer was marked as complete but had no stop reason",
    "stop_word": "the stop reason was a word of another protocol or an older host",
    "stop_without_call": "the stop reason told of a tool call and there was none",
    "stop_with_call": "the stop reason did not tell of the tool call that there was",
    # usage
    "usage_place": "the token counts stood at another place",
    "usage_total": "the token counts did not fit to their total, or a detail was more than its whole",
    # requests
    "tool_choice": "a choice of a tool had no type",
    "tool_repeated": "a tool was defined twice; the later definition was left out",
    "part_empty": "a part without data was left out",
}
"""Every repair by its name in the record, and what was done."""


def agreed_stop(stop: StopReason, called: bool | None, repairs: Repairs) -> StopReason:
    """Returns the stop reason that agrees with the calls; `called` is None where they are not known."""
    if called and stop in ("end", "other"):
        repairs.add("stop_with_call")
        return "tool"
    if called is False and stop == "tool":
        repairs.add("stop_without_call")
        return "end"
    return stop


class Repairs:
    """The repairs of one request or answer, in the order in which they were made."""

    __slots__ = ("_names",)

    def __init__(self) -> None:
        self._names: dict[str, None] = {}

    def add(self, name: str) -> None:
        """Notes a repair by its name in REPAIRS."""
        self._names[name] = None

    def extend(self, names: Iterable[str]) -> None:
        self._names.update(dict.fromkeys(names))

    def __bool__(self) -> bool:
        return bool(self._names)

    def names(self) -> tuple[str, ...]:
        """The distinct repairs that were made."""
        return tuple(self._names)
