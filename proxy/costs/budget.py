"""Budgets: an amount of money in a day, a week or a month, of the calendar or rolling."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from math import inf
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo

from msgspec import Struct

from ..limits.bounds import Counter
from ..limits.window import SlidingWindow

Period: TypeAlias = Literal["day", "week", "month"]

SECONDS: dict[Period, float] = {"day": 86400, "week": 7 * 86400, "month": 30 * 86400}
"""The length of a rolling period."""

UNIT = "money"
"""The unit of a charge on a budget."""

WARN_AT = 0.8
"""The part of a budget from which on a warning is logged."""


class Budget(Struct, frozen=True):
    """At most `limit` billionths of a dollar in a period; of the calendar in this time zone, else rolling."""

    limit: int
    per: Period
    rolling: bool = False
    zone: str = "UTC"

    @property
    def kind(self) -> str:
        return f"rolling {self.per}" if self.rolling else f"{self.per} in {self.zone}"

    def counter(self, now: Callable[[], float], clock: Callable[[], float]) -> Counter:
        if self.rolling:
            return SlidingWindow(SECONDS[self.per], clock)
        return CalendarCounter(self.per, self.zone, clock)

    def began(self, now: float) -> float:
        """The unix time from which on costs count at this one."""
        return now - SECONDS[self.per] if self.rolling else period_of(self.per, self.zone, now)[0]


class CalendarCounter:
    """The sum of the current day, week (from Monday) or month of a time zone."""

    __slots__ = ("_clock", "_end", "_per", "_start", "_used", "_zone")

    def __init__(self, per: Period, zone: str, clock: Callable[[], float]) -> None:
        self._per = per
        self._zone = zone
        self._clock = clock
        self._start, self._end = period_of(per, zone, clock())
        self._used = 0

    def used(self) -> int:
        self._turn()
        return self._used

    def wait(self, amount: int, limit: int) -> float:
        """Seconds until this amount fits: 0 where it fits now, infinite where it never will."""
        now = self._turn()
        if self._used + amount <= limit:
            return 0.0
        return self._end - now if amount <= limit else inf

    def add(self, amount: int) -> float:
        return self.add_at(amount, self._turn())

    def add_at(self, amount: int, when: float) -> float:
        """Adds what was spent at this time; of an earlier period it no longer counts."""
        if when >= self._start:
            self._used += amount
        return self._start

    def settle(self, entry: float, reserved: int, actual: int) -> None:
        """Replaces a reserved amount; where its period is over the actual one belongs to it."""
        self._turn()
        if entry == self._start:
            self._used += actual - reserved

    def whole_in(self) -> float:
        return self._end - self._turn() if self._used else 0.0

    def _turn(self) -> float:
        """Begins the next period where the current one is over; returns the time."""
        now = self._clock()
        if now >= self._end:
            self._start, self._end = period_of(self._per, self._zone, now)
            self._used = 0
        return now


def period_of(per: Period, zone: str, now: float) -> tuple[float, float]:
    """The unix times at which the period of this moment began and ends, by the zone's own clocks."""
    moment = datetime.fromtimestamp(now, _zone(zone))
    start = moment.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if per == "day":
        end = start + timedelta(days=1)
    elif per == "week":
        start -= timedelta(days=start.weekday())
        end = start + timedelta(days=7)
    else:
        start = start.replace(day=1)
        end = (start + timedelta(days=32)).replace(day=1)
    return start.timestamp(), end.timestamp()


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
