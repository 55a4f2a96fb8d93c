"""Decodes token counts, which both protocols report alike under other names."""

from __future__ import annotations

from typing import Any

from ...ir import Usage


def count(fields: Any, key: str) -> int | None:
    """Returns a token count of a usage object, never below 0; None where there is none."""
    value = fields.get(key) if type(fields) is dict else None
    return max(0, value) if type(value) is int else None


def usage_in(
    prompt: int | None,
    output: int | None,
    cache_read: int | None,
    cache_write: int | None,
    reasoning: int | None,
    total: int | None,
) -> Usage:
    """Returns the usage; on the wire `prompt` includes the cached tokens and `output` those of the reasoning."""
    if reasoning and output is not None and total == (prompt or 0) + output + reasoning:
        output += reasoning  # xAI counts reasoning outside the output
    # Azure may count more cached tokens than the prompt has
    new = None if prompt is None else max(0, prompt - (cache_read or 0) - (cache_write or 0))
    return Usage(new, output, cache_read, cache_write, reasoning)
