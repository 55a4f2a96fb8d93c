"""The tables of the store after the newest migration."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, LargeBinary, MetaData, Table, Text

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
)
"""Of enabled rows alone, as the migrations make it: a condition here would load what only PostgreSQL needs."""

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

HASH_KEYS = Table(
    "hash_keys",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("master", Text, nullable=False),
)
"""One row: the key of the clients' digests, encrypted like a credential."""

CLIENTS = Table(
    "clients",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("former", LargeBinary),
    Column("former_ends", Double),
    Column("grants", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)
"""`digest` is the keyed hash of the client's key, `former` that of the one before it; `grants` is YAML."""

AUDIT = Table(
    "audit",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at", Double, nullable=False),
    Column("actor", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
)
"""Changes of the store, in their order; triggers refuse to change or delete a row."""

USAGE = Table(
    "usage",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at", Double, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("client", Text),
    Column("tags", Text, nullable=False),
    Column("frontend", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("model", Text),
    Column("backend", Text),
    Column("model_used", Text),
    Column("stream", Boolean, nullable=False),
    Column("status", Integer),
    Column("outcome", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("input", BigInteger),
    Column("output", BigInteger),
    Column("cache_read", BigInteger),
    Column("cache_write", BigInteger),
    Column("reasoning", BigInteger),
    Column("cost", BigInteger),
    Column("losses", Text, nullable=False),
    Column("first_ms", Double),
    Column("total_ms", Double, nullable=False),
)
"""One row a request. `tags` and `losses` are separated by commas, and begin and end with one; `cost` is in billionths
of a dollar, null where the price is not known."""

Index("usage_at", USAGE.c.at)

RESPONSES = Table(
    "responses",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("client", Text),
    Column("backend", Text, nullable=False),
    Column("at", Double, nullable=False),
)
"""The client and the backend of each stored response."""

Index("responses_at", RESPONSES.c.at)
