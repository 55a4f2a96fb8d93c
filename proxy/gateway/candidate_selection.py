"""Selects the first candidate of a request: routes it, and encodes it for the backend that was chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias, TypeVar

from msgspec.structs import replace

from .. import headers
from ..errors import Refused, failure
from ..ir import Failure
from ..routing import Candidate, Decision, RequestFeatures, RoutingInput, decide
from .context import RequestContext

C = TypeVar("C")

PrepareCall: TypeAlias = Callable[[Candidate], C | str]
"""Encodes the request for a candidate's backend; a string says why that backend cannot take it."""


def select_candidate(
    context: RequestContext,
    client_headers: Mapping[str, str],
    model: str,
    capabilities: frozenset[str],
    prepare: PrepareCall[C],
    features: RequestFeatures | None = None,
) -> tuple[Decision, C]:
    """Routes the request, again without the candidates that cannot take it, until one can; records each decision.

    Raises Refused where none is left, with the seconds after which a backend may be up again where all are down.
    """
    runtime = context.runtime
    unfit: dict[str, str] = {}
    while True:
        decision = decide(
            RoutingInput(
                model,
                capabilities,
                context.frontend.name,
                unfit,
                pin=client_headers.get(headers.BACKEND),
                mode=client_headers.get(headers.MODE),
                down=runtime.breakers.open_reasons(runtime.now()),
                features=features,
            ),
            context.config.plan,
        )
        context.record.decision = decision
        if decision.refusal is not None or decision.chosen is None:
            raise Refused(_with_retry_after(decision, context))
        prepared = prepare(decision.chosen)
        if not isinstance(prepared, str):
            return decision, prepared
        unfit[decision.chosen.backend] = prepared


def _with_retry_after(decision: Decision, context: RequestContext) -> Failure:
    refusal = decision.refusal or failure("model_not_found", "No backend serves this model.")
    breakers, now = context.runtime.breakers, context.runtime.now()
    down = breakers.open_reasons(now)
    if refusal.kind != "overloaded" or not down:
        return refusal
    waits = [breakers.retry_after(c.backend, now) for c in decision.considered if c.backend in down]
    return replace(refusal, retry_after=min(waits)) if waits else refusal
