"""Tests of the store's database, on SQLite and PostgreSQL: content, transactions, URLs, and its errors."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from crosswire.proxy.errors import StoreError
from crosswire.proxy.store import credentials, mappings, settings
from crosswire.proxy.store.database import Store, parse_url
from crosswire.proxy.store.snapshot import EMPTY_SNAPSHOT, StoredRoute

from .sample_store import OTHER, SECRET, add_credential, execute, folder_bytes


async def test_content_is_read_back(store: Store) -> None:
    assert (await store.snapshot()).mappings == ()
    async with store.writing() as connection:
        chain = ["cloud", {"backend": "other", "model": "x"}]
        first = await mappings.add(connection, "gpt-*", "openai", "gpt-5", 10, chain)
        second = await mappings.add(connection, "small", "local", enabled=False)
        assert await settings.add(connection, "llm_cheap_model", "hermes3")
        assert not await settings.add(connection, "llm_cheap_model", "hermes4")
    assert await add_credential(store, "anthropic", SECRET, base_url="https://eu.example")
    assert not await add_credential(store, "anthropic", OTHER)
    found = await store.snapshot()
    assert found.mappings == (
        StoredRoute(id=first, match="gpt-*", backend="openai", model="gpt-5", priority=10, fallback=tuple(chain)),
        StoredRoute(id=second, match="small", backend="local", enabled=False),
    )
    assert [(entry.key, entry.value) for entry in found.settings] == [("llm_cheap_model", "hermes4")]
    (credential,) = found.credentials
    assert (credential.provider, credential.name, credential.key) == ("anthropic", "default", OTHER)
    assert credential.base_url is None
    assert found.warnings == ()


async def test_rows_are_enabled_disabled_and_removed(store: Store) -> None:
    async with store.writing() as connection:
        number = await mappings.add(connection, "a", "b")
        await settings.add(connection, "mode", "eco")
    await add_credential(store, "groq", SECRET)
    for enabled in (False, True):
        async with store.writing() as connection:
            assert await mappings.enable(connection, number, enabled)
            assert await settings.enable(connection, "mode", enabled)
            assert await credentials.enable(connection, "groq", "default", enabled)
        found = await store.snapshot()
        rows = (*found.mappings, *found.settings, *found.credentials)
        assert [row.enabled for row in rows] == [enabled] * 3
    for there in (True, False):
        async with store.writing() as connection:
            assert await mappings.remove(connection, number) is there
            assert await settings.remove(connection, "mode") is there
            assert await credentials.remove(connection, "groq") is there
    async with store.writing() as connection:
        assert not await mappings.enable(connection, number, True)
        assert not await settings.enable(connection, "mode", True)
        assert not await credentials.enable(connection, "groq", "default", True)
        assert await mappings.add(connection, "a", "b") > number  # an id that was printed once never means another row


async def test_two_enabled_mappings_of_one_pattern_and_priority_conflict(store: Store) -> None:
    async with store.writing() as connection:
        await mappings.add(connection, "gpt-*", "a", priority=1)
        await mappings.add(connection, "gpt-*", "b", priority=2)
        third = await mappings.add(connection, "gpt-*", "c", priority=1, enabled=False)
    with pytest.raises(StoreError, match=r"'gpt-\*' and the priority 1"):
        async with store.writing() as connection:
            await mappings.add(connection, "gpt-*", "d", priority=1)
    with pytest.raises(StoreError, match="disable it"):
        async with store.writing() as connection:
            await mappings.enable(connection, third, True)
    assert [entry.enabled for entry in (await store.snapshot()).mappings] == [True, True, False]


async def test_a_failed_transaction_is_rolled_back(store: Store) -> None:
    before = await store.revision()
    transaction = store.writing()
    connection = await transaction.__aenter__()
    await mappings.add(connection, "a", "b")
    assert not await transaction.__aexit__(RuntimeError, RuntimeError(), None)
    assert await store.revision() == before
    assert (await store.snapshot()).mappings == ()


async def test_each_change_increments_the_revision(store: Store) -> None:
    first = await store.revision()
    async with store.writing() as connection:
        await settings.add(connection, "mode", "eco")
    assert await store.revision() == first + 1
    assert (await store.snapshot()).revision == first + 1


async def test_concurrent_writers(url: str, env: dict[str, str]) -> None:
    stores = [Store(url, env) for _ in range(4)]  # as four processes: each migrates, and writes

    async def write(store: Store, number: int) -> None:
        for part in range(5):
            async with store.writing() as connection:
                await settings.add(connection, f"k{number}-{part}", "1")

    await asyncio.gather(*(write(store, number) for number, store in enumerate(stores)))
    assert len((await stores[0].snapshot()).settings) == 20
    for one in stores:
        await one.close()


async def test_a_reader_sees_a_consistent_state(store: Store, url: str, env: dict[str, str]) -> None:
    async with store.writing() as connection:
        await settings.add(connection, "a", "1")
    other = Store(url, env)
    async with store.reading() as connection:
        first = await settings.list_all(connection)
        async with other.writing() as writing:
            await settings.add(writing, "b", "2")
        assert await settings.list_all(connection) == first
    assert len((await store.snapshot()).settings) == 2
    await other.close()


async def test_close(store: Store, env: dict[str, str], tmp_path: Path) -> None:
    unused = Store(f"sqlite:///{tmp_path}/unused.db", env)
    await unused.close()
    await store.revision()
    await store.close()
    await store.close()
    assert (await store.snapshot()).mappings == ()  # opened anew
    assert not (tmp_path / "unused.db").exists()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "is not a database URL"),
        ("mysql://h/d", "mysql is not supported"),
        ("sqlite+pysqlite:///x", r"sqlite\+pysqlite is not supported"),
        ("postgresql+psycopg2://h/d", "not supported"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_invalid_urls(url: str, says: str) -> None:
    with pytest.raises(StoreError, match=says):
        Store(url, {})


@pytest.mark.parametrize(
    ("given_url", "driver"),
    [
        ("sqlite:///x.db", "sqlite+aiosqlite"),
        ("sqlite+aiosqlite:///x.db", "sqlite+aiosqlite"),
        ("postgresql://u@h/d", "postgresql+asyncpg"),
        ("postgres://u@h/d", "postgresql+asyncpg"),
        ("postgresql+asyncpg://u@h/d", "postgresql+asyncpg"),
    ],
)
def test_valid_urls(given_url: str, driver: str) -> None:
    assert parse_url(given_url).drivername == driver


async def test_errors_of_opening(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database, and long enough to be looked at as one" * 20)
    for path, says in (("no/folder.db", "No such file"), ("text.db", "not a database")):
        store = Store(f"sqlite:///{tmp_path}/{path}", {})
        with pytest.raises(StoreError, match=says):
            async with store.writing():
                pass
        await store.close()


async def test_a_server_that_cannot_be_reached_or_refuses(postgres: str) -> None:
    password = str(make_url(postgres).password)
    closed = make_url(postgres).set(port=1).render_as_string(hide_password=False)
    wrong = make_url(postgres).set(password="not-the-password").render_as_string(hide_password=False)
    absent = make_url(postgres).set(database="absent").render_as_string(hide_password=False)
    for url, says in ((closed, "Connect call failed"), (wrong, "authentication failed"), (absent, "does not exist")):
        store = Store(url, {})
        with pytest.raises(StoreError, match=says) as caught:
            await store.snapshot()
        assert password not in str(caught.value)
        assert "not-the-password" not in str(caught.value) + repr(store)
        await store.close()


async def test_an_invalid_mapping_is_a_warning(store: Store) -> None:
    async with store.writing() as connection:
        await mappings.add(connection, "good", "b")
        await mappings.add(connection, "bad", "b")
    for broken in ("nonsense", '{"a": 1}', "7"):
        await execute(store, "UPDATE mappings SET fallback = :text WHERE pattern = 'bad'", text=broken)
        found = await store.snapshot()
        assert [entry.match for entry in found.mappings] == ["good"]
        assert "its fallback is not a JSON list" in found.warnings[0]


async def test_a_missing_file_is_an_empty_store(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/later.db", {})
    assert await store.snapshot() is EMPTY_SNAPSHOT
    assert await store.revision() == 0
    assert folder_bytes(tmp_path) == b""
    async with store.writing() as connection:
        await settings.add(connection, "mode", "eco")
    assert stat.S_IMODE((tmp_path / "later.db").stat().st_mode) == 0o600
    with sqlite3.connect(tmp_path / "later.db") as plain:
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    plain.close()
    await store.close()
