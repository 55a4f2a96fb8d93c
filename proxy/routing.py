"""Which backend serves a request, and why: a plan and the request's facts in, a decision out.

It knows no protocol, socket, clock or file: whoever asks says what the request needs and what became unfit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import translate
from functools import cached_property
from typing import Any, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import force_setattr

from .errors import ConfigError, failure
from .ir import Failure

Mode: TypeAlias = Literal["model_mapping", "explicit", "auto", "capability", "failed"]

MODES: dict[Mode, str] = {
    "model_mapping": "a mapping named the backend, and it is capable",
    "explicit": "no mapping; chosen by priority among the capable, and the winner's capabilities are a list",
    "auto": "no mapping; chosen by priority among the capable, and the winner's capabilities are its protocol's",
    "capability": "a mapping named a backend that lacks a capability or is unfit; another took it",
    "failed": "nothing fitted: the last resort serves, or the request is refused",
}
"""How a decision came about: the closed list that records, metrics and snapshots share."""

# Why a backend was or was not taken, where the request adds nothing to the words.
NAMED = "its models name this model"
FAMILY = "the model is of its name family"
FIRST = "fits, and is the first by priority"
RESORT = "nothing fits, and it is the last resort"
ELSEWHERE = "the model is mapped to another backend"
BEHIND = "fits, but another comes before it"
UNSERVED = "does not serve this model"

SHOWN = 200
"""Characters of the client's model name that a message repeats."""


# ---- the plan --------------------------------------------------------------------------------------------------------


