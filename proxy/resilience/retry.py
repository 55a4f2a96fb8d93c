"""Retries: which failures may be retried, how often, after which wait, and at whose cost.

Pure functions of a given clock and random number: times are seconds of a monotonic clock, and the caller passes them.
"""

from __future__ import annotations

from msgspec import Struct

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
"""Kinds of failure after which the same request may succeed: at another backend at once, at the same one after a
wait."""


class RetrySettings(Struct, frozen=True, kw_only=True):
    """Bounds and waits of retries. Times in seconds."""

    attempts: int = 3
    """Attempts of one request in all, the first included."""
    base_s: float = 0.25
    cap_s: float = 8
    """The n-th wait for the same backend is drawn from 0 to base_s * 2**n, at most cap_s."""
    max_wait_s: float = 20
    """The longest `retry-after` that is waited for; a longer one goes to the client."""
    deadline_s: float = 600
    """How long a request may wait for the first content of its answer, all attempts and waits together."""
    budget: float = 0.2
    """Retries that each request adds to the budget of all."""
    floor_per_s: float = 3
    """Retries that each second adds to the budget."""


class RetryBudget:
    """The retry budget of all requests: each request and each second adds to it, each retry costs one.

    So under a total outage there are at most (1 + budget) attempts for each request and floor_per_s for each second,
    the first of which is there from the start.
    """

    CAP = 100.0
    """The most that is saved up: enough for all requests under way when one of several backends dies."""

    def __init__(self, settings: RetrySettings, now: float) -> None:
        self.settings = settings
        self._saved = settings.floor_per_s
        self._at = now

    def earn(self) -> None:
        """A request arrived."""
        self._saved += self.settings.budget

    def spend(self, now: float) -> bool:
        """Takes one retry from the budget; False where none is left."""
        earned = max(0.0, now - self._at) * self.settings.floor_per_s
        self._at = max(self._at, now)
        self._saved = min(self._saved + earned, self.CAP)
        if self._saved < 1:
            return False
        self._saved -= 1
        return True


def backoff(settings: RetrySettings, repeats: int, rand: float) -> float:
    """Seconds to wait before the same backend is called again, `repeats` times already: full jitter, `rand` in [0, 1).

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    return rand * min(settings.cap_s, settings.base_s * float(2 ** min(repeats, 30)))
