"""The audit: who changed what of the store, when and from where. Rows are only ever added; a trigger holds that."""

from __future__ import annotations

import time
from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from .schema import AUDIT


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One change: the unix time, the person's account, the machine, the command, and what it changed."""

    id: int
    at: float
    actor: str
    origin: str
    action: str
    subject: str
    detail: str


async def append(
    connection: AsyncConnection, *, actor: str, origin: str, action: str, subject: str, detail: str
) -> None:
    """Adds an entry in the transaction of the change itself."""
    values = {"actor": actor, "origin": origin, "action": action, "subject": subject, "detail": detail}
    await connection.execute(insert(AUDIT).values(at=time.time(), **values))


async def list_latest(connection: AsyncConnection, since: float, most: int) -> Sequence[AuditEntry]:
    """Returns the latest entries from this unix time on, the oldest first."""
    rows = await connection.execute(select(AUDIT).where(AUDIT.c.at >= since).order_by(AUDIT.c.id.desc()).limit(most))
    return [AuditEntry(**row._mapping) for row in reversed(rows.all())]
