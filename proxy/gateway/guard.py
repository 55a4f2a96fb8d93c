"""Guards what clients may use and spend: permissions before routing, reservations before a call, the account after it.

A `Guard` is made once for each config that has clients or limits of models; without one no request comes here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from math import isinf

from msgspec.structs import replace

from .. import headers
from ..clients.client import ALL, Client, allows
from ..config import Config
from ..costs.budget import UNIT as MONEY
from ..costs.budget import WARN_AT
from ..costs.price import NANO, Price, PriceTable, dollars
from ..errors import Refused, failure
from ..ir import Failure, Usage
from ..ir.rate_limits import RateLimit
from ..limits.bounds import LimitSet
from ..limits.state import Denied, Held, Limit, LimitGroup, limit_of
from ..observability.request_record import Record
from ..protocols.protocol import StoredState
from ..routing import BackendConfig
from ..routing.decide import without_suffix
from ..state.interface import LimitState, StateGone
from .state_owners import StateOwners

log = logging.getLogger("crosswire")

OUTPUT = 1024
"""Tokens of an answer that are reserved where the client sets no bound."""

MOST_OUTPUT = 4096
"""Tokens of an answer that are reserved at most: few use the bound that they set."""

MOST_NAMES = 10_000
"""Pairs of a client and a model whose limits are remembered; the names of models come from clients."""

RETRY_AFTER_S = 1.0
"""Seconds after which a client may try again that was refused because the state does not answer."""

REPORTED = ("requests", "tokens")
"""The units in the headers by which a client learns of its limits."""

NO_LIMITS = LimitGroup(())


class Guard:
    """The rules of one config, and the state that outlives it."""

    def __init__(self, config: Config, state: LimitState, prices: PriceTable, made: float = 0.0) -> None:
        self.made = made
        """The unix time from which on its counters count by themselves."""
        self._clients = _clients(config)
        settings = config.settings
        self.state = state
        self.prices = prices
        self.refuses_unpriced = settings.unpriced == "refuse"
        self.counts_money = any(client.budgets for client in self._clients) or bool(settings.tag_budgets)
        self._backends = config.plan.backends
        self._model_limits = [((pattern,), pattern, limits) for pattern, limits in settings.model_limits]
        self._tag_budgets = dict(settings.tag_budgets)
        self._groups: dict[tuple[str, str], LimitGroup] = {}
        self._allowed: dict[str, frozenset[str] | None] = {}
        self._warned: set[str] = set()

    def caller(self, client: Client | None) -> Caller:
        """The caller of one request."""
        return Caller(self, client)

    def limits(self, client: Client | None, model: str) -> LimitGroup:
        """Every limit that counts for this client and model, with the budgets."""
        key = ("" if client is None else client.name), model
        found = self._groups.get(key)
        if found is None:
            found = LimitGroup(self._find_limits(client, without_suffix(model)))
            if len(self._groups) < MOST_NAMES:
                self._groups[key] = found
        return found

    def _find_limits(self, client: Client | None, model: str) -> list[Limit]:
        found: list[Limit] = []
        for patterns, pattern, limits in self._model_limits:
            if allows(patterns, model):
                found += _limits_of(f"model {pattern}", limits)
        if client is None:
            return found
        owner = f"client {client.name}"
        found += _limits_of(owner, client.limits)
        for pattern, limits in client.model_limits:
            if allows((pattern,), model):
                found += _limits_of(f"{owner} with model {pattern}", limits)
        found += self.budgets(client)
        return found

    def budgets(self, client: Client) -> list[Limit]:
        """The budgets of a client, and those of its tags."""
        found = [limit_of(f"client {client.name}", MONEY, budget) for budget in client.budgets]
        for tag in client.tags:
            found += [limit_of(f"tag {tag}", MONEY, budget) for budget in self._tag_budgets.get(tag, ())]
        return found

    def all_budgets(self) -> list[Limit]:
        """The budgets of all clients and tags, each once."""
        found = {limit.key: limit for client in self._clients for limit in self.budgets(client)}
        return list(found.values())

    def spent_budgets(self) -> list[tuple[str, str, float, float]]:
        """The owner and the period of each budget, what is spent of it, and its size, in dollars."""
        return [
            (limit.owner, limit.bound.kind, self.state.counter(limit).used() / NANO, limit.bound.limit / NANO)
            for limit in self.all_budgets()
        ]

    def allowed_backends(self, client: Client) -> frozenset[str] | None:
        """The backends that a client may use; None for all."""
        if client.name not in self._allowed:
            names = frozenset(each.name for each in self._backends if allows(client.backends, each.name))
            self._allowed[client.name] = names if len(names) < len(self._backends) else None
        return self._allowed[client.name]

    def price(self, backend: BackendConfig, model: str) -> Price | None:
        """The price of a model at a backend; None where it is not known."""
        return self.prices.price_at(backend.provider, model, local=backend.local)

    def watch(self, limit: Limit, used: int) -> None:
        """Logs that most of a budget is spent, once until less of it is."""
        budget = limit.bound
        if used < WARN_AT * budget.limit:
            self._warned.discard(limit.key)
        elif limit.key not in self._warned:
            self._warned.add(limit.key)
            part = 100 if not budget.limit else used * 100 // budget.limit
            spent = f"{part} %: {dollars(used)} of {dollars(budget.limit)} dollars"
            log.warning("the budget of %s (%s) is spent to %s", limit.owner, budget.kind, spent)


class Caller:
    """The client behind one request, or nobody: what it may use, and what is reserved for it."""

    def __init__(self, guard: Guard, client: Client | None) -> None:
        self.client = client
        self.allowed = None if client is None else guard.allowed_backends(client)
        self._guard = guard
        self._held: Sequence[Held] = ()
        self._group = NO_LIMITS

    def check(self, frontend: str, model: str, fields: Mapping[str, str]) -> None:
        """Raises Refused where the client may not use this protocol, model, mode or pin."""
        client = self.client
        if client is None:
            return
        patterns = client.models
        if patterns is not ALL and not allows(patterns, model) and not allows(patterns, without_suffix(model)):
            shown = headers.printable(model)
            text = (
                f"The client {client.name} may not use the model {shown!r}; the list of models has those that it may."
            )
            raise Refused(failure("permission", text, param="model"))
        if client.frontends is not ALL and not allows(client.frontends, frontend):
            raise Refused(failure("permission", f"The client {client.name} may not use the protocol {frontend}."))
        if headers.BACKEND in fields and not client.pins:
            raise Refused(
                failure("permission", f"The client {client.name} may not pin a backend; leave the header out.")
            )
        mode = fields.get(headers.MODE)
        if mode is not None and not allows(client.modes, mode):
            shown = headers.printable(mode)
            raise Refused(failure("permission", f"The client {client.name} may not use the mode {shown!r}."))

    async def check_state(self, owners: StateOwners, state: StoredState | None) -> None:
        """Raises Refused where the request refers to what is stored, and this client did not get it from here."""
        if state is None or self.client is None:
            return
        for field, id_ in state.references:
            if id_ is None:
                text = f"What `{field}` refers to is not known here to be this client's own; send it itself."
                raise Refused(failure("not_found", text, param=field))
            if not await owners.belongs(id_, self.client.name):
                text = f"Nothing is stored under the id {headers.printable(id_)!r}."
                raise Refused(failure("not_found", text, param=field))

    async def reserve(self, model: str, backend: BackendConfig, upstream: str, prompt: int, output: int | None) -> None:
        """Reserves one request of so many tokens for this model; raises Refused where a limit or budget has no room."""
        guard = self._guard
        group = self._group = guard.limits(self.client, model)
        if not group.limits:
            return
        expected = min(OUTPUT if output is None else output, MOST_OUTPUT)
        amounts = {"requests": 1, "concurrent": 1, "tokens": prompt + expected}
        if guard.counts_money and any([limit.unit == MONEY for limit in group.limits]):
            price = guard.price(backend, upstream)
            if price is None and guard.refuses_unpriced:
                shown = headers.printable(upstream)
                text = f"The price of the model {shown!r} is not known, and this client has a budget; "
                raise Refused(failure("permission", text + "ask the operator for a row under `prices`.", param="model"))
            amounts[MONEY] = 0 if price is None else price.cost(Usage(prompt, expected))
        try:
            reserved = await guard.state.reserve(group, amounts)
        except StateGone as gone:
            raise Refused(_unknown(gone.limit)) from None
        if isinstance(reserved, Denied):
            raise Refused(_refusal(reserved, amounts[reserved.limit.unit]))
        self._held = reserved

    def settle(self, record: Record) -> None:
        """Replaces what was reserved by what was used; a request without an answer costs no tokens."""
        held, self._held = self._held, ()
        if not held:
            return
        actual = {"concurrent": 0}
        usage = record.usage
        if usage is not None:
            actual["tokens"] = (usage.prompt or 0) + (usage.output or 0)
            if record.cost is not None:
                actual[MONEY] = record.cost
        elif not record.attempts or record.outcome not in ("answered", "aborted"):
            actual["tokens"] = actual[MONEY] = 0
        self._guard.state.settle(held, actual)
        if self._guard.counts_money:
            for limit, counter, _, _ in held:
                if limit.unit == MONEY:
                    self._guard.watch(limit, counter.used())

    def rate_limits(self, clock: float) -> tuple[RateLimit, ...]:
        """The client's own limits as they are now, of each scope the one of which the least is left."""
        found: dict[str, RateLimit] = {}
        for _, counter, unit, most in self._guard.state.counters(self._group):
            if unit in REPORTED:
                left = max(0, most - counter.used())
                if unit not in found or left < (found[unit].remaining or 0):
                    found[unit] = RateLimit(unit, most, left, clock + counter.whole_in())
        return tuple(found.values())


