"""The strategies by which one of several equal targets is called first.

Pure: what is believed of the targets and the dice are given, so that the same dice make the same choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from math import inf, log
from typing import Literal, TypeAlias

from msgspec import Struct

Strategy: TypeAlias = Literal["order", "weighted", "least_busy", "latency", "cost", "sticky"]

STRATEGIES: dict[Strategy, str] = {
    "order": "the order of the config",
    "weighted": "at random, each as often as its weight says",
    "least_busy": "the one with the fewest requests under way for its weight",
    "latency": "the one whose first token is expected soonest, by a peak-sensitive average",
    "cost": "the one whose model is cheapest, by the price list",
    "sticky": "always the same one for a client or a conversation, by a hash",
}
"""Every strategy, and which target it takes first."""

KEY_STRATEGIES: tuple[Strategy, ...] = ("order", "weighted", "least_busy", "sticky")
"""The strategies for several keys of one backend, which have one price and one speed."""

WEIGHING: tuple[Strategy, ...] = ("weighted", "least_busy", "sticky")
"""The strategies that look at weights."""

StickyBy: TypeAlias = Literal["conversation", "client"]

Dice: TypeAlias = Callable[[], float]
"""Random numbers from 0 to below 1."""

PROBE_AFTER_S = 10.0
"""Seconds after which a target that was not measured again may be called to see whether it got faster."""

PROBE_SHARE = 0.05
"""The most requests of all that are sent to a target to measure it."""

AT_ONCE = 8.0
"""Requests under way with which one more is expected to take twice as long.

