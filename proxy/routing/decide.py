"""Makes the routing decision of a request from its RoutingInput and the plan.

Pure: no clock, no random numbers, no sockets. Serving, `explain` and the tests call the same function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from ..providers import NameVendor
from .decision import (
    BEHIND,
    FIRST,
    FORBIDDEN,
    OTHER_VENDOR,
    RESERVED,
    RESORT,
    UNSERVED,
    Candidate,
    Decision,
    Mode,
    RoutingInput,
)
from .plan import BackendConfig, Plan
from .refusals import Rejection, refuse
from .rule_lookup import (
    MAX_NAME_LENGTH,
    MatchedRule,
    RuleTarget,
    find_pattern_route,
    find_rule,
    matching_families,
)
from .vendors import own_backends, vendor_of_name

SUFFIX = "[1m]"
"""Suffix that clients append to a model name for their own use and that no provider knows: Claude Code's long context.

"The suffix is a client-side convention -- the 1M window itself is carried by the context-1m beta header -- not an
Anthropic model id." https://github.com/OnlyTerp/UltraCode-Shim/pull/8
"""


KEPT_CANDIDATES = 20_000
"""Candidates of all kept decisions for names without a rule."""


def decide(inputs: RoutingInput, plan: Plan) -> Decision:
    """Decides which backends serve this request: those of the matching rule if they can, else by capability, priority.

    A name that is an alias stands for another one, whose rule is looked for; of aliases there is no second.
    Rules are tried in this order: exact name, prefix, pattern, a mode's alias, smart model, name family, vendor prefix,
    the mode's backend, `unmapped`; a pin comes before all of them. The last resort serves even if it lacks the model or
    a capability, which are only declared in the config, but not if it is unfit, because strict mode and the loss rules
    are guarantees to the client. If a rule's backends are down or without a key, only the rule's other backends are
    tried.
    """
    if inputs.model.endswith(SUFFIX) and inputs.model not in plan.exact_names:
        inputs = replace(inputs, model=without_suffix(inputs.model))
    if plan.aliases and (alias := plan.alias_table.find(inputs.model)) is not None:
        decision = _decide_for_name(replace(inputs, model=plan.aliases[alias]), plan)
        why = f"the alias {alias!r} means {plan.aliases[alias]!r}: {decision.because}"
        return replace(decision, because=why)
    return _decide_for_name(inputs, plan)


def kept_decision(model: str, capabilities: frozenset[str], plan: Plan) -> Decision | None:
    """Returns what `decide` says of a request for which nothing else counts, where that is kept; else None."""
    if plan.aliases or (model.endswith(SUFFIX) and model not in plan.exact_names):
        return None
    kept = plan.decision_cache.get(model) or plan.unmapped_cache.get(model)
    return kept[2] if kept is not None and capabilities <= kept[0] else None


def _decide_for_name(inputs: RoutingInput, plan: Plan) -> Decision:
    """Decides for a name that is no alias."""
    cached = plan.decision_cache.get(inputs.model)
    if cached is None and inputs.mode is None:
        cached = plan.unmapped_cache.get(inputs.model)
    if cached is not None and inputs.pin is None and (inputs.mode is None or inputs.mode in plan.modes):
        capabilities, names, decision = cached
        allowed = inputs.allowed is None or inputs.allowed.issuperset(names)
        available = names.isdisjoint(inputs.unfit) and names.isdisjoint(inputs.down)
        if available and allowed and inputs.capabilities <= capabilities:
            return decision
    rule = find_rule(inputs, plan)
    if isinstance(rule, Decision):
        return rule
    if rule is None:
        return _decide_by_capability(inputs, plan, None, {})
    rejections = {
        target.backend.name: rejection
        for target in rule.targets
        if (rejection := _rejection(target.backend, inputs)) is not None
    }
    eligible = [target for target in rule.targets if target.backend.name not in rejections]
    if eligible:
        decision = _decide_by_rule(inputs, plan, rule, eligible, rejections)
        if not rejections and rule.mode == "model_mapping" and inputs.model in plan.exact_names:
            capabilities = frozenset.intersection(*(target.backend.capabilities for target in rule.targets))
            names = frozenset(target.backend.name for target in rule.targets)
            plan.decision_cache[inputs.model] = capabilities, names, decision
        return decision
    temporary = any(rejection.kind in ("overloaded", "no_credentials") for rejection in rejections.values())
    if rule.exclusive or temporary:
        return refuse(inputs, plan, rejections, _rejected_candidates(plan, rule, rejections))
    return _decide_by_capability(inputs, plan, rule, rejections)


def without_suffix(model: str) -> str:
    """Returns the model's name without the suffix that only clients know."""
    return model.removesuffix(SUFFIX) or model


