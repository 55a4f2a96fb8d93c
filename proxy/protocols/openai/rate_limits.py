"""The rate-limit headers of OpenAI and of the hosts that speak its protocols.

Source: https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...ir.rate_limits import RateLimit, parse_limit

NAMES: tuple[tuple[str, str], ...] = (
    ("requests", "-requests"),
    ("tokens", "-tokens"),
    # Mistral's: "x-ratelimit-limit-req-minute", "x-ratelimit-limit-tokens-minute"
    ("requests", "-req-minute"),
    ("tokens", "-tokens-minute"),
    # OpenRouter's, which counts requests: https://openrouter.ai/docs/api-reference/limits
    ("requests", ""),
)
"""Scopes, and the ends of their headers' names; the first that is there counts."""

WRITTEN = ("requests", "tokens")


def read_rate_limits(headers: Mapping[str, str], now: float) -> tuple[RateLimit, ...]:
    """Returns the limits that a backend's headers name; their names are lower case."""
    found: dict[str, RateLimit] = {}
    for scope, end in NAMES:
        limit, remaining, reset = (headers.get(f"x-ratelimit-{what}{end}") for what in ("limit", "remaining", "reset"))
        one = parse_limit(scope, limit, remaining, reset, now)
        if one is not None:
            found.setdefault(scope, one)
    return tuple(found.values())


def write_rate_limits(limits: Iterable[RateLimit], now: float) -> dict[str, str]:
    """Returns the headers for a client."""
    out: dict[str, str] = {}
    for each in limits:
        if each.scope not in WRITTEN:
            continue
        if each.limit is not None:
            out[f"x-ratelimit-limit-{each.scope}"] = str(each.limit)
        if each.remaining is not None:
            out[f"x-ratelimit-remaining-{each.scope}"] = str(each.remaining)
        if each.resets_at is not None:
            out[f"x-ratelimit-reset-{each.scope}"] = _duration(max(0.0, each.resets_at - now))
    return out


def _duration(seconds: float) -> str:
    """Returns a duration as OpenAI writes it: `6m0s`, `12ms`."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms" if seconds else "0s"
    minutes, rest = divmod(round(seconds, 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    head = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{head}{round(rest, 3):g}s"
