"""A sliding window: the sum of what was added in the last period, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf

SLOTS = 1000
"""Slots of a period: what is added within one slot is one entry."""


class Entry:
    """The amount that was added within one slot, and the time from which it no longer counts."""

    __slots__ = ("amount", "ends")

    def __init__(self, ends: float, amount: int) -> None:
        self.ends = ends
        self.amount = amount


class SlidingWindow:
    """The amounts of the last `period` seconds of this clock."""

    __slots__ = ("_clock", "_entries", "_period", "_used", "_width")

    def __init__(self, period: float, clock: Callable[[], float]) -> None:
        self._period = period
        self._clock = clock
        self._width = period / SLOTS
        self._entries: deque[Entry] = deque()
        self._used = 0

    def used(self) -> int:
        """The sum of what counts now."""
        now, entries = self._clock(), self._entries
        if entries and entries[0].ends <= now:
            self._expire(now)
        return self._used

    def wait(self, amount: int, limit: int) -> float:
        """Seconds until this amount fits below the limit: 0 where it fits now, infinite where it never will."""
        now, entries = self._clock(), self._entries
        if entries and entries[0].ends <= now:
            self._expire(now)
        over = self._used + amount - limit
        if over <= 0:
            return 0.0
        if amount > limit:
            return inf
        for entry in entries:
            over -= entry.amount
            if over <= 0:
                return max(0.0, entry.ends - now)
        return inf

    def add(self, amount: int) -> Entry:
        """Adds an amount now; the entry is what `settle` needs to correct it."""
        return self.add_at(amount, self._clock())

    def add_at(self, amount: int, when: float) -> Entry:
        """Adds an amount of this time, which is not before that of any other."""
        ends = (when // self._width + 1) * self._width + self._period
        self._used += amount
        if self._entries and ends <= (last := self._entries[-1]).ends:
            last.amount += amount
            return last
        entry = Entry(ends, amount)
        self._entries.append(entry)
        return entry

    def settle(self, entry: Entry, reserved: int, actual: int) -> None:
        """Replaces an amount that was reserved in this entry by the actual one."""
        if entry.ends > self._clock():
            entry.amount += actual - reserved
            self._used += actual - reserved

    def whole_in(self) -> float:
        """Seconds until nothing counts any more."""
        return max(0.0, self._entries[-1].ends - self._clock()) if self._entries else 0.0

    def _expire(self, now: float) -> None:
        entries = self._entries
        while entries and entries[0].ends <= now:
            self._used -= entries.popleft().amount
