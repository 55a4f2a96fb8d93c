"""Clients in the store: keyed hashes of their keys, and what they may do. The keys themselves are nowhere.

The key of the hashes is encrypted like a credential, so that who reads the database alone cannot try guesses.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..errors import StoreError
from .crypto import KeyRing, TamperedError
from .schema import CLIENTS, HASH_KEYS
from .snapshot import StoredClient

PURPOSE = "client keys"
HASH_KEY_ID = "clients"


async def list_all(connection: AsyncConnection) -> list[StoredClient]:
    """Returns all clients by name."""
    rows = await connection.execute(select(CLIENTS).order_by(CLIENTS.c.name))
    return [
        StoredClient(
            name=row.name,
            digest=row.digest,
            grants=row.grants,
            enabled=row.enabled,
            former=row.former,
            former_ends=row.former_ends,
        )
        for row in rows
    ]


async def hash_key(connection: AsyncConnection, ring: KeyRing | None) -> bytes | None:
    """Returns the key of the digests; None where there is none yet. Raises StoreError where it cannot be decrypted."""
    row = (await connection.execute(select(HASH_KEYS).where(HASH_KEYS.c.id == HASH_KEY_ID))).one_or_none()
    if row is None:
        return None
    if ring is None or row.master not in ring.names:
        why = f"the clients' keys are hashed with a key that is encrypted with the master key {row.master}"
        raise StoreError(f"{why}, which is not configured; set CROSSWIRE_MASTER_KEY or CROSSWIRE_MASTER_KEY_FILE")
    try:
        return bytes.fromhex(ring.decrypt(row.sealed, row.master, PURPOSE, (row.id,)))
    except (TamperedError, ValueError):
        raise StoreError("the hash key of the clients cannot be decrypted, because its row was changed") from None


async def make_hash_key(connection: AsyncConnection, ring: KeyRing, key: bytes) -> None:
    """Keeps a new key of the digests."""
    sealed = ring.encrypt(key.hex(), PURPOSE, (HASH_KEY_ID,))
    await connection.execute(insert(HASH_KEYS).values(id=HASH_KEY_ID, sealed=sealed, master=ring.current))


async def add(connection: AsyncConnection, name: str, digest: bytes, grants: str) -> bool:
    """Adds a client, enabled; returns false where there is one of this name."""
    if (await connection.execute(select(CLIENTS.c.name).where(CLIENTS.c.name == name))).one_or_none() is not None:
        return False
    values = {"digest": digest, "grants": grants, "enabled": True, "changed_at": int(time.time())}
    await connection.execute(insert(CLIENTS).values(name=name, **values))
    return True


async def replace_key(connection: AsyncConnection, name: str, digest: bytes, former_ends: float | None) -> bool:
    """Gives a client another key; the one before it holds until this time, or no longer where there is none."""
    row = (await connection.execute(select(CLIENTS.c.digest).where(CLIENTS.c.name == name))).one_or_none()
    if row is None:
        return False
    former = None if former_ends is None else row.digest
    await _update(connection, name, digest=digest, former=former, former_ends=former_ends)
    return True


async def enable(connection: AsyncConnection, name: str, enabled: bool) -> bool:
    """Enables or disables a client; returns false if there is none of this name."""
    return await _update(connection, name, enabled=enabled)


async def remove(connection: AsyncConnection, name: str) -> bool:
    """Deletes a client; returns false if there is none of this name."""
    result = await connection.execute(delete(CLIENTS).where(CLIENTS.c.name == name))
    return result.rowcount > 0


async def reencrypt(connection: AsyncConnection, ring: KeyRing) -> int:
    """Encrypts the hash key anew where it is under another master key than the current one; returns how many were."""
    row = (await connection.execute(select(HASH_KEYS).where(HASH_KEYS.c.master != ring.current))).one_or_none()
    if row is None:
        return 0
    key = await hash_key(connection, ring)
    assert key is not None  # noqa: S101 - the row was just read
    sealed = ring.encrypt(key.hex(), PURPOSE, (HASH_KEY_ID,))
    await connection.execute(update(HASH_KEYS).values(sealed=sealed, master=ring.current))
    return 1


async def _update(connection: AsyncConnection, name: str, **values: Any) -> bool:
    values["changed_at"] = int(time.time())
    result = await connection.execute(update(CLIENTS).where(CLIENTS.c.name == name).values(values))
    return result.rowcount > 0
