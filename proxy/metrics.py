"""The counters behind /metrics: requests, decisions, losses, latencies, tokens.

Labels come from the config and from closed vocabularies only, never from what a client typed. Children are built once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from .health import STATES, State
from .record import Record

_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """One registry an app, so that two apps in one process do not mix."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, frontends: Iterable[str]) -> None:
        self._registry = CollectorRegistry()
        on = self._registry
        self._requests = Counter(
            "crosswire_requests",
            "Requests by frontend, backend that answered, and outcome",
            ["frontend", "backend", "outcome"],
            registry=on,
        )
        self._decisions = Counter("crosswire_routing_decisions", "Routing decisions", ["mode", "backend"], registry=on)
        self._losses = Counter("crosswire_losses", "Losses by the ledger's word", ["feature"], registry=on)
        self._attempts = Counter("crosswire_attempts", "Tries by how they ended", ["backend", "outcome"], registry=on)
        self._seconds = Histogram(
            "crosswire_request_seconds", "From arrival to end", ["frontend"], buckets=_SECONDS, registry=on
        )
        self._first = Histogram(
            "crosswire_first_token_seconds",
            "From arrival to the first content of a stream",
            ["backend"],
            buckets=_SECONDS,
            registry=on,
        )
        self._tokens = Counter("crosswire_tokens", "Tokens as backends say", ["backend", "direction"], registry=on)
        self.in_flight = Gauge("crosswire_requests_in_flight", "Requests under way", registry=on)
        self._upstream = Histogram(
            "crosswire_upstream_seconds",
            "One try at a backend, from its request to its end",
            ["backend"],
            buckets=_SECONDS,
            registry=on,
        )
        self._failovers = Counter(
            "crosswire_failovers", "Tries at another backend than the one before", ["from", "to"], registry=on
        )
        self._breakers = Gauge(
            "crosswire_breaker_state", "0 closed, 1 half-open, 2 open: nobody is sent there", ["backend"], registry=on
        )
        self._reloads = Counter("crosswire_config_reloads", "New configs by how they ended", ["outcome"], registry=on)
        self._config_good = Gauge(
            "crosswire_config_good", "1 while the newest config serves, 0 while an older one does", registry=on
        )
        self._config_good.set(1)
        self._frontend_seconds = {name: self._seconds.labels(name) for name in frontends}
        self._children: dict[tuple[object, tuple[str, ...]], Any] = {}

    def add(self, record: Record) -> None:
        """Count one request that has ended."""
        backend = record.backend_used or "none"
        self._child(self._requests, record.frontend, backend, record.outcome).inc()
        if record.decision is not None:
            chosen = record.decision.chosen
            self._child(self._decisions, record.decision.mode, chosen.backend if chosen else "none").inc()
        for feature in {loss.feature for loss in record.losses}:
            self._child(self._losses, feature).inc()
        for attempt in record.attempts:
            self._child(self._attempts, attempt.backend, attempt.outcome).inc()
            self._child(self._upstream, attempt.backend).observe(attempt.ms / 1000)
        if len(record.attempts) > 1:
            for before, after in pairwise(record.attempts):
                if before.backend != after.backend:
                    self._child(self._failovers, before.backend, after.backend).inc()
        if record.total_ms is not None:
            self._frontend_seconds[record.frontend].observe(record.total_ms / 1000)
        if record.backend_used is None:
            return
        if record.ttft_ms is not None:
            self._child(self._first, record.backend_used).observe(record.ttft_ms / 1000)
        if record.usage is not None:
            self._child(self._tokens, record.backend_used, "input").inc(record.usage.prompt or 0)
            self._child(self._tokens, record.backend_used, "output").inc(record.usage.output or 0)

    def breakers(self, states: Mapping[str, State]) -> None:
        """The breaker of each backend as it is now."""
        self._breakers.clear()
        for name, state in states.items():
            self._breakers.labels(name).set(STATES.index(state))

    def reloaded(self, good: bool) -> None:
        """A new config was taken, or could not be."""
        self._reloads.labels("taken" if good else "refused").inc()
        self._config_good.set(good)

    def _child(self, metric: Counter | Histogram, *labels: str) -> Any:
        """The metric's child for these labels, looked up once."""
        key = (metric, labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child

    def render(self) -> bytes:
        return generate_latest(self._registry)
