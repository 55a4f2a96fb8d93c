"""What a client hears whom nobody may serve: each backend that has the model, and why it does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from msgspec import Struct

from ..errors import failure
from .decision import NOBODY, Candidate, Decision, Facts
from .plan import Plan

SHOWN = 200
"""Characters of the client's model name that a message repeats."""

LISTED = 12
"""Backends that a message lists; the decision has all of them."""


class Flaw(Struct, frozen=True):
    """Why a backend cannot be asked: the kind of failure that it would be, and in words."""

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
}
"""By the kind of what spoke against the backends, the most passing first: the reason, and the words."""


def refused(facts: Facts, flaws: Mapping[str, Flaw], considered: Sequence[Candidate]) -> Decision:
    """Nobody serves; `flaws` are of all that do not, by their names."""
    serving = [each for each in considered if each.backend in flaws and flaws[each.backend].kind != "model_not_found"]
    model = repr(shown(facts.model))
    kinds = {flaws[candidate.backend].kind for candidate in serving}
    for kind, (because, message) in _REFUSALS.items():
        if kind in kinds:
            refusal = failure(kind, message.format(model, _each(serving)))
            return Decision(None, "failed", because, tuple(considered), refusal)
    each = f" ({_each(considered)})" if considered else ""
    message = f"The model {model} is served by no backend{each}; /v1/models lists those that are."
    refusal = failure("model_not_found", message, param="model")
    return Decision(None, "failed", "no backend serves this model", tuple(considered), refusal)


def absent(provider: str, word: str, model: str, plan: Plan) -> Decision:
    """The name's first word is a provider's that no backend is of; anybody else would be asked for another's model."""
    variable = plan.keys.get(provider)
    add = f"add a backend with provider: {provider}"
    way = add if variable is None else f"set {variable}, or {add}"
    message = f"The model {shown(model)!r} asks for {provider}, and no backend here is of it; {way}."
    considered = tuple(Candidate(backend.name, None, False, f"is not of {provider}") for backend in plan.ordered)
    because = f"the prefix {word!r} is of {provider!r}, and no backend is"
    return Decision(None, "failed", because, considered, failure("model_not_found", message, param="model"))


def bad(plan: Plan, because: str, message: str) -> Decision:
    """The client's own words contradict each other or name what is not there."""
    considered = tuple(Candidate(backend.name, None, False, NOBODY) for backend in plan.ordered)
    end = "" if message.endswith("?") else "."
    return Decision(None, "failed", because, considered, failure("bad_request", message + end))


def _each(candidates: Sequence[Candidate]) -> str:
    reasons = list(dict.fromkeys(f"{candidate.backend}: {candidate.why}" for candidate in candidates))
    return "; ".join(reasons[:LISTED]) + (f"; and {len(reasons) - LISTED} more" if len(reasons) > LISTED else "")


def shown(text: str) -> str:
    """A client's word as a message repeats it."""
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def known(word: str, words: Iterable[str]) -> str:
    """What to do about a word that is none of the known ones."""
    names = list(words)
    if near := get_close_matches(word[:SHOWN], names, 1):
        return f"did you mean {near[0]}?"
    return f"there are {', '.join(names[:LISTED])}" if names else "this proxy has none"
