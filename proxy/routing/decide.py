"""Which backend serves a request, and why: the request's facts and a plan in, a decision out.

Pure: no clock, no dice, no socket. Serving, explaining and the tests ask the same function.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from .decision import BEHIND, FIRST, RESERVED, RESORT, UNSERVED, Candidate, Decision, Facts, Mode
from .plan import Backend, Plan
from .refusal import Flaw, refused
from .rule import Aim, Rule, families_of, pattern_of, rule_of

SUFFIX = "[1m]"
"""What a client appends to a model's name for itself alone, and no provider knows: Claude Code's long context.

"The suffix is a client-side convention -- the 1M window itself is carried by the context-1m beta header -- not an
Anthropic model id." https://github.com/OnlyTerp/UltraCode-Shim/pull/8
"""


def decide(facts: Facts, plan: Plan) -> Decision:
    """Who serves this request: the backends that a rule names if they can, else by capability and priority.

    The order of the rules: a pin, a prefix, a single name, a pattern, a mode's or a smart model's name, a name family,
    the mode's backend, `unmapped`. The last resort serves although it lacks a name or a capability, which are only what
    a config says of it; but never where it is unfit, because strict and the ledger are promises to the client. Backends
    that are down or have no key leave a named request to the rule's other backends, and to nobody else.
    """
    if facts.model.endswith(SUFFIX) and facts.model not in plan.named:
        facts = replace(facts, model=facts.model.removesuffix(SUFFIX) or facts.model)
    ready = plan.ready.get(facts.model)
    if ready is not None and facts.pin is None and (facts.mode is None or facts.mode in plan.modes):
        able, names, decision = ready
        clear = (not facts.unfit and not facts.down) or not any(n in facts.unfit or n in facts.down for n in names)
        if clear and facts.capabilities <= able:
            return decision
    rule = rule_of(facts, plan)
    if isinstance(rule, Decision):
        return rule
    if rule is None:
        return _by_capability(facts, plan, None, {})
    flaws = {aim.backend.name: flaw for aim in rule.aims if (flaw := _flaw(aim.backend, facts)) is not None}
    fit = [aim for aim in rule.aims if aim.backend.name not in flaws]
    if fit:
        decision = _decided(facts, plan, rule, fit, flaws)
        if not flaws and rule.mode == "model_mapping" and facts.model in plan.named:
            able = frozenset.intersection(*(aim.backend.capabilities for aim in rule.aims))
            plan.ready[facts.model] = able, tuple(aim.backend.name for aim in rule.aims), decision
        return decision
    waits = any(flaw.kind in ("overloaded", "no_credentials") for flaw in flaws.values())
    if rule.closed or waits:
        return refused(facts, flaws, _ruled_out(plan, rule, flaws))
    return _by_capability(facts, plan, rule, flaws)


def find_backend_for_model(model: str, plan: Plan) -> Backend | None:
    """The backend that a mapping names: a route's first target, else by its `models`, else by a name family."""
    if (route := plan.by_exact.get(model)) is not None:
        return plan.by_name[route.targets[0].backend]
    if model in plan.by_model:
        return plan.by_model[model]
    if (found := pattern_of(model, plan)) is not None:
        return plan.by_name[found[0].targets[0].backend]
    return next((plan.by_name[name] for name in families_of(model, plan)), None)


def missing_capabilities(backend: Backend, required: frozenset[str]) -> tuple[str, ...]:
    """The required words that the backend lacks, sorted; empty where it can do all of them."""
    return () if required <= backend.capabilities else tuple(sorted(required - backend.capabilities))


def backend_supports_capabilities(backend: Backend, required: frozenset[str]) -> bool:
    """Whether the backend can do all that is required."""
    return required <= backend.capabilities


# ---- the candidates --------------------------------------------------------------------------------------------------


def _flaw(backend: Backend, facts: Facts) -> Flaw | None:
    """Why this backend cannot be asked, the lasting reasons first."""
    name = backend.name
    if not facts.capabilities <= backend.capabilities:
        return Flaw("capability", f"lacks {', '.join(missing_capabilities(backend, facts.capabilities))}")
    if name in facts.unfit:
        return Flaw("loss", facts.unfit[name])
    if (keyless := backend.keyless) is not None:
        return Flaw("no_credentials", keyless)
    if name in facts.down:
        return Flaw("overloaded", facts.down[name])
    return None


def _upstream(backend: Backend, model: str, plan: Plan, families: Mapping[str, str]) -> str | None:
    """The upstream's name for this model; None where the backend does not serve it."""
    if model in backend.models:
        return backend.models[model]
    if backend.name in families:
        return model
    if backend.reserved:
        return None
    if backend.default_model is not None:
        return backend.default_model
    return None if backend.models or backend.name in plan.with_families else model


