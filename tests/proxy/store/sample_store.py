"""Sample secrets, and steps that tests of the store share."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from sqlalchemy import text

from crosswire.proxy.store import credentials
from crosswire.proxy.store.database import Store

SECRET = "sk-ant-not-to-be-seen-0123456789"
OTHER = "sk-or-another-one-9876543210abcd"


def text_of(key: bytes) -> str:
    return base64.b64encode(key).decode()


async def add_credential(store: Store, provider: str, key: str, **also: Any) -> bool:
    async with store.writing() as connection:
        ring = await store.ring(connection)
        assert ring is not None
        return await credentials.add(connection, ring, provider, key, **also)


async def execute(store: Store, statement: str, **values: Any) -> None:
    """A change of the database by other means than the store's commands."""
    async with store.writing() as connection:
        await connection.execute(text(statement), values)


def folder_bytes(folder: Path) -> bytes:
    """All that lies in a folder, SQLite's log of what is to be written included."""
    return b"".join(file.read_bytes() for file in folder.iterdir())
