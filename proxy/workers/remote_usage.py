"""A worker's usage: its rows and stored responses go to the supervisor, which alone writes them to the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from ..errors import StoreError
from ..gateway.gateway import Gateway
from ..observability.usage_log import EVERY_S, Row, UsageLog
from .channel import Channel, ChannelError

log = logging.getLogger("crosswire")

ANSWER_S = 10.0
"""Seconds in which the supervisor must have answered."""

END_S = 3.0
"""Seconds at the end in which what waits is sent."""


class RemoteUsage:
    """The ledger of one worker while the supervisor keeps one."""

    def __init__(self, channel: Channel, gateway: Gateway) -> None:
        self._channel = channel
        self._gateway = gateway

    def keep(self, keeps: bool) -> None:
        """Begins to collect rows where a ledger is kept, or ends it."""
        gateway = self._gateway
        if keeps and gateway.ledger is None:
            gateway.ledger, gateway.owners.find, gateway.read_usage = UsageLog(self._write), self._find, self._sums
        elif not keeps:
            gateway.ledger = gateway.owners.find = gateway.read_usage = None

    async def run(self) -> None:
        """Sends for ever what waits."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.send()
            except ChannelError as fault:
                log.debug("the usage waits: %s", fault)

    async def send(self) -> None:
        """Sends what waits."""
        gateway = self._gateway
        if gateway.owners.new:
            new, gateway.owners.new = gateway.owners.new, []
            try:
                await self._channel.ask("responses", new, limit_s=ANSWER_S)
            except ChannelError:
                gateway.owners.new = new + gateway.owners.new
                raise
        if gateway.ledger is not None:
            await gateway.ledger.flush()

    async def close(self) -> None:
        """Sends what waits, for so long as the end may take; what is left is counted as lost."""
        ledger = self._gateway.ledger
        try:
            async with asyncio.timeout(END_S):
                await self.send()
        except (TimeoutError, ChannelError):
            pass
        if ledger is not None and ledger.waiting:
            log.warning("%d rows of usage are lost: the store could not be written before the end", ledger.waiting)

    async def _write(self, rows: Sequence[Row]) -> None:
        await self._asked("usage", rows)

    async def _sums(self, by: Sequence[str], since: float) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self._asked("usage sums", by, since)
        return found

    async def _find(self, id_: str) -> tuple[str | None, str] | None:
        try:
            found = await self._asked("find response", id_)
        except StoreError as fault:
            log.warning("%s", fault)
            return None
        return None if found is None else (found[0], found[1])

    async def _asked(self, *question: Any) -> Any:
        try:
            return await self._channel.ask(*question, limit_s=ANSWER_S)
        except ChannelError as fault:
            raise StoreError(str(fault)) from None
