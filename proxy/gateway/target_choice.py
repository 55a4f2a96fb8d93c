"""Chooses among the equal targets of a route by what is known of them now."""

from __future__ import annotations

from hashlib import blake2b

from ..balance.strategy import Balance, Standing
from ..costs.price import PriceTable
from ..ir import Request, Text
from ..routing import BackendConfig, Candidate, Decision, balanced
from .context import RequestContext
from .runtime import Runtime

INPUT_SHARE = 0.75
"""The share of input in the tokens by which two prices are compared: three to one of output."""

CACHE_KEY = "prompt_cache_key"
"""The field by which clients say themselves which prompts share a cache."""


def choose_target(context: RequestContext, decision: Decision, request: Request | None) -> Decision:
    """Returns the decision with its equal candidates in the order of the route's strategy, and notes the choice."""
    balance, runtime = decision.balance, context.runtime
    if balance is None or decision.chosen is None or len(decision.weights) < 2 or balance.strategy == "order":
        return decision
    streams = request is not None and request.stream
    subject = subject_of(balance, context.client_name, request) if balance.strategy == "sticky" else None

    def standing_of(each: Candidate, weight: float) -> Standing:
        return standing_now(runtime, each, weight, context.record.model or "", streams=streams)

    found = balanced(decision, standing_of, runtime.dice, subject)
    if found.chosen is not None:
        context.promise((found.chosen.backend, found.chosen.model or "", streams))
    return found


def standing_now(runtime: Runtime, each: Candidate, weight: float, asked: str, *, streams: bool) -> Standing:
    """The beliefs about a candidate now; `asked` is the client's name of the model."""
    backend, now = runtime.backends[each.backend], runtime.now()
    model = each.model or asked
    target = (each.backend, model, streams)
    measured = runtime.beliefs.latency(target, now)
    return Standing(
        each.backend,
        each.model,
        weight,
        backend.busy + runtime.beliefs.promised(each.backend),
        None if measured is None else measured[0],
        None if measured is None else measured[1],
        price_of(runtime.prices, backend.config, model),
        runtime.beliefs.last_choice(target),
        not runtime.breakers.quiet and runtime.breakers.cooling(each.backend, model, now) > 0,
    )


def price_of(prices: PriceTable, backend: BackendConfig, model: str) -> float | None:
    """Dollars for a million tokens, three of input for each of output; None where the price is not known."""
    found = prices.price_at(backend.provider, model, local=backend.local)
    if found is None:
        return None
    return found.rates.input * INPUT_SHARE + found.rates.output * (1 - INPUT_SHARE)


def subject_of(balance: Balance, client: str | None, request: Request | None) -> bytes | None:
    """The text that `sticky` sends to one target; None where nothing holds the request together with others.

    A client without a name is known by the user that it names; without either the conversation counts.
    """
    if balance.sticky_by == "client":
        name = client or (request.user if request is not None else None)
        if name:
            return name.encode()
    return None if request is None else conversation_of(request)


def conversation_of(request: Request) -> bytes:
    """A hash of how a conversation begins: the first turn of the user, which stays the same while it goes on.

    Agents write what changes with each request into the instructions before it, and load tools later, so that neither
    counts; marks of caches move from turn to turn, so that only texts count.
    """
    key = (request.extra or {}).get(CACHE_KEY)
    if isinstance(key, str) and key:
        return key.encode()
    first = next((turn for turn in request.turns if turn.role == "user"), None)
    turns = request.turns if first is None else (first,)
    parts = [block.text if isinstance(block, Text) else type(block).__name__ for turn in turns for block in turn.blocks]
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
