"""A running proxy sees what changes in the store: its count of changes is looked at again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from ..errors import StoreError
from .database import Store

log = logging.getLogger("crosswire")


class Watcher:
    """Calls `changed` while the store's revision is another than the one that is `serving`.

    `where` tells the store's URL and `interval` the seconds between two looks; both are asked each time, for a new
    config may change them. A revision that was refused is not tried again, and a store that cannot be reached is said
    once: what was read before goes on serving.
    """

    def __init__(
        self,
        where: Callable[[], str | None],
        env: Mapping[str, str],
        interval: Callable[[], float],
        serving: Callable[[], int],
        changed: Callable[[], Awaitable[object]],
    ) -> None:
        self._where = where
        self._env = env
        self._interval = interval
        self._serving = serving
        self._changed = changed
        self._url: str | None = None
        self._store: Store | None = None
        self._refused: int | None = None
        self._reachable = True

    async def watch(self) -> None:
        """Look for ever; then close the store."""
        try:
            while True:
                await asyncio.sleep(self._interval() or 1.0)
                if not self._interval():
                    continue
                try:
                    await self._look()
                except StoreError as fault:
                    if self._reachable:
                        log.warning("%s; what was read from it before serves on", fault)
                    self._reachable = False
                except Exception:
                    log.exception("the store could not be looked at; it is looked at again")
        finally:
            await self._use(None)

    async def _look(self) -> None:
        url = self._where()
        if url != self._url:
            await self._use(url)
        if self._store is None:
            return
        revision = await self._store.revision()
        if not self._reachable:
            log.warning("the store can be used again")
            self._reachable = True
        if revision in (self._serving(), self._refused):
            return
        await self._changed()
        self._refused = None if self._serving() == revision else revision

    async def _use(self, url: str | None) -> None:
        store, self._store, self._url = self._store, None, url
        if store is not None:
            await store.close()
        if url is not None:
            self._store = Store(url, self._env)
