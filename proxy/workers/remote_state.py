"""A worker's side of exact limits: it asks the supervisor, and remembers what was used of each when it asked last."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf

from ..limits.state import BACKEND, Denied, Held, Limit, LimitGroup
from ..state.interface import StateGone
from ..state.memory import MemoryFacts
from .channel import Channel, ChannelError
from .limit_desk import CONCURRENT, write_limit

ANSWER_S = 5.0
"""Seconds that the supervisor may take; it answers from memory."""

KNOWN_S = 0.1
"""Seconds for which a limit without room is taken to be so; then the supervisor is asked again."""


class LastSeen:
    """One limit as it was when the supervisor was asked last, and with what was settled here since."""

    __slots__ = ("_asked", "_ends", "_is_told", "_now", "_used")

    def __init__(self, now: Callable[[], float], *, is_told: bool = False) -> None:
        """`is_told` where the supervisor tells of every change, so that nobody need ask."""
        self._is_told = is_told
        self._now = now
        self._used = 0
        self._ends = inf
        self._asked = -inf

    def learn(self, used: int, whole_in: float) -> None:
        """The supervisor says so."""
        self._used, self._asked = used, self._now()
        self._ends = self._asked + whole_in if whole_in else inf

    def correct(self, amount: int) -> None:
        """A reservation was settled with so much more than was reserved, or less."""
        self._used = max(0, self._used + amount)

    def used(self) -> int:
        """The amount that is used of it; nothing once all of it has run out."""
        return self._used if self._now() < self._ends else 0

    def wait(self, amount: int, limit: int) -> float:
        """A second where there was no room just now: 0 where it may fit now, infinite where it never will."""
        if amount > limit:
            return inf
        is_known = self._is_told or self._now() - self._asked < KNOWN_S
        return 1.0 if is_known and self.used() + amount > limit else 0.0

    def whole_in(self) -> float:
        return max(0.0, self._ends - self._now()) if self._used and self._ends != inf else 0.0


class RemoteState(MemoryFacts):
    """The limits of all workers as one of them sees them, and the facts that they tell each other.

    `now` is monotonic. What was used before the start is for the supervisor to add.
    """

    complaint = None
    outcomes: Mapping[str, int] = {}

    def __init__(self, channel: Channel, now: Callable[[], float]) -> None:
        super().__init__(now)
        self.epoch = 0
        self._channel = channel
        self._clock = now
        self._groups: dict[tuple[Limit, ...], int] = {}
        self._seen: dict[str, LastSeen] = {}
        self._ids = itertools.count(1)
        self._listeners: dict[str, Callable[[str, str, float], None]] = {}

    # ---- limits ------------------------------------------------------------------------------------------------------

    async def reserve(
        self, group: LimitGroup, amounts: Mapping[str, int], needs: Mapping[str, int] | None = None
    ) -> Sequence[Held] | Denied:
        """Reserves these amounts, by unit, on all limits, or on none where one does not fit.

        Raises StateGone where the supervisor is gone, which ends this process too.
        """
        id_, seen = next(self._ids), self.counters(group)
        number = self._number(group.limits)
        try:
            found = await self._channel.ask("reserve", id_, number, amounts, needs, limit_s=ANSWER_S)
        except ChannelError:
            raise StateGone(group.limits[0]) from None
        except asyncio.CancelledError:
            # it may have been reserved meanwhile
            self._channel.tell("settle", id_, dict.fromkeys(amounts, 0))
            raise
        if not isinstance(found[0], list):
            index, wait = found
            denied = group.limits[index]
            seen[index][1].learn(denied.bound.limit, wait or 0.0)
            return Denied(denied, inf if wait is None else wait)
        held: list[Held] = []
        for (limit, known, unit, _), (used, whole_in) in zip(seen, found, strict=True):
            known.learn(used, whole_in)
            held.append((limit, known, id_, amounts[unit]))
        return held

    def settle(self, held: Sequence[Held], actual: Mapping[str, int]) -> None:
        """Replaces the reserved amounts by the actual ones by unit; what has no actual one stays as it was."""
        if held:
            self._channel.tell("settle", held[0][2], actual)
        for limit, known, _, amount in held:
            if (used := actual.get(limit.unit)) is not None:
                known.correct(used - amount)

    async def refresh(self, limits: Iterable[Limit]) -> None:
        """Learns how much is used of these limits now, by all workers."""
        wanted = list(limits)
        if not wanted:
            return
        found = await self._channel.ask("used", [write_limit(each) for each in wanted], limit_s=ANSWER_S)
        for limit, (used, whole_in) in zip(wanted, found, strict=True):
            self.counter(limit).learn(used, whole_in)

    def counter(self, limit: Limit) -> LastSeen:
        """The last that is known of one limit."""
        found = self._seen.get(limit.key)
        if found is None:
            is_told = limit.bound.kind == CONCURRENT and limit.owner.startswith(BACKEND)
            found = self._seen[limit.key] = LastSeen(self._clock, is_told=is_told)
        return found

    def learn_places(self, key: str, used: int) -> None:
        """The supervisor says how many requests a backend has, if it has a limit here."""
        if (found := self._seen.get(key)) is not None:
            found.learn(used, 0.0)

    def counters(self, group: LimitGroup) -> Sequence[tuple[Limit, LastSeen, str, int]]:
        """Each limit of a group with what is known of it, its unit and its number."""
        return [(each, self.counter(each), each.unit, each.bound.limit) for each in group.limits]

    async def lacking(self, limits: Iterable[Limit], now: float) -> Mapping[str, float]:
        """None: the supervisor has added what was used before."""
        return {}

    async def add_past(self, limit: Limit, spent: Sequence[tuple[float, int]]) -> None:
        """Does nothing: no limit lacks its past here."""

    def forget_unused(self) -> None:
        """Forgets what is known of limits that are not used, so that those of former configs do not pile up."""
        self._seen = {key: known for key, known in self._seen.items() if known.used()}

    def _number(self, limits: tuple[Limit, ...]) -> int:
        """The number by which the supervisor knows these limits; the first time it is told which they are."""
        number = self._groups.get(limits)
        if number is None:
            number = self._groups[limits] = len(self._groups)
            self._channel.tell("group", number, [write_limit(each) for each in limits])
        return number

    # ---- facts -------------------------------------------------------------------------------------------------------

    def put(self, kind: str, key: str, value: str, ttl_s: float) -> None:
        """Keeps a fact for so long, here and at the other workers."""
        super().put(kind, key, value, ttl_s)
        self._channel.tell("spread", "fact", [True, kind, key, value, ttl_s])

    def tell(self, kind: str, key: str, value: str, ttl_s: float) -> None:
        """Tells a fact to the other workers."""
        self._channel.tell("spread", "fact", [False, kind, key, value, ttl_s])

    def listen(self, kind: str, heard: Callable[[str, str, float], None]) -> None:
        """Calls this with key, value and the seconds that are left, for each fact of the kind that another told."""
        self._listeners[kind] = heard

    def hear(self, is_kept: bool, kind: str, key: str, value: str, ttl_s: float) -> None:
        """Another worker says so."""
        if is_kept:
            super().put(kind, key, value, ttl_s)
        elif (heard := self._listeners.get(kind)) is not None:
            heard(key, value, ttl_s)

    # ---- its life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """There is nothing to connect to: the channel is the worker's."""

    async def close(self) -> None:
        """There is nothing to disconnect from."""
