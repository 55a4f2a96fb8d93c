"""Settings in the store: top-level keys of the config with their values in YAML; they contain no secrets."""

from __future__ import annotations

import time

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .schema import SETTINGS
from .snapshot import Setting


async def list_all(connection: AsyncConnection) -> list[Setting]:
    """Returns all settings by key."""
    rows = await connection.execute(select(SETTINGS).order_by(SETTINGS.c.key))
    return [Setting(key=row.key, value=row.value, enabled=row.enabled) for row in rows]


async def add(connection: AsyncConnection, key: str, value: str) -> bool:
    """Sets a key, enabled; returns true if it is new."""
    values = {"value": value, "enabled": True, "changed_at": int(time.time())}
    changed = await connection.execute(update(SETTINGS).where(SETTINGS.c.key == key).values(values))
    if changed.rowcount:
        return False
    await connection.execute(insert(SETTINGS).values(key=key, **values))
    return True


async def remove(connection: AsyncConnection, key: str) -> bool:
    """Deletes a setting; returns false if there is none of this key."""
    result = await connection.execute(delete(SETTINGS).where(SETTINGS.c.key == key))
    return result.rowcount > 0


async def enable(connection: AsyncConnection, key: str, enabled: bool) -> bool:
    """Enables or disables a setting; returns false if there is none of this key."""
    values = {"enabled": enabled, "changed_at": int(time.time())}
    result = await connection.execute(update(SETTINGS).where(SETTINGS.c.key == key).values(values))
    return result.rowcount > 0
