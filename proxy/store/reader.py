"""Reads a store once, from code that is not asynchronous."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

from ..errors import MissingStoreError
from .database import Store
from .snapshot import Snapshot


def read_store(url: str, *, create: bool = False) -> Snapshot:
    """Reads what the store holds now; raises StoreError where it cannot be read, or is missing and not to be made."""
    with ThreadPoolExecutor(1) as thread:  # the caller may have a running loop
        return thread.submit(asyncio.run, _read(url, create)).result()


async def _read(url: str, create: bool) -> Snapshot:
    store = Store(url, os.environ)
    try:
        snapshot = await store.snapshot()
        if not snapshot.revision and not create:  # no row was ever written: a wrong address, or a new store
            raise MissingStoreError(
                f"store: {store.masked_url} is missing or empty; correct it, add the first row (crosswire credentials"
                " add, or mappings, or settings), or let it be made later: store: {url: …, create: true}"
            )
        return snapshot
    finally:
        await store.close()
