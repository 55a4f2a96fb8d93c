"""The state of one running proxy: config, backends, circuit breakers, retry budgets, records and metrics."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

from msgspec import Struct

from ..backends.backend import Backend, LoadedBackend
from ..backends.deadlines import DeadlineQueue
from ..backends.secrets import SECRET_LENGTH
from ..balance.hedge_budget import HedgeBudget
from ..balance.measures import Beliefs, Measures
from ..balance.strategy import Dice
from ..config import Config
from ..costs.price import PriceTable
from ..costs.price_list import shipped_prices
from ..ir.loss_tables import LOSS_RULES
from ..limits.bounds import AtOnce, Bound
from ..limits.state import BACKEND, Denied, Held, Limit, LimitGroup, limit_of
from ..observability.access_log import STDOUT, AccessLog
from ..observability.body_buffer import BodyBuffer
from ..observability.failure_log import FailureLog
from ..observability.log_output import escape_messages
from ..observability.metrics import Metrics
from ..observability.record_log import RecordFiles, StageLog
from ..observability.request_record import RecordBuffer
from ..observability.usage_log import UsageLog
from ..protocols.protocol import NewId
from ..resilience.circuit_breaker import CircuitBreakers
from ..resilience.retry import RetryBudget
from ..routing import BackendConfig
from ..state.factory import make_state
from ..state.interface import State, StateGone
from .admission import Admission
from .guard import Guard
from .hops import may_be_proxy, new_instance_id
from .model_lists import ModelLists, with_models
from .peers import Peers
from .place_queue import PlaceQueues, QueueBound
from .protocol_choice import Lacking, fits, in_order
from .state_owners import StateOwners

if TYPE_CHECKING:
    from ..observability.tracing import Tracer
    from .context import RequestContext

log = logging.getLogger("crosswire")

T = TypeVar("T")

LARGE = 256 * 1024
"""Bytes of a body from which on its decoding and encoding leave the event loop."""

LARGE_SIMPLE = 2 * 1024 * 1024
"""The same of a body of few values. Its time goes into single calls of the parser and of searches, which hold the
interpreter's lock: a thread would let nothing else run meanwhile."""

FULL = "it has as many requests under way as it takes (max_in_flight)"
"""The reason for which a full backend is not called."""

NO_BACKENDS: Mapping[str, str] = {}


ONE_CALL: Mapping[str, int] = {"requests": 1, "tokens": 1, "concurrent": 1}
"""The amounts that must be left of a backend's limits for one more call, whose tokens are known afterwards."""

Reservation: TypeAlias = Sequence[Held]
"""Amounts that are reserved at once, and settled at once."""

SHUTTING_DOWN = "The proxy is shutting down; try again elsewhere."


class BackendHealth(Struct, frozen=True):
    """The backends that are not to be called at one moment, each with the reason.

    Those with an open circuit breaker are called where no other is left; those that are full never are.
    """

    broken: Mapping[str, str]
    full: Mapping[str, str]

    @property
    def unavailable(self) -> Mapping[str, str]:
        return {**self.broken, **self.full} if self.full else self.broken


ALL_UP = BackendHealth({}, {})
"""The health while every backend may be called."""

Ids = Callable[[], NewId]
"""Called once for each request; returns the function that makes that request's ids."""

ReadUsage = Callable[[Sequence[str], float], Awaitable[list[dict[str, Any]]]]

MakeBackend = Callable[[BackendConfig, Config], Backend]
"""Makes a backend; it opens no connection before its first use."""


