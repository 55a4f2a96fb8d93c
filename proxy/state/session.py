"""The session of one replica with the state's server: its name there, its lease, and its calls in batches.

Every call goes through one connection, in order: while one batch is under way the next collects. After a fault nothing
waits for the server; the session connects again by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from secrets import token_hex
from typing import Any, Protocol

from .connection import Call, Connection, StateFault
from .gauge import MICRO
from .settings import StateSettings
from .waiting import Waiting

log = logging.getLogger("crosswire")

BEAT_S = 1.0
"""Seconds between two beats at most, by which leases are renewed and hints are learnt."""

MOST_CALLS = 200
"""Calls of one batch."""

AGAIN_S = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)
"""Seconds before each further try to connect; the last one stays."""

STABLE_S = 5.0
"""Seconds after which a connection counts as good, so that the first try after it is made at once."""

OPENING = 4
"""Time to connect, in times of what a request waits."""

END_S = 1.0
"""Seconds at the end in which what waits is sent."""


class SessionUser(Protocol):
    """The one whose calls a session sends."""

    def came_up(self) -> None:
        """The server answers, and knows nothing of what this replica holds."""
        ...

    def went_down(self, was_up: bool) -> None:
        """The server does not answer; the calls that waited have failed."""
        ...

    def due(self) -> list[Waiting]:
        """The calls that are to go before all others of the next batch."""
        ...

    def beat(self) -> list[Waiting]:
        """The calls that go with each beat."""
        ...

    def hear(self, hints: Sequence[Any], now_us: int) -> None:
        """Other replicas told this."""
        ...


class Session:
    """Connects, calls and connects again. `now` is monotonic; `server_time` stands in for the server's clock in tests.

    `name` is new after every fault, so that what the old one held can be given up whatever became of its last batch.
    """

    def __init__(
        self,
        settings: StateSettings,
        connection: Connection,
        user: SessionUser,
        now: Callable[[], float],
        server_time: Callable[[], float] | None = None,
    ) -> None:
        self.name = ""
        self.own = token_hex(6)
        """The beginning of every name of this replica."""
        self.is_up = False
        self.fault: str | None = None
        """The reason why the server cannot be used; None where it can, and before the first try."""
        self.last_hint = ""
        self._settings = settings
        self._connection = connection
        self._user = user
        self._now = now
        self._server_time = server_time
        self._calls: deque[Waiting] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._tried: asyncio.Event | None = None
        """Set once the first try to connect is over."""
        self._is_closed = False

    # ---- calls -------------------------------------------------------------------------------------------------------

    def send(self, waiting: Waiting) -> None:
        """Sends this with the next batch."""
        self._calls.append(waiting)
        self.notify()

    def notify(self) -> None:
        """There is something to send."""
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def ask(self, call: Call) -> Any:
        """The answer to one call; raises StateFault."""
        if not self.is_up and not await self.came_up():
            raise StateFault(self.fault or "it is not connected")
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.send(Waiting(lambda: call, self._now(), answer))
        return await answer

    def time(self) -> str:
        """The time as the script wants it: none, as the server has its own."""
        return "" if self._server_time is None else str(round(self._server_time() * MICRO))

    # ---- life --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connects in the background; twice is harmless."""
        if self._task is None and not self._is_closed:
            self._tried = asyncio.Event()
            self._task = asyncio.ensure_future(self._run())

    async def came_up(self) -> bool:
        """Waits for the first try to connect, if it is not over; returns whether the server can be used."""
        self.start()
        if self._tried is not None and not self._tried.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.timeout_s):
                    await self._tried.wait()
        return self.is_up

    async def close(self) -> None:
        """Sends what waits, gives up what is held, and disconnects; twice is harmless."""
        task, self._task, self._is_closed = self._task, None, True
        if task is None:
            return
        if self.is_up:
            with contextlib.suppress(StateFault, TimeoutError):
                async with asyncio.timeout(END_S):
                    await self.ask(("leave", self.time(), self.name))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._go_down("the proxy stops")
        await self._connection.close()

    async def _run(self) -> None:
        """Connects, serves until a fault, and connects again, for ever."""
        tries = 0
        while True:
            began = self._now()
            try:
                await self._connection.open()
                await self._begin()
                await self._serve()
            except StateFault as said:
                fault = str(said)
            except Exception as unexpected:
                log.exception("the shared state failed in the proxy itself")
                fault = type(unexpected).__name__
            if self.fault is None:
                rules = "what `state.fails` says holds until it can"
                log.warning("the shared state at %s cannot be used: %s; %s", self._settings.place, fault, rules)
            self.fault = fault
            self._go_down(fault)
            if self._now() - began > STABLE_S:
                tries = 0
            await asyncio.sleep(AGAIN_S[min(tries, len(AGAIN_S) - 1)])
            tries += 1

    async def _begin(self) -> None:
        """Takes a new name; what the old one held is free."""
        old, new = self.name, f"{self.own}.{token_hex(4)}"
        begin = ("begin", self.time(), old, new, self._lease())
        await self._connection.run([begin], self._settings.timeout_s * OPENING)
        self.name, self.is_up = new, True
        if self.fault is not None:
            log.warning("the shared state at %s can be used again", self._settings.place)
            self.fault = None
        self._user.came_up()
        if self._tried is not None:
            self._tried.set()

    def _go_down(self, fault: str) -> None:
        was_up, self.is_up = self.is_up, False
        calls, self._calls = self._calls, deque()
        for waiting in (*self._user.due(), *calls):
            waiting.fail(StateFault(fault))
        self._user.went_down(was_up)
        if self._tried is not None:
            self._tried.set()

    def _lease(self) -> str:
        return str(round(self._settings.lease_s * MICRO))

    # ---- batches -----------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        """Sends what waits, batch by batch, and beats; raises StateFault."""
        beat_at = self._now()
        while True:
            batch = self._user.due()
            if not batch and not self._calls and (left := beat_at - self._now()) > 0:
                self._wake = asyncio.get_running_loop().create_future()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._wake
                self._wake = None
                batch = self._user.due()
            if self._now() >= beat_at:
                beat_at = self._now() + min(BEAT_S, self._settings.lease_s / 3)
                batch.append(self._beat())
                self._calls.extend(self._user.beat())
            batch += [self._calls.popleft() for _ in range(min(MOST_CALLS, len(self._calls)))]
            if batch:
                await self._send_batch(batch)

    def _beat(self) -> Waiting:
        beat = Waiting(lambda: ("beat", self.time(), self.name, self._lease(), self.last_hint), self._now())
        beat.arrived = lambda answer: self._user.hear(answer[2], answer[1])
        return beat

    async def _send_batch(self, batch: list[Waiting]) -> None:
        """Sends these calls and hands the answers on; raises StateFault, and then they wait again."""
        now, timeout_s = self._now(), self._settings.timeout_s
        oldest = min((each.since for each in batch if each.answer is not None), default=now)
        try:
            answers = await self._connection.run([each.call() for each in batch], max(0.001, oldest + timeout_s - now))
        except BaseException:
            self._calls.extendleft(reversed(batch))
            raise
        unknown: list[Waiting] = []
        for each, answer in zip(batch, answers, strict=True):
            if each.is_named and type(answer) is list and answer[0] == -1:
                unknown.append(each)
            else:
                each.arrive(answer)
        if not unknown:
            return
        # the server lost what it had, or took this replica for dead: what is held comes first, then what was asked
        after, self._calls = (*(each for each in unknown if each.answer is not None), *self._calls), deque()
        try:
            await self._begin()
        finally:
            self._calls.extend(after)