class Backend(Struct, frozen=True, kw_only=True):
    """One place that requests may go to.

    `models` maps the client's name to the upstream's. `provider` mints the signatures and is the backend's own name
    where nothing else is said. `max_tokens` is for a dialect that requires a bound, when the client set none.
    """

    name: str
    protocol: str
    base_url: str
    provider: str = ""
    api_key: str | None = None
    models: Mapping[str, str] = {}
    default_model: str | None = None
    capabilities: frozenset[str] = frozenset(("text",))
    capabilities_from: Literal["auto", "explicit"] = "auto"
    priority: int = 0
    quirks: frozenset[str] = frozenset()
    limits: Mapping[str, float] = {}
    max_tokens: int | None = None
    relay: Literal["auto", "never"] = "auto"
    strict: bool = False
    headers: Mapping[str, str] = {}
    spare_keys: tuple[str, ...] = ()
    needs_key: bool = False

    def __post_init__(self) -> None:
        if not self.provider:
            force_setattr(self, "provider", self.name)

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The fields as they may be shown: neither the key nor the values of headers, which may be keys too."""
        shown = {field: getattr(self, field) for field in self.__struct_fields__}
        shown["api_key"] = None if self.api_key is None else "…"
        shown["spare_keys"] = tuple("…" for _ in self.spare_keys)
        shown["headers"] = dict.fromkeys(self.headers, "…")
        return list(shown.items())

    def __repr__(self) -> str:
        return f"Backend({', '.join(f'{field}={value!r}' for field, value in self.__rich_repr__())})"


class Family(Struct, frozen=True):
    """Model names of this shell pattern, case-sensitive, belong to this backend."""

    pattern: str
    backend: str


class Plan(Struct, frozen=True, dict=True):
    """All backends in the order of the file, name families in the order in which they are tried, and the last resort.

    Raises ConfigError where two backends have one name or name one model, or a name is of no backend. What a decision
    looks up is built once, at first use.
    """

    backends: tuple[Backend, ...]
    families: tuple[Family, ...] = ()
    last_resort: str | None = None

    def __post_init__(self) -> None:
        complaints = []
        names: set[str] = set()
        owner: dict[str, str] = {}
        for backend in self.backends:
            if backend.name in names:
                complaints.append(f"backends.{backend.name}: two backends have this name; rename one")
            names.add(backend.name)
            for model in backend.models:
                if model in owner:
                    first = f"backends.{owner[model]}"
                    complaints.append(f"backends.{backend.name}.models: {first} names {model!r} too; keep one of them")
                owner.setdefault(model, backend.name)
        for family in self.families:
            if family.backend not in names:
                complaints.append(f"families: {family.pattern!r} belongs to {family.backend!r}, which is no backend")
        if self.last_resort is not None and self.last_resort not in names:
            complaints.append(f"last_resort: {self.last_resort!r} is no backend")
        if complaints:
            raise ConfigError(complaints)

    @cached_property
    def smart_names(self) -> frozenset[str]:
        return frozenset()

    @cached_property
    def by_name(self) -> dict[str, Backend]:
        return {backend.name: backend for backend in self.backends}

    @cached_property
    def ordered(self) -> tuple[Backend, ...]:
        """Higher priority first, ties by file order."""
        return tuple(sorted(self.backends, key=lambda backend: -backend.priority))

    @cached_property
    def by_model(self) -> dict[str, tuple[Backend, Decision]]:
        """Every name that a `models` has, its backend, and the decision for each request that this backend can serve.

        That decision depends on nothing else of the request, so the most frequent case costs a look-up.
        """
        return {
            model: (backend, _decided(self, model, {}, backend, "model_mapping", _RULE_MODELS.format(backend.name)))
            for backend in self.backends
            for model in backend.models
        }

    @cached_property
    def patterns(self) -> tuple[tuple[re.Pattern[str], Family], ...]:
        return tuple((re.compile(translate(family.pattern)), family) for family in self.families)

    @cached_property
    def with_families(self) -> frozenset[str]:
        """The backends that take only the names of their families."""
        return frozenset(family.backend for family in self.families)


# ---- facts and decision ----------------------------------------------------------------------------------------------


class Facts(Struct, frozen=True):
    """What routing may know of a request; `unfit` is why strict or the ledger rules a backend out, by its name."""

    model: str
    capabilities: frozenset[str] = frozenset(("text",))
    frontend: str = ""
    unfit: Mapping[str, str] = {}
    pin: str | None = None
    mode: str | None = None
    down: Mapping[str, str] = {}
    shape: None = None


class Candidate(Struct, frozen=True):
    """A backend by name, the upstream model that it would get (None: it has none for this name), taken or not, why."""

    backend: str
    model: str | None
    taken: bool
    why: str


class Decision(Struct, frozen=True):
    """Who serves, how that came about, and every backend in priority order with its reason.

    Exactly one of `chosen` and `refusal` is there. `because` holds words of the config only, never of the client.
    """

    chosen: Candidate | None
    mode: Mode
    because: str
    considered: tuple[Candidate, ...]
    refusal: Failure | None = None
    notes: tuple[str, ...] = ()
    cascade: bool = False

    @property
    def chain(self) -> tuple[Candidate, ...]:
        return () if self.chosen is None else (self.chosen,)


# ---- deciding --------------------------------------------------------------------------------------------------------

_RULE_MODELS = "the models of {!r} name it"
_RULE_FAMILY = "the name family {!r} belongs to {!r}"


def find_backend_for_model(model: str, plan: Plan) -> Backend | None:
    """The backend that a mapping names: by its `models`, else by the first name family that fits."""
    known = plan.by_model.get(model)
    if known is not None:
        return known[0]
    for name in _families(model, plan):
        return plan.by_name[name]
    return None


def missing_capabilities(backend: Backend, required: frozenset[str]) -> tuple[str, ...]:
    """The required words that the backend lacks, sorted; empty where it can do all of them."""
    return () if required <= backend.capabilities else tuple(sorted(required - backend.capabilities))


def backend_supports_capabilities(backend: Backend, required: frozenset[str]) -> bool:
    """Whether the backend can do all that is required."""
    return required <= backend.capabilities


def decide(facts: Facts, plan: Plan) -> Decision:
    """The backend for this request: the mapped one if it can, else by capability and priority, else the last resort.

    The last resort serves although it lacks a name or a capability, which are only what a config says of it; but never
    where it is unfit, because strict and the ledger are promises to the client.
    """
    model, required, unfit = facts.model, facts.capabilities, facts.unfit
    known = plan.by_model.get(model)
    if known is not None and required <= known[0].capabilities and known[0].name not in unfit:
        return known[1]

    families = _families(model, plan) if plan.families else {}
    mapped = known[0] if known is not None else next((plan.by_name[name] for name in families), None)
    reasons: dict[str, str] = {}
    winner: Backend | None = None
    for backend in plan.ordered:
        if _upstream(backend, model, plan, families) is None:
            reasons[backend.name] = UNSERVED
        elif not required <= backend.capabilities:
            reasons[backend.name] = f"lacks {', '.join(missing_capabilities(backend, required))}"
        elif backend.name in unfit:
            reasons[backend.name] = unfit[backend.name]
        elif winner is None or backend is mapped:
            winner = backend

    if winner is None:
        return _failed(facts, plan, families, reasons)
    if winner is mapped:
        because = _RULE_FAMILY.format(families[winner.name], winner.name)
        return _decided(plan, model, families, winner, "model_mapping", because)
    if mapped is not None:
        lack = "is unfit for this request" if backend_supports_capabilities(mapped, required) else reasons[mapped.name]
        because = f"mapped to {mapped.name!r}, which {lack}; {winner.name!r} is the first that fits"
        return _decided(plan, model, families, winner, "capability", because, reasons)
    because = f"no mapping; {winner.name!r} is the first by priority that fits"
    return _decided(plan, model, families, winner, winner.capabilities_from, because, reasons)


def _families(model: str, plan: Plan) -> dict[str, str]:
    """The backends of the families that fit this name, in the families' order, each with its first pattern."""
    found: dict[str, str] = {}
    for pattern, family in plan.patterns:
        if family.backend not in found and pattern.match(model):
            found[family.backend] = family.pattern
    return found