class Runtime:
    """The state that all requests share. `clock` gives unix seconds, `now` monotonic seconds.

    `dice` choose among equal targets, whose answers are timed with the `stopwatch`.
    `instance` is the id by which the proxy recognises its own requests; workers of one proxy share it.
    """

    def __init__(
        self,
        config: Config,
        make_backend: MakeBackend,
        *,
        clock: Callable[[], float],
        now: Callable[[], float] = time.monotonic,
        ids: Ids,
        stages: StageLog | None = None,
        record_files: RecordFiles | None = None,
        instance: str | None = None,
        state: State | None = None,
        dice: Dice = random.random,
        stopwatch: Callable[[], float] = time.perf_counter,
    ) -> None:
        escape_messages()
        self.config = config
        self.clock = clock
        self.now = now
        self.ids = ids
        self.stages = stages
        self.record_files = record_files
        self.records = RecordBuffer(config.settings.records, config.settings.limits.record_memory)
        self.bodies: BodyBuffer | None = None
        """The bodies of the last requests, for the page; None where none are kept."""
        self.began = clock()
        self.metrics = Metrics()
        self.failures = FailureLog(now)
        self.breakers = CircuitBreakers(config.settings.breaker)
        self.retry_budget = RetryBudget(config.settings.retry, now())
        self.admission = Admission(self.breakers, self.retry_budget, now)
        self.owners = StateOwners()
        self.places = PlaceQueues()
        self.dice = dice
        self.stopwatch = stopwatch
        self.beliefs: Beliefs = Measures()
        """Beliefs about the targets that routes balance."""
        self.hedge_budgets: dict[str, HedgeBudget] = {}
        """The budget of hedged requests of each route that allows any, by its name."""
        self.limits: State = make_state(config.settings.state, now, clock) if state is None else state
        """The state of every limit, which outlives a config, and the facts that are shared with other replicas."""
        self.peers: Peers | None = None
        """The other workers of this proxy; None where it is one process."""
        self.ledger: UsageLog | None = None
        """Takes a row of usage for each request; None where none are kept."""
        self.read_usage: ReadUsage | None = None
        """Reads the sums of that ledger by columns since a unix time; None where none is kept."""
        self.lacking = Lacking()
        self.model_lists = ModelLists(lambda: self.config, lambda: self.backends, self._offer_models, now)
        self._loaded = config
        """The config without the models that the providers list."""
        self.config_complaints: tuple[str, ...] = ()
        """The errors for which the newest config was refused, while the one before it serves."""
        self.store_complaint: str | None = None
        """The reason why the store cannot be read, while what was read of it last serves."""
        self.instance = instance or new_instance_id()
        self._make_backend = make_backend
        self.backends: Mapping[str, Backend] = {
            backend.name: make_backend(backend, config) for backend in config.plan.backends
        }
        self._has_started = False
        self._worker = ThreadPoolExecutor(1, "large-requests")
        """One thread, so that no two large requests compete with the loop for the interpreter's lock."""
        self.streams = 0
        """Streamed answers under way."""
        self.under_way: dict[asyncio.Task[object], RequestContext] = {}
        """The requests that have not ended, by their tasks, in the order in which they came."""
        self.is_ending = False
        """True once requests under way are cancelled because the proxy stops, and are told so."""
        self.sockets = 0
        """Open WebSockets."""
        self._shares_places = False
        self._unused: list[Backend] = []
        self._closing: set[asyncio.Task[Any]] = set()
        self.access_log: AccessLog | None = None
        """Takes a line for each request that has ended; None where no such log is kept."""
        self.tracer: Tracer | None = None
        """Begins the trace of each request; None where none are recorded."""
        self._derive()
        self._open_access_log()
        self._make_tracer()

    def _derive(self) -> None:
        """Computes once for each config what every request needs of it."""
        settings = self.config.settings
        self.deadlines = DeadlineQueue(settings.retry.deadline_s)
        """The requests that wait for the beginning of their answer."""
        self.loss_actions = {word: rule.action for word, rule in LOSS_RULES.items()} | dict(settings.ledger)
        self.kept_headers = settings.response_headers
        self._secrets = _secrets(self.config)
        if not settings.ui.bodies or settings.admin_key is None:
            self.bodies = None
        elif self.bodies is None:
            self.bodies = BodyBuffer(settings.ui.memory)
        else:
            self.bodies.memory = settings.ui.memory
        self._proxies = frozenset(backend.name for backend in self.config.plan.backends if may_be_proxy(backend))
        backends = self.config.plan.backends
        self.prices = PriceTable((*settings.prices, *shipped_prices()))
        self.guard = (
            Guard(self.config, self.limits, self.prices, self.clock())
            if self.config.clients is not None or settings.model_limits
            else None
        )
        self.queues = {b.name: QueueBound(b.queue, b.queue_s) for b in backends if b.queue and b.max_in_flight}
        """The bounds of the queues of those backends that have one."""
        balancing = [route for route in self.config.plan.routes if route.enabled and route.equals > 1]
        self.watched = frozenset(target.backend for each in balancing for target in each.targets[: each.equals])
        """The backends whose answers are timed, because a route balances them."""
        self.keyed = frozenset(b.name for b in backends if b.spare_keys and b.key_strategy != "order")
        """The backends that have several keys, of which each call gets one by a strategy."""
        limits = {b.name: _backend_limits(b, shares_places=self._shares_places) for b in backends}
        self.limited = {name: LimitGroup(found) for name, found in limits.items() if found}
        self._bounded = {b.name: b.max_in_flight for b in backends if b.max_in_flight is not None or b.rates}

    def _open_access_log(self) -> None:
        """Opens the access log, again with each config, so that a file that was moved away is made anew."""
        settings, old = self.config.settings, self.access_log
        path = settings.access_log
        if old is not None and path == STDOUT == old.path:
            return
        self.access_log = None if path is None else AccessLog(path, settings.log_buffer, settings.log_end_s)
        if old is not None:
            self._close_soon(old.close)

    def _make_tracer(self) -> None:
        """Makes what the config says of traces; the one before it sends what it has."""
        settings, old = self.config.settings.tracing, self.tracer
        if (None if old is None else old.settings) == settings:
            return
        if settings is None:
            self.tracer = None
        else:
            from ..observability.tracing import Tracer

            self.tracer = Tracer(settings, self.instance)
        if old is not None:
            self._close_soon(old.close)

    def _close_soon(self, close: Callable[[], object]) -> None:
        """Closes what writes from a thread of its own, without waiting for it."""
        task: asyncio.Task[object] = asyncio.ensure_future(asyncio.to_thread(close))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def share_places(self) -> None:
        """Counts the requests under way at each backend together with those of the other workers."""
        self._shares_places = True
        self._derive()

    def hop_of(self, backend: str) -> str | None:
        """The id that tells this backend where a request came through; None for a provider of the registry."""
        return self.instance if backend in self._proxies else None

    def apply_config(self, config: Config) -> None:
        """Serves by this config from now on; requests under way end on the one that they began with.

        A backend whose config is unchanged keeps its connections, and every backend keeps its circuit breaker.
        """
        self._loaded, config = config, with_models(config, self.model_lists.offered)
        old = self.backends
        same_connections = _connection_settings(config) == _connection_settings(self.config)
        backends: dict[str, Backend] = {}
        for wanted in config.plan.backends:
            backend = old.get(wanted.name)
            keeps = backend is not None and backend.config == wanted and same_connections
            backends[wanted.name] = backend if backend is not None and keeps else self._make_backend(wanted, config)
        self.config, self.backends = config, backends
        self._unused += [backend for name, backend in old.items() if backends.get(name) is not backend]
        self.breakers.settings = config.settings.breaker
        self.retry_budget.settings = config.settings.retry
        self.records.memory = config.settings.limits.record_memory
        self.config_complaints = ()
        self._derive()
        try:
            self._open_access_log()
        except OSError as fault:
            log.error("access_log: %s cannot be written: %s", fault.filename, fault.strerror)
        self._make_tracer()
        if self._has_started:
            self.start()
        self.limits.forget_unused()
        self.close_unused_backends()

    def start(self) -> None:
        """Begins to load the models that are not to wait for a request; nothing waits for them."""
        self._has_started = True
        for backend in self.backends.values():
            if isinstance(backend, LoadedBackend):
                backend.start()

    def _offer_models(self, offered: Mapping[str, tuple[str, ...]]) -> None:
        """Lists these models of the backends from now on."""
        self.config = with_models(self._loaded, offered)

    async def off_loop(self, work: Callable[[], T]) -> T:
        """Runs work on a large request in a thread, so that other requests get their turn meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    def health(self) -> BackendHealth:
        """The backends that are not to be called now."""
        if self.breakers.quiet and not self._bounded:
            return ALL_UP
        full = (
            {name: reason for name in self._bounded if (reason := self.full_reason(name)) is not None}
            if self._bounded
            else NO_BACKENDS
        )
        return BackendHealth(self.breakers.open_reasons(self.now()), full)

    def spoken(self, backend: Backend, frontend: str, needs: frozenset[str]) -> Sequence[Backend]:
        """The backend in each of its protocols that can say what is needed, in the order of trial for this frontend.

        Those that its host turned out not to speak are left out, unless there is no other.
        """
        if not backend.others:
            return (backend,)
        every = in_order((backend, *backend.others), lambda each: each.config, frontend)
        found = [each for each in every if fits(each.config, needs)] or every[:1]
        now = self.now()
        return [each for each in found if not self.lacking.has(each.config, now)] or found

    def full_reason(self, name: str) -> str | None:
        """The reason why the backend takes no request now: its `max_in_flight` or one of its limits; else None."""
        if name not in self._bounded:
            return None
        most = self._bounded[name]
        if most is not None and self.backends[name].busy + self.places.promised.get(name, 0) >= most:
            return FULL
        group = self.limited.get(name)
        if group is not None:
            for limit, counter, unit, most in self.limits.counters(group):
                if counter.wait(1, most):
                    if unit == "concurrent":
                        return FULL
                    return f"it has had as many {unit} in {limit.bound.kind} as it gets ({unit})"
        return None

    async def reserve_backend(self, name: str, tokens: int) -> Reservation | None:
        """Counts a call of a backend on its limits; None where one of them has no room."""
        group = self.limited[name]
        try:
            reserved = await self.limits.reserve(group, {**ONE_CALL, "tokens": tokens}, ONE_CALL)
        except StateGone:
            return None
        return None if isinstance(reserved, Denied) else reserved

    def close_unused_backends(self) -> None:
        """Closes the backends that are no longer in the config and have no request under way."""
        if not self._unused:
            return
        for backend in [backend for backend in self._unused if not backend.busy]:
            self._unused.remove(backend)
            task = asyncio.ensure_future(backend.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def without_keys(self, text: bytes) -> bytes:
        """Masks every secret of the config in bytes that may repeat one, as some hosts do in their answers."""
        return text if self._secrets is None else self._secrets.sub(b"***", text)

    def render_metrics(self) -> bytes:
        """The metrics in Prometheus' text format."""
        self.update_metrics()
        return self.metrics.render()

    def update_metrics(self) -> None:
        """Takes over what the metrics tell as it is now, such as each circuit breaker's state."""
        now = self.now()
        self.metrics.breakers = {name: self.breakers.state(name, now) for name in self.backends}
        self.metrics.sockets = self.sockets
        self.metrics.rate_limits = {
            name: list(backend.rate_limits.values())[-1]
            for name, backend in self.backends.items()
            if backend.rate_limits
        }
        self.metrics.store_good = self.store_complaint is None
        spans = None if self.tracer is None else self.tracer.queue
        logs = (self.stages, self.record_files, self.access_log, spans)
        self.metrics.dropped = {each.what: each.dropped for each in logs if each is not None}
        if self.ledger is not None:
            self.metrics.dropped = {**self.metrics.dropped, "usage": self.ledger.dropped}
            self.metrics.usage_waiting = self.ledger.waiting
        self.metrics.state_good = self.limits.complaint is None
        self.metrics.reservations = self.limits.outcomes
        if self.guard is not None:
            self.metrics.budgets = self.guard.spent_budgets()

    async def close(self) -> None:
        """Closes every backend's connections and the logs; twice is harmless."""
        for backend in (*self.backends.values(), *self._unused):
            await backend.close()
        await asyncio.gather(*self._closing)
        self._worker.shutdown(wait=False)
        await self.limits.close()
        for each in (self.stages, self.record_files, self.access_log, self.tracer):
            if each is not None:
                await asyncio.to_thread(each.close)
        self.stages = self.record_files = self.access_log = self.tracer = None


