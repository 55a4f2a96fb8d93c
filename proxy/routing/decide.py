"""Makes the routing decision of a request from its RoutingInput and the plan.

Pure: no clock, no random numbers, no sockets. Serving, `explain` and the tests call the same function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from .decision import BEHIND, FIRST, RESERVED, RESORT, UNSERVED, Candidate, Decision, Mode, RoutingInput
from .plan import BackendConfig, Plan
from .refusals import Rejection, refuse
from .rule_lookup import MatchedRule, RuleTarget, find_pattern_route, find_rule, matching_families

SUFFIX = "[1m]"
"""Suffix that clients append to a model name for their own use and that no provider knows: Claude Code's long context.

"The suffix is a client-side convention -- the 1M window itself is carried by the context-1m beta header -- not an
Anthropic model id." https://github.com/OnlyTerp/UltraCode-Shim/pull/8
"""


def decide(inputs: RoutingInput, plan: Plan) -> Decision:
    """Decides which backends serve this request: those of the matching rule if they can, else by capability, priority.

    Rules are tried in this order: exact name, prefix, pattern, a mode's alias, smart model, name family, vendor prefix,
    the mode's backend, `unmapped`; a pin comes before all of them. The last resort serves even if it lacks the model or
    a capability, which are only declared in the config, but not if it is unfit, because strict mode and the loss rules
    are guarantees to the client. If a rule's backends are down or without a key, only the rule's other backends are
    tried.
    """
    if inputs.model.endswith(SUFFIX) and inputs.model not in plan.exact_names:
        inputs = replace(inputs, model=inputs.model.removesuffix(SUFFIX) or inputs.model)
    cached = plan.decision_cache.get(inputs.model)
    if cached is not None and inputs.pin is None and (inputs.mode is None or inputs.mode in plan.modes):
        capabilities, names, decision = cached
        available = (not inputs.unfit and not inputs.down) or not any(
            name in inputs.unfit or name in inputs.down for name in names
        )
        if available and inputs.capabilities <= capabilities:
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
            names = tuple(target.backend.name for target in rule.targets)
            plan.decision_cache[inputs.model] = capabilities, names, decision
        return decision
    temporary = any(rejection.kind in ("overloaded", "no_credentials") for rejection in rejections.values())
    if rule.exclusive or temporary:
        return refuse(inputs, rejections, _rejected_candidates(plan, rule, rejections))
    return _decide_by_capability(inputs, plan, rule, rejections)


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
    if eligible[0] is not rule.targets[0]:
        first = rule.targets[0].backend.name
        reason = _config_reason(rejections[first], "unfit for this request")
        because += f"; {first!r} cannot: {reason}"
        because += f"; {eligible[0].backend.name!r} is the next"
    chain = [candidate for candidate in candidates if candidate.backend not in rejections]
    chain = chain[:1] if rule.only_first else chain
    return Decision(
        chain[0],
        rule.mode,
        because,
        tuple(considered),
        chain=tuple(chain),
        notes=rule.notes,
        score=rule.score,
        cascade=rule.cascade and len(chain) > 1,
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
    considered = []
    for backend in plan.ordered:
        name = backend.name
        upstream = _upstream_model(backend, inputs.model, plan, families)
        if name not in rejections:
            if upstream is None:
                rejections[name] = Rejection("model_not_found", RESERVED if backend.reserved else UNSERVED)
            elif (rejection := _rejection(backend, inputs)) is not None:
                rejections[name] = rejection
            else:
                eligible.append(name)
        elif rule is not None:
            upstream = next((target.model for target in rule.targets if target.backend is backend), upstream)
        why = rejections[name].why if name in rejections else FIRST if name == eligible[0] else BEHIND
        considered.append(Candidate(name, upstream, name in eligible[:1], why))
    if not eligible:
        return _use_last_resort(inputs, plan, considered, rejections)
    chain = tuple(candidate for candidate in considered if candidate.backend in eligible)
    winner = plan.by_name[eligible[0]]
    mode: Mode = winner.capabilities_from
    because = f"no mapping; {winner.name!r} is the first by priority that fits"
    if rule is not None:
        mode = "capability"
        first = rule.targets[0].backend.name
        reason = _config_reason(rejections[first], "is unfit for this request")
        because = f"mapped to {first!r}, which {reason}; {winner.name!r} is the first that fits"
    return Decision(chain[0], mode, because, tuple(considered), chain=chain)


def _use_last_resort(
    inputs: RoutingInput, plan: Plan, considered: Sequence[Candidate], rejections: Mapping[str, Rejection]
) -> Decision:
    """Decides for the last resort if it is configured and available; else refuses."""
    resort = plan.by_name.get(plan.last_resort or "")
    if resort is None:
        return refuse(inputs, rejections, considered)
    # its models and capabilities are ignored, so only the other reasons can reject it
    rejection = _rejection(resort, RoutingInput(inputs.model, frozenset(), "", inputs.unfit, down=inputs.down))
    if rejection is not None:
        considered = [
            Candidate(c.backend, c.model, False, rejection.why) if c.backend == resort.name else c for c in considered
        ]
        return refuse(inputs, {**rejections, resort.name: rejection}, considered)
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
