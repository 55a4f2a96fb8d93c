"""What all requests of one running proxy share: the plan, the backends, beliefs, records, counters, a clock.

It answers no request; whoever does pins the plan at its beginning, so that a new one changes nothing under way.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping

from . import ledger
from .backends.door import Door
from .backends.http import SECRET_LENGTH
from .config import Config
from .health import Budget, Health
from .metrics import Metrics
from .protocols.contract import NewId
from .record import RecordFiles, Ring, StageLog
from .routing import Backend

Ids = Callable[[], NewId]
"""Called once a request; makes that request's ids."""

MakeDoor = Callable[[Backend, Config], Door]
"""Makes the way into a backend; it opens nothing before its first use."""


class Shared:
    """All that one running proxy has. `clock` gives unix seconds, `now` seconds that never go back."""

    def __init__(
        self,
        config: Config,
        make_door: MakeDoor,
        *,
        clock: Callable[[], float],
        now: Callable[[], float] = time.monotonic,
        ids: Ids,
        stages: StageLog | None = None,
        record_files: RecordFiles | None = None,
    ) -> None:
        self.config = config
        self.clock = clock
        self.now = now
        self.ids = ids
        self.stages = stages
        self.record_files = record_files
        self.records = Ring(config.settings.records)
        self.metrics = Metrics()
        self.health = Health(config.settings.breaker)
        self.budget = Budget(config.settings.retry, now())
        self.config_complaints: tuple[str, ...] = ()
        """Why the newest config was not taken; the one before it serves."""
        self._make_door = make_door
        self.doors: Mapping[str, Door] = {backend.name: make_door(backend, config) for backend in config.plan.backends}
        self._retired: list[Door] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._settle()

    def _settle(self) -> None:
        """What is derived from the config, once for each."""
        settings = self.config.settings
        self.actions = {word: rule.action for word, rule in ledger.LEDGER.items()} | dict(settings.ledger)
        self.kept_headers = settings.response_headers
        self._keys = _keys(self.config)

    def adopt(self, config: Config) -> None:
        """Serve by this config from now on; requests under way end on the one that they began with.

        A backend that stays as it was keeps its connections, and every backend the beliefs about it.
        """
        old = self.doors
        doors: dict[str, Door] = {}
        for backend in config.plan.backends:
            door = old.get(backend.name)
            same = door is not None and door.backend == backend and _wiring(config) == _wiring(self.config)
            doors[backend.name] = door if door is not None and same else self._make_door(backend, config)
        self.config, self.doors = config, doors
        self._retired += [door for name, door in old.items() if doors.get(name) is not door]
        self.health.settings = config.settings.breaker
        self.budget.settings = config.settings.retry
        self.config_complaints = ()
        self._settle()
        self.close_retired()

    def close_retired(self) -> None:
        """Close the backends that are no longer in the plan, once nobody uses them."""
        if not self._retired:
            return
        for door in [door for door in self._retired if not door.busy]:
            self._retired.remove(door)
            task = asyncio.ensure_future(door.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def without_keys(self, text: bytes) -> bytes:
        """Bytes that may repeat a key of the config, as some hosts do in their answers, without it."""
        return text if self._keys is None else self._keys.sub(b"***", text)

    def rendered_metrics(self) -> bytes:
        """The counters, with what is believed of the backends right now."""
        now = self.now()
        self.metrics.breakers = {name: self.health.state(name, now) for name in self.doors}
        return self.metrics.render()

    async def close(self) -> None:
        """Close every backend's pool and the logs; twice is harmless."""
        for door in (*self.doors.values(), *self._retired):
            await door.close()
        await asyncio.gather(*self._closing)
        for log in (self.stages, self.record_files):
            if log is not None:
                await asyncio.to_thread(log.close)
        self.stages = self.record_files = None


def _wiring(config: Config) -> tuple[object, ...]:
    """The settings that a backend's connections are made with."""
    settings = config.settings
    return settings.connect_timeout_s, settings.read_timeout_s, settings.max_frame, settings.linger_s


def _keys(config: Config) -> re.Pattern[bytes] | None:
    """Every secret of the config, to be found in bytes."""
    settings, backends = config.settings, config.plan.backends
    keys = {key for b in backends for key in (b.api_key, *b.spare_keys, *b.headers.values())} | {settings.admin_key}
    long = sorted((key for key in keys if key and len(key) >= SECRET_LENGTH), key=len, reverse=True)
    return re.compile(b"|".join(re.escape(key.encode()) for key in long)) if long else None
