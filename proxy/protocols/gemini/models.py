"""What a Gemini model's name tells of its rules: its generation, and how it may be told to think.

It knows names and bounds, and no field of a request but `thinkingConfig`'s values.
"""

from __future__ import annotations

import re

from ..contract import Target

_VERSION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_UNKNOWN = (2, 5)
_NEWEST = (3, 0)

# The table of https://ai.google.dev/gemini-api/docs/thinking#set-budget
BUDGETS: dict[str, tuple[int, int, bool]] = {
    "gemini-2.5-pro": (128, 32768, False),
    "gemini-2.5-flash-lite": (512, 24576, True),
    "gemini-2.5-flash": (1, 24576, True),
}
"""Name prefix to the least and the most tokens of thinking, and whether 0 turns it off; longer prefixes first."""

# "minimal" is the Flash models' alone, and Gemini 3 Pro knows only low and high:
# https://ai.google.dev/gemini-api/docs/thinking#thinking-levels
MINIMAL = ("gemini-3-flash", "gemini-3.1-flash")
TWO_LEVELS = ("gemini-3-pro",)


def version(target: Target) -> tuple[int, int]:
    """The generation that this model belongs to, as far as its name tells."""
    if "gemini_3" in target.quirks:
        return _NEWEST
    match = _VERSION.search(target.model)
    if match is not None:
        return int(match[1]), int(match[2] or 0)
    # gemini-flash-latest and its kin point to the newest generation
    return _NEWEST if target.model.startswith("gemini-") and target.model.endswith("-latest") else _UNKNOWN


def bounded(model: str, budget: int) -> int:
    """The nearest budget that the model takes; -1, which leaves it to the model, stands."""
    for prefix, (least, most, off) in BUDGETS.items():
        if model.startswith(prefix):
            return budget if budget < 0 or (budget == 0 and off) else min(max(budget, least), most)
    return budget


def level(model: str, effort: str) -> str:
    """The nearest thinking level that the model knows."""
    match effort:
        case "none" | "minimal":
            return "minimal" if model.startswith(MINIMAL) else "low"
        case "medium" if model.startswith(TWO_LEVELS):
            return "high"
        case "low" | "medium" | "high":
            return effort
        case _:
            return "high"
