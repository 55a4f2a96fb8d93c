"""Credentials in the store: provider keys, encrypted and bound to their row, provider and address.

Decrypted keys leave this module only for a Snapshot.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from msgspec import Struct
from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..errors import StoreError
from .crypto import KeyRing, TamperedError
from .schema import CREDENTIALS
from .snapshot import Credential, mask_key

PURPOSE = "credentials"
DEFAULT = "default"
"""Name of a credential that was added without one."""


class CredentialSummary(Struct, frozen=True):
    """A credential for display; `shown` is the masked key, or the reason why it cannot be decrypted."""

    provider: str
    name: str
    shown: str
    base_url: str | None
    enabled: bool


async def decrypt_all(connection: AsyncConnection, ring: KeyRing | None) -> tuple[list[Credential], list[str]]:
    """Returns all credentials that can be decrypted, by provider and name, and an error message for each other one that
    is enabled."""
    found: list[Credential] = []
    errors: list[str] = []
    for row in await connection.execute(_select_all()):
        key, error = _decrypt(row, ring)
        if error is not None:
            errors += [f"store: {error}"] if row.enabled else []
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
    return found, errors


async def list_all(connection: AsyncConnection, ring: KeyRing | None) -> list[CredentialSummary]:
    """Returns summaries of all credentials by provider and name."""
    found = []
    for row in await connection.execute(_select_all()):
        key, error = _decrypt(row, ring)
        shown = mask_key(key) if error is None else error
        found.append(CredentialSummary(row.provider, row.name, shown, row.base_url, row.enabled))
    return found


async def add(
    connection: AsyncConnection,
    ring: KeyRing,
    provider: str,
    key: str,
    name: str = DEFAULT,
    base_url: str | None = None,
) -> bool:
    """Stores a key, enabled; returns true if it is new, false if it replaced one of the same provider and name."""
    values: dict[str, Any] = {"base_url": base_url, "enabled": True, "changed_at": int(time.time())}
    same_name = (CREDENTIALS.c.provider == provider) & (CREDENTIALS.c.name == name)
    known = (await connection.execute(select(CREDENTIALS.c.id).where(same_name))).scalar_one_or_none()
    number = known or secrets.token_hex(8)
    values |= {"sealed": ring.encrypt(key, PURPOSE, (number, provider, base_url)), "master": ring.current}
    if known is not None:
        await connection.execute(update(CREDENTIALS).where(CREDENTIALS.c.id == known).values(values))
    else:
        await connection.execute(insert(CREDENTIALS).values(id=number, provider=provider, name=name, **values))
    return known is None


async def remove(connection: AsyncConnection, provider: str, name: str = DEFAULT) -> bool:
    """Deletes a credential; returns false if there is none of this provider and name."""
    same_name = (CREDENTIALS.c.provider == provider) & (CREDENTIALS.c.name == name)
    result = await connection.execute(delete(CREDENTIALS).where(same_name))
    return result.rowcount > 0


async def enable(connection: AsyncConnection, provider: str, name: str, enabled: bool) -> bool:
    """Enables or disables a credential; returns false if there is none of this provider and name."""
    same_name = (CREDENTIALS.c.provider == provider) & (CREDENTIALS.c.name == name)
    values = {"enabled": enabled, "changed_at": int(time.time())}
    result = await connection.execute(update(CREDENTIALS).where(same_name).values(values))
    return result.rowcount > 0


# ---- rotation --------------------------------------------------------------------------------------------------------


async def ids_under_old_keys(connection: AsyncConnection, ring: KeyRing) -> list[str]:
    """Returns the ids of the credentials that are encrypted under another master key than the current one."""
    rows = await connection.execute(select(CREDENTIALS.c.id).where(CREDENTIALS.c.master != ring.current))
    return [row.id for row in rows]


async def reencrypt(connection: AsyncConnection, ring: KeyRing, number: str) -> None:
    """Encrypts a credential anew under the current master key; raises StoreError if it cannot be decrypted."""
    row = (await connection.execute(_select_all().where(CREDENTIALS.c.id == number))).one_or_none()
    if row is None:
        return  # removed in the meantime
    key, error = _decrypt(row, ring)
    if error is not None:
        raise StoreError(error)
    sealed = ring.encrypt(key, PURPOSE, (row.id, row.provider, row.base_url))
    change = update(CREDENTIALS).where(CREDENTIALS.c.id == number).values(sealed=sealed, master=ring.current)
    await connection.execute(change)


def _select_all() -> Any:
    return select(CREDENTIALS).order_by(CREDENTIALS.c.provider, CREDENTIALS.c.name)


def _decrypt(row: Row[Any], ring: KeyRing | None) -> tuple[str, str | None]:
    """Returns the key of a row and None, or an empty string and an error message."""
    label = row.provider if row.name == DEFAULT else f"{row.provider}/{row.name}"
    if ring is None or row.master not in ring.names:
        why = f"the credential {label} is encrypted with the master key {row.master}"
        return "", f"{why}, which is not configured; set CROSSWIRE_MASTER_KEY or CROSSWIRE_MASTER_KEY_FILE"
    try:
        return ring.decrypt(row.sealed, row.master, PURPOSE, (row.id, row.provider, row.base_url)), None
    except (TamperedError, UnicodeDecodeError):
        return (
            "",
            f"the credential {label} cannot be decrypted, because its row was changed in the database; add it again",
        )
