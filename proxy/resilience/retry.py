"""Retries: how often a backend is called again, after which wait, and at whose cost.

Pure functions of a given clock and random number: times are seconds of a monotonic clock, and the caller passes them.
Which failures are retried is the table of `policy`.
"""

from __future__ import annotations

from math import inf

from msgspec import Struct


class RetrySettings(Struct, frozen=True, kw_only=True):
    """Bounds and waits of retries. Times in seconds."""

    attempts: int = 3
    """Rounds of calls, in each of which every backend is called; in the first one, the others are repeated before a
    backend with an open breaker is called. The first call of another backend is always free."""
    base_s: float = 0.25
    cap_s: float = 8
    """The n-th wait for the same backend is drawn from 0 to base_s * 2**n, at most cap_s."""
    max_wait_s: float = 20
    """The longest `retry-after` that is waited for; a longer one goes to the client."""
    max_retry_after_s: float = 3600
    """The longest `retry-after` that is believed and passed on; a longer one counts as this."""
    deadline_s: float = 600
    """Time until the first content of a request's answer, all attempts and waits together."""
    budget: float = 0.2
    """Repeats against a backend that each request which calls it adds to that backend's budget."""
    floor_per_s: float = 3
    """Repeats that each second adds to the budget of each backend."""


class _Account:
    __slots__ = ("at", "saved")

    def __init__(self, saved: float, at: float) -> None:
        self.saved = saved
        self.at = at


class RetryBudget:
    """The budget of repeats against each backend, shared by all requests.

    Each request that calls a backend for the first time and each second add to that backend's account; each repeat
    costs one, which is paid back if it is answered. So under an outage a backend gets at most (1 + budget) calls for
    each request and floor_per_s for each second, the first of which is there from the start.
    """

    CAP = 100.0
    """The most that is saved up for one backend."""

    def __init__(self, settings: RetrySettings, now: float) -> None:
        self.settings = settings
        self._start = now
        self._accounts: dict[str, _Account] = {}

    def earn(self, name: str) -> None:
        """A request calls this backend for the first time."""
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = _Account(self.settings.floor_per_s, self._start)
        account.saved += self.settings.budget

    def spend(self, name: str, now: float) -> bool:
        """Takes one repeat from the backend's budget; False where none is left."""
        account = self._settled(name, now)
        if account.saved < 1:
            return False
        account.saved -= 1
        return True

    def pay_back(self, name: str) -> None:
        """A repeat was answered, so the backend is up and the repeat is no burden."""
        account = self._accounts.get(name)
        if account is not None:
            account.saved += 1

    def wait(self, name: str, now: float) -> float:
        """Seconds until a repeat can be paid; infinite where time adds nothing."""
        missing = 1 - self._settled(name, now).saved
        if missing <= 0:
            return 0.0
        return missing / self.settings.floor_per_s if self.settings.floor_per_s else inf

    def _settled(self, name: str, now: float) -> _Account:
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = _Account(self.settings.floor_per_s, self._start)
        earned = max(0.0, now - account.at) * self.settings.floor_per_s
        account.at = max(account.at, now)
        account.saved = min(account.saved + earned, self.CAP)
        return account


def backoff(settings: RetrySettings, repeats: int, rand: float) -> float:
    """Seconds to wait before the same backend is called again, `repeats` times already: full jitter, `rand` in [0, 1).

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    return rand * min(settings.cap_s, settings.base_s * float(2 ** min(repeats, 30)))
