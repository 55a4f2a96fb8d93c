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
    if (plain := plain_usage(fields)) is not None:
        return plain
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


def plain_usage(fields: dict[str, Any]) -> Usage | None:
    """Returns the usage where all names are OpenAI's own and the counts agree, as nearly always; else None."""
    prompt, output = fields.get("prompt_tokens"), fields.get("completion_tokens")
    if type(prompt) is not int or type(output) is not int or fields.get("total_tokens") != prompt + output:
        return None
    inside, made = fields.get("prompt_tokens_details"), fields.get("completion_tokens_details")
    details = ("prompt_tokens_details" in fields) + ("completion_tokens_details" in fields)
    if min(prompt, output) < 0 or len(fields) != 3 + details:
        return None
    cached = reasoning = None
    if inside:
        if type(inside) is not dict or "cache_write_tokens" in inside:
            return None
        cached = inside.get("cached_tokens")
        if cached is not None and (type(cached) is not int or not 0 <= cached <= prompt):
            return None
    if made:
        if type(made) is not dict:
            return None
        reasoning = made.get("reasoning_tokens")
        if reasoning is not None and (type(reasoning) is not int or not 0 <= reasoning <= output):
            return None
    return Usage(prompt - (cached or 0), output, cached, None, reasoning)


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
