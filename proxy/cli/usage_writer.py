"""Writes the usage of a running proxy to its store, and reads from it what was spent before.

It looks every second: a new config may name another store, or clients with other budgets.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from ..config import Config, configured_store
from ..costs.budget import Budget
from ..errors import StoreError
from ..gateway.gateway import Gateway
from ..gateway.guard import Guard
from ..observability.usage_log import COLUMNS, EVERY_S, Row, UsageLog
from ..state.interface import StateGone
from ..workers.accounts import Accounts

if TYPE_CHECKING:
    from ..store.database import Store

log = logging.getLogger("crosswire")

PRUNE_S = 3600.0
"""Seconds between two looks for rows that are too old."""

RESPONSE_DAYS = 31
"""Days for which the clients of stored responses are kept.

"Response objects are saved for 30 days by default." https://platform.openai.com/docs/guides/conversation-state
"""

DAY_S = 86400

END_S = 3.0
"""Seconds at the end in which what waits is written."""


class UsageWriter:
    """The connection of one running proxy to the usage in its store."""

    def __init__(self, gateway: Gateway | Accounts) -> None:
        self._gateway = gateway
        self._url: str | None = None
        self._store: Store | None = None
        self._guard: Guard | None = None
        self._epoch = 0
        self._pruned = 0.0

    async def run(self) -> None:
        """Looks, writes and prunes for ever; whatever fails is tried again."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.look()
            except Exception:
                log.exception("the usage could not be written; it is tried again")

    async def look(self) -> None:
        """Follows the config, reads what was spent, and writes what waits."""
        gateway = self._gateway
        url = wanted_store(gateway.config)
        if url != self._url:
            await self._use(url)
        if self._store is None or gateway.ledger is None:
            return
        try:
            epoch = gateway.limits.epoch
            if gateway.guard is not self._guard or epoch != self._epoch:
                await self._read_spent(gateway.guard)
                self._guard, self._epoch = gateway.guard, epoch
            await self._write_responses()
            await self._prune()
        except (StoreError, StateGone) as fault:
            log.debug("%s", fault)  # the ledger says so once, when it writes, and the state by itself
        await gateway.ledger.flush()

    async def close(self) -> None:
        """Writes what waits, for so long as the end may take; what is left is counted as lost."""
        if self._store is None:
            return
        ledger = self._gateway.ledger
        last = asyncio.ensure_future(self.look())
        await asyncio.wait((last,), timeout=END_S)
        if last.done() and (fault := last.exception()) is not None:
            log.error("the usage could not be written", exc_info=fault)
        if ledger is not None and ledger.waiting:
            log.warning("%d rows of usage are lost: the store could not be written before the end", ledger.waiting)
        if last.done():
            await self._store.close()

    async def _use(self, url: str | None) -> None:
        gateway, store = self._gateway, self._store
        if store is not None:
            if gateway.ledger is not None:
                await gateway.ledger.flush()
            await store.close()
        self._store, self._url, self._guard = None, url, None
        gateway.ledger = gateway.owners.find = gateway.read_usage = None
        if url is not None:
            from ..store.database import Store

            self._store = Store(url, os.environ)
            gateway.ledger, gateway.owners.find = UsageLog(self._write), self._find_response
            gateway.read_usage = self._sums

    async def _write(self, rows: Sequence[Row]) -> None:
        from ..store import usage

        assert self._store is not None  # noqa: S101 - the log was made with a store
        async with self._store.appending() as connection:
            await usage.append(connection, COLUMNS, rows)

    async def _sums(self, by: Sequence[str], since: float) -> list[dict[str, Any]]:
        """The sums of the usage by these columns since a unix time, without the last second's, which waits."""
        from ..store import usage

        assert self._store is not None  # noqa: S101 - set together with the function
        async with self._store.reading() as connection:
            return await usage.sums(connection, by, since)

    # ---- what was spent before ---------------------------------------------------------------------------------------

    async def _read_spent(self, guard: Guard | None) -> None:
        """Adds to each budget that is new here what the ledger says was spent of it until its config was taken."""
        from ..store import usage

        if guard is None or not guard.counts_money or self._store is None:
            return
        every = guard.all_budgets()
        until = await guard.state.lacking(every, guard.made)
        budgets = [(limit, limit.bound) for limit in every if limit.key in until and isinstance(limit.bound, Budget)]
        if not budgets:
            return
        for counts_from in sorted({until[limit.key] for limit, _ in budgets}):
            those = [(limit, budget.began(counts_from)) for limit, budget in budgets if until[limit.key] == counts_from]
            async with self._store.reading() as connection:
                found = await usage.spent(connection, min(since for _, since in those), counts_from)
            for limit, since in those:
                spent: list[tuple[float, int]] = []
                for each in found:
                    owners = (f"client {each.client}", *(f"tag {tag}" for tag in each.tags))
                    if limit.owner in owners and each.at + usage.SLOT_S > since:
                        spent.append((each.at + usage.SLOT_S - 1, each.cost))
                await guard.state.add_past(limit, spent)

    # ---- stored responses --------------------------------------------------------------------------------------------

    async def _find_response(self, id_: str) -> tuple[str | None, str] | None:
        from ..store import usage

        if self._store is None:
            return None
        try:
            async with self._store.reading() as connection:
                return await usage.find_response(connection, id_)
        except StoreError as fault:
            log.warning("%s", fault)
            return None

    async def _write_responses(self) -> None:
        from ..store import usage

        owners, store = self._gateway.owners, self._store
        if not owners.new or store is None:
            return
        new, owners.new = owners.new, []
        try:
            async with store.appending() as connection:
                await usage.remember_responses(connection, new)
        except StoreError:
            owners.new = new + owners.new
            raise

    async def _prune(self) -> None:
        from ..store import usage

        now = self._gateway.clock()
        if self._store is None or now - self._pruned < PRUNE_S:
            return
        days = self._gateway.config.settings.usage_days
        async with self._store.appending() as connection:
            await usage.prune(connection, now - days * DAY_S)
            await usage.prune_responses(connection, now - RESPONSE_DAYS * DAY_S)
        self._pruned = now


def wanted_store(config: Config) -> str | None:
    """The address of the store that the usage is written to; None where none is to be."""
    wants = config.settings.usage if config.settings.usage is not None else config.clients is not None
    address = configured_store(config.settings) if wants else None
    return None if address is None else address.url


async def keep_usage(gateway: Gateway | Accounts) -> AsyncIterator[None]:
    """Writes the usage for as long as the application runs: from before its first request to after its last."""
    writer = UsageWriter(gateway)
    try:
        await writer.look()
    except ModuleNotFoundError:
        log.warning("the usage needs a store; install it with: pip install 'crosswire[store]'")
        yield
        return
    if gateway.config.settings.usage and gateway.ledger is None:
        log.warning("usage: true keeps nothing without a store; name one with the key `store`")
    task = asyncio.ensure_future(writer.run())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await writer.close()
