"""Capabilities, quirks and limits of a local model, for the configuration."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

NAME = "mlx"

EXTRA = ("mlx_lm", "llguidance")
"""The packages of the extra `local`, by their import names."""


class MlxSpec(Struct, frozen=True):
    """The same fields as of a wire protocol."""

    capabilities: frozenset[str]
    quirks: Mapping[str, str]
    limits: Mapping[str, float]
    local: bool = True
    base_url_suffixes: tuple[str, ...] = ()
    usual_base_path: str = ""


MLX_SPEC = MlxSpec(
    capabilities=frozenset(("text", "tools", "tools.parallel", "reasoning", "json_object", "json_schema")),
    quirks={"no_think": "the model cannot think; asked to, it answers at once, and that is a loss"},
    limits={
        "context": 0,  # in tokens; 0 takes the context length of the model's config
        "batch": 16,  # requests that are decoded at once
        "queue": 64,  # requests that may wait; one more is refused with 503
        "prefill": 32,  # prompt tokens in one step: a cancelled request still costs that much
        "memory_mb": 0,  # weights at most; 0 takes what memory is free when the model is loaded
        "unload_s": 0,  # seconds without a request after which the model is unloaded; 0 keeps it
        "cache_mb": 512,  # cache of earlier prompts, for prompts with the same beginning
    },
)
