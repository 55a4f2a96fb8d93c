"""The limits that a provider names in its headers, in neutral form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite

from msgspec import Struct

SCOPES = ("requests", "tokens", "input-tokens", "output-tokens")
"""The things that a limit counts."""

MARK = "ratelimit"
"""The part that the names of all such headers have."""


class RateLimit(Struct, frozen=True, gc=False):
    """One limit: its size, what is left of it, and the unix time at which it is whole again; None is not said."""

    scope: str
    limit: int | None = None
    remaining: int | None = None
    resets_at: float | None = None


def parse_limit(
    scope: str, limit: str | None, remaining: str | None, reset: str | None, now: float
) -> RateLimit | None:
    """Returns the limit that these texts describe; None where neither its size nor what is left is a number."""
    found = RateLimit(scope, _number(limit), _number(remaining), parse_reset(reset, now))
    return None if found.limit is None and found.remaining is None else found


def parse_reset(text: str | None, now: float) -> float | None:
    """Returns the unix time that a text says: a date, a duration (`6m0s`, `12ms`), seconds, or a time of an epoch."""
    if text is None or not (text := text.strip()) or len(text) > 40:
        return None
    if (match := _DURATION.fullmatch(text)) is not None:
        return now + sum(float(size) * _UNITS[unit] for size, unit in _PART.findall(match[0]))
    try:
        number = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    if not isfinite(number):
        return None
    return number / 1000 if number > 1e11 else number if number > 1e9 else now + number


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)")
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|us|µs|ns|h|m|s))+")


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if isfinite(number) else None


def has_limits(headers: Mapping[str, str]) -> bool:
    """Returns whether any header says something of a limit; most answers have none."""
    return any([MARK in name for name in headers])
