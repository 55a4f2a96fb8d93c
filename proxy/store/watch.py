"""Polls the store's change counter, so that a running proxy applies changes of the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from ..errors import StoreError
from .database import Store

log = logging.getLogger("crosswire")

END_S = 2.0
"""Seconds at the end that a look under way has to come back."""


class Watcher:
    """Calls `changed` when the store's revision differs from the one in use, which `serving` returns.

    `where` returns the store's URL and `interval` the seconds between two polls; both are called every time, because a
    new config may change them. `changed` returns whether a config was applied; a rejected revision is not tried again.
    `report` is told why the store cannot be read, and None whenever it can; the proxy keeps the content that it read
    last.
    """

    def __init__(
        self,
        where: Callable[[], str | None],
        env: Mapping[str, str],
        interval: Callable[[], float],
        serving: Callable[[], int],
        changed: Callable[[], Awaitable[bool]],
        report: Callable[[str | None], None],
    ) -> None:
        self._where = where
        self._env = env
        self._interval = interval
        self._serving = serving
        self._changed = changed
        self._report = report
        self._url: str | None = None
        self._store: Store | None = None
        self._refused: int | None = None

    async def watch(self) -> None:
        """Polls until cancelled; then closes the store."""
        try:
            while True:
                await asyncio.sleep(self._interval() or 1.0)
                if not self._interval():
                    continue
                look = asyncio.ensure_future(self._look())
                look.add_done_callback(lambda done: done.cancelled() or done.exception())  # it is read below, or late
                try:
                    await asyncio.shield(look)
                except asyncio.CancelledError:
                    # a driver that is cancelled within a call may leave its thread behind, which keeps the process
                    await asyncio.wait((look,), timeout=END_S)
                    look.cancel()
                    raise
                except StoreError as error:
                    self._report(str(error))
                except Exception:
                    log.exception("polling the store failed; it will be polled again")
        finally:
            await self._use(None)

    async def _look(self) -> None:
        url = self._where()
        if url != self._url:
            await self._use(url)
        if self._store is None:
            return
        revision = await self._store.revision()
        if self._serving() and not revision:
            raise StoreError(f"store: {self._store.masked_url} is gone, though it was there before")
        if revision in (self._serving(), self._refused):
            self._report(None)
            return
        taken = await self._changed()  # which reports what it finds of the store
        # a config that was taken without this revision is one for which the store could not be read: it is tried again
        self._refused = None if taken else revision

    async def _use(self, url: str | None) -> None:
        store, self._store, self._url = self._store, None, url
        if store is not None:
            await store.close()
        if url is not None:
            self._store = Store(url, self._env)
