"""The order in which one request calls its candidates: rounds, in each of which every candidate is called once.

Pure: the caller passes the time and the state of each candidate's circuit breaker.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeAlias, TypeVar

K = TypeVar("K", bound=Hashable)

Rank: TypeAlias = "tuple[int, float]"
"""(0, 0) for a candidate that may be called at once; the others follow in ascending order."""


class Rounds(Generic[K]):
    """The candidates of one request, and the calls that failed.

    A round that nothing changes in finds the candidate that is up, if one is. So with `attempts` rounds a request is
    answered although the candidate that is up changes `attempts - 1` times. Candidates with an open breaker come last
    in a round; before them, in the first round, the others are repeated.
    """

    def __init__(self, candidates: Sequence[K], attempts: int) -> None:
        self._candidates = list(candidates)
        self._attempts = attempts
        self._round = 1
        self._called: set[K] = set()
        """The candidates that failed, or were passed over, in this round."""
        self._passed_over: set[K] = set()
        self._tries: dict[K, int] = {}
        self._due: dict[K, float] = {}
        self._asked: dict[K, float] = {}
        """Until when candidates asked to be left alone."""

    def tries(self, candidate: K) -> int:
        """Calls of this candidate that failed."""
        return self._tries.get(candidate, 0)

    def due(self, candidate: K) -> float:
        """The time before which the candidate is not called again."""
        return self._due.get(candidate, 0.0)

    def _asked_until(self, candidate: K) -> float:
        return self._asked.get(candidate, 0.0)

    def failed(self, candidate: K, due: float, asked: float = 0.0) -> None:
        """A call failed; the next one comes at `due` or later. `asked` is set where the candidate asked for a wait."""
        self._asked[candidate] = asked
        self._tries[candidate] = self.tries(candidate) + 1
        self._due[candidate] = due
        self._called.add(candidate)

    def pass_over(self, candidate: K) -> None:
        """Leaves the candidate out of this round."""
        self._called.add(candidate)
        self._passed_over.add(candidate)

    def drop(self, candidate: K) -> None:
        """Leaves the candidate out for good."""
        if candidate in self._candidates:
            self._candidates.remove(candidate)

    def keep_only(self, candidate: K) -> None:
        """Leaves every other candidate out for good."""
        self._candidates = [candidate] if candidate in self._candidates else []

    def remaining(self) -> list[K]:
        """The candidates that were not called yet, in order."""
        return [each for each in self._candidates if not self.tries(each) and each not in self._called]

    def next(self, rank: Callable[[K], Rank]) -> K | None:
        """The candidate to call next; None once all rounds are over."""
        while self._candidates:
            ranks = {each: rank(each) for each in self._candidates}
            due = [each for each in self._candidates if each not in self._called]
            ready = [each for each in due if not ranks[each][0]]
            if ready:
                return min(ready, key=self._asked_until)
            if due and self._round == 1:
                again = [
                    each
                    for each in self._candidates
                    if not ranks[each][0] and each not in self._passed_over and self.tries(each) < self._attempts
                ]
                if again:
                    return min(again, key=self._asked_until)
            if due:
                return min(due, key=ranks.__getitem__)
            if self._round >= self._attempts:
                return None
            self._round += 1
            self._called.clear()
            self._passed_over.clear()
        return None
