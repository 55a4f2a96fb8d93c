"""Measures of this process: the time to the first token of each target, and the choices among them."""

from __future__ import annotations

from collections import OrderedDict
from math import exp
from typing import Protocol as Interface
from typing import TypeAlias

TargetKey: TypeAlias = tuple[str, str, bool]
"""A backend, the upstream's name of the model, and whether the answers are streamed."""

DECAY_S = 10.0
"""Seconds in which an earlier measurement loses most of its weight."""

FAILURE_MS = 1000.0
"""The least that a failure counts as: a target that fails at once must not look fast."""

FAILURE_FACTOR = 2.0
"""Times its average that a failure counts at least."""

KEPT = 10_000
"""Targets that are remembered; model names may come from clients."""


class Beliefs(Interface):
    """Measured facts about targets, wherever they are kept. Times are seconds of a monotonic clock."""

    def latency(self, target: TargetKey, now: float) -> tuple[float, float] | None:
        """Returns the average milliseconds to the first token, and the seconds since it was measured; None if never."""
        ...

    def last_choice(self, target: TargetKey) -> int:
        """Returns the number of the choice that took this target last, 0 if none did."""
        ...

    def promised(self, backend: str) -> int:
        """Returns how many requests have chosen this backend and not called it yet."""
        ...

    def choose(self, target: TargetKey) -> None:
        """A request has chosen this target and is about to call it; after it comes `arrive`."""
        ...

    def arrive(self, backend: str) -> None:
        """A request that had chosen this backend calls it, or is over without that."""
        ...

    def answered(self, target: TargetKey, ms: float, now: float) -> None:
        """The first token came after so many milliseconds."""
        ...

    def failed(self, target: TargetKey, ms: float, now: float) -> None:
        """The call failed after so many milliseconds."""
        ...


class Measures:
    """The beliefs of one process, in memory."""

    def __init__(self) -> None:
        self._averages: OrderedDict[TargetKey, tuple[float, float]] = OrderedDict()
        """The average and the time of its last measurement."""
        self._choices: OrderedDict[TargetKey, int] = OrderedDict()
        self._count = 0
        self._promised: dict[str, int] = {}

    def latency(self, target: TargetKey, now: float) -> tuple[float, float] | None:
        found = self._averages.get(target)
        return None if found is None else (found[0], max(0.0, now - found[1]))

    def last_choice(self, target: TargetKey) -> int:
        return self._choices.get(target, 0)

    def promised(self, backend: str) -> int:
        return self._promised.get(backend, 0)

    def choose(self, target: TargetKey) -> None:
        self._count += 1
        self._choices[target] = self._count
        self._choices.move_to_end(target)
        if len(self._choices) > KEPT:
            self._choices.popitem(last=False)
        self._promised[target[0]] = self._promised.get(target[0], 0) + 1

    def arrive(self, backend: str) -> None:
        left = self._promised.get(backend, 0) - 1
        if left > 0:
            self._promised[backend] = left
        else:
            self._promised.pop(backend, None)

    def answered(self, target: TargetKey, ms: float, now: float) -> None:
        before = self._averages.get(target)
        self._averages[target] = (ms if before is None else peak_average(before[0], ms, now - before[1])), now
        self._averages.move_to_end(target)
        if len(self._averages) > KEPT:
            self._averages.popitem(last=False)

    def failed(self, target: TargetKey, ms: float, now: float) -> None:
        average = self._averages.get(target, (0.0, 0.0))[0]
        self.answered(target, max(ms, FAILURE_MS, average * FAILURE_FACTOR), now)


def peak_average(average: float, ms: float, elapsed_s: float) -> float:
    """The average after one more measurement: at once as high as a higher one, and slowly down to lower ones.

    https://linkerd.io/2016/03/16/beyond-round-robin-load-balancing-for-latency/
    """
    if ms >= average:
        return ms
    share = exp(-max(elapsed_s, 0.0) / DECAY_S)
    return average * share + ms * (1 - share)