def find_backend_for_model(model: str, plan: Plan) -> BackendConfig | None:
    """Returns the backend that a mapping names: a route's first target, the one whose `models` list it, or a family's.

    Returns None where no mapping names one.
    """
    if (route := plan.by_exact.get(model)) is not None:
        return plan.by_name[route.targets[0].backend]
    if model in plan.by_model:
        return plan.by_model[model]
    if (found := find_pattern_route(model, plan)) is not None:
        return plan.by_name[found[0].targets[0].backend]
    return next((plan.by_name[name] for name in matching_families(model, plan)), None)


def missing_capabilities(backend: BackendConfig, required: frozenset[str]) -> tuple[str, ...]:
    """Returns the required capabilities that the backend lacks, sorted."""
    return () if required <= backend.capabilities else tuple(sorted(required - backend.capabilities))


def backend_supports_capabilities(backend: BackendConfig, required: frozenset[str]) -> bool:
    """Returns true if the backend has all required capabilities."""
    return required <= backend.capabilities


# ---- the candidates --------------------------------------------------------------------------------------------------


def _rejection(backend: BackendConfig, inputs: RoutingInput) -> Rejection | None:
    """Returns the reason why this backend cannot serve the request, permanent reasons first; None where it can."""
    name = backend.name
    if inputs.allowed is not None and name not in inputs.allowed:
        return Rejection("permission", FORBIDDEN)
    if not inputs.capabilities <= backend.capabilities:
        return Rejection("capability", f"lacks {', '.join(missing_capabilities(backend, inputs.capabilities))}")
    if name in inputs.unfit:
        return Rejection("loss", inputs.unfit[name])
    if (missing_key := backend.missing_key) is not None:
        return Rejection("no_credentials", missing_key)
    if name in inputs.down:
        return Rejection("overloaded", inputs.down[name])
    return None


def _upstream_model(backend: BackendConfig, model: str, plan: Plan, families: Mapping[str, str]) -> str | None:
    """Returns the upstream's name of this model; None where the backend does not serve it."""
    if model in backend.models:
        return backend.models[model]
    if backend.name in families:
        return model
    if backend.reserved:
        return None
    if backend.default_model is not None:
        return backend.default_model
    return None if backend.models or backend.name in plan.family_backends else model


def _decide_by_rule(
    inputs: RoutingInput,
    plan: Plan,
    rule: MatchedRule,
    eligible: Sequence[RuleTarget],
    rejections: Mapping[str, Rejection],
) -> Decision:
    """Builds the decision for the first eligible target of the rule."""
    families = matching_families(inputs.model, plan) if plan.families else {}
    candidates = []
    for target in rule.targets:
        rejection = rejections.get(target.backend.name)
        candidates.append(
            Candidate(
                target.backend.name,
                target.model,
                target is eligible[0],
                target.why if rejection is None else rejection.why,
            )
        )
    considered: list[Candidate] = []
    for backend in plan.ordered:
        of_backend = [candidate for candidate in candidates if candidate.backend == backend.name]
        if not of_backend:
            upstream = None if rule.exclusive else _upstream_model(backend, inputs.model, plan, families)
            of_backend = [Candidate(backend.name, upstream, False, rule.others_reason)]
        considered += of_backend
    because = rule.because
    if eligible[0] is not rule.targets[0] and rule.equals < 2:
        first = rule.targets[0].backend.name
        reason = _config_reason(rejections[first], "unfit for this request")
        because += f"; {first!r} cannot: {reason}"
        because += f"; {eligible[0].backend.name!r} is the next"
    chain = [candidate for candidate in candidates if candidate.backend not in rejections]
    chain = chain[:1] if rule.only_first else chain
    weights = (each.weight for each in rule.targets[: rule.equals] if each.backend.name not in rejections)
    return Decision(
        chain[0],
        rule.mode,
        because,
        tuple(considered),
        chain=tuple(chain),
        notes=rule.notes,
        score=rule.score,
        cascade=rule.cascade and len(chain) > 1,
        balance=rule.balance,
        weights=tuple(weights),
    )


def _config_reason(rejection: Rejection, otherwise: str) -> str:
    """Returns the rejection's reason if it quotes only the config and never the request, else `otherwise`."""
    return rejection.why if rejection.kind != "loss" else otherwise


