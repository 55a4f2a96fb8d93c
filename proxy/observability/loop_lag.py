"""Measures how late the event loop runs what is due, which is what every request waits where something blocks it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

INTERVAL_S = 0.25
"""Seconds between two measurements."""


async def watch_loop_lag(observe: Callable[[float], None], interval: float = INTERVAL_S) -> None:
    """Calls `observe` for ever with the seconds by which a timer of `interval` was late."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + interval
        await asyncio.sleep(interval)
        observe(max(0.0, loop.time() - due))
