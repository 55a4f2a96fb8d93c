"""What a config must know of a local model: what it can do, its quirks, and the bounds that `limits` may change."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

NAME = "mlx"

EXTRA = ("mlx_lm", "llguidance")
"""The packages of the extra `local`, by the names that are imported."""


class Speech(Struct, frozen=True):
    """As of a wire protocol, though nothing goes over a wire."""

    capabilities: frozenset[str]
    quirks: Mapping[str, str]
    limits: Mapping[str, float]


SPEECH = Speech(
    capabilities=frozenset(("text", "tools", "tools.parallel", "reasoning", "json_object", "json_schema")),
    quirks={"no_think": "the model cannot think; asked to, it answers at once, and that is a loss"},
    limits={
        "context": 0,  # tokens; 0 is what the model's own config says
        "batch": 16,  # requests that decode at once
        "queue": 64,  # requests that may wait; one more is refused with 503
        "prefill": 32,  # tokens of a prompt that are read in one step: what a cancelled request still costs
        "cache_mb": 512,  # of prompts that are kept for those that begin the same
    },
)
