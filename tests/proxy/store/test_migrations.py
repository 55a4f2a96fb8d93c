"""Tests of the migrations: schema, upgrades, and newer databases."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.schema import MetaData

from crosswire.proxy.errors import StoreError
from crosswire.proxy.store.database import Store, parse_url
from crosswire.proxy.store.migrations import MIGRATIONS, migrate
from crosswire.proxy.store.schema import METADATA

from .sample_store import SECRET, add_credential, execute


async def test_the_migrations_produce_the_schema(store: Store) -> None:
    async with store.writing():
        pass
    async with store.reading() as connection:

        def shape(sync: Any) -> dict[str, Any]:
            made = MetaData()
            made.reflect(sync)
            return {name: _shape(table, inspect(sync).get_indexes(name)) for name, table in made.tables.items()}

        assert await connection.run_sync(shape) == {
            name: _shape(table, [{"name": index.name, "unique": index.unique} for index in table.indexes])
            for name, table in METADATA.tables.items()
        }


def _shape(table: Any, indexes: Any) -> Any:
    columns = {column.name: (bool(column.nullable), bool(column.primary_key)) for column in table.columns}
    return columns, {(index["name"], bool(index["unique"])) for index in indexes}


@pytest.mark.parametrize("version", range(len(MIGRATIONS)))
async def test_an_older_database_is_migrated(version: int, url: str, env: dict[str, str]) -> None:
    engine = create_async_engine(parse_url(url))
    async with engine.begin() as connection:
        await migrate(connection, version)
        if version:
            await connection.execute(
                text(
                    "INSERT INTO mappings (pattern, backend, priority, enabled, fallback, changed_at)"
                    " VALUES ('old', 'b', 0, true, '[]', 0)"
                )
            )
    await engine.dispose()
    store = Store(url, env)
    await add_credential(store, "openai", SECRET)
    found = await store.snapshot()
    assert [entry.match for entry in found.mappings] == ["old"] * bool(version)
    assert found.credentials[0].key == SECRET
    async with store.reading() as connection:
        assert (await connection.execute(text("SELECT version FROM store"))).scalar_one() == len(MIGRATIONS)
    await store.close()


async def test_a_newer_database_is_refused(store: Store, url: str, env: dict[str, str]) -> None:
    await execute(store, "UPDATE store SET version = 99")
    newer = Store(url, env)
    with pytest.raises(StoreError, match=r"version 99, and this Crosswire knows \d+; use the newer"):
        await newer.snapshot()
    await newer.close()
