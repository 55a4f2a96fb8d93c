"""What a decision is made from and what comes out of it: the facts of a request, the candidates, the words for why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import force_setattr

from ..ir import Failure
from .score import Score, Shape

Mode: TypeAlias = Literal[
    "pin",
    "prefix",
    "model_mapping",
    "pattern",
    "mode",
    "smart",
    "explicit",
    "auto",
    "capability",
    "default",
    "failed",
]

MODES: dict[Mode, str] = {
    "pin": "the client named the backend in a header, or nobody may serve what it names",
    "prefix": "the model's name begins with a backend's or a provider's",
    "model_mapping": "a mapping named the backend, and it is capable",
    "pattern": "a route's pattern fits the name",
    "mode": "the mode that the client or the config chose names the backend",
    "smart": "a smart model asks its cheap or its primary target, by the request's score",
    "explicit": "no mapping; chosen by priority among the capable, and the winner's capabilities are a list",
    "auto": "no mapping; chosen by priority among the capable, and the winner's capabilities are its protocol's",
    "capability": "a mapping named a backend that lacks a capability or is unfit; another took it",
    "default": "no mapping; `unmapped` says where such models go",
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
RESERVED = "serves only rules that name it"
ROUTED = "the route names it"
FALLBACK = "the route falls back to it"
PINNED = "the request pins it"
PREFIXED = "the model's prefix names it"
BY_MODE = "the mode names it"
BY_DEFAULT = "takes the models that no rule names"
BY_SCORE = "the score asks for it"
NOT_BY_SCORE = "the score asks for the other model"
CASCADED = "takes over where the cheap model will not do"
UNASKED = "the request names another backend"
NOBODY = "the request was not understood, so nobody is asked"


class Facts(Struct, frozen=True):
    """What routing may know of a request.

    `unfit` is why strict or the ledger rules a backend out, `down` why it must not be asked now, both by its name.
    `pin` and `mode` are what the client's headers say. `shape` is looked at for a smart model only.
    """

    model: str
    capabilities: frozenset[str] = frozenset(("text",))
    frontend: str = ""
    unfit: Mapping[str, str] = {}
    pin: str | None = None
    mode: str | None = None
    down: Mapping[str, str] = {}
    shape: Shape | None = None


class Candidate(Struct, frozen=True):
    """A backend by name, the upstream model that it would get (None: it has none for this name), taken or not, why."""

    backend: str
    model: str | None
    taken: bool
    why: str


class Decision(Struct, frozen=True):
    """Who serves, how that came about, and every backend in priority order with its reason.

    Exactly one of `chosen` and `refusal` is there. `chain` is who is asked one after the other, `chosen` first.
    `because` and `notes` hold words of the config only, never of the client. `score` is a smart model's; `cascade` says
    that a poor answer of `chosen` goes on to the next of the chain.
    """

    chosen: Candidate | None
    mode: Mode
    because: str
    considered: tuple[Candidate, ...]
    refusal: Failure | None = None
    chain: tuple[Candidate, ...] = ()
    notes: tuple[str, ...] = ()
    score: Score | None = None
    cascade: bool = False

    def __post_init__(self) -> None:
        if self.chosen is not None and not self.chain:
            force_setattr(self, "chain", (self.chosen,))