def _clients(config: Config) -> tuple[Client, ...]:
    return () if config.clients is None else tuple(config.clients.clients.values())


def _limits_of(owner: str, limits: LimitSet) -> list[Limit]:
    named = (("requests", limits.requests), ("tokens", limits.tokens), ("concurrent", limits.concurrent))
    return [limit_of(owner, unit, bound) for unit, bound in named if bound is not None]


def _unknown(limit: Limit) -> Failure:
    """The failure where nobody can say what is left of a limit, and the config lets nothing through then."""
    what = "budget" if limit.unit == MONEY else "limit"
    text = f"What is left of the {what} of {limit.owner} is not known: the state that the proxies share does not answer"
    return replace(failure("overloaded", f"{text}; try again later."), retry_after=RETRY_AFTER_S)


def _refusal(denied: Denied, amount: int) -> Failure:
    """The failure for a limit without room; it says what the limit is, and when to come back."""
    limit, wait = denied.limit, denied.wait
    owner = limit.owner[0].upper() + limit.owner[1:]
    if limit.unit == MONEY:
        budget = limit.bound
        text = f"{owner} has spent its budget of {dollars(budget.limit)} dollars ({budget.kind})"
        if isinf(wait):
            size = f"{dollars(budget.limit)} dollars ({budget.kind})"
            text = f"{owner} has a budget of {size}, and this request may cost more"
        return failure("budget", f"{text}; sending it again does not help.", code="budget_exceeded")
    if limit.unit == "concurrent":
        text = f"{owner} has {limit.bound.limit} requests under way, which is its limit (concurrent); try again later."
        return replace(failure("rate_limit", text), retry_after=wait)
    text = f"{owner} has a limit of {limit.bound.limit} {limit.unit} in {limit.bound.kind}"
    if isinf(wait):
        return failure("over_limit", f"{text}, and this request alone has {amount}; make it smaller.")
    return replace(failure("rate_limit", f"{text}; try again in {wait:.3g} s."), retry_after=wait)
