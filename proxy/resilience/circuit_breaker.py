"""Circuit breakers: which backends are left alone after failures, and for how long.

Pure functions of outcomes and a given clock: times are seconds of a monotonic clock, and the caller passes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

State: TypeAlias = Literal["closed", "open", "half-open"]

STATES: tuple[State, ...] = ("closed", "half-open", "open")
"""A breaker's states in the order of their numbers in the metrics."""

TRIPPING = frozenset(("overloaded", "upstream_cut", "upstream_error", "upstream_garbage", "upstream_timeout"))
"""Kinds of failure that count against a backend, unless only one request meets them. A 429 does not: the backend that
sends it is healthy."""

CONNECT_FAILURE = "upstream_unreachable"
"""The kind that counts against a backend whatever the request was, for the backend never saw it."""


class BreakerSettings(Struct, frozen=True, kw_only=True):
    """When a breaker opens, and for how long. Times in seconds."""

    failures: int = 5
    """Failures without a success between them that open a breaker; 0 = never."""
    window_s: float = 30
    """How long a failure counts."""
    open_s: float = 15
    """How long an open breaker lets no request through; after it one request probes the backend."""


class _Breaker:
    __slots__ = ("failures", "opened_at", "probing")

    def __init__(self) -> None:
        self.failures: list[tuple[float, int | None]] = []
        """The time and the request's fingerprint of each; None where no request can be the cause."""
        self.opened_at: float | None = None
        """None while closed."""
        self.probing = False
        """Whether a request probes the backend right now."""


class CircuitBreakers:
    """The circuit breaker of every backend by name; a backend without failures has none."""

    def __init__(self, settings: BreakerSettings) -> None:
        self.settings = settings
        self._breakers: dict[str, _Breaker] = {}
        """Only of backends that failed since they last succeeded, so that healthy ones cost a request nothing."""

    def open_reasons(self, now: float) -> Mapping[str, str]:
        """The backends that must not be called now, each with the reason."""
        if not self._breakers:
            return {}
        return {name: "its breaker is open" for name in self._breakers if self.state(name, now) == "open"}

    def state(self, name: str, now: float) -> State:
        """Open, half-open once `open_s` is over (open again to all others while one request probes), else closed."""
        breaker = self._breakers.get(name)
        if breaker is None or breaker.opened_at is None:
            return "closed"
        if breaker.probing or now - breaker.opened_at < self.settings.open_s:
            return "open"
        return "half-open"

    def retry_after(self, name: str, now: float) -> float:
        """Seconds until a backend with an open breaker may be called again; at least 1 while it is being probed."""
        breaker = self._breakers.get(name)
        if breaker is None or breaker.opened_at is None:
            return 0.0
        return max(1.0, breaker.opened_at + self.settings.open_s - now)

    def begin(self, name: str, now: float) -> bool:
        """A request calls the backend; True if it is the probe, which must `abandon` if it ends without an outcome."""
        if not self._breakers or self.state(name, now) != "half-open":
            return False
        self._breakers[name].probing = True
        return True

    def abandon(self, name: str) -> None:
        """The probe ended without an outcome, so the next request probes."""
        if name in self._breakers:
            self._breakers[name].probing = False

    def succeeded(self, name: str) -> None:
        """The backend answered: its breaker closes and its failures are forgotten."""
        if self._breakers:
            self._breakers.pop(name, None)

    def failed(self, name: str, kind: str, fingerprint: int, now: float) -> None:
        """A request failed at the backend with this kind.

        Failures of requests with one fingerprint count once, so that one request that breaks every backend opens no
        breaker, however often it is sent.
        """
        if kind not in TRIPPING and kind != CONNECT_FAILURE:
            if kind != "rate_limit":  # it refused the request, so it is alive
                self.succeeded(name)
            else:
                self.abandon(name)
            return
        if not self.settings.failures:
            return
        breaker = self._breakers.setdefault(name, _Breaker())
        if breaker.opened_at is not None:
            # a request sent before it opened says nothing new; the probe does
            if breaker.probing or now - breaker.opened_at >= self.settings.open_s:
                breaker.opened_at, breaker.probing = now, False
            return
        oldest = now - self.settings.window_s
        mark = None if kind == CONNECT_FAILURE else fingerprint
        breaker.failures = [
            (at, other) for at, other in breaker.failures if at > oldest and (other is None or other != mark)
        ]
        breaker.failures.append((now, mark))
        if len(breaker.failures) >= self.settings.failures:
            breaker.opened_at = now
            breaker.failures = []