def _decide_by_capability(
    inputs: RoutingInput, plan: Plan, rule: MatchedRule | None, rule_rejections: Mapping[str, Rejection]
) -> Decision:
    """Decides by priority among all backends that serve the model and are eligible; else uses the last resort."""
    families = matching_families(inputs.model, plan) if plan.families else {}
    rejections = dict(rule_rejections)
    eligible: list[str] = []
    vendor = vendor_of_name(inputs.model) if rule is None else None
    own = frozenset[str]() if vendor is None else own_backends(vendor, plan.backends)
    considered = []
    for backend in plan.ordered:
        name = backend.name
        upstream = _upstream_model(backend, inputs.model, plan, families)
        if name not in rejections:
            if upstream is None:
                rejections[name] = Rejection("model_not_found", RESERVED if backend.reserved else UNSERVED)
            elif own and name not in own:
                rejections[name] = Rejection("model_not_found", OTHER_VENDOR)
            elif (rejection := _rejection(backend, inputs)) is not None:
                rejections[name] = rejection
            else:
                eligible.append(name)
        elif rule is not None:
            upstream = next((target.model for target in rule.targets if target.backend is backend), upstream)
        is_first = name not in rejections and name == eligible[0]
        why = rejections[name].why if name in rejections else FIRST if is_first else BEHIND
        considered.append(Candidate(name, upstream, is_first, why))
    if not eligible:
        return _use_last_resort(inputs, plan, considered, rejections)
    chain = tuple(candidate for candidate in considered if candidate.backend not in rejections)
    winner = plan.by_name[eligible[0]]
    mode: Mode = winner.capabilities_from
    because = f"no mapping; {winner.name!r} is the first by priority that fits"
    if rule is not None:
        mode = "capability"
        first = rule.targets[0].backend.name
        reason = _config_reason(rejections[first], "is unfit for this request")
        because = f"mapped to {first!r}, which {reason}; {winner.name!r} is the first that fits"
    notes = () if vendor is None or own else (_elsewhere(vendor, winner),)
    decision = Decision(chain[0], mode, because, tuple(considered), chain=chain, notes=notes)
    if rule is None and inputs.mode is None and all(each.kind == "model_not_found" for each in rejections.values()):
        _keep_unmapped(plan, inputs.model, decision)
    return decision


def _elsewhere(vendor: NameVendor, backend: BackendConfig) -> str:
    """Returns the warning that another vendor answers for a name, which no rule says."""
    return f"no backend is of {vendor.name}, whose name this is; {backend.name!r} answers, by no rule of the config"


def _keep_unmapped(plan: Plan, model: str, decision: Decision) -> None:
    """Keeps a decision for a name without a rule; such names come from clients, so there may be any number of them."""
    cache = plan.unmapped_cache
    if len(model) > MAX_NAME_LENGTH:
        return
    if (len(cache) + 1) * len(plan.backends) > KEPT_CANDIDATES:
        cache.clear()
    names = frozenset(candidate.backend for candidate in decision.chain)
    capabilities = frozenset.intersection(*(plan.by_name[name].capabilities for name in names))
    cache[model] = capabilities, names, decision


def _use_last_resort(
    inputs: RoutingInput, plan: Plan, considered: Sequence[Candidate], rejections: Mapping[str, Rejection]
) -> Decision:
    """Decides for the last resort if it is configured and available; else refuses."""
    resort = plan.by_name.get(plan.last_resort or "")
    if resort is None:
        return refuse(inputs, plan, rejections, considered)
    # its models and capabilities are ignored, so only the other reasons can reject it
    rejection = _rejection(
        resort, RoutingInput(inputs.model, frozenset(), "", inputs.unfit, down=inputs.down, allowed=inputs.allowed)
    )
    if rejection is not None:
        considered = [
            Candidate(c.backend, c.model, False, rejection.why) if c.backend == resort.name else c for c in considered
        ]
        return refuse(inputs, plan, {**rejections, resort.name: rejection}, considered)
    served = [
        Candidate(c.backend, inputs.model if c.model is None else c.model, True, RESORT)
        if c.backend == resort.name
        else c
        for c in considered
    ]
    chosen = next(candidate for candidate in served if candidate.taken)
    return Decision(chosen, "failed", f"nothing fits; {resort.name!r} is the last resort", tuple(served))


def _rejected_candidates(plan: Plan, rule: MatchedRule, rejections: Mapping[str, Rejection]) -> list[Candidate]:
    """Returns the candidates of every backend where all targets of the rule are rejected."""
    considered = []
    for backend in plan.ordered:
        targets = [target for target in rule.targets if target.backend is backend]
        considered += [Candidate(backend.name, target.model, False, rejections[backend.name].why) for target in targets]
        if not targets:
            considered.append(Candidate(backend.name, None, False, rule.others_reason))
    return considered
