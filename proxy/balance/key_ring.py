"""The keys of one backend: which one a call uses, how many calls each has, and which of them rest."""

from __future__ import annotations

from collections.abc import Sequence

from .strategy import Dice, Standing, Strategy, arrange

REST_S = 5.0
"""Seconds for which a key rests that is at its limit, where the answer does not say when it is whole again."""

REFUSED_S = 60.0
"""Seconds for which a key rests that was refused."""


class KeyRing:
    """The keys of one backend by their index. Times are seconds of a monotonic clock."""

    def __init__(self, strategy: Strategy, weights: Sequence[float]) -> None:
        self.strategy = strategy
        self._weights = weights
        self._in_flight = [0] * len(weights)
        self._rests = [0.0] * len(weights)
        """Until when each key rests."""
        self._chosen = [0] * len(weights)
        self._count = 0

    def take(self, now: float, dice: Dice, subject: bytes | None = None) -> int:
        """Chooses the key of a call, after which comes `give_back`; where all rest it is the first that is up again."""
        standings = [
            Standing(str(index), None, weight, self._in_flight[index], chosen=self._chosen[index])
            for index, weight in enumerate(self._weights)
        ]
        up = self.up(now)
        if not up:
            chosen = min(range(len(self._rests)), key=self._rests.__getitem__)
        else:
            found = arrange(self.strategy, [standings[index] for index in up], dice, subject)
            chosen = up[found.order[0]]
        self._count += 1
        self._chosen[chosen] = self._count
        self._in_flight[chosen] += 1
        return chosen

    def give_back(self, key: int) -> None:
        """The call with this key is over."""
        self._in_flight[key] -= 1

    def in_flight(self, key: int) -> int:
        """The calls under way with this key."""
        return self._in_flight[key]

    def rest(self, key: int, until: float) -> None:
        """The key is not chosen until then, while another one is up."""
        self._rests[key] = max(self._rests[key], until)

    def up(self, now: float) -> list[int]:
        """The keys that do not rest."""
        return [key for key in range(len(self._rests)) if not self.rests(key, now)]

    def rests(self, key: int, now: float) -> bool:
        """Returns whether the key rests."""
        return self._rests[key] > now
