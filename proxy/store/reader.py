"""Reads a store once, from code that is not asynchronous."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

from .database import Store
from .snapshot import Snapshot


def read_store(url: str) -> Snapshot:
    """Reads what the store holds now; raises StoreError where it cannot be read."""
    with ThreadPoolExecutor(1) as thread:  # the caller may have a running loop
        return thread.submit(asyncio.run, _read(url)).result()


async def _read(url: str) -> Snapshot:
    store = Store(url, os.environ)
    try:
        return await store.snapshot()
    finally:
        await store.close()
