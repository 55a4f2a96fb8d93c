"""Mappings in the store: routing rules for model names, like the entries of the config's `routes`."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from ..errors import StoreError
from .schema import MAPPINGS
from .snapshot import StoredRoute


async def list_all(connection: AsyncConnection) -> tuple[list[StoredRoute], list[str]]:
    """Returns all valid mappings in the order they were added, and an error message for each invalid row."""
    found: list[StoredRoute] = []
    errors: list[str] = []
    for row in await connection.execute(select(MAPPINGS).order_by(MAPPINGS.c.id)):
        try:
            fallback = json.loads(row.fallback)
        except ValueError:
            fallback = None
        if not isinstance(fallback, list):
            errors.append(f"store: mapping {row.id}: its fallback is not a JSON list; remove it and add it again")
            continue
        found.append(
            StoredRoute(
                id=row.id,
                match=row.pattern,
                backend=row.backend,
                model=row.model,
                priority=row.priority,
                enabled=row.enabled,
                fallback=tuple(fallback),
            )
        )
    return found, errors


async def add(
    connection: AsyncConnection,
    match: str,
    backend: str,
    model: str | None = None,
    priority: int = 0,
    fallback: Sequence[Any] = (),
    enabled: bool = True,
) -> int:
    """Adds a mapping and returns its id; raises StoreError if an enabled one has the same pattern and priority."""
    values = {
        "pattern": match,
        "backend": backend,
        "model": model,
        "priority": priority,
        "fallback": json.dumps(list(fallback)),
        "enabled": enabled,
        "changed_at": int(time.time()),
    }
    try:
        result = await connection.execute(insert(MAPPINGS).values(values).returning(MAPPINGS.c.id))
    except IntegrityError:
        raise StoreError(_conflict(match, priority)) from None
    return int(result.scalar_one())


async def remove(connection: AsyncConnection, number: int) -> bool:
    """Deletes a mapping; returns false if there is none of this id."""
    result = await connection.execute(delete(MAPPINGS).where(MAPPINGS.c.id == number))
    return result.rowcount > 0


async def enable(connection: AsyncConnection, number: int, enabled: bool) -> bool:
    """Enables or disables a mapping; returns false if there is none of this id.

    Raises StoreError if an enabled one has the same pattern and priority.
    """
    row = (await connection.execute(select(MAPPINGS).where(MAPPINGS.c.id == number))).one_or_none()
    if row is None:
        return False
    change = update(MAPPINGS).where(MAPPINGS.c.id == number).values(enabled=enabled, changed_at=int(time.time()))
    try:
        await connection.execute(change)
    except IntegrityError:
        raise StoreError(_conflict(row.pattern, row.priority)) from None
    return True


def _conflict(match: str, priority: int) -> str:
    return (
        f"another enabled mapping has the pattern {match!r} and the priority {priority}; disable it, or give another"
        " priority"
    )
