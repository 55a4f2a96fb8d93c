"""A running proxy sees what changes in the store: its count of changes is looked at again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ..errors import StoreError
from .database import Store

log = logging.getLogger("crosswire")


async def watch(
    store: Store, interval: Callable[[], float], changed: Callable[[], Awaitable[object]], seen: int | None = None
) -> None:
    """Call `changed` for each revision that is not the last one seen, for ever; then close the store.

    `interval` is asked each time, in seconds; 0 = not now. `seen` is the revision that already serves. A store that
    cannot be reached is said once, and what was read from it before goes on serving.
    """
    reachable = True
    try:
        while True:
            if interval():
                try:
                    revision = await store.revision()
                except StoreError as fault:
                    if reachable:
                        log.warning("%s; what was read from it before serves on", fault)
                    reachable = False
                else:
                    if not reachable:
                        log.warning("the store can be used again")
                    reachable = True
                    if seen is not None and revision != seen:
                        await changed()
                    seen = revision
            await asyncio.sleep(interval() or 1.0)
    finally:
        await store.close()
