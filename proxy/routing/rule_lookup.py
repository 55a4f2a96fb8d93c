"""Finds the rule of the plan that applies to a request, by its model name, pin and mode.

Whether the rule's backends can serve the request is checked by `decide`.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from ..balance.strategy import Balance
from .decision import (
    BALANCED,
    BY_DEFAULT,
    BY_MODE,
    BY_SCORE,
    CASCADED,
    ELSEWHERE,
    FALLBACK,
    FAMILY,
    NAMED,
    NOT_BY_SCORE,
    OTHER_BACKEND_NAMED,
    PINNED,
    PREFIXED,
    ROUTED,
    Decision,
    Mode,
    RoutingInput,
)
from .patterns import fill_placeholders
from .plan import BackendConfig, NamedMode, Plan, SmartModel
from .refusals import refuse_bad_request, refuse_missing_provider, refuse_unmapped, shorten, suggest
from .route import Route, RouteTarget
from .score import CHEAP_TIERS, RequestFeatures, Score, score

MAX_NAME_LENGTH = 512
"""Names longer than this many characters match no pattern; no model has one."""


class RuleTarget(Struct, frozen=True):
    """A backend that a rule names, the upstream's name of the model, the reason for the candidate, and its weight."""

    backend: BackendConfig
    model: str
    why: str
    weight: float = 1.0


class MatchedRule(Struct, frozen=True):
    """The rule that applies to a request: its targets in failover order, and the decision's mode and reasons.

    `exclusive` is set where the client named the backend, so that no other may serve. With `only_first`, the first
    eligible target is tried and no other. `others_reason` is the reason of all other backends. By `balance` the first
    `equals` targets change places for each request.
    """

    mode: Mode
    because: str
    targets: tuple[RuleTarget, ...]
    exclusive: bool = False
    only_first: bool = False
    others_reason: str = ELSEWHERE
    score: Score | None = None
    notes: tuple[str, ...] = ()
    cascade: bool = False
    balance: Balance | None = None
    equals: int = 0


def find_rule(inputs: RoutingInput, plan: Plan) -> MatchedRule | Decision | None:
    """Returns the first rule that applies, a refusal if the pin or mode is invalid, or None if no rule applies."""
    model = inputs.model
    mode = inputs.mode if inputs.mode is not None else plan.mode
    if mode is not None and mode not in plan.modes:
        what = f"No mode is called {shorten(mode)!r}; {suggest(mode, plan.modes)}"
        return refuse_bad_request(plan, "the mode that the client asks for is none", what)
    named_mode = plan.modes[mode] if mode is not None else None
    if inputs.pin is not None:
        return _rule_for_pin(inputs.pin, model, named_mode, plan)
    return _rule_for_name(model, named_mode, inputs, plan)


def _rule_for_name(
    model: str, mode: NamedMode | None, inputs: RoutingInput, plan: Plan, *, from_alias: bool = False
) -> MatchedRule | Decision | None:
    """Returns the rule for this name; with `from_alias` it is what an alias stands for, and aliases are skipped."""
    if (exact := _rule_for_exact_name(model, plan)) is not None:
        return exact
    if (split := plan.split_prefix(model)) is not None:
        return _rule_for_prefix(*split, plan)
    provider = plan.missing_provider(model)
    if (found := find_pattern_route(model, plan)) is not None:
        return _rule_for_route("pattern", *found, model, plan)
    if mode is not None and not from_alias and model in mode.models:
        return _rule_for_alias(mode.models[model], mode, inputs, plan)
    if (smart := plan.smart_by_name.get(model)) is not None:
        return _rule_for_smart_model(smart, inputs, plan)
    for name, pattern in matching_families(model, plan).items():
        target = RuleTarget(plan.by_name[name], model, FAMILY)
        return MatchedRule("model_mapping", f"the name family {pattern!r} belongs to {name!r}", (target,))
    if provider is not None:
        return _rule_for_vendor(provider, model, plan)
    if mode is not None and mode.backend is not None:
        backend = plan.by_name[mode.backend]
        target = RuleTarget(
            backend, backend.models.get(model, model) if from_alias else _model_for_any_name(backend, model), BY_MODE
        )
        return MatchedRule(
            "mode", f"no mapping; in the mode {mode.name!r} such models go to {backend.name!r}", (target,)
        )
    if plan.refuses_unmapped:
        return refuse_unmapped(model, plan)
    if plan.unmapped is not None:
        backend = plan.by_name[plan.unmapped]
        target = RuleTarget(backend, _model_for_any_name(backend, model), BY_DEFAULT)
        return MatchedRule("default", f"no mapping; such models go to {backend.name!r}", (target,))
    return None


