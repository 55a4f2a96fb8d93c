"""Orders the equal candidates of a decision by its route's strategy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from msgspec.structs import replace

from ..balance.strategy import Dice, Standing, arrange
from .decision import BALANCED, ROUTED, Candidate, Decision

StandingOf: TypeAlias = Callable[[Candidate, float], Standing]
"""Returns what is believed of a candidate with this weight."""


def balanced(decision: Decision, standing_of: StandingOf, dice: Dice, subject: bytes | None) -> Decision:
    """Returns the decision with its equal candidates in the strategy's order, and with the figures as the reason.

    `subject` is what the strategy `sticky` holds together. A decision without equal candidates stays as it is.
    """
    balance, count = decision.balance, len(decision.weights)
    if balance is None or balance.strategy == "order" or count < 2:
        return decision
    equals = decision.chain[:count]
    standings = tuple(standing_of(each, weight) for each, weight in zip(equals, decision.weights, strict=True))
    found = arrange(balance.strategy, standings, dice, subject)
    ordered = [equals[index] for index in found.order]
    moved = {(each.backend, each.model): _moved(each, place) for place, each in enumerate(ordered)}
    considered = tuple(moved.get((each.backend, each.model), each) for each in decision.considered)
    first = tuple(moved.values())
    return replace(
        decision,
        chosen=first[0],
        chain=(*first, *decision.chain[count:]),
        considered=considered,
        because=f"{decision.because}; {found.why}",
        standings=tuple(standings[index] for index in found.order),
    )


def _moved(each: Candidate, place: int) -> Candidate:
    """The candidate at this place of the strategy's order."""
    return Candidate(each.backend, each.model, place == 0, BALANCED if place else ROUTED)
