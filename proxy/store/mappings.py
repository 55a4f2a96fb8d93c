"""Mappings in the store: rules for models' names, as the config's `routes` has them."""

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
from .snapshot import Mapping


async def listed(connection: AsyncConnection) -> tuple[list[Mapping], list[str]]:
    """All of them in the order in which they came, and what is wrong with a row that is therefore not among them."""
    found: list[Mapping] = []
    wrong: list[str] = []
    for row in await connection.execute(select(MAPPINGS).order_by(MAPPINGS.c.id)):
        try:
            fallback = json.loads(row.fallback)
        except ValueError:
            fallback = None
        if not isinstance(fallback, list):
            wrong.append(f"store: mapping {row.id}: its fallback is no list in JSON; remove it and add it again")
            continue
        found.append(
            Mapping(
                id=row.id,
                match=row.pattern,
                backend=row.backend,
                model=row.model,
                priority=row.priority,
                enabled=row.enabled,
                fallback=tuple(fallback),
            )
        )
    return found, wrong


async def add(
    connection: AsyncConnection,
    match: str,
    backend: str,
    model: str | None = None,
    priority: int = 0,
    fallback: Sequence[Any] = (),
    enabled: bool = True,
) -> int:
    """A new mapping; its id. Raises StoreError where an enabled one has this pattern and priority."""
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
    """Whether there was one of this id."""
    result = await connection.execute(delete(MAPPINGS).where(MAPPINGS.c.id == number))
    return result.rowcount > 0


async def enable(connection: AsyncConnection, number: int, enabled: bool) -> bool:
    """Whether there is one of this id; raises StoreError where it would contradict another enabled one."""
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