def _rule_for_alias(name: str, mode: NamedMode, inputs: RoutingInput, plan: Plan) -> MatchedRule | Decision | None:
    """Returns the rule for the name that a mode's alias stands for, as a rule of the mode."""
    rule = _rule_for_name(name, mode, inputs, plan, from_alias=True)
    if not isinstance(rule, MatchedRule):
        return rule
    return replace(rule, mode="mode", because=f"the mode {mode.name!r} means {name!r}: {rule.because}")


def _rule_for_exact_name(model: str, plan: Plan) -> MatchedRule | None:
    """Returns the rule of exactly this name, even if it looks like a prefixed name."""
    if (route := plan.by_exact.get(model)) is not None:
        return _rule_for_route("model_mapping", route, (), model, plan)
    if (backend := plan.by_model.get(model)) is not None:
        target = RuleTarget(backend, backend.models[model], NAMED)
        return MatchedRule("model_mapping", f"the models of {backend.name!r} name it", (target,))
    if model in plan.family_names:
        name = next(family.backend for family in plan.families if family.pattern == model)
        target = RuleTarget(plan.by_name[name], model, FAMILY)
        return MatchedRule("model_mapping", f"the name family {model!r} belongs to {name!r}", (target,))
    return None


def _rule_for_pin(pin: str, model: str, mode: NamedMode | None, plan: Plan) -> MatchedRule | Decision:
    """Returns the rule for the backend in the client's header, with that backend's name of the model."""
    if not plan.pins:
        what = "This proxy lets no client choose a backend (pins: false); leave x-crosswire-backend out"
        return refuse_bad_request(plan, "pins are not allowed here", what)
    if pin not in plan.by_name:
        return refuse_bad_request(
            plan, "the pinned backend is none", f"No backend is called {shorten(pin)!r}; {suggest(pin, plan.by_name)}"
        )
    exact = _rule_for_exact_name(model, plan) is not None
    split = None if exact else plan.split_prefix(model)
    if split is not None and plan.prefix_backends[split[0]] != pin:
        word = split[0]
        what = (
            f"x-crosswire-backend names {pin!r}, but the model's prefix {word!r} names {plan.prefix_backends[word]!r}"
        )
        return refuse_bad_request(plan, "the pin contradicts the prefix", f"{what}; leave one of them out")
    backend = plan.by_name[pin]
    if split is None and not exact and mode is not None and model in mode.models:
        # the meaning of an alias counts only if its prefix names the pinned backend
        split = plan.split_prefix(mode.models[model])
        split = split if split is not None and plan.prefix_backends[split[0]] == pin else None
    name = _pinned_model(backend, model, plan) if split is None else backend.models.get(split[1], split[1])
    return MatchedRule(
        "pin",
        f"pinned to {pin!r}",
        (RuleTarget(backend, name, PINNED),),
        exclusive=True,
        others_reason=OTHER_BACKEND_NAMED,
    )


def _pinned_model(backend: BackendConfig, model: str, plan: Plan) -> str:
    """Returns the pinned backend's name of the model: from a rule that targets it, its `models`, or the client."""
    targets: tuple[RuleTarget, ...] = ()
    if (route := plan.by_exact.get(model)) is not None:
        targets = _route_targets(route, (), model, plan)
    elif (found := find_pattern_route(model, plan)) is not None:
        targets = _route_targets(*found, model, plan)
    elif (smart := plan.smart_by_name.get(model)) is not None:
        targets = tuple(_rule_target(plan, target, model, PINNED) for target in (smart.cheap, smart.primary))
    return next((target.model for target in targets if target.backend is backend), _model_for_any_name(backend, model))


def _rule_for_prefix(word: str, rest: str, plan: Plan) -> MatchedRule:
    """Returns the rule for the backend named before the slash, with the rest as the model."""
    backend = plan.by_name[plan.prefix_backends[word]]
    target = RuleTarget(backend, backend.models.get(rest, rest), PREFIXED)
    return MatchedRule(
        "prefix",
        f"the prefix {word!r} names {backend.name!r}",
        (target,),
        exclusive=True,
        others_reason=OTHER_BACKEND_NAMED,
    )


