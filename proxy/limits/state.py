"""Reserves amounts on several limits at once: on all of them, or on none.

`MemoryState` counts for one process; `proxy.state.interface.LimitState` is what all that can stand in its place have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec import Struct

from .bounds import Bound, Counter


class Limit(Struct, frozen=True):
    """A bound on what somebody or something uses of a unit, such as `requests`. Equal keys share a counter."""

    owner: str
    unit: str
    bound: Bound
    key: str


BACKEND = "backend "
"""The beginning of the owner of a backend's limits."""


def limit_of(owner: str, unit: str, bound: Bound) -> Limit:
    """The limit of this owner, whose counter outlives a change of the number but not of the period."""
    return Limit(owner, unit, bound, f"{owner}/{unit}/{bound.kind}")


class LimitGroup:
    """The limits that count together for one kind of request; made once, and reserved on for every such request."""

    __slots__ = ("counters", "limits")

    def __init__(self, limits: Iterable[Limit]) -> None:
        self.limits = tuple(limits)
        self.counters: tuple[tuple[Limit, Counter, str, int], ...] | None = None
        """Each limit with its counter, unit and number, once the state has looked them up."""


class Denied(Struct, frozen=True, gc=False):
    """A limit on which an amount does not fit, and the seconds until it does; infinite where it is beyond the limit."""

    limit: Limit
    wait: float


Held: TypeAlias = tuple[Limit, Any, Any, int]
"""A reserved amount, with what counts it and the entry there; it is settled once."""


class MemoryState:
    """The limits of one process. `now` is monotonic, `clock` unix time."""

    def __init__(self, now: Callable[[], float], clock: Callable[[], float]) -> None:
        self._now = now
        self._clock = clock
        self._counters: dict[str, Counter] = {}
        self._whole: set[str] = set()
        """The keys of limits that have what was used before this process."""
        self.epoch = 0

    async def reserve(
        self, group: LimitGroup, amounts: Mapping[str, int], needs: Mapping[str, int] | None = None
    ) -> list[Held] | Denied:
        """Reserves these amounts, by unit, on all limits, or on none where one does not fit.

        Where `needs` are given, they have to fit in place of the amounts.
        """
        return self.reserve_now(group, amounts, needs)

    def reserve_now(
        self, group: LimitGroup, amounts: Mapping[str, int], needs: Mapping[str, int] | None = None
    ) -> list[Held] | Denied:
        """The same, for callers that cannot wait."""
        worst: Denied | None = None
        counters = self.counters(group)
        asked = amounts if needs is None else needs
        for limit, counter, unit, most in counters:
            wait = counter.wait(asked[unit], most)
            if wait and (worst is None or wait > worst.wait):
                worst = Denied(limit, wait)
        if worst is not None:
            return worst
        return [(limit, counter, counter.add(amounts[unit]), amounts[unit]) for limit, counter, unit, _ in counters]

    def counters(self, group: LimitGroup) -> tuple[tuple[Limit, Counter, str, int], ...]:
        """Each limit of a group with its counter, unit and number."""
        found = group.counters
        if found is None:
            found = tuple((each, self.counter(each), each.unit, each.bound.limit) for each in group.limits)
            group.counters = found
        return found

    def settle(self, held: Sequence[Held], actual: Mapping[str, int]) -> None:
        """Replaces the reserved amounts by the actual ones by unit; what has no actual one stays as it was."""
        for limit, counter, entry, amount in held:
            if (used := actual.get(limit.unit)) is not None and used != amount:
                counter.settle(entry, amount, used)

    def counter(self, limit: Limit) -> Counter:
        """The counter of a limit, empty where there was none."""
        found = self._counters.get(limit.key)
        if found is None:
            found = self._counters[limit.key] = limit.bound.counter(self._now, self._clock)
        return found

    async def lacking(self, limits: Iterable[Limit], now: float) -> Mapping[str, float]:
        """The keys of those limits to which nothing was added of before this process, with this time."""
        return {limit.key: now for limit in limits if limit.key not in self._whole}

    async def add_past(self, limit: Limit, spent: Sequence[tuple[float, int]]) -> None:
        """Adds amounts that were used at these unix times; the limit lacks its past no longer."""
        counter = self.counter(limit)
        for when, amount in spent:
            counter.add_at(amount, when)
        self._whole.add(limit.key)

    def forget_unused(self) -> None:
        """Forgets the counters of which nothing is used, so that those of former configs do not pile up."""
        self._counters = {key: counter for key, counter in self._counters.items() if counter.used()}
