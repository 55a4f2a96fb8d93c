"""Gemini models by family: how each of them is told to think, and which tools it combines."""

from __future__ import annotations

import re

from msgspec import Struct

from ..rule import TODAY

THINKING = "https://ai.google.dev/gemini-api/docs/thinking"
LEVELS = "https://ai.google.dev/gemini-api/docs/generate-content/thinking#thinking-levels"


class GeminiModel(Struct, frozen=True, kw_only=True):
    """Traits of one family of models; a model of no family takes everything.

    `budget` is the least and the most of a thinking budget, `budget_off` whether 0 switches thinking off; no `budget`
    and no `levels` is a model that does not think. `combines` is whether functions go with JSON replies and search.
    """

    name: re.Pattern[str]
    source: str = THINKING
    checked: str = TODAY
    budget: tuple[int, int] | None = None
    budget_off: bool = True
    levels: tuple[str, ...] = ()
    combines: bool = False


EVERY_LEVEL = ("MINIMAL", "LOW", "MEDIUM", "HIGH")

ANY_BUDGET = (0, 2**31 - 1)
"""Models with levels still accept a budget of any size."""


def _family(pattern: str) -> re.Pattern[str]:
    """Compiles a family's pattern: the whole name, a preview or version of it, or `-latest`."""
    return re.compile(rf"gemini-(?:{pattern})(?:-preview(?:-\d\d-\d{{2,4}})?|-exp|-\d{{3}}|-latest)?$")


FAMILIES: tuple[GeminiModel, ...] = (
    GeminiModel(name=_family(r"(?:1\.5|2\.0)-(?:pro|flash|flash-lite|flash-8b)")),
    # "Gemini 2.5 Pro: 128 to 32768, cannot disable thinking"; "2.5 Flash: 0 to 24576"; "Flash Lite: 512 to 24576".
    GeminiModel(name=_family(r"2\.5-pro"), budget=(128, 32768), budget_off=False),
    GeminiModel(name=_family(r"2\.5-flash"), budget=(1, 24576)),
    GeminiModel(name=_family(r"2\.5-flash-lite"), budget=(512, 24576)),
    GeminiModel(
        name=_family(r"3-pro"),
        source="https://github.com/egoist/chatwise-releases/issues/1206",
        budget=ANY_BUDGET,
        levels=("LOW", "HIGH"),
        combines=True,
    ),
    GeminiModel(
        name=_family(r"3\.1-pro|3\.[78]-flash|4-argon"),
        source=LEVELS,
        budget=ANY_BUDGET,
        levels=("LOW", "MEDIUM", "HIGH"),
        combines=True,
    ),
    GeminiModel(
        name=_family(r"3-flash|3\.[156]-flash(?:-lite)?"),
        source=LEVELS,
        budget=ANY_BUDGET,
        levels=EVERY_LEVEL,
        combines=True,
    ),
)
"""Families of models; the first that matches counts."""


def family_of(model: str) -> GeminiModel | None:
    """Returns the family of a model, or None for a model that is not known."""
    return next((family for family in FAMILIES if family.name.match(model)), None)
