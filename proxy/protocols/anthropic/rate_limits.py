"""Anthropic's rate-limit headers.

Source: https://platform.claude.com/docs/en/api/rate-limits#response-headers
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache

from ...ir.rate_limits import SCOPES, RateLimit, parse_limit

NAMES: dict[str, tuple[str, str, str]] = {
    scope: (
        f"anthropic-ratelimit-{scope}-limit",
        f"anthropic-ratelimit-{scope}-remaining",
        f"anthropic-ratelimit-{scope}-reset",
    )
    for scope in SCOPES
}
"""Scope to the names of its headers."""


def read_rate_limits(headers: Mapping[str, str], now: float) -> tuple[RateLimit, ...]:
    """Returns the limits that a backend's headers name; their names are lower case."""
    found = []
    for scope, names in NAMES.items():
        limit, remaining, reset = (headers.get(name) for name in names)
        one = parse_limit(scope, limit, remaining, reset, now)
        if one is not None:
            found.append(one)
    return tuple(found)


def write_rate_limits(limits: Iterable[RateLimit], now: float) -> dict[str, str]:
    """Returns the headers for a client; the time of a reset "in RFC 3339 format"."""
    out: dict[str, str] = {}
    for each in limits:
        limit, remaining, reset = NAMES[each.scope]
        if each.limit is not None:
            out[limit] = str(each.limit)
        if each.remaining is not None:
            out[remaining] = str(each.remaining)
        if each.resets_at is not None:
            out[reset] = _moment(int(max(each.resets_at, now)))
    return out


@lru_cache(maxsize=64)  # for many requests it is the same second
def _moment(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
