"""The usage in the store: one row a request, its sums, and the clients of stored responses.

Rows are written in batches while the proxy runs, in transactions that leave the store's change counter as it is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from sqlite3 import DatabaseError
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Integer, case, cast, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..errors import StoreError
from .schema import RESPONSES, USAGE

GROUPS = ("client", "model", "model_used", "backend", "frontend", "operation", "outcome", "day", "tags")
"""The columns by which sums are grouped; a day is one of UTC."""

SUMS = ("input", "output", "cache_read", "cache_write", "reasoning", "cost")

DAY_S = 86400
SLOT_S = 300
"""Seconds of the slots in which costs are summed for budgets; every time zone's day begins with one."""


class Spent(Struct, frozen=True):
    """The costs of one client, with these tags, in one slot that begins at `at`, in billionths of a dollar."""

    at: float
    client: str | None
    tags: tuple[str, ...]
    cost: int


async def append(connection: AsyncConnection, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Adds rows with these columns. The driver gets them as they are, which costs half of what a statement does."""
    is_sqlite = connection.dialect.name == "sqlite"
    marks = ", ".join("?" if is_sqlite else f"${number}" for number in range(1, len(columns) + 1))
    names = ", ".join(f'"{USAGE.c[name].name}"' for name in columns)
    statement = f"INSERT INTO usage ({names}) VALUES ({marks})"  # noqa: S608 - the names are the table's own
    if not is_sqlite:
        await connection.exec_driver_sql(statement, list(rows))
        return
    driver: Any = (await connection.get_raw_connection()).driver_connection
    try:
        await driver.executemany(statement, rows)
    except DatabaseError as fault:
        raise StoreError(f"store: the usage cannot be written: {fault}") from None


async def prune(connection: AsyncConnection, before: float) -> int:
    """Deletes the rows of requests before this unix time; returns how many there were."""
    return (await connection.execute(delete(USAGE).where(USAGE.c.at < before))).rowcount


async def sums(
    connection: AsyncConnection, by: Sequence[str], since: float, until: float | None = None
) -> list[dict[str, Any]]:
    """Returns a row for each combination of these columns: requests, failures, tokens and cost, the costliest first.

    `unpriced` counts the requests that have tokens and no price.
    """
    groups = [_column(connection, name).label(name) for name in by]
    failed, unpriced = USAGE.c.outcome != "answered", USAGE.c.cost.is_(None) & USAGE.c.output.is_not(None)
    totals = [
        func.count().label("requests"),
        func.sum(case((failed, 1), else_=0)).label("failed"),
        *(func.coalesce(func.sum(USAGE.c[name]), 0).label(name) for name in SUMS),
        func.sum(case((unpriced, 1), else_=0)).label("unpriced"),
    ]
    chosen = USAGE.c.at >= since
    if until is not None:
        chosen &= USAGE.c.at < until
    query = select(*groups, *totals).where(chosen).group_by(*(group.element for group in groups))
    found = [dict(row._mapping) for row in await connection.execute(query)]
    for row in found:
        row |= {name: int(row[name]) for name in (*SUMS, "requests", "failed", "unpriced")}
    return sorted(found, key=lambda row: (-row["cost"], -row["requests"], str([row[name] for name in by])))


async def spent(connection: AsyncConnection, since: float, until: float) -> list[Spent]:
    """Returns the costs between two unix times by client, tags and slot, in the order of time."""
    slot = _slot(connection, SLOT_S).label("slot")
    query = (
        select(slot, USAGE.c.client, USAGE.c.tags, func.sum(USAGE.c.cost).label("cost"))
        .where((USAGE.c.at >= since) & (USAGE.c.at < until) & USAGE.c.cost.is_not(None))
        .group_by(slot.element, USAGE.c.client, USAGE.c.tags)
        .order_by(slot)
    )
    return [
        Spent(float(row.slot) * SLOT_S, row.client, tuple(filter(None, row.tags.split(","))), int(row.cost))
        for row in await connection.execute(query)
    ]


def _column(connection: AsyncConnection, name: str) -> ColumnElement[Any]:
    return _slot(connection, DAY_S) if name == "day" else USAGE.c[name]


def _slot(connection: AsyncConnection, seconds: int) -> ColumnElement[Any]:
    """The number of the slot of this length in which a request came. Only PostgreSQL rounds where it casts."""
    ratio = USAGE.c.at / seconds
    return cast(func.floor(ratio) if connection.dialect.name == "postgresql" else ratio, Integer)


# ---- stored responses ------------------------------------------------------------------------------------------------


async def remember_responses(connection: AsyncConnection, rows: Sequence[tuple[str, str | None, str]]) -> None:
    """Keeps the client and the backend of these responses; of one that is known already the first."""
    known = await connection.execute(select(RESPONSES.c.id).where(RESPONSES.c.id.in_([row[0] for row in rows])))
    have = {row.id for row in known}
    new = {id_: (client, backend) for id_, client, backend in rows if id_ not in have}
    if new:
        now = time.time()
        values = [{"id": id_, "client": who, "backend": where, "at": now} for id_, (who, where) in new.items()]
        await connection.execute(insert(RESPONSES), values)


async def find_response(connection: AsyncConnection, id_: str) -> tuple[str | None, str] | None:
    """The client and the backend of a stored response; None where it is not known."""
    row = (await connection.execute(select(RESPONSES).where(RESPONSES.c.id == id_))).one_or_none()
    return None if row is None else (row.client, row.backend)


async def prune_responses(connection: AsyncConnection, before: float) -> None:
    """Forgets the responses that were stored before this unix time."""
    await connection.execute(delete(RESPONSES).where(RESPONSES.c.at < before))