def _rule_for_vendor(provider: str, model: str, plan: Plan) -> MatchedRule | Decision:
    """Returns the rule for the prefix of a provider without a backend: a backend that resells its models, or a refusal.

    Other backends do not have the model.
    """
    word = model.partition("/")[0].lower()
    reseller = plan.vendors.get(word)
    for backend in plan.ordered:
        resells = reseller is not None and plan.providers.get(backend.provider.lower()) == reseller
        if resells and not backend.reserved and not backend.models:
            because = f"the names of {backend.name!r} begin with {word!r}"
            return MatchedRule(
                "prefix",
                because,
                (RuleTarget(backend, model, PREFIXED),),
                exclusive=True,
                others_reason=OTHER_BACKEND_NAMED,
            )
    return refuse_missing_provider(provider, word, model, plan)


def find_pattern_route(model: str, plan: Plan) -> tuple[Route, tuple[str, ...]] | None:
    """Returns the first route whose pattern matches, and the texts that its wildcards capture.

    A name with the prefix of a provider without a backend needs a pattern with a literal slash, because a plain `*` was
    not written for it.
    """
    if len(model) > MAX_NAME_LENGTH:
        return None
    routes, patterns = plan.by_pattern, plan.patterns
    if plan.missing_provider(model) is not None:
        routes, patterns = plan.vendor_routes, plan.vendor_patterns
    index = patterns.first_match(model)
    return None if index is None else (routes[index], patterns.captures(index, model))


def matching_families(model: str, plan: Plan) -> dict[str, str]:
    """Returns the backends whose name families match, in the families' order, each with its first matching pattern."""
    found: dict[str, str] = {}
    if not plan.families:
        return found
    needs_slash = plan.missing_provider(model) is not None
    for pattern, family in plan.family_patterns:
        if needs_slash and "/" not in family.pattern:
            continue
        if family.backend not in found and pattern.first_match(model) is not None:
            found[family.backend] = family.pattern
    return found


def _rule_for_route(mode: Mode, route: Route, caught: Sequence[str], model: str, plan: Plan) -> MatchedRule:
    targets = _route_targets(route, caught, model, plan)
    because = f"the route {route.match!r} names {targets[0].backend.name!r}"
    if route.equals > 1:
        because = f"the route {route.match!r} balances {route.equals} targets"
    return MatchedRule(mode, because, targets, balance=route.balance, equals=route.equals)


def _route_targets(route: Route, caught: Sequence[str], model: str, plan: Plan) -> tuple[RuleTarget, ...]:
    """Returns the route's targets with their upstream models.

    A target without a model gets the route's model, else the client's name; but a fallback on a local host gets its own
    name of the model if its `models` have one.
    """
    targets = []
    for index, target in enumerate(route.targets):
        backend = plan.by_name[target.backend]
        name = target.model if target.model is not None else route.model
        local = index and target.model is None and backend.local and model in backend.models
        name = model if name is None or local else fill_placeholders(name, caught) or model
        why = ROUTED if not index else BALANCED if index < route.equals else FALLBACK
        targets.append(RuleTarget(backend, backend.models.get(name, name), why, target.weight))
    return tuple(targets)


def _rule_target(plan: Plan, target: RouteTarget, model: str, why: str) -> RuleTarget:
    backend = plan.by_name[target.backend]
    name = target.model if target.model is not None else model
    return RuleTarget(backend, backend.models.get(name, name), why)


def _model_for_any_name(backend: BackendConfig, model: str) -> str:
    """Returns the upstream model of a backend that takes any name: from its `models`, its default, or the name."""
    return backend.models.get(model) or backend.default_model or model


def _rule_for_smart_model(smart: SmartModel, inputs: RoutingInput, plan: Plan) -> MatchedRule:
    """Returns the rule of a smart model: the target for the request's score, then the other one."""
    points = score(inputs.features or RequestFeatures(), smart.weights, smart.thresholds)
    easy = points.tier in CHEAP_TIERS
    second_reason = CASCADED if smart.cascade and easy else NOT_BY_SCORE
    cheap = _rule_target(plan, smart.cheap, inputs.model, BY_SCORE if easy else second_reason)
    primary = _rule_target(plan, smart.primary, inputs.model, second_reason if easy else BY_SCORE)
    targets: tuple[RuleTarget, ...] = (cheap, primary) if easy else (primary, cheap)
    if smart.cheap == smart.primary:
        targets = targets[:1]
    cascade = smart.cascade and easy and len(targets) > 1
    description = f"the {'cheap' if easy else 'primary'} target of {smart.name!r} is {targets[0].backend.name!r}"
    return MatchedRule(
        "smart",
        f"tier {points.tier} ({points.total:g} points): {description}",
        targets,
        only_first=not cascade,
        score=points,
        notes=smart.notes,
        cascade=cascade,
    )
