"""State that the replicas of one deployment share in a Valkey or Redis server.

Where the server does not answer, each limit follows its rule, and what was used meanwhile is added once it is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from ..limits.state import Denied, Held, Limit, LimitGroup, MemoryState
from .connection import Call, Connection, StateFault
from .facts import SharedFacts
from .gauge import MICRO, RemoteGauge, rule_of, seconds
from .interface import StateGone
from .reservation import Reservation
from .session import Session
from .settings import StateSettings
from .waiting import Waiting

log = logging.getLogger("crosswire")

MOST_SETTLED = 100
"""Reservations that are settled by one call."""

WATCHED_S = 60.0
"""Seconds for which a limit that somebody looked at is followed."""

MOST_WATCHED = 200
"""Limits that one beat looks at."""

MOST_GROUPS = 20_000
"""Groups of limits whose part that is counted here is remembered."""


class ReplicaState(SharedFacts):
    """The limits and facts of one replica. `now` is monotonic, `clock` unix time."""

    def __init__(
        self,
        settings: StateSettings,
        now: Callable[[], float],
        clock: Callable[[], float],
        *,
        connection: Connection | None = None,
        server_time: Callable[[], float] | None = None,
    ) -> None:
        """`server_time` stands in for the server's clock in tests."""
        connection = connection or Connection(settings)
        self.epoch = 0
        self.outcomes: Counter[str] = Counter()
        """The reservations by where they were counted, and those that the rules let through or refused."""
        self._settings = settings
        self._now = now
        self._clock = clock
        self._session = Session(settings, connection, self, now, server_time)
        super().__init__(self._session, connection.root, now)
        self._gauges: dict[str, RemoteGauge] = {}
        self._local: MemoryState | None = None
        """Counts while the server does not answer."""
        self._local_groups: dict[int, tuple[LimitGroup, LimitGroup]] = {}
        self._under_way: dict[int, Reservation] = {}
        self._late: dict[str, tuple[RemoteGauge, int]] = {}
        """The amounts, by limit, that the server does not know yet."""
        self._settled: deque[tuple[Reservation, Mapping[str, int]]] = deque()
        self._gone_since = clock()
        """The unix time at which the server last ceased to answer."""
        self._next_watched = 0

    # ---- reservations ------------------------------------------------------------------------------------------------

    async def reserve(
        self, group: LimitGroup, amounts: Mapping[str, int], needs: Mapping[str, int] | None = None
    ) -> Sequence[Held] | Denied:
        """Reserves these amounts, by unit, on all limits, or on none where one does not fit."""
        session = self._session
        if not session.is_up and not await session.came_up():
            return self._alone(group, amounts, needs)
        counters = self.counters(group)
        asked, clock = needs or amounts, self._clock()
        rows = [gauge.row(asked[unit], amounts[unit], clock) for _, gauge, unit, _ in counters]
        reservation = Reservation((limit, gauge, amounts[unit]) for limit, gauge, unit, _ in counters)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        waiting = Waiting(self._reserving(rows), self._now(), future)
        waiting.orphaned = partial(self._give_back, reservation)
        session.send(waiting)
        try:
            answer = await future
        except StateFault:
            return self._alone(group, amounts, needs)
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._give_back(reservation, future.result())
            raise
        return self._reserved(reservation, answer)

    def settle(self, held: Sequence[Held], actual: Mapping[str, int]) -> None:
        """Replaces the reserved amounts by the actual ones by unit; the server learns of it in the background."""
        if not isinstance(held, Reservation):
            raise TypeError("what is settled was not reserved here")
        if held.is_moving:
            held.actual = actual
            return
        if self._under_way.pop(id(held), None) is None:
            return
        if self._session.is_up and held.replica == self._session.name:
            for limit, gauge, _, amount in held:
                gauge.changed(actual.get(limit.unit, amount) - amount)
            self._settled.append((held, actual))
            self._session.notify()
            return
        if self._local is not None:
            self._local.settle(held.local, actual)
        self._add_late(held, actual)

    def _reserving(self, rows: Sequence[Sequence[str]], since: float | None = None) -> Callable[[], Call]:
        """The call for these rows, under the name that the replica has when it is sent.

        `since` is for what was used already, while the server did not answer, from this unix time on.
        """
        session, parts = self._session, [part for row in rows for part in row]
        late = None if since is None else f"@{round(since * MICRO)}"
        return lambda: ("reserve", session.time(), late or session.name, *parts)

    def _reserved(self, reservation: Reservation, answer: Sequence[int]) -> Reservation | Denied:
        """Notes what the server answered."""
        denied: Denied | None = None
        for index, (limit, gauge, _, _) in enumerate(reservation):
            wait = seconds(answer[4 * index + 2])
            gauge.learn(answer[4 * index + 3], answer[4 * index + 4], wait)
            if wait and (denied is None or wait > denied.wait):
                denied = Denied(limit, wait)
        if denied is not None:
            self.outcomes["denied"] += 1
            return denied
        self.outcomes["shared"] += 1
        reservation.held_by(self._session.name, list(answer[5::4]))
        self._under_way[id(reservation)] = reservation
        if not self._session.is_up:  # it went down between the answer and now
            self._count_here(reservation)
        return reservation

    def _give_back(self, reservation: Reservation, answer: Sequence[int]) -> None:
        """Frees what was reserved for a request that is gone."""
        if answer[0] == 1 and not isinstance(self._reserved(reservation, answer), Denied):
            self.settle(reservation, dict.fromkeys((limit.unit for limit, *_ in reservation), 0))

    # ---- knowledge of limits -----------------------------------------------------------------------------------------

    def counter(self, limit: Limit) -> RemoteGauge:
        """The knowledge of one limit, which is followed from now on as long as somebody looks at it."""
        found = self._gauge(limit)
        found.asked_at = self._now()
        return found

    def counters(self, group: LimitGroup) -> Sequence[tuple[Limit, RemoteGauge, str, int]]:
        """Each limit of a group with what is known of it, its unit and its number."""
        found: Any = group.counters
        if found is None:
            found = tuple((each, self._gauge(each), each.unit, each.bound.limit) for each in group.limits)
            group.counters = found
        counters: Sequence[tuple[Limit, RemoteGauge, str, int]] = found
        return counters

    def _gauge(self, limit: Limit) -> RemoteGauge:
        found = self._gauges.get(limit.key)
        if found is None or found.limit.bound != limit.bound:
            found = self._gauges[limit.key] = RemoteGauge(limit, self._now)
            self._follow_rule(found)
        return found

    async def lacking(self, limits: Iterable[Limit], now: float) -> Mapping[str, float]:
        """The keys of those limits that lack what was used before, each with the unix time from which it counts."""
        gauges = [self._gauge(limit) for limit in limits]
        if not gauges:
            return {}
        clock = self._clock()
        rows = [part for gauge in gauges for part in gauge.row("", 0, clock)]
        try:
            answer = await self._session.ask(("lacking", self._session.time(), *rows))
        except StateFault:
            raise StateGone(gauges[0].limit) from None
        return {gauge.limit.key: at / MICRO for gauge, at in zip(gauges, answer, strict=True) if at}

    async def add_past(self, limit: Limit, spent: Sequence[tuple[float, int]]) -> None:
        """Adds amounts that were used at these unix times, unless another replica did so before."""
        row = self._gauge(limit).row("", 0, self._clock())
        entries = [text for when, amount in spent for text in (str(round(when * MICRO)), str(amount))]
        try:
            await self._session.ask(("past", self._session.time(), *row, *entries))
        except StateFault:
            raise StateGone(limit) from None

    def forget_unused(self) -> None:
        """Forgets what is known of limits of which nothing is used."""
        self._gauges = {key: gauge for key, gauge in self._gauges.items() if gauge.used()}
        self._local_groups.clear()

    # ---- while the server does not answer ----------------------------------------------------------------------------

    def _alone(
        self, group: LimitGroup, amounts: Mapping[str, int], needs: Mapping[str, int] | None
    ) -> Reservation | Denied:
        """Reserves by the rules for a server that does not answer."""
        fails = self._settings.fails
        for limit in group.limits:
            if rule_of(limit, fails) == "closed":
                self.outcomes["closed"] += 1
                raise StateGone(limit)
        local = self._local_group(group)
        reserved: list[Held] = []
        if local.limits:
            found = self._counting_here().reserve_now(local, amounts, needs)
            if isinstance(found, Denied):
                self.outcomes["denied"] += 1
                return found
            reserved = found
        self.outcomes["local" if local.limits else "open"] += 1
        counters = self.counters(group)
        reservation = Reservation((limit, gauge, amounts[unit]) for limit, gauge, unit, _ in counters)
        reservation.local = reserved
        self._under_way[id(reservation)] = reservation
        return reservation

    def _local_group(self, group: LimitGroup) -> LimitGroup:
        """The limits of a group that are counted here."""
        found = self._local_groups.get(id(group))
        if found is None or found[0] is not group:
            if len(self._local_groups) > MOST_GROUPS:
                self._local_groups.clear()
            here = [limit for limit in group.limits if rule_of(limit, self._settings.fails) == "local"]
            found = self._local_groups[id(group)] = group, LimitGroup(here)
            for limit in here:
                self._follow_rule(self._gauge(limit))
        return found[1]

    def _counting_here(self) -> MemoryState:
        if self._local is None:
            self._local = MemoryState(self._now, self._clock)
        return self._local

    def _follow_rule(self, gauge: RemoteGauge) -> None:
        """Has the gauge count here from what the server said last, where it does not answer and the rule says so."""
        if not self._session.is_up and gauge.local is None and rule_of(gauge.limit, self._settings.fails) == "local":
            gauge.local = self._counting_here().counter(gauge.limit)
            if gauge.kind != "n" and gauge.last:
                gauge.local.add(gauge.last)

    def _count_here(self, reservation: Reservation) -> None:
        """Counts a request under way among those at once here too, so that it can be given back."""
        reservation.local = [
            (limit, gauge.local, gauge.local.add(amount), amount)
            for limit, gauge, _, amount in reservation
            if gauge.local is not None and gauge.kind == "n"
        ]

    def _add_late(self, reservation: Reservation, actual: Mapping[str, int]) -> None:
        """Keeps what a request used, for the server to learn."""
        for gauge, used in reservation.spent(actual):
            self._keep_late(gauge, used)
        if self._session.is_up:
            self._send_late()

    def _keep_late(self, gauge: RemoteGauge, used: int) -> None:
        before = self._late.get(gauge.limit.key)
        self._late[gauge.limit.key] = gauge, used + (0 if before is None else before[1])

    def _send_late(self) -> None:
        late, self._late = self._late, {}
        clock = self._clock()
        for gauge, used in late.values():
            waiting = Waiting(self._reserving([gauge.row("", used, clock)], self._gone_since), self._now())
            waiting.failed = partial(self._keep_late, gauge, used)
            self._session.send(waiting)

    # ---- the session -------------------------------------------------------------------------------------------------

    @property
    def complaint(self) -> str | None:
        """The reason why the server does not answer, and what is done meanwhile."""
        fault, fails = self._session.fault, self._settings.fails
        if fault is None:
            return None
        rules = ", ".join(f"{kind} {getattr(fails, kind)}" for kind in fails.__struct_fields__)
        return f"the shared state at {self._settings.place} cannot be used: {fault}; until it can: {rules}"

    def start(self) -> None:
        """Connects in the background; twice is harmless."""
        self._session.start()

    async def close(self) -> None:
        """Sends what waits, gives up what is held, and disconnects; twice is harmless."""
        await self._session.close()
        late, self._late = self._late, {}
        if late:
            log.warning("what was used last of %d limits is lost: the shared state does not answer", len(late))

    def came_up(self) -> None:
        """Holds all that is under way at the server, and tells it what was used meanwhile."""
        self.epoch += 1
        self._local = None
        self._local_groups.clear()
        for gauge in self._gauges.values():
            gauge.local = None
        clock = self._clock()
        self._send_late()  # before what is under way, so that new counters count from the fault on
        for reservation in self._under_way.values():
            self._move(reservation, clock)

    def _move(self, reservation: Reservation, clock: float) -> None:
        """Holds a reservation at the server, whether it fits or not."""
        rows = [gauge.row("", amount, clock) for _, gauge, _, amount in reservation]
        reservation.is_moving, reservation.replica, reservation.local = True, None, []
        waiting = Waiting(self._reserving(rows), self._now())

        def moved(answer: Sequence[int]) -> None:
            reservation.held_by(self._session.name, list(answer[5::4]))
            ended()

        def ended() -> None:
            reservation.is_moving = False
            actual, reservation.actual = reservation.actual, None
            if actual is not None:
                self.settle(reservation, actual)

        waiting.arrived, waiting.failed = moved, ended
        self._session.send(waiting)

    def went_down(self, was_up: bool) -> None:
        """Counts here what the rules say is to be counted here."""
        if not was_up:
            return
        self._gone_since = self._clock()
        for gauge in self._gauges.values():
            self._follow_rule(gauge)
        for reservation in self._under_way.values():
            if not reservation.local:
                self._count_here(reservation)

    def due(self) -> list[Waiting]:
        """The calls that settle what has ended."""
        found: list[Waiting] = []
        while self._settled:
            some = [self._settled.popleft() for _ in range(min(MOST_SETTLED, len(self._settled)))]
            parts = [part for reservation, actual in some for part in reservation.settling(actual)]
            # a reservation is settled under the name that holds it; what another one held is freed already
            waiting = Waiting(partial(self._settling, self._session.name, parts), self._now())
            waiting.failed = partial(self._not_settled, some)
            waiting.is_named = False
            found.append(waiting)
        return found

    def _settling(self, name: str, parts: Sequence[str]) -> Call:
        return ("settle", self._session.time(), name, *parts)

    def _not_settled(self, some: Sequence[tuple[Reservation, Mapping[str, int]]]) -> None:
        """Keeps what was used; the fault may have come after it was settled: counted twice is on the safe side."""
        for reservation, actual in some:
            for gauge, used in reservation.spent(actual):
                self._keep_late(gauge, used)

    def beat(self) -> list[Waiting]:
        """A look at the limits that somebody looks at."""
        now = self._now()
        watched = [gauge for gauge in self._gauges.values() if now - gauge.asked_at < WATCHED_S]
        if not watched:
            return []
        start = self._next_watched % len(watched)
        some = (watched[start:] + watched[:start])[:MOST_WATCHED]
        self._next_watched = start + len(some)
        clock = self._clock()
        rows = [part for gauge in some for part in gauge.row("", 0, clock)]
        look = Waiting(lambda: ("look", self._session.time(), *rows), now)

        def looked(answer: Sequence[int]) -> None:
            for index, gauge in enumerate(some):
                gauge.learn(answer[2 * index], answer[2 * index + 1])

        look.arrived = looked
        look.is_named = False
        return [look]
