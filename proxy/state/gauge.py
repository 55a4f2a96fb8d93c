"""Knowledge of a limit that is counted elsewhere, as of the last answer, and the limit as the script takes it."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, inf

from ..costs.budget import SECONDS, UNIT, Budget, period_of
from ..limits.bounds import AtOnce, Counter, Rate
from ..limits.state import Limit
from .settings import Fails, FailSettings

MICRO = 1_000_000


class RemoteGauge:
    """The last answer about one limit. `now` is monotonic; `local` counts in its place while there are no answers."""

    __slots__ = ("_full_until", "_head", "_now", "_used", "_whole_at", "asked_at", "limit", "local", "zone")

    def __init__(self, limit: Limit, now: Callable[[], float]) -> None:
        self.limit = limit
        self.local: Counter | None = None
        self.asked_at = -inf
        """The time at which somebody read it without reserving anything."""
        self._now = now
        self._used = 0
        self._whole_at = 0.0
        self._full_until = 0.0
        bound = limit.bound
        self.zone: Budget | None = None
        """The budget whose period the calendar gives."""
        period = 0.0
        if isinstance(bound, Rate):
            period = bound.period
        elif isinstance(bound, Budget):
            if bound.rolling:
                period = SECONDS[bound.per]
            else:
                self.zone = bound
        elif not isinstance(bound, AtOnce):
            raise TypeError(f"the shared state cannot count {bound!r}")
        kind = "n" if isinstance(bound, AtOnce) else "c" if self.zone is not None else "w"
        self._head = (kind, limit.key, str(bound.limit), str(round(period * MICRO)))

    @property
    def kind(self) -> str:
        return self._head[0]

    def row(self, need: int | str, amount: int, clock: float) -> tuple[str, ...]:
        """The limit as a row for the script; `clock` is unix time. Without a need (an empty text) it is forced."""
        kind, key, most, period = self._head
        if self.zone is None:
            return (kind, key, most, str(need), str(amount), period, "0", "0", "0")
        per, zone = self.zone.per, self.zone.zone
        start, end = period_of(per, zone, clock)
        before, after = period_of(per, zone, start - 1)[0], period_of(per, zone, end)[1]
        borders = (str(round(each * MICRO)) for each in (before, start, end, after))
        return (kind, key, most, str(need), str(amount), *borders)

    def learn(self, used: int, whole_us: int, wait: float | None = None) -> None:
        """The server said what is used, when nothing will be, and to a reservation how long to wait, if at all."""
        now = self._now()
        self._used = used
        self._whole_at = now + whole_us / MICRO
        if wait is not None:
            self._full_until = now + wait if wait != inf else 0.0

    def changed(self, by: int) -> None:
        """More or less is used than the last answer said."""
        self._used = max(0, self._used + by)

    @property
    def last(self) -> int:
        """The amount that the last answer said to be used."""
        return self._used

    def used(self) -> int:
        return self._used if self.local is None else self.local.used()

    def wait(self, amount: int, limit: int) -> float:
        """Seconds for which the server said that nothing fits; 0 where it may."""
        if self.local is not None:
            return self.local.wait(amount, limit)
        self.asked_at = now = self._now()  # nobody reserves on a limit that is said to be full
        return max(0.0, self._full_until - now)

    def whole_in(self) -> float:
        if self.local is not None:
            return self.local.whole_in()
        return max(0.0, self._whole_at - self._now())


def rule_of(limit: Limit, fails: FailSettings) -> Fails:
    """The rule for a limit while the state does not answer."""
    if limit.unit == UNIT:
        return fails.budgets
    return fails.concurrency if limit.unit == "concurrent" else fails.limits


def seconds(micro: int) -> float:
    """Seconds of a wait that the script gave: negative means for ever. It is rounded up, so that it is long enough."""
    return inf if micro < 0 else ceil(micro) / MICRO
