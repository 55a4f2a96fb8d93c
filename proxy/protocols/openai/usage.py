"""Decodes token counts, which both protocols report alike; hosts of either use the names of the other."""

from __future__ import annotations

from typing import Any

from ...ir import Usage
from ...ir.repairs import Repairs
from ...ir.usage_arithmetic import agreed_usage


def count(fields: Any, *keys: str) -> int | None:
    """Returns the first token count under these keys, never below 0; None where there is none."""
    if type(fields) is dict:
        for key in keys:
            value = fields.get(key)
            if type(value) is float and value.is_integer():
                value = int(value)
            if type(value) is int:
                return max(0, value)
    return None


def usage_in(fields: dict[str, Any], repairs: Repairs) -> Usage | None:
    """Returns the usage; None where it has no count."""
    prompt, output = count(fields, "prompt_tokens", "input_tokens"), count(fields, "completion_tokens", "output_tokens")
    inside = fields.get("prompt_tokens_details") or fields.get("input_tokens_details")
    made = fields.get("completion_tokens_details") or fields.get("output_tokens_details")
    cache_read = count(inside, "cached_tokens")
    if cache_read is None:
        # DeepSeek: https://api-docs.deepseek.com/guides/kv_cache, Moonshot: https://platform.moonshot.ai/docs/api/chat
        cache_read = count(fields, "prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")
    cache_write = count(inside, "cache_write_tokens")
    if cache_write is None:
        cache_write = count(fields, "cache_creation_input_tokens")
    reasoning = count(made, "reasoning_tokens")
    if reasoning is None:
        reasoning = count(fields, "reasoning_tokens")
    return agreed_usage(
        prompt=prompt,
        output=output,
        cache_read=cache_read,
        cache_write=cache_write,
        reasoning=reasoning,
        beside=count(inside, "audio_tokens"),  # Mistral
        total=count(fields, "total_tokens"),
        repairs=repairs,
    )


def is_counted(usage: dict[str, Any]) -> bool:
    """Returns whether a usage object says a number above 0: hosts also send one of zeros before the count is known."""
    return any(type(value) in (int, float) and value > 0 for value in usage.values())


def later_usage(before: dict[str, Any] | None, after: dict[str, Any]) -> dict[str, Any]:
    """Returns the usage after another report of it in the same stream: the later one wins, field by field."""
    if before is None or not is_counted(before):
        return after
    if not is_counted(after):
        return before
    return {**before, **{key: value for key, value in after.items() if value is not None}}
