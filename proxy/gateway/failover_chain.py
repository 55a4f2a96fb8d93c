"""The candidates of one request in the order in which they are called, and a request encoded for one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from msgspec import Struct

from ..backends.backend import Backend
from ..balance.strategy import Balance, Hedge
from ..ir import Added, Loss
from ..routing import Candidate, Decision

CHOSEN_BY_CAPABILITY = ("explicit", "auto", "capability")
"""Modes whose chain was chosen by capability; a 404 from one backend does not fail over."""


class PreparedCall(Struct, frozen=True, kw_only=True):
    """A request encoded for one candidate's backend.

    `is_local` where the proxy answers by itself, so that calling is no attempt. `fallback` makes the answer where the
    backend has no such endpoint.
    """

    candidate: Candidate
    backend: Backend
    model: str
    body: bytes
    losses: tuple[Loss, ...] = ()
    added: tuple[Added, ...] = ()
    relayed: bool = False
    is_local: bool = False
    fallback: Callable[[], Any] | None = None


C = TypeVar("C", bound=PreparedCall)

PrepareCall: TypeAlias = Callable[[Candidate], "C | str"]
"""Encodes the request for a candidate's backend; a string says why that backend cannot take it."""


def no_state() -> None:
    """The field by which a request refers to what one backend keeps, of a request that does not."""


class FailoverChain(Struct, frozen=True):
    """The candidates of one request in the order in which they are called; those that are down come last.

    `missing_moves_on`: a backend that says that it has no such model is followed by the next. `cascade`: any failure
    and any poor answer of a candidate is followed by the next. `lookup`: each backend is asked for something that one
    of them keeps; asking the next is neither a retry nor a failover. `all_down`: every candidate's breaker was open
    when the request arrived. `state` names the field by which the request refers to what one backend keeps, so that no
    other may be called; None for other requests. `balance` is of the route, where it balances or hedges;
    by `subject` a sticky key is chosen.
    """

    candidates: tuple[Candidate, ...]
    missing_moves_on: bool = False
    cascade: bool = False
    lookup: bool = False
    all_down: bool = False
    state: Callable[[], str | None] = no_state
    balance: Balance | None = None
    subject: bytes | None = None

    @staticmethod
    def of(decision: Decision, state: Callable[[], str | None] = no_state) -> FailoverChain:
        moves_on = decision.mode not in CHOSEN_BY_CAPABILITY
        return FailoverChain(decision.chain, moves_on, decision.cascade, False, False, state, decision.balance)

    @property
    def hedge(self) -> Hedge | None:
        """The time after which another candidate is called too because the first is late; None for never."""
        return None if self.balance is None else self.balance.hedge
