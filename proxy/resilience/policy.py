"""The failover policy as one table: after each kind of failure, what is tried next, where, and at whose cost.

The gateway's attempt loop, the circuit breakers and `docs/failover-policy.md` are all made from this table.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

Evidence: TypeAlias = Literal["each", "once", "none", "alive"]
"""The weight of a failure for the backend's circuit breaker.

`each`: every failure counts. `once`: failures of one request body count once, until another backend answers that body;
then each counts. `none`: it says nothing of the backend. `alive`: the backend answered, so its breaker closes.
"""


class FailureRule(Struct, frozen=True, kw_only=True):
    """The consequences of one kind of failure, as long as no content of an answer went to the client.

    `elsewhere`: the route's next backend is called. `again`: the same backend is called again after a wait.
    `next_key`: the backend's next key is tried first. `refused`: the backend did nothing for the request, so that even
    a call that changes state may be repeated. `free`: repeats cost nothing, because the backend is not burdened.
    """

    meaning: str
    elsewhere: bool = True
    again: bool = False
    next_key: bool = False
    evidence: Evidence = "none"
    refused: bool = False
    free: bool = False


POLICY: dict[str, FailureRule] = {
    "upstream_unreachable": FailureRule(
        meaning="no connection, or it broke before an answer began", again=True, evidence="each"
    ),
    "upstream_timeout": FailureRule(meaning="silence, 408 or 504", again=True, evidence="once"),
    "upstream_error": FailureRule(meaning="500, 502 and every unknown status", again=True, evidence="once"),
    "upstream_cut": FailureRule(meaning="the answer ended too early", again=True, evidence="once"),
    "upstream_garbage": FailureRule(meaning="an answer that is not of the protocol", again=True, evidence="once"),
    "overloaded": FailureRule(meaning="503 or 529", again=True, evidence="once", refused=True),
    "loop": FailureRule(meaning="508: a loop of proxies", evidence="alive", refused=True),
    "rate_limit": FailureRule(meaning="429", again=True, next_key=True, refused=True),
    "upstream_auth": FailureRule(meaning="401, 403 or 407: the key was refused", next_key=True, refused=True),
    "upstream_quota": FailureRule(
        meaning="402, no credit, or a quota or spend limit that is used up", next_key=True, refused=True
    ),
    "upstream_region": FailureRule(meaning="the provider does not serve this region", next_key=True, refused=True),
    "upstream_moderation": FailureRule(meaning="403: the backend's moderation refused the text", evidence="alive"),
    "upstream_forbidden": FailureRule(meaning="403: the key may not use this one model", evidence="alive"),
    "upstream_dns": FailureRule(meaning="the host's name could not be resolved", again=True, refused=True, free=True),
    "out_of_resources": FailureRule(
        meaning="the proxy has no file descriptor, memory or port left", again=True, refused=True, free=True
    ),
}
"""Every kind of failure after which a request is tried again.

Every other kind is the client's own (400, 413, 422, ...) or `not_found` and `model_not_found`, which are followed by
the next backend only where a route lists several.
"""

FINAL = FailureRule(meaning="any other", elsewhere=False, evidence="alive")
"""The rule of every kind that is not in POLICY."""

RETRIABLE = frozenset(kind for kind, rule in POLICY.items() if rule.again)
"""Kinds after which the same request may succeed at the same backend."""


def rule_of(kind: str) -> FailureRule:
    """Returns the rule of a kind of failure."""
    return POLICY.get(kind, FINAL)