def _decided(facts: Facts, plan: Plan, rule: Rule, fit: Sequence[Aim], flaws: Mapping[str, Flaw]) -> Decision:
    """A decision for the first that fits of those that the rule names."""
    families = families_of(facts.model, plan) if plan.families else {}
    told = []
    for aim in rule.aims:
        flaw = flaws.get(aim.backend.name)
        told.append(Candidate(aim.backend.name, aim.model, aim is fit[0], aim.why if flaw is None else flaw.why))
    considered: list[Candidate] = []
    for backend in plan.ordered:
        named = [candidate for candidate in told if candidate.backend == backend.name]
        if not named:
            upstream = None if rule.closed else _upstream(backend, facts.model, plan, families)
            named = [Candidate(backend.name, upstream, False, rule.others)]
        considered += named
    because = rule.because
    if fit[0] is not rule.aims[0]:
        first = rule.aims[0].backend.name
        because += f"; {first!r} cannot: {flaws[first].why if first in _told(flaws) else 'unfit for this request'}"
        because += f"; {fit[0].backend.name!r} is the next"
    chain = [candidate for candidate in told if candidate.backend not in flaws]
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


def _told(flaws: Mapping[str, Flaw]) -> Iterator[str]:
    """The backends whose flaw is told in words of the config alone."""
    return (name for name, flaw in flaws.items() if flaw.kind != "loss")


def _by_capability(facts: Facts, plan: Plan, rule: Rule | None, found: Mapping[str, Flaw]) -> Decision:
    """The first by priority of all that serve this model and can, with the others behind it; else the last resort."""
    families = families_of(facts.model, plan) if plan.families else {}
    flaws = dict(found)
    fit: list[str] = []
    considered = []
    for backend in plan.ordered:
        name = backend.name
        upstream = _upstream(backend, facts.model, plan, families)
        if name not in flaws:
            if upstream is None:
                flaws[name] = Flaw("model_not_found", RESERVED if backend.reserved else UNSERVED)
            elif (flaw := _flaw(backend, facts)) is not None:
                flaws[name] = flaw
            else:
                fit.append(name)
        elif rule is not None:
            upstream = next((aim.model for aim in rule.aims if aim.backend is backend), upstream)
        why = flaws[name].why if name in flaws else FIRST if name == fit[0] else BEHIND
        considered.append(Candidate(name, upstream, name in fit[:1], why))
    if not fit:
        return _failed(facts, plan, considered, flaws)
    chain = tuple(candidate for candidate in considered if candidate.backend in fit)
    winner = plan.by_name[fit[0]]
    mode: Mode = winner.capabilities_from
    because = f"no mapping; {winner.name!r} is the first by priority that fits"
    if rule is not None:
        mode = "capability"
        first = rule.aims[0].backend.name
        lack = flaws[first].why if first in _told(flaws) else "is unfit for this request"
        because = f"mapped to {first!r}, which {lack}; {winner.name!r} is the first that fits"
    return Decision(chain[0], mode, because, tuple(considered), chain=chain)


def _failed(facts: Facts, plan: Plan, considered: Sequence[Candidate], flaws: Mapping[str, Flaw]) -> Decision:
    """Nothing fits: the last resort serves, or the client hears what was missing."""
    resort = plan.by_name.get(plan.last_resort or "")
    if resort is None:
        return refused(facts, flaws, considered)
    # it is asked whatever its lists say, so only what they do not say can speak against it
    wrong = _flaw(resort, Facts(facts.model, frozenset(), "", facts.unfit, down=facts.down))
    if wrong is not None:
        considered = [
            Candidate(c.backend, c.model, False, wrong.why) if c.backend == resort.name else c for c in considered
        ]
        return refused(facts, {**flaws, resort.name: wrong}, considered)
    served = [
        Candidate(c.backend, facts.model if c.model is None else c.model, True, RESORT)
        if c.backend == resort.name
        else c
        for c in considered
    ]
    chosen = next(candidate for candidate in served if candidate.taken)
    return Decision(chosen, "failed", f"nothing fits; {resort.name!r} is the last resort", tuple(served))


def _ruled_out(plan: Plan, rule: Rule, flaws: Mapping[str, Flaw]) -> list[Candidate]:
    """Every backend where all that the rule names have a flaw."""
    considered = []
    for backend in plan.ordered:
        aims = [aim for aim in rule.aims if aim.backend is backend]
        considered += [Candidate(backend.name, aim.model, False, flaws[backend.name].why) for aim in aims]
        if not aims:
            considered.append(Candidate(backend.name, None, False, rule.others))
    return considered