def _upstream(backend: Backend, model: str, plan: Plan, families: Mapping[str, str]) -> str | None:
    """The upstream's name for this model; None where the backend does not serve it."""
    if model in backend.models:
        return backend.models[model]
    if backend.name in families:
        return model
    if backend.default_model is not None:
        return backend.default_model
    return None if backend.models or backend.name in plan.with_families else model


def _decided(
    plan: Plan,
    model: str,
    families: Mapping[str, str],
    winner: Backend,
    mode: Mode,
    because: str,
    reasons: Mapping[str, str] | None = None,
) -> Decision:
    """A decision for `winner`. Of the rest each has its own reason, and without reasons the mapping is all of them."""
    considered = []
    chosen = None
    for backend in plan.ordered:
        upstream = _upstream(backend, model, plan, families)
        if backend is winner:
            why = (FAMILY if families else NAMED) if mode == "model_mapping" else RESORT if mode == "failed" else FIRST
            # only the last resort may be asked for a name that it does not have
            chosen = Candidate(backend.name, model if upstream is None else upstream, True, why)
            considered.append(chosen)
        else:
            why = ELSEWHERE if reasons is None else reasons.get(backend.name, BEHIND)
            considered.append(Candidate(backend.name, upstream, False, why))
    return Decision(chosen, mode, because, tuple(considered))


def _failed(facts: Facts, plan: Plan, families: Mapping[str, str], reasons: Mapping[str, str]) -> Decision:
    """Nothing fits: the last resort serves, or the client hears what was missing."""
    resort = plan.last_resort
    if resort is not None and resort not in facts.unfit:
        because = f"nothing fits; {resort!r} is the last resort"
        return _decided(plan, facts.model, families, plan.by_name[resort], "failed", because, reasons)
    if resort is not None:
        # it was asked whatever its lists say, so strict or the ledger is what spoke against it
        reasons = {**reasons, resort: facts.unfit[resort]}
    considered = tuple(
        Candidate(backend.name, _upstream(backend, facts.model, plan, families), False, reasons[backend.name])
        for backend in plan.ordered
    )
    serving = [candidate for candidate in considered if candidate.model is not None or candidate.backend == resort]
    shown = facts.model if len(facts.model) <= SHOWN else facts.model[:SHOWN] + "…"
    each = "; ".join(f"{candidate.backend}: {candidate.why}" for candidate in serving)
    if not serving:
        because = "no backend serves this model"
        message = f"The model {shown!r} is served by no backend; /v1/models lists those that are."
        refusal = failure("model_not_found", message, param="model")
    elif any(candidate.why == facts.unfit.get(candidate.backend) for candidate in serving):
        because = "no backend that serves this model is fit for this request"
        refusal = failure("loss", f"No backend may serve the model {shown!r} as this request asks: {each}.")
    else:
        because = "no backend that serves this model has the capabilities"
        refusal = failure("capability", f"No backend can serve the model {shown!r} as this request asks: {each}.")
    return Decision(None, "failed", because, considered, refusal)


def shape_of(request: object) -> None:
    return None
