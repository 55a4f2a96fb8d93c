"""Bounds: a number in a period, or at once. A bound makes the counter that holds its state."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable
from math import inf
from typing import Any

from msgspec import Struct

from .window import SlidingWindow

UNITS: dict[str, float] = {"s": 1, "min": 60, "h": 3600, "day": 86400}
"""Unit of a period to its seconds."""

RATE = re.compile(r"([1-9][0-9]{0,14}) ?/ ?([1-9][0-9]{0,3})? ?(s|min|h|day)")


class Counter(typing.Protocol):
    """The state of one bound."""

    def used(self) -> int: ...
    def wait(self, amount: int, limit: int) -> float:
        """Seconds until the amount fits: 0 where it fits now, infinite where it never will."""
        ...

    def add(self, amount: int) -> Any:
        """Reserves an amount; returns what `settle` needs."""
        ...

    def add_at(self, amount: int, when: float) -> Any:
        """Adds what was used at an earlier time of its clock."""
        ...

    def settle(self, entry: Any, reserved: int, actual: int) -> None: ...
    def whole_in(self) -> float:
        """Seconds until all of the limit is there again."""
        ...


class Bound(typing.Protocol):
    """A limit, and what makes its counter. Bounds with the same `kind` can have the same counter."""

    @property
    def limit(self) -> int: ...
    @property
    def kind(self) -> str: ...
    def counter(self, now: Callable[[], float], clock: Callable[[], float]) -> Counter:
        """Makes a counter; `now` is monotonic, `clock` unix time."""
        ...


class Rate(Struct, frozen=True):
    """At most `limit` in any `period` seconds."""

    limit: int
    period: float

    @property
    def kind(self) -> str:
        return f"{self.period:g} s"

    def counter(self, now: Callable[[], float], clock: Callable[[], float]) -> Counter:
        return SlidingWindow(self.period, now)


class AtOnce(Struct, frozen=True):
    """At most `limit` at the same time."""

    limit: int
    kind: str = "at once"

    def counter(self, now: Callable[[], float], clock: Callable[[], float]) -> Counter:
        return InUse()


class InUse:
    """A number that is in use; what is settled is given back."""

    __slots__ = ("_used",)

    def __init__(self) -> None:
        self._used = 0

    def used(self) -> int:
        return self._used

    def wait(self, amount: int, limit: int) -> float:
        """A second, where there is no room: nobody knows when a request ends."""
        return 0.0 if self._used + amount <= limit else 1.0 if amount <= limit else inf

    def add(self, amount: int) -> None:
        self._used += amount

    def add_at(self, amount: int, when: float) -> None:
        self.add(amount)

    def settle(self, entry: None, reserved: int, actual: int) -> None:
        self._used += actual - reserved

    def whole_in(self) -> float:
        return 0.0


class LimitSet(Struct, frozen=True):
    """The limits of one client, model or backend; None is no limit."""

    requests: Rate | None = None
    tokens: Rate | None = None
    concurrent: AtOnce | None = None

    def __bool__(self) -> bool:
        return self != NO_LIMITS


NO_LIMITS = LimitSet()


def parse_rate(text: str) -> Rate | None:
    """Returns the rate that a text such as `60/min` or `1000/10s` says; None where it is none."""
    match = RATE.fullmatch(text)
    return None if match is None else Rate(int(match[1]), int(match[2] or 1) * UNITS[match[3]])