def _connection_settings(config: Config) -> tuple[object, ...]:
    """The settings that a backend's connections are made with."""
    settings = config.settings
    limits = settings.limits
    return (
        *(settings.connect_timeout_s, settings.read_timeout_s, settings.max_frame, settings.linger_s),
        *(settings.dns, settings.retry.max_retry_after_s),
        *(limits.response, limits.response_header),
    )


def _backend_limits(backend: BackendConfig, *, shares_places: bool) -> tuple[Limit, ...]:
    """The limits that are reserved for each call of the backend; a process alone knows itself what is under way."""
    most = backend.max_in_flight if shares_places else None
    named: tuple[tuple[str, Bound | None], ...] = (
        ("requests", backend.rates.requests),
        ("tokens", backend.rates.tokens),
        ("concurrent", None if most is None else AtOnce(most)),
    )
    return tuple(limit_of(f"{BACKEND}{backend.name}", unit, bound) for unit, bound in named if bound is not None)


def _secrets(config: Config) -> re.Pattern[bytes] | None:
    """A pattern that matches every secret of the config; None without secrets.

    A short key is masked where it stands alone only: within a word it is a coincidence.
    """
    settings, backends = config.settings, config.plan.backends
    keys = {settings.admin_key, *(key for b in backends for key in (b.api_key, *b.spare_keys))}
    keys.add(urlsplit(settings.state.url or "").password)
    keys |= {urlsplit(b.proxy).password for b in backends if b.proxy is not None}
    keys |= {value for b in backends for value in b.headers.values() if len(value) >= SECRET_LENGTH}
    patterns = [
        re.escape(key.encode()) if len(key) >= SECRET_LENGTH else rb"(?<![\w-])%b(?![\w-])" % re.escape(key.encode())
        for key in sorted(filter(None, keys), key=len, reverse=True)
    ]
    return re.compile(b"|".join(patterns)) if patterns else None
