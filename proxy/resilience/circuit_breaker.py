"""Circuit breakers: which backends are left alone after failures, and for how long.

Pure functions of outcomes and a given clock: times are seconds of a monotonic clock, and the caller passes them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from .policy import rule_of

State: TypeAlias = Literal["closed", "open", "half-open"]

STATES: tuple[State, ...] = ("closed", "half-open", "open")
"""A breaker's states in the order of their numbers in the metrics."""

COOLING_LIMIT = 1000
"""Backends and models that are remembered for the `retry-after` that they sent."""


class BreakerSettings(Struct, frozen=True, kw_only=True):
    """The thresholds at which a breaker opens, and for how long it is open. Times in seconds."""

    failures: int = 5
    """Failures without a success between them that open a breaker; 0 = never."""
    window_s: float = 30
    """Time for which a failure counts."""
    open_s: float = 15
    """Time for which an open breaker lets no request through; after it one request probes the backend."""
    panic: int = 10
    """Requests that may call a backend at once although its breaker is open, because no other backend is left."""


class _Breaker:
    __slots__ = ("called_at", "failures", "opened_at", "probing")

    def __init__(self) -> None:
        self.failures: list[tuple[float, int | None]] = []
        """The time and the request's fingerprint of each; None where no request can be the cause."""
        self.opened_at: float | None = None
        """None while closed."""
        self.called_at = 0.0
        """The time at which a request called the backend although the breaker was open."""
        self.probing = False
        """True if a request probes the backend right now."""


class CircuitBreakers:
    """The circuit breaker of every backend by name; a backend without failures has none."""

    def __init__(self, settings: BreakerSettings) -> None:
        self.settings = settings
        self._breakers: dict[str, _Breaker] = {}
        """Only of backends that failed since they last succeeded, so that healthy ones cost a request nothing."""
        self._cooling: OrderedDict[tuple[str, str], float] = OrderedDict()
        """Until when a backend asked to be left alone with a model."""
        self.opened: Callable[[str], None] = lambda name: None
        """Called with the name of a backend whose breaker opens."""

    @property
    def quiet(self) -> bool:
        """True if no backend failed lately, so that nothing has to be looked up."""
        return not self._breakers and not self._cooling

    def open_reasons(self, now: float) -> Mapping[str, str]:
        """The backends that should not be called now, each with the reason."""
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

    def left_alone_since(self, name: str) -> float:
        """The time at which the breaker opened, or at which the backend was last called all the same."""
        breaker = self._breakers.get(name)
        return 0.0 if breaker is None or breaker.opened_at is None else max(breaker.opened_at, breaker.called_at)

    def call_open(self, name: str, now: float) -> None:
        """A request calls the backend although its breaker is open."""
        if name in self._breakers:
            self._breakers[name].called_at = now

    def retry_after(self, name: str, now: float) -> float:
        """Seconds until a backend with an open breaker may be called again; at least 1 while it is being probed."""
        breaker = self._breakers.get(name)
        if breaker is None or breaker.opened_at is None:
            return 0.0
        return max(1.0, breaker.opened_at + self.settings.open_s - now)

    def begin(self, name: str, now: float) -> bool:
        """A request calls the backend; True if it is the probe, after which comes `abandon`."""
        if not self._breakers or self.state(name, now) != "half-open":
            return False
        self._breakers[name].probing = True
        return True

    def abandon(self, name: str) -> None:
        """The probe is over; if it told nothing of the backend, the next request probes."""
        if name in self._breakers:
            self._breakers[name].probing = False

    def succeeded(self, name: str) -> None:
        """The backend answered: its breaker closes and its failures are forgotten."""
        if self._breakers:
            self._breakers.pop(name, None)

    def answering(self, name: str, now: float) -> None:
        """An answer has begun: an open breaker closes, on trial until the answer is whole."""
        breaker = self._breakers.get(name)
        if breaker is not None and breaker.opened_at is not None:
            breaker.opened_at, breaker.probing = None, False
            breaker.failures = [(now, None)] * (self.settings.failures - 1)

    def failed(self, name: str, kind: str, fingerprint: int, now: float, *, was_sent: bool = False) -> None:
        """A request failed at the backend with this kind; `was_sent` where the backend may have read it before.

        Failures of requests with one fingerprint count once, so that one request that breaks every backend opens no
        breaker, however often it is sent; `confirmed` says that the request was not the cause. A connection that was
        not made is no request's doing; one that broke after the request was sent may be.
        """
        evidence = rule_of(kind).evidence
        if evidence == "alive":
            self.succeeded(name)
            return
        if evidence == "none" or not self.settings.failures:
            return
        breaker = self._breakers.setdefault(name, _Breaker())
        if breaker.opened_at is not None:
            # a request sent before it opened says nothing new; the probe does
            if breaker.probing or now - breaker.opened_at >= self.settings.open_s:
                breaker.opened_at, breaker.probing = now, False
                self.opened(name)
            return
        mark = None if evidence == "each" and not was_sent else fingerprint
        breaker.failures = [(at, other) for at, other in breaker.failures if other is None or other != mark]
        self._add(name, breaker, mark, now)

    def suspect(self, name: str, now: float) -> None:
        """Another replica's breaker of this backend opened: here the next failure opens it."""
        breaker = self._breakers.setdefault(name, _Breaker())
        if breaker.opened_at is None and self.settings.failures:
            breaker.failures = [(now, None)] * (self.settings.failures - 1)

    def confirmed(self, name: str, fingerprint: int, now: float) -> None:
        """Another backend answered the request that failed here, so the request was not the cause."""
        breaker = self._breakers.get(name)
        if breaker is None or breaker.opened_at is not None:
            return
        others = [(at, other) for at, other in breaker.failures if other != fingerprint]
        if len(others) != len(breaker.failures):
            breaker.failures = others
            self._add(name, breaker, None, now)

    def _add(self, name: str, breaker: _Breaker, mark: int | None, now: float) -> None:
        oldest = now - self.settings.window_s
        breaker.failures = [(at, other) for at, other in breaker.failures if at > oldest]
        breaker.failures.append((now, mark))
        if len(breaker.failures) >= self.settings.failures:
            breaker.opened_at = now
            breaker.failures = []
            self.opened(name)

    # ---- a wait that the backend asked for ---------------------------------------------------------------------------

    def cool(self, name: str, model: str, until: float, now: float) -> None:
        """The backend asked to be left alone with this model until then."""
        for key in [key for key, over in self._cooling.items() if over <= now]:
            del self._cooling[key]
        if self.settings.failures:
            self._cooling[name, model] = until
            self._cooling.move_to_end((name, model))
            if len(self._cooling) > COOLING_LIMIT:
                self._cooling.popitem(last=False)

    def cooling(self, name: str, model: str, now: float) -> float:
        """Until when the backend asked to be left alone with this model; 0 where that is over."""
        until = self._cooling.get((name, model))
        if until is None:
            return 0.0
        if until <= now:
            del self._cooling[name, model]
            return 0.0
        return until
