"""The budget of hedged requests of one route: a share of its requests."""

from __future__ import annotations

SAVED = 10.0
"""The most second calls that are saved up."""


class HedgeBudget:
    """Second calls that may be made: one from the start, and `share` more for each request."""

    def __init__(self) -> None:
        self._saved = 1.0

    def earn(self, share: float) -> None:
        """A request came."""
        self._saved = min(self._saved + share, SAVED)

    def spend(self) -> bool:
        """Takes one second call; False where none is left."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True
