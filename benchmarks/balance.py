"""`python -m benchmarks.balance`: the strategies beside each other and beside the known optimum, by simulation.

Ten targets of different speeds and places, some of which fail or slow down for a while, and requests that come at
random. Every strategy is the one that serves, `arrange`, with the proxy's own measures; time is simulated, so that
nothing waits and the same seed gives the same table.
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import count
from math import exp, inf
from statistics import NormalDist

from msgspec import Struct

from crosswire.proxy.balance.hedge_budget import HedgeBudget
from crosswire.proxy.balance.measures import Measures
from crosswire.proxy.balance.strategy import STRATEGIES, Standing, Strategy, arrange

FAIL_MS = 20.0
"""Milliseconds after which a failing target says so."""

REST_S = 5.0
"""Seconds for which a target rests after failures, as behind an open circuit breaker."""

FAILURES = 5
"""Failures in a row after which it does."""

FULL = 1.5
"""Requests under way for each place from which on a target gets no more, as `max_in_flight` says."""

SPREAD = 0.3
"""The spread of the milliseconds of one target: the standard deviation of their logarithm."""

CLIENTS = 200
"""Conversations, of which few have most of the requests."""


class Target(Struct, frozen=True):
    """One simulated target: requests that it works on at the same time, and their median milliseconds.

    From `bad_from_s` to `bad_to_s` it fails this share of its requests and takes so many times as long.
    """

    name: str
    places: int
    ms: float
    price: float
    fails: float = 0.0
    slower: float = 1.0
    bad_from_s: float = inf
    bad_to_s: float = inf

    @property
    def rate(self) -> float:
        """Requests a second that it can answer."""
        return self.places * 1000 / self.ms


TARGETS = (
    Target("t0", 16, 200, 2.0),
    Target("t1", 16, 200, 2.5),
    Target("t2", 16, 300, 1.0),
    Target("t3", 16, 300, 1.0),
    Target("t4", 8, 200, 3.0),
    Target("t5", 8, 400, 0.5),
    Target("t6", 8, 800, 0.5),
    Target("t7", 4, 800, 0.2),
    Target("t8", 16, 200, 2.0, fails=1.0, bad_from_s=40, bad_to_s=70),
    Target("t9", 16, 200, 2.0, slower=8.0, bad_from_s=100, bad_to_s=130),
)


class Outcome(Struct):
    """Result of a run: milliseconds to the first token of every request, and the requests that each target got."""

    ms: list[float] = []
    got: Counter[str] = Counter()
    failed: int = 0
    second_calls: int = 0
    cost: float = 0.0
    moved: int = 0

    def percentile(self, share: float) -> float:
        """The milliseconds that this share of the requests did not pass."""
        return sorted(self.ms)[min(len(self.ms) - 1, int(share * len(self.ms)))]


class Request(Struct):
    """One simulated request: when it came, its conversation, the targets that are left, and whether it is answered."""

    at: float
    subject: bytes
    left: list[int]
    under_way: int = 0
    answered: bool = False


class Simulation:
    """One run of one strategy. Without one it is chosen with knowledge of every queue and fault, which nobody has."""

    def __init__(
        self, strategy: Strategy | None, rate: float, seconds: float, seed: int, hedge_s: float | None
    ) -> None:
        self.strategy = strategy
        self.hedge_s = hedge_s
        self.outcome = Outcome([], Counter())
        self._random = random.Random(seed)
        self._dice = random.Random(seed + 1).random
        self._measures = Measures()
        self._budget = HedgeBudget()
        self._busy = [0] * len(TARGETS)
        self._queues: list[deque[tuple[Request, float]]] = [deque() for _ in TARGETS]
        self._failures = [0] * len(TARGETS)
        self._rests = [0.0] * len(TARGETS)
        self._homes: dict[bytes, int] = {}
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._numbers = count()
        for at in self._arrivals(rate, seconds):
            self._later(at, self._arrive)

    def run(self) -> Outcome:
        """Plays every event in the order of time."""
        while self._events:
            at, _, event = heapq.heappop(self._events)
            event(at)
        return self.outcome

    def _arrivals(self, rate: float, seconds: float) -> Iterator[float]:
        at = self._random.expovariate(rate)
        while at < seconds:
            yield at
            at += self._random.expovariate(rate)

    def _later(self, at: float, event: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (at, next(self._numbers), event))

    # ---- a request ---------------------------------------------------------------------------------------------------

    def _arrive(self, now: float) -> None:
        client = min(int(self._random.paretovariate(0.7)), CLIENTS)
        request = Request(now, str(client).encode(), [])
        request.left = self._order(request.subject, now)
        home = request.left[0]
        self.outcome.moved += self._homes.setdefault(request.subject, home) != home
        self._budget.earn(0.05)
        self._call(request, now)
        if self.hedge_s is not None:
            self._later(now + self.hedge_s, lambda at: self._hedge(request, at))

    def _hedge(self, request: Request, now: float) -> None:
        if request.under_way == 1 and not request.answered and request.left and self._budget.spend():
            self.outcome.second_calls += 1
            self._call(request, now)

    def _call(self, request: Request, now: float) -> None:
        target = request.left.pop(0)
        self._measures.choose((TARGETS[target].name, "", True))
        self._measures.arrive(TARGETS[target].name)
        self.outcome.got[TARGETS[target].name] += 1
        self._busy[target] += 1
        request.under_way += 1
        if self._is_bad(target, now) and self._random.random() < TARGETS[target].fails:
            self._later(now + FAIL_MS / 1000, lambda at: self._failed(request, target, at))
        elif self._busy[target] - len(self._queues[target]) <= TARGETS[target].places:
            self._serve(request, target, now, now)
        else:
            self._queues[target].append((request, now))

    def _serve(self, request: Request, target: int, called: float, now: float) -> None:
        ms = TARGETS[target].ms * self._random.lognormvariate(0, SPREAD)
        if self._is_bad(target, now):
            ms *= TARGETS[target].slower
        self._later(now + ms / 1000, lambda at: self._answered(request, target, called, at))

    def _answered(self, request: Request, target: int, called: float, now: float) -> None:
        each = TARGETS[target]
        self._busy[target] -= 1
        self._failures[target] = 0
        self.outcome.cost += each.price
        self._measures.answered((each.name, "", True), (now - called) * 1000, now)
        request.under_way -= 1
        if not request.answered:
            request.answered = True
            self.outcome.ms.append((now - request.at) * 1000)
        while self._queues[target]:
            waiting, since = self._queues[target].popleft()
            if not waiting.answered:
                self._serve(waiting, target, since, now)
                return
            self._busy[target] -= 1  # the other call of a hedged request was answered
            waiting.under_way -= 1

    def _failed(self, request: Request, target: int, now: float) -> None:
        self._busy[target] -= 1
        self._failures[target] += 1
        if self._failures[target] >= FAILURES:
            self._rests[target], self._failures[target] = now + REST_S, FAILURES - 1
        self._measures.failed((TARGETS[target].name, "", True), FAIL_MS, now)
        request.under_way -= 1
        if request.left and not request.answered:
            self._call(request, now)
        elif not request.under_way and not request.answered:
            self.outcome.failed += 1

    # ---- the choice --------------------------------------------------------------------------------------------------

    def _is_bad(self, target: int, now: float) -> bool:
        return TARGETS[target].bad_from_s <= now < TARGETS[target].bad_to_s

    def _order(self, subject: bytes, now: float) -> list[int]:
        if self.strategy is None:
            return sorted(range(len(TARGETS)), key=lambda each: self._expected(each, now))
        full = {index for index, each in enumerate(TARGETS) if self._busy[index] >= each.places * FULL}
        free = [index for index in range(len(TARGETS)) if index not in full] or list(range(len(TARGETS)))
        standings = []
        for index in free:
            each = TARGETS[index]
            key = (each.name, "", True)
            ms, ago = self._measures.latency(key, now) or (None, None)
            busy, chosen = self._busy[index], self._measures.last_choice(key)
            rests = self._rests[index] > now
            standings.append(Standing(each.name, None, each.rate, busy, ms, ago, each.price, chosen, rests))
        order = [free[index] for index in arrange(self.strategy, standings, self._dice, subject).order]
        return order + [index for index in range(len(TARGETS)) if index not in free]

    def _expected(self, target: int, now: float) -> float:
        """The milliseconds that a request takes there, by the true speed, queue and state."""
        each = TARGETS[target]
        if self._is_bad(target, now) and each.fails:
            return inf
        ms = each.ms * (each.slower if self._is_bad(target, now) else 1)
        return ms * (1 + max(0, self._busy[target] + 1 - each.places) / each.places)


def skew(outcome: Outcome) -> float:
    """The most that a target got above its share by capacity, as a ratio: 1 is even."""
    capacity, requests = sum(each.rate for each in TARGETS), sum(outcome.got.values())
    return max(outcome.got[each.name] / requests / (each.rate / capacity) for each in TARGETS)


def bound() -> float:
    """The known optimum of the p99: that of the fastest target where no request ever waits."""
    return min(each.ms for each in TARGETS) * exp(SPREAD * NormalDist().inv_cdf(0.99))


def table(load: float, seconds: float, seed: int) -> str:
    """The table of all strategies at this share of the whole capacity."""
    rate = load * sum(each.rate for each in TARGETS)
    cases: list[tuple[str, Strategy | None, float | None]] = [("all-knowing", None, None)]
    cases += [(name, name, None) for name in STRATEGIES]
    cases += [("weighted, hedged", "weighted", 1.0), ("latency, hedged", "latency", 1.0)]
    runs = [(label, Simulation(name, rate, seconds, seed, hedge).run()) for label, name, hedge in cases]
    best = runs[0][1]
    lines = [
        "| strategy | p50 ms | p99 ms | p99 to optimum | skew | price | moved | failed | called twice |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for label, run in runs:
        done = len(run.ms)
        figures = (
            f"{run.percentile(0.5):.0f}",
            f"{run.percentile(0.99):.0f}",
            f"{run.percentile(0.99) / bound():.2f}",
            f"{skew(run):.2f}",
            f"{run.cost / done / (best.cost / len(best.ms)):.2f}",
            f"{run.moved / done:.0%}",
            str(run.failed),
            f"{run.second_calls / done:.1%}",
        )
        lines.append(f"| {label} | {' | '.join(figures)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--load", type=float, default=0.5, help="requests as a share of what all targets can answer")
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(table(args.load, args.seconds, args.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
