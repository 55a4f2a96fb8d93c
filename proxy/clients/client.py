"""A client: the names that it may use, and its limits and budgets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import translate
from functools import lru_cache

from msgspec import Struct

from ..costs.budget import Budget
from ..limits.bounds import NO_LIMITS, LimitSet

ALL = ("*",)
"""The patterns that allow every name."""


class Client(Struct, frozen=True, kw_only=True):
    """One client. `models`, `backends`, `frontends` and `modes` are patterns of the names that it may use.

    It may pin a backend where it has `pins`. At `expires`, in unix seconds, its keys end. `tags` are the groups whose
    budgets it shares. `claims` are those by which a token is known as its own; empty where it has keys alone.
    """

    name: str
    models: tuple[str, ...] = ALL
    backends: tuple[str, ...] = ALL
    frontends: tuple[str, ...] = ALL
    modes: tuple[str, ...] = ALL
    pins: bool = True
    expires: float | None = None
    enabled: bool = True
    tags: tuple[str, ...] = ()
    claims: Mapping[str, str] = {}
    limits: LimitSet = NO_LIMITS
    model_limits: tuple[tuple[str, LimitSet], ...] = ()
    budgets: tuple[Budget, ...] = ()

    def may_use_model(self, name: str) -> bool:
        """Returns whether one of the patterns allows this model, as the client names it."""
        return allows(self.models, name)


def allows(patterns: tuple[str, ...], name: str) -> bool:
    """Returns whether one of these patterns matches the whole name."""
    return patterns is ALL or _compiled(patterns).match(name) is not None


@lru_cache(maxsize=4096)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(translate(pattern) for pattern in patterns) or "(?!)")
