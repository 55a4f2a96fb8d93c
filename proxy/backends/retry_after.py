"""Reads how long a backend asks to be left alone, from the headers or the text of its error."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import TypeAlias

from ..ir.rate_limits import RateLimit

ReadLimits: TypeAlias = Callable[[Mapping[str, str], float], Iterable[RateLimit]]
"""Reads the limits that headers name at this unix time."""

# "You have reached your specified API usage limits. You will regain access on 2026-04-01 at 00:00 UTC."
# https://github.com/continuedev/continue/issues/11305
_RESET = re.compile(rb"regain access on (\d{4}-\d\d-\d\d) at (\d\d:\d\d) UTC")
"""The end of a quota, as the text of an error says it."""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The wait that an upstream asks for, in seconds; it may say milliseconds, seconds or a date."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name)
        if text is None:
            continue
        try:
            seconds = float(text) * scale
        except ValueError:
            try:
                seconds = parsedate_to_datetime(text).timestamp() - time.time()
            except (ValueError, OverflowError):
                continue
        if isfinite(seconds):
            return max(0.0, seconds)
    return None


def wait_of(status: int, headers: Mapping[str, str], read: ReadLimits) -> float | None:
    """The wait that an answer asks for in its headers; of a 429 also by the limits that are used up."""
    wait = retry_after(headers)
    return whole_again_after(read, headers) if wait is None and status == 429 else wait


def whole_again_after(read: ReadLimits, headers: Mapping[str, str]) -> float | None:
    """Seconds until every limit that is used up is whole again; None where the headers name none."""
    now = time.time()
    limits = read(headers, now)
    waits = [each.resets_at - now for each in limits if each.remaining == 0 and each.resets_at is not None]
    return max(0.0, *waits) if waits else None


def quota_reset_after(raw: bytes) -> float | None:
    """Seconds until the time at which the text of an error says that a quota is restored."""
    match = _RESET.search(raw)
    if match is None:
        return None
    try:
        at = datetime.strptime((b"%b %b" % match.groups()).decode(), "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    except ValueError:
        return None
    return max(0.0, at.timestamp() - time.time())
