"""Selects the first candidate of a request: routes it, and encodes it for the backend that was chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from msgspec.structs import replace

from .. import headers
from ..errors import Refused, failure
from ..ir import Failure, Request
from ..routing import Candidate, Decision, RequestFeatures, RoutingInput, decide, kept_decision
from .context import RETRY_AFTER_S, RequestContext
from .failover_chain import FailoverChain, PrepareCall, PreparedCall, no_state
from .runtime import ALL_UP
from .target_choice import choose_target

C = TypeVar("C", bound=PreparedCall)

ALL_DOWN = "all breakers are open, and the backend that is open longest is called first"
"""Added to the reason of a decision for a request none of whose backends is up."""


def select_candidate(
    context: RequestContext,
    client_headers: Mapping[str, str],
    model: str,
    capabilities: frozenset[str],
    prepare: PrepareCall[C],
    features: RequestFeatures | None = None,
    owner: str | None = None,
    request: Request | None = None,
    state: Callable[[], str | None] = no_state,
) -> tuple[FailoverChain, C]:
    """Routes the request, again without the candidates that cannot take it, until one can; records each decision.

    Candidates with an open breaker come last in the chain; where all are open they are the chain. Full backends are
    left out. `owner` is the backend that keeps what the request refers to, which is the chain if it is a candidate.
    Equal candidates are put into the order of their route's strategy, which may look at the `request`. `state` is that
    of the chain. Raises Refused where no candidate is left.
    """
    unfit: dict[str, str] = {}
    caller = context.caller
    allowed = None if caller is None else caller.allowed
    pin, mode = client_headers.get(headers.BACKEND), client_headers.get(headers.MODE)
    is_free = pin is None and mode is None and features is None and allowed is None
    while True:
        health = context.health()

        def decided(down: Mapping[str, str]) -> Decision:
            return decide(
                RoutingInput(
                    model,
                    capabilities,
                    context.frontend.name,
                    unfit,
                    pin=pin,
                    mode=mode,
                    down=down,
                    features=features,
                    allowed=allowed,
                ),
                context.config.plan,
            )

        kept = (
            kept_decision(model, capabilities, context.config.plan)
            if is_free and health is ALL_UP and not unfit
            else None
        )
        decision = decided(health.unavailable) if kept is None else kept
        if decision.balance is not None:
            decision = choose_target(context, decision, request)
        chain = FailoverChain.of(decision, state)
        if health.broken:
            whole = decided(health.full)
            if decision.chosen is None and decision.refusal is not None and decision.refusal.kind == "overloaded":
                decision = whole if whole.chosen is None else replace(whole, because=f"{whole.because}; {ALL_DOWN}")
                chain = replace(FailoverChain.of(decision, state), all_down=True)
            else:
                chain = replace(chain, candidates=_with_others(decision.chain, whole.chain))
        context.record.decision = decision
        if decision.chosen is None:
            raise Refused(_refusal(decision))
        if owner is not None:
            chain = replace(chain, candidates=_only(owner, chain.candidates))
        chosen = chain.candidates[0]
        prepared = prepare(chosen)
        if not isinstance(prepared, str):
            return chain, prepared
        unfit[chosen.backend] = prepared


def _refusal(decision: Decision) -> Failure:
    refusal = decision.refusal or failure("model_not_found", "No backend serves this model.")
    if refusal.kind == "overloaded" and refusal.retry_after is None:
        return replace(refusal, retry_after=RETRY_AFTER_S)
    return refusal


def _with_others(chain: tuple[Candidate, ...], whole: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """The chain, and behind it the candidates that are left out of it because their breaker is open."""
    known = {(each.backend, each.model) for each in chain}
    return (*chain, *(each for each in whole if (each.backend, each.model) not in known))


def _only(owner: str, chain: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """The candidates at this backend; the whole chain if there are none."""
    return tuple(each for each in chain if each.backend == owner) or chain
