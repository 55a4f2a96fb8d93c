"""Migrations of the database to the newest schema, from nothing or any earlier version; each step runs once.

A list of statements is used instead of a migration tool: there are few tables, both databases accept the same SQL
except for some types and triggers, and a tool would add a second folder, a second config and a command to maintain.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from ..errors import StoreError

SALT_BYTES = 16
_LOCK = 0x63_72_6F_73_73  # advisory lock id, the same for every process that migrates a store in one PostgreSQL

TYPES: dict[str, dict[str, str]] = {
    "sqlite": {
        "id": "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT",
        "row": "INTEGER NOT NULL PRIMARY KEY",
        "bytes": "BLOB",
        "double": "REAL",
    },
    "postgresql": {
        "id": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        "row": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        "bytes": "BYTEA",
        "double": "DOUBLE PRECISION",
    },
}
"""Database to the types of the placeholders in the statements. An `id` is never reused, so printed ids stay valid."""


class Migration(Struct, frozen=True):
    """A step: its purpose and its statements. A released step is never changed; a change is a new step."""

    purpose: str
    statements: tuple[str, ...]
    own: Mapping[str, tuple[str, ...]] = {}
    """Database to the statements after these that it alone understands."""


MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        "mappings and settings",
        (
            "CREATE TABLE mappings (id {id}, pattern TEXT NOT NULL, backend TEXT NOT NULL, model TEXT,"
            " priority INTEGER NOT NULL, enabled BOOLEAN NOT NULL, fallback TEXT NOT NULL, changed_at BIGINT NOT NULL)",
            # two enabled mappings with the same pattern and priority contradict each other
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
    Migration(
        "clients, audit, usage and the clients of stored responses",
        (
            "CREATE TABLE hash_keys (id TEXT NOT NULL PRIMARY KEY, sealed {bytes} NOT NULL, master TEXT NOT NULL)",
            "CREATE TABLE clients (name TEXT NOT NULL PRIMARY KEY, digest {bytes} NOT NULL, former {bytes},"
            " former_ends {double}, grants TEXT NOT NULL, enabled BOOLEAN NOT NULL, changed_at BIGINT NOT NULL)",
            "CREATE TABLE audit (id {id}, at {double} NOT NULL, actor TEXT NOT NULL, origin TEXT NOT NULL,"
            " action TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT NOT NULL)",
            "CREATE TABLE usage (id {row}, at {double} NOT NULL, request_id TEXT NOT NULL, client TEXT,"
            " tags TEXT NOT NULL, frontend TEXT NOT NULL, operation TEXT NOT NULL, model TEXT, backend TEXT,"
            " model_used TEXT, stream BOOLEAN NOT NULL, status INTEGER, outcome TEXT NOT NULL,"
            " attempts INTEGER NOT NULL, input BIGINT, output BIGINT, cache_read BIGINT, cache_write BIGINT,"
            " reasoning BIGINT, cost BIGINT, losses TEXT NOT NULL, first_ms {double}, total_ms {double} NOT NULL)",
            "CREATE INDEX usage_at ON usage (at)",
            "CREATE TABLE responses (id TEXT NOT NULL PRIMARY KEY, client TEXT, backend TEXT NOT NULL,"
            " at {double} NOT NULL)",
            "CREATE INDEX responses_at ON responses (at)",
        ),
        {
            "sqlite": (
                "CREATE TRIGGER audit_update BEFORE UPDATE ON audit BEGIN"
                " SELECT RAISE(ABORT, 'the audit is append-only'); END",
                "CREATE TRIGGER audit_delete BEFORE DELETE ON audit BEGIN"
                " SELECT RAISE(ABORT, 'the audit is append-only'); END",
            ),
            "postgresql": (
                "CREATE FUNCTION audit_is_append_only() RETURNS trigger AS"
                " 'BEGIN RAISE EXCEPTION ''the audit is append-only''; END' LANGUAGE plpgsql",
                "CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit"
                " FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()",
            ),
        },
    ),
)


async def migrate(connection: AsyncConnection, newest: int = len(MIGRATIONS)) -> None:
    """Runs the missing migrations in the open transaction; concurrent migrations wait for its end.

    Raises StoreError if the database was made by a newer Crosswire.
    """
    dialect = connection.dialect.name
    if dialect == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    types = TYPES[dialect]
    create = (
        "CREATE TABLE IF NOT EXISTS store (version INTEGER NOT NULL, revision BIGINT NOT NULL, salt {bytes} NOT NULL)"
    )
    await connection.execute(text(create.format(**types)))
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
        for statement in step.own.get(dialect, ()):
            await connection.exec_driver_sql(statement)
    if version < newest:
        await connection.execute(text("UPDATE store SET version = :version"), {"version": newest})
