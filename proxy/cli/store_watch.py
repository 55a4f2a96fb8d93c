"""Watches the store of a running proxy, and applies its changes as those of the config file are."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

from ..config import DEFAULT_STORE_URL, configured_store
from ..config.source import missing_library
from ..errors import StoreError
from ..server.reload import Reloadable, Reloader

log = logging.getLogger("crosswire")


async def watch_store(gateway: Reloadable, reloader: Reloader, report: Callable[[str | None], None]) -> None:
    """Applies changes of the store for ever; `report` is told why it cannot be read, and None once it can."""
    settings = gateway.config.settings
    while configured_store(gateway.config.settings) is None:  # noqa: ASYNC110 - nothing notifies of a file that appears
        await asyncio.sleep(settings.store_poll_s or 1.0)
    try:
        from ..store.watch import Watcher
    except ModuleNotFoundError as missing:
        log.warning("%s", missing_library(missing))
        return
    try:
        watcher = Watcher(
            where=lambda: _store_url(gateway),
            env=os.environ,
            interval=lambda: gateway.config.settings.store_poll_s,
            serving=lambda: gateway.config.revision,
            changed=reloader.reload_settled,
            report=report,
        )
    except StoreError as fault:
        log.warning("%s", fault)
    else:
        await watcher.watch()


def _store_url(gateway: Reloadable) -> str | None:
    """The URL of the store; the default one's also while its file is gone, if it has been read."""
    address = configured_store(gateway.config.settings)
    if address is not None:
        return address.url
    return DEFAULT_STORE_URL if gateway.config.revision else None
