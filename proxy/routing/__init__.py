"""Routing: `decide(facts, plan)` is pure, and says which backend serves a request and why each other does not.

It knows no protocol, socket, clock or file: whoever asks says what the request needs and what became unfit.
"""

from .decide import (
    backend_supports_capabilities,
    decide,
    find_backend_for_model,
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
    Facts,
    Mode,
)
from .plan import Backend, Family, NamedMode, Plan, Route, Smart, Target
from .rule import LOCAL
from .score import THRESHOLDS, TIERS, WEIGHTS, Score, Shape, Tier, score, shape_of

__all__ = [
    "BEHIND",
    "ELSEWHERE",
    "FAMILY",
    "FIRST",
    "LOCAL",
    "MODES",
    "NAMED",
    "RESORT",
    "THRESHOLDS",
    "TIERS",
    "UNSERVED",
    "WEIGHTS",
    "Backend",
    "Candidate",
    "Decision",
    "Facts",
    "Family",
    "Mode",
    "NamedMode",
    "Plan",
    "Route",
    "Score",
    "Shape",
    "Smart",
    "Target",
    "Tier",
    "backend_supports_capabilities",
    "decide",
    "find_backend_for_model",
    "missing_capabilities",
    "score",
    "shape_of",
]
