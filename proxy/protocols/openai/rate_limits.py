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

WRITTEN: dict[str, tuple[str, str, str]] = {
    scope: (f"x-ratelimit-limit-{scope}", f"x-ratelimit-remaining-{scope}", f"x-ratelimit-reset-{scope}")
    for scope in ("requests", "tokens")
}
"""Scope to the names of its headers for a client."""


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
        names = WRITTEN.get(each.scope)
        if names is None:
            continue
        limit, remaining, reset = names
        if each.limit is not None:
            out[limit] = str(each.limit)
        if each.remaining is not None:
            out[remaining] = str(each.remaining)
        if each.resets_at is not None:
            out[reset] = _duration(each.resets_at - now)
    return out


def _duration(seconds: float) -> str:
    """Returns a duration as OpenAI writes it: `6m0s`, `12ms`."""
    ms = round(seconds * 1000)
    if ms < 1000:
        return f"{ms}ms" if ms > 0 else "0s"
    minutes, ms = divmod(ms, 60_000)
    rest = f"{ms // 1000}s" if ms % 1000 == 0 else f"{ms / 1000:g}s"
    if not minutes:
        return rest
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}" if hours else f"{minutes}m{rest}"
