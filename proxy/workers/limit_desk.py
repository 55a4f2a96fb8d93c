"""The supervisor's side of exact limits: counts for all workers, and gives back what a worker that died held."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Any

from ..costs.budget import Budget
from ..limits.bounds import AtOnce, Bound, Rate
from ..limits.state import BACKEND, Denied, Held, Limit, LimitGroup, MemoryState
from .channel import Handler

CONCURRENT = AtOnce(0).kind


def write_limit(limit: Limit) -> list[Any]:
    """A limit as plain values, for another process."""
    bound = limit.bound
    match bound:
        case Rate():
            told: list[Any] = ["rate", bound.limit, bound.period]
        case AtOnce():
            told = ["at once", bound.limit]
        case Budget():
            told = ["budget", bound.limit, bound.per, bound.rolling, bound.zone]
        case _:
            raise TypeError(f"no other process knows the bound {type(bound).__name__}")
    return [limit.owner, limit.unit, limit.key, *told]


def read_limit(values: Sequence[Any]) -> Limit:
    """The limit that `write_limit` wrote."""
    owner, unit, key, kind, *rest = values
    bound: Bound = {"rate": Rate, "at once": AtOnce, "budget": Budget}[kind](*rest)
    return Limit(owner, unit, bound, key)


class SharedLimits:
    """The limits of all workers."""

    def __init__(self, state: MemoryState) -> None:
        self.state = state
        self.places_changed: Callable[[str, str, int, bool], None] = lambda key, backend, used, is_freed: None
        """Called where a backend gets a request or is rid of one: the limit's key, the backend, how many it has, and
        whether it is rid of one."""

    def tell_places(self, held: Iterable[Held], *, is_freed: bool) -> None:
        """Tells of the backends among these reservations how many requests each has."""
        for limit, counter, _, _ in held:
            if limit.bound.kind == CONCURRENT and limit.owner.startswith(BACKEND):
                self.places_changed(limit.key, limit.owner.removeprefix(BACKEND), counter.used(), is_freed)

    def used(self, values: Sequence[Sequence[Any]]) -> list[list[float]]:
        """Of each of these limits what is used of it, and the seconds until nothing is."""
        counters = [self.state.counter(read_limit(each)) for each in values]
        return [[counter.used(), counter.whole_in()] for counter in counters]


class LimitDesk:
    """The reservations of one worker; `close` gives back what it held at once, if it died."""

    def __init__(self, shared: SharedLimits) -> None:
        self._shared = shared
        self._groups: dict[int, LimitGroup] = {}
        self._held: dict[int, list[Held]] = {}
        self.handlers: dict[str, Handler] = {
            "group": self.define,
            "reserve": self.reserve,
            "settle": self.settle,
            "used": shared.used,
        }

    def define(self, number: int, limits: Sequence[Sequence[Any]]) -> None:
        """Limits that count together; the worker calls them by this number."""
        self._groups[number] = LimitGroup(map(read_limit, limits))

    def reserve(
        self, id_: int, number: int, amounts: Mapping[str, int], needs: Mapping[str, int] | None = None
    ) -> list[Any]:
        """Reserves on all limits of a group: what is used of each then, or the one without room, and its wait."""
        group = self._groups[number]
        found = self._shared.state.reserve_now(group, amounts, needs)
        if isinstance(found, Denied):
            return [group.limits.index(found.limit), None if found.wait == inf else found.wait]
        self._held[id_] = found
        self._shared.tell_places(found, is_freed=False)
        return [[counter.used(), counter.whole_in()] for _, counter, _, _ in found]

    def settle(self, id_: int, actual: Mapping[str, int]) -> None:
        """Replaces what was reserved by what was used."""
        held = self._held.pop(id_, [])
        self._shared.state.settle(held, actual)
        self._shared.tell_places(held, is_freed=True)

    def close(self) -> None:
        """The worker is gone: nothing of it is under way any more; what its requests used stays as it was reserved."""
        for held in self._held.values():
            for limit, counter, entry, amount in held:
                if limit.bound.kind == CONCURRENT:
                    counter.settle(entry, amount, 0)
            self._shared.tell_places(held, is_freed=True)
        self._held.clear()
