"""Credentials in the store: the providers' keys, sealed, each bound to its row, its provider and its address.

A key leaves here opened in a Snapshot, and in no other way.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from msgspec import Struct
from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..errors import StoreError
from .crypto import Ring, Tampered
from .schema import CREDENTIALS
from .snapshot import Credential, masked

PURPOSE = "credentials"
DEFAULT = "default"
"""The name of a provider's only credential."""


class Listed(Struct, frozen=True):
    """A credential as a list shows it."""

    provider: str
    name: str
    shown: str
    base_url: str | None
    enabled: bool


async def opened(connection: AsyncConnection, ring: Ring | None) -> tuple[list[Credential], list[str]]:
    """All that can be opened, by provider and name; and what is wrong with each that cannot."""
    found: list[Credential] = []
    wrong: list[str] = []
    for row in await connection.execute(_all()):
        key, fault = _open(row, ring)
        if fault is not None:
            wrong.append(f"store: {fault}")
        else:
            found.append(
                Credential(
                    id=row.id,
                    provider=row.provider,
                    name=row.name,
                    key=key,
                    base_url=row.base_url,
                    enabled=row.enabled,
                )
            )
    return found, wrong


async def listed(connection: AsyncConnection, ring: Ring | None) -> list[Listed]:
    """All of them, keys masked; what cannot be opened says why."""
    found = []
    for row in await connection.execute(_all()):
        key, fault = _open(row, ring)
        shown = masked(key) if fault is None else fault
        found.append(Listed(row.provider, row.name, shown, row.base_url, row.enabled))
    return found


async def add(
    connection: AsyncConnection, ring: Ring, provider: str, key: str, name: str = DEFAULT, base_url: str | None = None
) -> bool:
    """Keep a key, enabled; whether it is new or took the place of another of this provider and name."""
    values: dict[str, Any] = {"base_url": base_url, "enabled": True, "changed_at": int(time.time())}
    here = (CREDENTIALS.c.provider == provider) & (CREDENTIALS.c.name == name)
    known = (await connection.execute(select(CREDENTIALS.c.id).where(here))).scalar_one_or_none()
    number = known or secrets.token_hex(8)
    values |= {"sealed": ring.seal(key, PURPOSE, (number, provider, base_url)), "master": ring.current}
    if known is not None:
        await connection.execute(update(CREDENTIALS).where(CREDENTIALS.c.id == known).values(values))
    else:
        await connection.execute(insert(CREDENTIALS).values(id=number, provider=provider, name=name, **values))
    return known is None


async def remove(connection: AsyncConnection, provider: str, name: str = DEFAULT) -> bool:
    """Whether there was one of this provider and name."""
    here = (CREDENTIALS.c.provider == provider) & (CREDENTIALS.c.name == name)
    result = await connection.execute(delete(CREDENTIALS).where(here))
    return result.rowcount > 0


async def enable(connection: AsyncConnection, provider: str, name: str, enabled: bool) -> bool:
    """Whether there is one of this provider and name."""
    here = (CREDENTIALS.c.provider == provider) & (CREDENTIALS.c.name == name)
    values = {"enabled": enabled, "changed_at": int(time.time())}
    result = await connection.execute(update(CREDENTIALS).where(here).values(values))
    return result.rowcount > 0


# ---- rotation --------------------------------------------------------------------------------------------------------


async def stale(connection: AsyncConnection, ring: Ring) -> list[str]:
    """The ids of those that are sealed under another key than the one in use."""
    rows = await connection.execute(select(CREDENTIALS.c.id).where(CREDENTIALS.c.master != ring.current))
    return [row.id for row in rows]


async def reseal(connection: AsyncConnection, ring: Ring, number: str) -> None:
    """Seal one anew under the key in use; raises StoreError where it cannot be opened."""
    row = (await connection.execute(_all().where(CREDENTIALS.c.id == number))).one_or_none()
    if row is None:
        return  # removed meanwhile
    key, fault = _open(row, ring)
    if fault is not None:
        raise StoreError(fault)
    sealed = ring.seal(key, PURPOSE, (row.id, row.provider, row.base_url))
    change = update(CREDENTIALS).where(CREDENTIALS.c.id == number).values(sealed=sealed, master=ring.current)
    await connection.execute(change)


def _all() -> Any:
    return select(CREDENTIALS).order_by(CREDENTIALS.c.provider, CREDENTIALS.c.name)


def _open(row: Row[Any], ring: Ring | None) -> tuple[str, str | None]:
    """The key, or what is wrong with this row and what to do."""
    label = row.provider if row.name == DEFAULT else f"{row.provider}/{row.name}"
    if ring is None or row.master not in ring.names:
        why = f"the credential {label} is sealed under the master key {row.master}"
        return "", f"{why}, which is not given; set CROSSWIRE_MASTER_KEY or CROSSWIRE_MASTER_KEY_FILE"
    try:
        return ring.open(row.sealed, row.master, PURPOSE, (row.id, row.provider, row.base_url)), None
    except (Tampered, UnicodeDecodeError):
        return "", f"the credential {label} was changed, cut or swapped in the database; add it again"
