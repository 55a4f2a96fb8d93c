"""Input and output of a routing decision: RoutingInput, Candidate, Decision, and the texts of the reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import force_setattr

from ..balance.strategy import Balance, Standing
from ..ir import Failure
from .score import RequestFeatures, Score

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
"""Every mode of a decision, that is the kind of rule that made it; records, metrics and snapshots use these names."""

# Reasons why a backend was or was not chosen, where the text does not depend on the request.
NAMED = "its models name this model"
FAMILY = "the model is of its name family"
FIRST = "fits, and is the first by priority"
RESORT = "nothing fits, and it is the last resort"
ELSEWHERE = "the model is mapped to another backend"
BEHIND = "fits, but another comes before it"
UNSERVED = "does not serve this model"
OTHER_VENDOR = "is of another vendor than the name, whose own backend is here"
RESERVED = "serves only rules that name it"
ROUTED = "the route names it"
FALLBACK = "the route falls back to it"
BALANCED = "the route balances it with others"
PINNED = "the request pins it"
PREFIXED = "the model's prefix names it"
BY_MODE = "the mode names it"
BY_DEFAULT = "takes the models that no rule names"
BY_SCORE = "the score asks for it"
NOT_BY_SCORE = "the score asks for the other model"
CASCADED = "takes over where the cheap model will not do"
UNMAPPED = "no rule names this model"
OTHER_BACKEND_NAMED = "the request names another backend"
FORBIDDEN = "this client may not use it"
INVALID_REQUEST = "the request was not understood, so nobody is asked"


class RoutingInput(Struct, frozen=True):
    """Everything that routing uses of a request.

    `unfit` maps backends that strict mode or a loss rule excludes to the reason, `down` those that are unavailable now.
    `pin` and `mode` are from the client's headers. `features` is used for smart models only. `allowed` are the backends
    that the client may use, None for all.
    """

    model: str
    capabilities: frozenset[str] = frozenset(("text",))
    frontend: str = ""
    unfit: Mapping[str, str] = {}
    pin: str | None = None
    mode: str | None = None
    down: Mapping[str, str] = {}
    features: RequestFeatures | None = None
    allowed: frozenset[str] | None = None


class Candidate(Struct, frozen=True):
    """A backend by name, the upstream model for it (None: it does not serve it), whether it is chosen, and why."""

    backend: str
    model: str | None
    taken: bool
    why: str


class Decision(Struct, frozen=True):
    """The backends that serve a request, the rule that selected them, and every backend with its reason.

    Exactly one of `chosen` and `refusal` is set. `chain` holds the candidates in failover order, `chosen` first;
    `considered` all backends by priority. `because` and `notes` quote only the config, never the client. `score` is set
    for a smart model; with `cascade` a poor reply of `chosen` is discarded and the next of the chain is tried.
    `balance` is how the first targets of the chain change places, of which `weights` are the weights; `standings` are
    what was believed of them when they were put into this order.
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
    balance: Balance | None = None
    weights: tuple[float, ...] = ()
    standings: tuple[Standing, ...] = ()

    def __post_init__(self) -> None:
        if self.chosen is not None and not self.chain:
            force_setattr(self, "chain", (self.chosen,))
