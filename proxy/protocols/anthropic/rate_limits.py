"""Anthropic's rate-limit headers.

Source: https://platform.claude.com/docs/en/api/rate-limits#response-headers
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from ...ir.rate_limits import SCOPES, RateLimit, parse_limit


def read_rate_limits(headers: Mapping[str, str], now: float) -> tuple[RateLimit, ...]:
    """Returns the limits that a backend's headers name; their names are lower case."""
    found = []
    for scope in SCOPES:
        limit, remaining, reset = (
            headers.get(f"anthropic-ratelimit-{scope}-{what}") for what in ("limit", "remaining", "reset")
        )
        one = parse_limit(scope, limit, remaining, reset, now)
        if one is not None:
            found.append(one)
    return tuple(found)


def write_rate_limits(limits: Iterable[RateLimit], now: float) -> dict[str, str]:
    """Returns the headers for a client; the time of a reset "in RFC 3339 format"."""
    out: dict[str, str] = {}
    for each in limits:
        name = f"anthropic-ratelimit-{each.scope}"
        if each.limit is not None:
            out[f"{name}-limit"] = str(each.limit)
        if each.remaining is not None:
            out[f"{name}-remaining"] = str(each.remaining)
        if each.resets_at is not None:
            moment = datetime.fromtimestamp(max(each.resets_at, now), UTC)
            out[f"{name}-reset"] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return out
