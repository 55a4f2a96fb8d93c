"""The tables of the store after the newest migration."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, MetaData, Table, Text

METADATA = MetaData()

STORE = Table(
    "store",
    METADATA,
    Column("version", Integer, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("salt", LargeBinary, nullable=False),
)
"""One row: the number of migrations that ran, the change counter, and the salt of the derived keys."""

MAPPINGS = Table(
    "mappings",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("pattern", Text, nullable=False),
    Column("backend", Text, nullable=False),
    Column("model", Text),
    Column("priority", Integer, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("fallback", Text, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)
"""`fallback` is a JSON list; times are unix seconds."""

Index(
    "mappings_enabled",
    MAPPINGS.c.pattern,
    MAPPINGS.c.priority,
    unique=True,
    sqlite_where=MAPPINGS.c.enabled,
    postgresql_where=MAPPINGS.c.enabled,
)

SETTINGS = Table(
    "settings",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)

CREDENTIALS = Table(
    "credentials",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("master", Text, nullable=False),
    Column("base_url", Text),
    Column("enabled", Boolean, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)
"""`sealed` is the provider key, encrypted under the master key with the name `master`."""

Index("credentials_name", CREDENTIALS.c.provider, CREDENTIALS.c.name, unique=True)
