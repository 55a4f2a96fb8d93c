"""The rule that names the backends of a request, by its name and its headers; it does not ask whether they can."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from .decision import (
    BY_DEFAULT,
    BY_MODE,
    BY_SCORE,
    CASCADED,
    ELSEWHERE,
    FALLBACK,
    FAMILY,
    NAMED,
    NOT_BY_SCORE,
    PINNED,
    PREFIXED,
    ROUTED,
    UNASKED,
    Decision,
    Facts,
    Mode,
)
from .pattern import fill
from .plan import Backend, NamedMode, Plan, Route, Smart, Target
from .refusal import absent, bad, known, shown
from .score import CHEAP, Score, Shape, score

LONGEST = 512
"""Characters of a name that patterns are tried on; no model's name is longer."""

LOCAL = ("mlx", "ollama")
"""Protocols of hosts that have only the models that were put there, under names of their own."""


class Aim(Struct, frozen=True):
    """A backend that a rule names, the upstream's name of the model there, and why it is named."""

    backend: Backend
    model: str
    why: str


class Rule(Struct, frozen=True):
    """What names the backends of a request: those in their order, and how that is told.

    A `closed` one is an order of the client: nobody else may serve. Of an `only_first` the first that can is asked, and
    none after it.
    """

    mode: Mode
    because: str
    aims: tuple[Aim, ...]
    closed: bool = False
    only_first: bool = False
    others: str = ELSEWHERE
    score: Score | None = None
    notes: tuple[str, ...] = ()
    cascade: bool = False


def rule_of(facts: Facts, plan: Plan) -> Rule | Decision | None:
    """The first rule that names a backend, or a refusal, or None where no rule says anything."""
    model = facts.model
    mode = facts.mode if facts.mode is not None else plan.mode
    if mode is not None and mode not in plan.modes:
        what = f"No mode is called {shown(mode)!r}; {known(mode, plan.modes)}"
        return bad(plan, "the mode that the client asks for is none", what)
    named = plan.modes[mode] if mode is not None else None
    if facts.pin is not None:
        return _pin(facts.pin, model, named, plan)
    return _named(model, named, facts, plan)


def _named(
    model: str, mode: NamedMode | None, facts: Facts, plan: Plan, *, meant: bool = False
) -> Rule | Decision | None:
    """The rule of this name; one that is `meant` by a mode's alias is not looked up among the aliases again."""
    if (exact := _exact(model, plan)) is not None:
        return exact
    if (split := plan.split(model)) is not None:
        return _prefix(*split, plan)
    provider = plan.absent(model)
    if (found := pattern_of(model, plan)) is not None:
        return _routed("pattern", *found, model, plan)
    if mode is not None and not meant and model in mode.models:
        return _alias(mode.models[model], mode, facts, plan)
    if (smart := plan.by_smart.get(model)) is not None:
        return _smart(smart, facts, plan)
    for name, pattern in families_of(model, plan).items():
        aim = Aim(plan.by_name[name], model, FAMILY)
        return Rule("model_mapping", f"the name family {pattern!r} belongs to {name!r}", (aim,))
    if provider is not None:
        return _vendor(provider, model, plan)
    if mode is not None and mode.backend is not None:
        backend = plan.by_name[mode.backend]
        aim = Aim(backend, backend.models.get(model, model) if meant else _whatever(backend, model), BY_MODE)
        return Rule("mode", f"no mapping; in the mode {mode.name!r} such models go to {backend.name!r}", (aim,))
    if plan.unmapped is not None:
        backend = plan.by_name[plan.unmapped]
        aim = Aim(backend, _whatever(backend, model), BY_DEFAULT)
        return Rule("default", f"no mapping; such models go to {backend.name!r}", (aim,))
    return None


def _alias(name: str, mode: NamedMode, facts: Facts, plan: Plan) -> Rule | Decision | None:
    """What a mode's alias means: the rule of that name, told as the mode's."""
    rule = _named(name, mode, facts, plan, meant=True)
    if not isinstance(rule, Rule):
        return rule
    return replace(rule, mode="mode", because=f"the mode {mode.name!r} means {name!r}: {rule.because}")


def _exact(model: str, plan: Plan) -> Rule | None:
    """The rule of this very name, whatever it looks like."""
    if (route := plan.by_exact.get(model)) is not None:
        return _routed("model_mapping", route, (), model, plan)
    if (backend := plan.by_model.get(model)) is not None:
        aim = Aim(backend, backend.models[model], NAMED)
        return Rule("model_mapping", f"the models of {backend.name!r} name it", (aim,))
    if model in plan.family_names:
        name = next(family.backend for family in plan.families if family.pattern == model)
        aim = Aim(plan.by_name[name], model, FAMILY)
        return Rule("model_mapping", f"the name family {model!r} belongs to {name!r}", (aim,))
    return None


def _pin(pin: str, model: str, mode: NamedMode | None, plan: Plan) -> Rule | Decision:
    """The backend that the client's header names, asked for what it calls this model."""
    if not plan.pins:
        what = "This proxy lets no client choose a backend (pins: false); leave x-crosswire-backend out"
        return bad(plan, "pins are not allowed here", what)
    if pin not in plan.by_name:
        return bad(
            plan, "the pinned backend is none", f"No backend is called {shown(pin)!r}; {known(pin, plan.by_name)}"
        )
    whole = _exact(model, plan) is not None
    split = None if whole else plan.split(model)
    if split is not None and plan.splits[split[0]] != pin:
        word = split[0]
        what = f"x-crosswire-backend names {pin!r}, but the model's prefix {word!r} names {plan.splits[word]!r}"
        return bad(plan, "the pin contradicts the prefix", f"{what}; leave one of them out")
    backend = plan.by_name[pin]
    if split is None and not whole and mode is not None and model in mode.models:
        # an alias that means another backend says nothing of this one
        split = plan.split(mode.models[model])
        split = split if split is not None and plan.splits[split[0]] == pin else None
    name = _pinned_name(backend, model, plan) if split is None else backend.models.get(split[1], split[1])
    return Rule("pin", f"pinned to {pin!r}", (Aim(backend, name, PINNED),), closed=True, others=UNASKED)


