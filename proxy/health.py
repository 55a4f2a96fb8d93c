"""Beliefs about each backend, a fold over outcomes and a given clock: who is down, and how much may be tried again.

It knows no socket and no protocol. Times are seconds of a clock that never goes back; whoever asks tells the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

State: TypeAlias = Literal["closed", "open", "half-open"]

STATES: tuple[State, ...] = ("closed", "half-open", "open")
"""A breaker's states in the order of their numbers in the metrics: all is well, one is asked, nobody is asked."""

RETRIABLE = frozenset(
    (
        "overloaded",
        "rate_limit",
        "upstream_cut",
        "upstream_error",
        "upstream_garbage",
        "upstream_timeout",
        "upstream_unreachable",
    )
)
"""Kinds of failure after which the same request may do better: elsewhere at once, at the same place after a while."""

BLAMED = frozenset(("overloaded", "upstream_cut", "upstream_error", "upstream_garbage", "upstream_timeout"))
"""Kinds that speak against a backend, unless it is always the same request that meets them. A 429 is none: whoever
says it is well."""

UNREACHED = "upstream_unreachable"
"""The kind that speaks against a backend whatever the request was, which it never saw."""


class BreakerSettings(Struct, frozen=True, kw_only=True):
    """After how many failures a backend is left alone, and for how long. Times in seconds."""

    failures: int = 5
    """Failures without a success between them that open a breaker; 0 = never."""
    window_s: float = 30
    """How long a failure counts."""
    open_s: float = 15
    """How long nobody is sent there; then one request goes first."""


class RetrySettings(Struct, frozen=True, kw_only=True):
    """How often and how fast a request is tried again. Times in seconds."""

    attempts: int = 3
    """Tries of one request in all, the first included."""
    base_s: float = 0.25
    cap_s: float = 8
    """The n-th wait for the same backend is drawn from 0 to base_s * 2**n, at most cap_s."""
    max_wait_s: float = 20
    """The longest `retry-after` that is waited for; a longer one goes to the client."""
    deadline_s: float = 600
    """How long a request may wait for the first word of its answer, all tries and waits together."""
    budget: float = 0.2
    """Further tries that each request earns for all of them."""
    floor_per_s: float = 3
    """Further tries that each second earns."""


class _Breaker:
    __slots__ = ("failures", "probing", "since")

    def __init__(self) -> None:
        self.failures: list[tuple[float, int | None]] = []
        """When, and of which request; None is a failure that no request can be blamed for."""
        self.since: float | None = None
        """When it opened; None = closed."""
        self.probing = False
        """Whether one request is asking already."""


class Health:
    """What is believed of every backend by name; a backend that nobody heard of is well."""

    def __init__(self, settings: BreakerSettings) -> None:
        self.settings = settings
        self._breakers: dict[str, _Breaker] = {}
        """Only of backends that failed since they last succeeded, so that in good times nothing is looked at."""

    def down(self, now: float) -> Mapping[str, str]:
        """The backends that must not be asked now, each with the reason."""
        if not self._breakers:
            return {}
        return {name: "its breaker is open" for name in self._breakers if self.state(name, now) == "open"}

    def state(self, name: str, now: float) -> State:
        """Open, half-open once its time is over (and open again to all others while one asks), else closed."""
        breaker = self._breakers.get(name)
        if breaker is None or breaker.since is None:
            return "closed"
        if breaker.probing or now - breaker.since < self.settings.open_s:
            return "open"
        return "half-open"

    def wait(self, name: str, now: float) -> float:
        """Seconds until a backend that is down may be asked again; at least a second, for one that is being asked."""
        breaker = self._breakers.get(name)
        if breaker is None or breaker.since is None:
            return 0.0
        return max(1.0, breaker.since + self.settings.open_s - now)

    def ask(self, name: str, now: float) -> bool:
        """A request goes there; whether it is the one that asks for all, which must `release` if it never learns."""
        if not self._breakers or self.state(name, now) != "half-open":
            return False
        self._breakers[name].probing = True
        return True

    def release(self, name: str) -> None:
        """The request that asked left without an answer, so the next one asks."""
        if name in self._breakers:
            self._breakers[name].probing = False

    def succeeded(self, name: str) -> None:
        """It answered: whatever was before is forgotten."""
        if self._breakers:
            self._breakers.pop(name, None)

    def failed(self, name: str, kind: str, request: int, now: float) -> None:
        """A request, by its fingerprint, ended there with this kind of failure.

        One request that breaks every backend it meets counts once, however often it comes.
        """
        if kind not in BLAMED and kind != UNREACHED:
            if kind != "rate_limit":  # it refused, so it lives
                self.succeeded(name)
            else:
                self.release(name)
            return
        if not self.settings.failures:
            return
        breaker = self._breakers.setdefault(name, _Breaker())
        if breaker.since is not None:
            # a straggler of before it opened tells nothing new; the one that asked does
            if breaker.probing or now - breaker.since >= self.settings.open_s:
                breaker.since, breaker.probing = now, False
            return
        oldest = now - self.settings.window_s
        mark = None if kind == UNREACHED else request
        breaker.failures = [(at, who) for at, who in breaker.failures if at > oldest and (who is None or who != mark)]
        breaker.failures.append((now, mark))
        if len(breaker.failures) >= self.settings.failures:
            breaker.since = now
            breaker.failures = []


class Budget:
    """How many further tries there may be: each request and each second earns some, each further try costs one.

    So under a total outage all tries are at most (1 + budget) for each request and floor_per_s for each second, the
    first of which is there from the start.
    """

    CAP = 100.0
    """What can be saved up: enough for all that are under way when one of several backends dies."""

    def __init__(self, settings: RetrySettings, now: float) -> None:
        self.settings = settings
        self._saved = settings.floor_per_s
        self._at = now

    def earn(self) -> None:
        """A request came."""
        self._saved += self.settings.budget

    def spend(self, now: float) -> bool:
        """Whether one more try may be; it is counted at once."""
        earned = max(0.0, now - self._at) * self.settings.floor_per_s
        self._at = max(self._at, now)
        self._saved = min(self._saved + earned, self.CAP)
        if self._saved < 1:
            return False
        self._saved -= 1
        return True


def backoff(settings: RetrySettings, tried: int, dice: float) -> float:
    """Seconds to wait before the same backend is asked again for the `tried`-th time: full jitter, `dice` in [0, 1).

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    return dice * min(settings.cap_s, settings.base_s * float(2 ** min(tried, 30)))
