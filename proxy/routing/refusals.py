"""Decisions that refuse a request, with an error message that names the backends and the reason of each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from msgspec import Struct

from ..errors import failure
from .decision import INVALID_REQUEST, UNMAPPED, Candidate, Decision, RoutingInput
from .plan import Plan

MAX_SHOWN_LENGTH = 200
"""Maximum length in characters of a client's model name in a message."""

MAX_NEAREST = 3
"""Maximum number of similar names in a message."""

MAX_LISTED = 12
"""Maximum number of backends in a message; the decision has all of them."""


MAX_COMPARED = 200
"""Maximum number of names of providers' own lists that are compared with a client's."""

SAME_BEGINNING = 3
"""Characters in which those agree."""


class Rejection(Struct, frozen=True):
    """The reason why a backend cannot serve a request: the kind of failure it amounts to, and a text."""

    kind: str
    why: str


_REFUSALS: dict[str, tuple[str, str]] = {
    "overloaded": ("who could serve this model is down", "No backend may serve the model {} right now: {}."),
    "no_credentials": (
        "who could serve this model has no credentials",
        "No backend can serve the model {}: {}.",
    ),
    "loss": (
        "no backend that serves this model is fit for this request",
        "No backend may serve the model {} as this request asks: {}.",
    ),
    "capability": (
        "no backend that serves this model has the capabilities",
        "No backend can serve the model {} as this request asks: {}.",
    ),
    "permission": (
        "the client may use no backend that serves this model",
        "This client may use no backend that serves the model {}.",
    ),
}
"""Kind of rejection to the decision's reason and the client's message; the most temporary kind comes first and wins."""


def refuse(
    inputs: RoutingInput, plan: Plan, rejections: Mapping[str, Rejection], considered: Sequence[Candidate]
) -> Decision:
    """Builds the refusal of a request that no backend can serve; `rejections` are by backend name."""
    serving = [
        each for each in considered if each.backend in rejections and rejections[each.backend].kind != "model_not_found"
    ]
    model = repr(shorten(inputs.model))
    kinds = {rejections[candidate.backend].kind for candidate in serving}
    for kind, (because, message) in _REFUSALS.items():
        if kind in kinds:
            refusal = failure(kind, message.format(model, _join_reasons(serving)))
            return Decision(None, "failed", because, tuple(considered), refusal)
    each = f" ({_join_reasons(considered)})" if considered else ""
    message = f"The model {model} is served by no backend{each}; {nearest(inputs.model, plan)}"
    refusal = failure("model_not_found", message, param="model")
    return Decision(None, "failed", "no backend serves this model", tuple(considered), refusal)


def refuse_missing_provider(provider: str, word: str, model: str, plan: Plan) -> Decision:
    """Builds the refusal of a model whose prefix is a provider without a backend; no other backend has that model."""
    variable = plan.key_variables.get(provider)
    add = f"add a backend with provider: {provider}"
    fix = add if variable is None else f"set {variable}, or {add}"
    message = f"The model {shorten(model)!r} asks for {provider}, and no backend here is of it; {fix}."
    considered = tuple(Candidate(backend.name, None, False, f"is not of {provider}") for backend in plan.ordered)
    because = f"the prefix {word!r} is of {provider!r}, and no backend is"
    return Decision(None, "failed", because, considered, failure("model_not_found", message, param="model"))


def refuse_unmapped(model: str, plan: Plan) -> Decision:
    """Builds the refusal of a model without a rule, where the config says so."""
    message = (
        f"The model {shorten(model)!r} is named by no rule of this proxy (unmapped: refuse); {nearest(model, plan)}"
    )
    considered = tuple(Candidate(backend.name, None, False, UNMAPPED) for backend in plan.ordered)
    refusal = failure("model_not_found", message, param="model")
    return Decision(None, "failed", "no rule names this model, and `unmapped` is refuse", considered, refusal)


def nearest(model: str, plan: Plan, backends: Collection[str] | None = None) -> str:
    """Returns the most similar names that these backends serve, or all of them, as the end of a message."""
    known = [name for name in plan.exact_names if backends is None or _owner(name, plan) in backends]
    known += _offered_alike(model, plan, backends)
    names = {name for name in known if not any(fnmatchcase(name, hidden) for hidden in plan.unlisted)}
    near = get_close_matches(model[:MAX_SHOWN_LENGTH], sorted(names), MAX_NEAREST)
    return f"did you mean {' or '.join(near)}?" if near else "/v1/models lists those that are."


def _offered_alike(model: str, plan: Plan, backends: Collection[str] | None) -> list[str]:
    """Returns the models that these backends themselves list and that begin the same; of many only some, for time."""
    listed = (names for backend, names in plan.offered.items() if backends is None or backend in backends)
    start = model[:SAME_BEGINNING]
    return [name for names in listed for name in names if name.startswith(start)][:MAX_COMPARED]


def _owner(name: str, plan: Plan) -> str | None:
    """Returns the first backend of an exact name's rule, None for a smart model."""
    if (route := plan.by_exact.get(name)) is not None:
        return route.targets[0].backend
    return plan.by_model[name].name if name in plan.by_model else None


def refuse_bad_request(plan: Plan, because: str, message: str) -> Decision:
    """Builds the refusal of a request whose pin, mode or prefix is unknown, forbidden or contradictory."""
    considered = tuple(Candidate(backend.name, None, False, INVALID_REQUEST) for backend in plan.ordered)
    end = "" if message.endswith("?") else "."
    return Decision(None, "failed", because, considered, failure("bad_request", message + end))


def _join_reasons(candidates: Sequence[Candidate]) -> str:
    reasons = list(dict.fromkeys(f"{candidate.backend}: {candidate.why}" for candidate in candidates))
    return "; ".join(reasons[:MAX_LISTED]) + (
        f"; and {len(reasons) - MAX_LISTED} more" if len(reasons) > MAX_LISTED else ""
    )


def shorten(text: str) -> str:
    """Truncates a client's text for a message."""
    return text if len(text) <= MAX_SHOWN_LENGTH else text[:MAX_SHOWN_LENGTH] + "…"


def suggest(name: str, known: Iterable[str]) -> str:
    """Returns the most similar known name for a message, else the list of known names."""
    names = list(known)
    if near := get_close_matches(name[:MAX_SHOWN_LENGTH], names, 1):
        return f"did you mean {near[0]}?"
    return f"there are {', '.join(names[:MAX_LISTED])}" if names else "this proxy has none"
