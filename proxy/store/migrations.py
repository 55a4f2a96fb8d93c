"""How a database becomes what `schema` says, from nothing or from any version before: a list, each step run once.

A list of statements in place of a migration tool: there are four tables, both databases understand the same SQL but
for two types, and a tool would bring a second folder, a second config and a command of its own to keep in step.
"""

from __future__ import annotations

import secrets

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from ..errors import StoreError

SALT_BYTES = 16
_LOCK = 0x63_72_6F_73_73  # one number for all that migrate a store in the same PostgreSQL

TYPES: dict[str, dict[str, str]] = {
    "sqlite": {"id": "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT", "bytes": "BLOB"},
    "postgresql": {"id": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "bytes": "BYTEA"},
}
"""By database, what the statements' two words stand for. No id is used twice: a list that was printed stays true."""


class Migration(Struct, frozen=True):
    """A step: why, and its statements. What ran somewhere is never changed again; a change is a new step."""

    why: str
    statements: tuple[str, ...]


MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        "mappings and settings",
        (
            "CREATE TABLE mappings (id {id}, pattern TEXT NOT NULL, backend TEXT NOT NULL, model TEXT,"
            " priority INTEGER NOT NULL, enabled BOOLEAN NOT NULL, fallback TEXT NOT NULL, changed_at BIGINT NOT NULL)",
            # two enabled rules of one pattern and priority contradict each other
            "CREATE UNIQUE INDEX mappings_enabled ON mappings (pattern, priority) WHERE enabled",
            "CREATE TABLE settings (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL, enabled BOOLEAN NOT NULL,"
            " changed_at BIGINT NOT NULL)",
        ),
    ),
    Migration(
        "credentials, several a provider by name",
        (
            "CREATE TABLE credentials (id TEXT NOT NULL PRIMARY KEY, provider TEXT NOT NULL, name TEXT NOT NULL,"
            " sealed {bytes} NOT NULL, master TEXT NOT NULL, base_url TEXT, enabled BOOLEAN NOT NULL,"
            " changed_at BIGINT NOT NULL)",
            "CREATE UNIQUE INDEX credentials_name ON credentials (provider, name)",
        ),
    ),
)


async def migrate(connection: AsyncConnection, newest: int = len(MIGRATIONS)) -> None:
    """Run what has not run yet, in the transaction that is open; whoever else migrates waits for its end.

    Raises StoreError where a newer Crosswire made this database.
    """
    dialect = connection.dialect.name
    if dialect == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    types = TYPES[dialect]
    made = (
        "CREATE TABLE IF NOT EXISTS store (version INTEGER NOT NULL, revision BIGINT NOT NULL, salt {bytes} NOT NULL)"
    )
    await connection.execute(text(made.format(**types)))
    version = (await connection.execute(text("SELECT version FROM store"))).scalar_one_or_none()
    if version is None:
        first = text("INSERT INTO store (version, revision, salt) VALUES (0, 0, :salt)")
        await connection.execute(first, {"salt": secrets.token_bytes(SALT_BYTES)})
        version = 0
    if version > len(MIGRATIONS):
        what = f"the store has version {version}, and this Crosswire knows {len(MIGRATIONS)}"
        raise StoreError(f"{what}; use the newer Crosswire that made it")
    for step in MIGRATIONS[version:newest]:
        for statement in step.statements:
            await connection.execute(text(statement.format(**types)))
    if version < newest:
        await connection.execute(text("UPDATE store SET version = :version"), {"version": newest})
