"""The counters behind /metrics: requests, decisions, attempts, losses, latencies, tokens.

Labels come from the config and from closed vocabularies only, never from what a client typed. A request is counted in
plain numbers, and only a scrape makes families of them: a client library's counters cost ten times as much a request.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, pairwise

from msgspec import Struct
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ..costs.price import NANO
from ..ir.rate_limits import RateLimit
from ..resilience.circuit_breaker import STATES, State
from .request_record import BATCH, OUTRUN, Record, is_large

_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_BOUNDS = [*map(str, map(float, _SECONDS)), "+Inf"]


class _Counter(defaultdict[tuple[str, ...], float]):
    """A number by its labels."""

    def __init__(self, name: str, help_: str, labels: tuple[str, ...]) -> None:
        super().__init__(float)
        self._head = (name, help_, labels)

    def family(self) -> Metric:
        name, help_, labels = self._head
        family = CounterMetricFamily(name, help_, labels=labels)
        for values, number in self.items():
            family.add_metric(values, number)
        return family


class _Histogram:
    """Seconds by their buckets and one label, or without a label."""

    def __init__(self, name: str, help_: str, label: str | None) -> None:
        self._head = (name, help_, label)
        self._seen: defaultdict[str, list[float]] = defaultdict(lambda: [0.0] * (len(_BOUNDS) + 1))
        """For each value of the label how many fell into each bucket alone, and their sum at the end."""

    def observe(self, value: str, seconds: float) -> None:
        seen = self._seen[value]
        seen[bisect_left(_SECONDS, seconds)] += 1
        seen[-1] += seconds

    def family(self) -> Metric:
        name, help_, label = self._head
        family = HistogramMetricFamily(name, help_, labels=(label,) if label else ())
        for value, (*buckets, total) in self._seen.items():
            family.add_metric((value,) if label else (), list(zip(_BOUNDS, accumulate(buckets), strict=True)), total)
        return family


class Totals(Struct, frozen=True, kw_only=True):
    """Sums over all requests: how many, how many that failed, how often what was lost, and tokens as backends say."""

    requests: int
    failed: int
    losses: Mapping[str, int]
    input_tokens: int
    output_tokens: int


class Metrics(Collector):
    """One registry an app, so that two apps in one process do not mix."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self.in_flight = 0
        self.sockets = 0
        """Open WebSockets."""
        self.config_good = True
        """True if the newest config serves."""
        self.store_good = True
        """True if the store can be read."""
        self.state_good = True
        """True if the state that replicas share answers."""
        self.reservations: Mapping[str, int] = {}
        """The reservations on limits in a shared state by what became of them."""
        self.dropped: Mapping[str, int] = {}
        """The entries that each log has lost."""
        self.breakers: Mapping[str, State] = {}
        """The breaker of each backend, as it is right now."""
        self.rate_limits: Mapping[str, Iterable[RateLimit]] = {}
        """The limits that the provider of each backend named last."""
        self._ended: list[Record] = []
        """The requests that are not counted yet."""
        self._requests = _Counter(
            "crosswire_requests",
            "Requests; `outcome` is `answered`, a kind of failure, or `aborted` where the client left",
            ("frontend", "backend", "outcome"),
        )
        self._decisions = _Counter(
            "crosswire_routing_decisions",
            "Decisions by their mode and the backend that was chosen",
            ("mode", "backend"),
        )
        self._losses = _Counter("crosswire_losses", "Losses by their word", ("feature",))
        self._attempts = _Counter("crosswire_attempts", "Calls of backends by how they ended", ("backend", "outcome"))
        self._failovers = _Counter(
            "crosswire_failovers", "Attempts at another backend than the one before", ("from", "to")
        )
        self._tokens = _Counter(
            "crosswire_tokens", "Tokens as the backends count them, `input` and `output`", ("backend", "direction")
        )
        self._clients = _Counter(
            "crosswire_client_requests", "Requests of each client by how they ended", ("client", "outcome")
        )
        self._costs = _Counter(
            "crosswire_cost_dollars", "What answers cost, as far as prices are known", ("backend", "client")
        )
        self.budgets: Iterable[tuple[str, str, float, float]] = ()
        """The owner and the period of each budget, what is spent of it, and its size, in dollars."""
        self.usage_waiting = 0
        """Rows of usage that wait to be written."""
        self._reloads = _Counter("crosswire_config_reloads", "New configs, `taken` or `refused`", ("outcome",))
        self._seconds = _Histogram("crosswire_request_seconds", "From arrival to end", "frontend")
        self._first = _Histogram(
            "crosswire_first_token_seconds", "From arrival to the first content of a stream", "backend"
        )
        self._upstream = _Histogram("crosswire_upstream_seconds", "One attempt, from its request to its end", "backend")
        self._lag = _Histogram(
            "crosswire_loop_lag_seconds",
            "How late the event loop runs what is due, which is what every request waits where something blocks it",
            None,
        )
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def add(self, record: Record) -> None:
        """Takes one request that has ended; it is counted with others, or when the numbers are read."""
        self._ended.append(record)
        if len(self._ended) >= BATCH or is_large(record):
            self._count_ended()

    def _count_ended(self) -> None:
        ended, self._ended = self._ended, []
        for record in ended:
            self._count(record)

    def _count(self, record: Record) -> None:
        backend = record.backend_used or "none"
        self._requests[record.frontend, backend, record.outcome] += 1
        if record.decision is not None:
            chosen = record.decision.chosen
            self._decisions[record.decision.mode, chosen.backend if chosen else "none"] += 1
        if record.losses:
            for feature in {loss.feature for loss in record.losses}:
                self._losses[feature,] += 1
        for attempt in record.attempts:
            self._attempts[attempt.backend, attempt.outcome] += 1
            self._upstream.observe(attempt.backend, attempt.ms / 1000)
        if len(record.attempts) > 1:
            for before, after in pairwise(record.attempts):
                if before.backend != after.backend and before.outcome != OUTRUN:
                    self._failovers[before.backend, after.backend] += 1
        if record.client is not None:
            self._clients[record.client, record.outcome] += 1
        if record.cost:
            self._costs[backend, record.client or "none"] += record.cost / NANO
        if record.total_ms is not None:
            self._seconds.observe(record.frontend, record.total_ms / 1000)
        if record.backend_used is None:
            return
        if record.ttft_ms is not None:
            self._first.observe(backend, record.ttft_ms / 1000)
        if record.usage is not None:
            self._tokens[backend, "input"] += record.usage.prompt or 0
            self._tokens[backend, "output"] += record.usage.output or 0

    def totals(self) -> Totals:
        """Returns the sums since the start."""
        self._count_ended()
        tokens = {way: int(sum(n for (_, to), n in self._tokens.items() if to == way)) for way in ("input", "output")}
        requests = {key: int(number) for key, number in self._requests.items()}
        return Totals(
            requests=sum(requests.values()),
            failed=sum(number for (*_, outcome), number in requests.items() if outcome not in ("answered", "aborted")),
            losses={feature: int(number) for (feature,), number in self._losses.items()},
            input_tokens=tokens["input"],
            output_tokens=tokens["output"],
        )

    def loop_lagged(self, seconds: float) -> None:
        """The event loop was late by so much."""
        self._lag.observe("", seconds)

    def reloaded(self, good: bool) -> None:
        """A new config was taken, or could not be."""
        self._reloads["taken" if good else "refused",] += 1
        self.config_good = good

    def collect(self) -> Iterator[Metric]:
        """All families, as a scrape asks for them."""
        self._count_ended()
        yield from (each.family() for each in self._counters())
        yield from (each.family() for each in (self._seconds, self._first, self._upstream, self._lag))
        breakers = GaugeMetricFamily("crosswire_breaker_state", "0 closed, 1 half-open, 2 open", labels=("backend",))
        for name, state in self.breakers.items():
            breakers.add_metric((name,), STATES.index(state))
        yield breakers
        yield from self._limits()
        good = "1 while the newest config serves, 0 while an older one does"
        yield GaugeMetricFamily("crosswire_config_good", good, value=float(self.config_good))
        store = "1 while the store can be read, 0 while what was read of it last serves"
        yield GaugeMetricFamily("crosswire_store_good", store, value=float(self.store_good))
        shared = "1 while the shared state answers, 0 while the rules of state.fails hold"
        yield GaugeMetricFamily("crosswire_state_good", shared, value=float(self.state_good))
        reserved = CounterMetricFamily(
            "crosswire_state_reservations",
            "Reservations on limits in a shared state: shared, denied, and while it is gone local, open or closed",
            labels=("outcome",),
        )
        for name, number in self.reservations.items():
            reserved.add_metric((name,), number)
        yield reserved
        dropped = CounterMetricFamily(
            "crosswire_log_dropped",
            "Entries of logs, rows of usage and spans of traces that were lost to a full or stalled disk or collector",
            labels=("log",),
        )
        for name, number in self.dropped.items():
            dropped.add_metric((name,), number)
        yield dropped
        labels = ("owner", "period")
        spent = GaugeMetricFamily("crosswire_budget_spent_dollars", "What is spent of each budget", labels=labels)
        size = GaugeMetricFamily("crosswire_budget_dollars", "The size of each budget", labels=labels)
        for owner, period, used, most in self.budgets:
            spent.add_metric((owner, period), used)
            size.add_metric((owner, period), most)
        yield from (spent, size)
        yield GaugeMetricFamily(
            "crosswire_usage_waiting", "Rows of usage that are not written yet", value=self.usage_waiting
        )
        yield GaugeMetricFamily("crosswire_websockets", "Open WebSockets", value=self.sockets)
        yield GaugeMetricFamily("crosswire_requests_in_flight", "Requests under way", value=self.in_flight)

    def _limits(self) -> Iterator[Metric]:
        labels = ("backend", "scope")
        size = GaugeMetricFamily(
            "crosswire_rate_limit",
            "A provider's limit of `requests`, `tokens`, `input-tokens` or `output-tokens`, as its last answer said",
            labels=labels,
        )
        left = GaugeMetricFamily("crosswire_rate_limit_remaining", "What was left of it then", labels=labels)
        for backend, limits in self.rate_limits.items():
            for each in limits:
                if each.limit is not None:
                    size.add_metric((backend, each.scope), each.limit)
                if each.remaining is not None:
                    left.add_metric((backend, each.scope), each.remaining)
        yield from (size, left)

    def _counters(self) -> Iterable[_Counter]:
        return (
            *(self._requests, self._decisions, self._losses, self._attempts, self._failovers),
            *(self._tokens, self._clients, self._costs, self._reloads),
        )

    def render(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self._registry)
