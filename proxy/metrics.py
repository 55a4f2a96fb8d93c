"""The counters behind /metrics: requests, decisions, losses, latencies, tokens.

Labels come from the config and from closed vocabularies only, never from what a client typed. Children are built once.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from .record import Record

_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """One registry an app, so that two apps in one process do not mix."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, frontends: Iterable[str], backends: Iterable[str]) -> None:
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
        self._frontend_seconds = {name: self._seconds.labels(name) for name in frontends}
        self._backend_first = {name: self._first.labels(name) for name in backends}
        self._backend_tokens = {
            name: (self._tokens.labels(name, "input"), self._tokens.labels(name, "output"))
            for name in self._backend_first
        }
        self._children: dict[tuple[Counter, tuple[str, ...]], Counter] = {}

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
        if record.total_ms is not None:
            self._frontend_seconds[record.frontend].observe(record.total_ms / 1000)
        if record.ttft_ms is not None and backend in self._backend_first:
            self._backend_first[backend].observe(record.ttft_ms / 1000)
        if record.usage is not None and backend in self._backend_tokens:
            taken, given = self._backend_tokens[backend]
            taken.inc(record.usage.prompt or 0)
            given.inc(record.usage.output or 0)

    def _child(self, counter: Counter, *labels: str) -> Counter:
        key = (counter, labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = counter.labels(*labels)
        return child

    def render(self) -> bytes:
        return generate_latest(self._registry)
