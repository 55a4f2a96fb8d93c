"""Routing: `decide(inputs, plan)` selects the backends for a request and gives a reason for every other one.

The package is pure: it uses no protocol, socket, clock or file. The caller passes the capabilities that the request
requires and the backends that are unavailable.
"""

from .balanced_decision import StandingOf, balanced
from .decide import (
    backend_supports_capabilities,
    decide,
    find_backend_for_model,
    kept_decision,
    missing_capabilities,
)
from .decision import (
    BEHIND,
    ELSEWHERE,
    FAMILY,
    FIRST,
    MODES,
    NAMED,
    RESORT,
    UNSERVED,
    Candidate,
    Decision,
    Mode,
    RoutingInput,
)
from .patterns import is_pattern
from .plan import BackendConfig, NamedMode, NameFamily, Plan, SmartModel
from .route import Route, RouteTarget
from .score import THRESHOLDS, TIERS, WEIGHTS, RequestFeatures, Score, Tier, request_features, score

__all__ = [
    "BEHIND",
    "ELSEWHERE",
    "FAMILY",
    "FIRST",
    "MODES",
    "NAMED",
    "RESORT",
    "THRESHOLDS",
    "TIERS",
    "UNSERVED",
    "WEIGHTS",
    "BackendConfig",
    "Candidate",
    "Decision",
    "Mode",
    "NameFamily",
    "NamedMode",
    "Plan",
    "RequestFeatures",
    "Route",
    "RouteTarget",
    "RoutingInput",
    "Score",
    "SmartModel",
    "StandingOf",
    "Tier",
    "backend_supports_capabilities",
    "balanced",
    "decide",
    "find_backend_for_model",
    "is_pattern",
    "kept_decision",
    "missing_capabilities",
    "request_features",
    "score",
]