Measured by `python -m benchmarks.balance`: with fewer, fast targets of many places are left for slow idle ones; with
more, a crowd runs to the fastest before it is measured again.
"""

UNKNOWN_MS = 1000.0
"""Milliseconds that are expected of a target that is called for the first time right now."""

NAMED = 4
"""Targets whose figures stand in the reason of a choice."""


class Hedge(Struct, frozen=True):
    """The time after which a second target is called because the first is late, and how often that may happen.

    `after_s` is for the first content of a stream, `whole_after_s` for a whole answer, None for never. `budget` are the
    second calls for each request.
    """

    after_s: float | None = None
    whole_after_s: float | None = None
    budget: float = 0.05


class Balance(Struct, frozen=True):
    """The balancing of a route: its strategy, what `sticky` holds together, and hedged requests.

    `name` is the route's, by which the budget of its hedged requests is kept.
    """

    strategy: Strategy = "order"
    sticky_by: StickyBy = "conversation"
    hedge: Hedge | None = None
    name: str = ""


class Standing(Struct, frozen=True):
    """Beliefs about one target at one moment.

    `ms` is the expected time to its first token, measured `measured_s` seconds ago, None if it never was. `price` is in
    dollars for a million tokens, None if it is not known. `chosen` is the number of the choice that took it last.
    A `resting` target failed or asked to be left alone; it comes after all others.
    """

    name: str
    model: str | None = None
    weight: float = 1.0
    in_flight: int = 0
    ms: float | None = None
    measured_s: float | None = None
    price: float | None = None
    chosen: int = 0
    resting: bool = False


class Arrangement(Struct, frozen=True):
    """The indexes of the targets in the order in which they are called, and why the first one is the first."""

    order: tuple[int, ...]
    why: str


def arrange(strategy: Strategy, standings: Sequence[Standing], dice: Dice, subject: bytes | None = None) -> Arrangement:
    """Orders the targets by the strategy; `subject` is what `sticky` holds together, and without one it is `weighted`.

    Resting targets come last, before them those of weight 0, which are drained.
    """
    if strategy == "sticky" and subject is None:
        strategy = "weighted"
    probe = None
    if strategy == "weighted":
        ranks = _by_weight(standings, dice)
    elif strategy == "least_busy":
        ranks = [((each.in_flight + 1) / (each.weight or 1), float(each.chosen)) for each in standings]
    elif strategy == "latency":
        probe = _to_probe(standings, dice)
        ranks = [
            (-1.0 if index == probe else expected_ms(each), float(each.chosen)) for index, each in enumerate(standings)
        ]
    elif strategy == "cost":
        ranks = [(inf if each.price is None else each.price, float(each.chosen)) for each in standings]
    elif strategy == "sticky":
        ranks = [(-_score(each, subject or b""), 0.0) for each in standings]
    else:
        ranks = [(0.0, 0.0)] * len(standings)
    order = sorted(
        range(len(standings)), key=lambda at: (standings[at].resting, standings[at].weight <= 0, ranks[at], at)
    )
    return Arrangement(tuple(order), _why(strategy, standings, order, is_probe=probe is not None and order[0] == probe))


def expected_ms(each: Standing) -> float:
    """The milliseconds to the first token of one more request at this target; 0 if it was never called."""
    if each.ms is None:
        return UNKNOWN_MS * (1 + each.in_flight / AT_ONCE) if each.in_flight else 0.0
    return each.ms * (1 + each.in_flight / AT_ONCE)


def _by_weight(standings: Sequence[Standing], dice: Dice) -> list[tuple[float, float]]:
    """The places of the targets, drawn one after the other from those that are left."""
    left = [index for index, each in enumerate(standings) if each.weight > 0 and not each.resting]
    places = [(float(len(standings)), 0.0)] * len(standings)
    for place in range(len(left) - 1):
        point = dice() * sum(standings[index].weight for index in left)
        for index in left:
            point -= standings[index].weight
            if point < 0:
                break
        places[index] = (float(place), 0.0)
        left.remove(index)
    if left:
        places[left[0]] = (float(len(standings) - 1), 0.0)
    return places


def _to_probe(standings: Sequence[Standing], dice: Dice) -> int | None:
    """The idle target that was measured longest ago, once that is too old and the dice say so."""
    best = min(range(len(standings)), key=lambda at: (standings[at].resting, expected_ms(standings[at])))
    old = [
        (each.measured_s, index)
        for index, each in enumerate(standings)
        if index != best
        and not (each.resting or each.in_flight or each.weight <= 0)
        and each.measured_s is not None
        and each.measured_s >= PROBE_AFTER_S
    ]
    return max(old)[1] if old and dice() < PROBE_SHARE else None


def _score(each: Standing, subject: bytes) -> float:
    """The score of a target for this subject in weighted rendezvous hashing.

    Without one of the others the order of the rest is the same, so only what that one had moves.
    https://en.wikipedia.org/wiki/Rendezvous_hashing#Weighted_rendezvous_hash
    """
    name = f"{each.name}\0{each.model or ''}\0".encode()
    number = int.from_bytes(blake2b(name + subject, digest_size=8).digest(), "big")
    return each.weight / -log((number + 0.5) / 2**64)


def _why(strategy: Strategy, standings: Sequence[Standing], order: Sequence[int], *, is_probe: bool) -> str:
    """The choice in words, with the figures of the first targets."""
    names = [each.name for each in standings]
    shown = [
        f"{_label(standings[at], names)} {figure(strategy, standings[at])}"
        + (" and resting" if standings[at].resting else "")
        for at in order[:NAMED]
    ]
    more = f", and {len(order) - NAMED} more" if len(order) > NAMED else ""
    what = "probes" if is_probe else "takes"
    return f"{strategy} {what} {_label(standings[order[0]], names)!r}: {', '.join(shown)}{more}"


def _label(each: Standing, names: Sequence[str]) -> str:
    return each.name if names.count(each.name) == 1 else f"{each.name}/{each.model}"


def figure(strategy: Strategy, each: Standing) -> str:
    """The figure that this strategy looks at."""
    weight = "" if each.weight == 1 else f" at weight {each.weight:g}"
    if strategy == "least_busy":
        return f"{each.in_flight} in flight{weight}"
    if strategy == "latency":
        measured = "not measured" if each.ms is None else f"{each.ms:.0f} ms"
        return f"{measured} with {each.in_flight} in flight"
    if strategy == "cost":
        return "no price" if each.price is None else f"${each.price:g}"
    return f"weight {each.weight:g}"