def _pinned_name(backend: Backend, model: str, plan: Plan) -> str:
    """What a pinned backend is asked for: what a rule says of it, else its own name for it, else the client's."""
    aims: tuple[Aim, ...] = ()
    if (route := plan.by_exact.get(model)) is not None:
        aims = _aims(route, (), model, plan)
    elif (found := pattern_of(model, plan)) is not None:
        aims = _aims(*found, model, plan)
    elif (smart := plan.by_smart.get(model)) is not None:
        aims = tuple(_aim(plan, target, model, PINNED) for target in (smart.cheap, smart.primary))
    return next((aim.model for aim in aims if aim.backend is backend), _whatever(backend, model))


def _prefix(word: str, rest: str, plan: Plan) -> Rule:
    """The backend before the slash, asked for what stands behind it."""
    backend = plan.by_name[plan.splits[word]]
    aim = Aim(backend, backend.models.get(rest, rest), PREFIXED)
    return Rule("prefix", f"the prefix {word!r} names {backend.name!r}", (aim,), closed=True, others=UNASKED)


def _vendor(provider: str, model: str, plan: Plan) -> Rule | Decision:
    """A provider's prefix without a backend of it: whoever sells that provider's models, or nobody.

    Anybody else would be asked for a model that is another's.
    """
    word = model.partition("/")[0].lower()
    seller = plan.vendors.get(word)
    for backend in plan.ordered:
        sells = seller is not None and plan.providers.get(backend.provider.lower()) == seller
        if sells and not backend.reserved and not backend.models:
            because = f"the names of {backend.name!r} begin with {word!r}"
            return Rule("prefix", because, (Aim(backend, model, PREFIXED),), closed=True, others=UNASKED)
    return absent(provider, word, model, plan)


def pattern_of(model: str, plan: Plan) -> tuple[Route, tuple[str, ...]] | None:
    """The first route whose pattern fits, and what its wildcards catch.

    A name with the prefix of a provider that no backend is of needs a pattern that spells a slash: a plain `*` did not
    mean it.
    """
    if len(model) > LONGEST:
        return None
    routes, patterns = plan.by_pattern, plan.patterns
    if plan.absent(model) is not None:
        routes, patterns = plan.vendor_routes, plan.vendor_patterns
    index = patterns.first(model)
    return None if index is None else (routes[index], patterns.caught(index, model))


def families_of(model: str, plan: Plan) -> dict[str, str]:
    """The backends of the families that fit this name, in the families' order, each with its first pattern."""
    found: dict[str, str] = {}
    if not plan.families:
        return found
    strange = plan.absent(model) is not None
    for pattern, family in plan.family_patterns:
        if strange and "/" not in family.pattern:
            continue
        if family.backend not in found and pattern.first(model) is not None:
            found[family.backend] = family.pattern
    return found


def _routed(mode: Mode, route: Route, caught: Sequence[str], model: str, plan: Plan) -> Rule:
    aims = _aims(route, caught, model, plan)
    return Rule(mode, f"the route {route.match!r} names {aims[0].backend.name!r}", aims)


def _aims(route: Route, caught: Sequence[str], model: str, plan: Plan) -> tuple[Aim, ...]:
    """The route's targets with the names that the model has there.

    A target that says none gets the route's, else the client's; but a local host that falls in has its own.
    """
    aims = []
    for place, target in enumerate(route.targets):
        backend = plan.by_name[target.backend]
        name = target.model if target.model is not None else route.model
        own = place and target.model is None and backend.protocol in LOCAL and model in backend.models
        name = model if name is None or own else fill(name, caught) or model
        aims.append(Aim(backend, backend.models.get(name, name), FALLBACK if place else ROUTED))
    return tuple(aims)


def _aim(plan: Plan, target: Target, model: str, why: str) -> Aim:
    backend = plan.by_name[target.backend]
    name = target.model if target.model is not None else model
    return Aim(backend, backend.models.get(name, name), why)


def _whatever(backend: Backend, model: str) -> str:
    """What a backend is asked for that takes any name: its own for this one, its default, or the client's."""
    return backend.models.get(model) or backend.default_model or model


def _smart(smart: Smart, facts: Facts, plan: Plan) -> Rule:
    """The target that the score asks for, then the other one."""
    points = score(facts.shape or Shape(), smart.weights, smart.thresholds)
    easy = points.tier in CHEAP
    behind = CASCADED if smart.cascade and easy else NOT_BY_SCORE
    cheap = _aim(plan, smart.cheap, facts.model, BY_SCORE if easy else behind)
    primary = _aim(plan, smart.primary, facts.model, behind if easy else BY_SCORE)
    aims: tuple[Aim, ...] = (cheap, primary) if easy else (primary, cheap)
    if smart.cheap == smart.primary:
        aims = aims[:1]
    cascade = smart.cascade and easy and len(aims) > 1
    asked = f"the {'cheap' if easy else 'primary'} target of {smart.name!r} is {aims[0].backend.name!r}"
    return Rule(
        "smart",
        f"tier {points.tier} ({points.total:g} points): {asked}",
        aims,
        only_first=not cascade,
        score=points,
        notes=smart.notes,
        cascade=cascade,
    )
