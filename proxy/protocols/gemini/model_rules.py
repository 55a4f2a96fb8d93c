"""Rules that follow from a Gemini model's name: its generation, thinking budgets and thinking levels."""

from __future__ import annotations

import re

from ..protocol import UpstreamTarget

_VERSION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_DEFAULT_VERSION = (2, 5)
_NEWEST_VERSION = (3, 0)

# The table of https://ai.google.dev/gemini-api/docs/thinking#set-budget
BUDGETS: dict[str, tuple[int, int, bool]] = {
    "gemini-2.5-pro": (128, 32768, False),
    "gemini-2.5-flash-lite": (512, 24576, True),
    "gemini-2.5-flash": (1, 24576, True),
}
"""Name prefix to minimum and maximum budget in tokens, and whether 0 turns thinking off; longer prefixes first."""

# "minimal" is the Flash models' alone, and Gemini 3 Pro knows only low and high:
# https://ai.google.dev/gemini-api/docs/thinking#thinking-levels
MINIMAL_LEVEL_MODELS = ("gemini-3-flash", "gemini-3.1-flash")
TWO_LEVEL_MODELS = ("gemini-3-pro",)


def version(target: UpstreamTarget) -> tuple[int, int]:
    """Returns the (major, minor) generation of the model by its name; 2.5 if the name has none."""
    if "gemini_3" in target.quirks:
        return _NEWEST_VERSION
    match = _VERSION.search(target.model)
    if match is not None:
        return int(match[1]), int(match[2] or 0)
    # gemini-flash-latest and similar aliases point to the newest generation
    is_alias = target.model.startswith("gemini-") and target.model.endswith("-latest")
    return _NEWEST_VERSION if is_alias else _DEFAULT_VERSION


def clamp_budget(model: str, budget: int) -> int:
    """Returns the nearest budget that the model accepts; -1, which leaves the budget to the model, is kept."""
    for prefix, (minimum, maximum, can_disable) in BUDGETS.items():
        if model.startswith(prefix):
            return budget if budget < 0 or (budget == 0 and can_disable) else min(max(budget, minimum), maximum)
    return budget


def thinking_level(model: str, effort: str) -> str:
    """Maps an effort to the nearest thinking level of the model."""
    match effort:
        case "none" | "minimal":
            return "minimal" if model.startswith(MINIMAL_LEVEL_MODELS) else "low"
        case "medium" if model.startswith(TWO_LEVEL_MODELS):
            return "high"
        case "low" | "medium" | "high":
            return effort
        case _:
            return "high"
