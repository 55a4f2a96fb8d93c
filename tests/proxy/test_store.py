"""The store: the same on SQLite and on PostgreSQL, its secrets sealed, its rows' faults noticed."""

from __future__ import annotations

import asyncio
import base64
import logging
import sqlite3
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.schema import MetaData

from proxy.errors import StoreError
from proxy.store import credentials, mappings, settings
from proxy.store.crypto import Ring, Tampered, key_file, new_key, read_keys, write_keys
from proxy.store.database import Store, parse
from proxy.store.migrations import MIGRATIONS, migrate
from proxy.store.rotation import rotate
from proxy.store.schema import METADATA
from proxy.store.snapshot import NOTHING, Credential, masked
from proxy.store.snapshot import Mapping as Rule
from proxy.store.watch import Watcher

from .postgres import Missing, fresh, server

SECRET = "sk-ant-not-to-be-seen-0123456789"
OTHER = "sk-or-another-one-9876543210abcd"


def text_of(key: bytes) -> str:
    return base64.b64encode(key).decode()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    try:
        with server() as url:
            yield url
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    return fresh(request.getfixturevalue("postgres"))


@pytest.fixture
def env() -> dict[str, str]:
    return {"CROSSWIRE_MASTER_KEY": text_of(new_key())}


@pytest.fixture
async def store(url: str, env: dict[str, str]) -> AsyncIterator[Store]:
    store = Store(url, env)
    yield store
    await store.close()


async def keep(store: Store, provider: str, key: str, **also: Any) -> bool:
    async with store.writing() as connection:
        ring = await store.ring(connection)
        assert ring is not None
        return await credentials.add(connection, ring, provider, key, **also)


async def run(store: Store, statement: str, **values: Any) -> None:
    """What somebody does to the database behind the store's back."""
    async with store.writing() as connection:
        await connection.execute(text(statement), values)


# ---- what goes in comes out ------------------------------------------------------------------------------------------


async def test_what_goes_in_comes_out(store: Store) -> None:
    assert (await store.snapshot()).mappings == ()
    async with store.writing() as connection:
        chain = ["cloud", {"backend": "other", "model": "x"}]
        first = await mappings.add(connection, "gpt-*", "openai", "gpt-5", 10, chain)
        second = await mappings.add(connection, "small", "local", enabled=False)
        assert await settings.add(connection, "llm_cheap_model", "hermes3")
        assert not await settings.add(connection, "llm_cheap_model", "hermes4")
    assert await keep(store, "anthropic", SECRET, base_url="https://eu.example")
    assert not await keep(store, "anthropic", OTHER)
    found = await store.snapshot()
    assert found.mappings == (
        Rule(id=first, match="gpt-*", backend="openai", model="gpt-5", priority=10, fallback=tuple(chain)),
        Rule(id=second, match="small", backend="local", enabled=False),
    )
    assert [(entry.key, entry.value) for entry in found.settings] == [("llm_cheap_model", "hermes4")]
    (credential,) = found.credentials
    assert (credential.provider, credential.name, credential.key) == ("anthropic", "default", OTHER)
    assert credential.base_url is None
    assert found.warnings == ()


async def test_rows_are_switched_and_removed(store: Store) -> None:
    async with store.writing() as connection:
        number = await mappings.add(connection, "a", "b")
        await settings.add(connection, "mode", "eco")
    await keep(store, "groq", SECRET)
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


async def test_a_failure_undoes_the_whole_change(store: Store) -> None:
    before = await store.revision()
    transaction = store.writing()
    connection = await transaction.__aenter__()
    await mappings.add(connection, "a", "b")
    assert not await transaction.__aexit__(RuntimeError, RuntimeError(), None)
    assert await store.revision() == before
    assert (await store.snapshot()).mappings == ()


async def test_each_change_counts(store: Store) -> None:
    first = await store.revision()
    async with store.writing() as connection:
        await settings.add(connection, "mode", "eco")
    assert await store.revision() == first + 1
    assert (await store.snapshot()).revision == first + 1


async def test_many_write_at_once(url: str, env: dict[str, str]) -> None:
    stores = [Store(url, env) for _ in range(4)]  # as four processes: each migrates, and writes

    async def write(store: Store, number: int) -> None:
        for part in range(5):
            async with store.writing() as connection:
                await settings.add(connection, f"k{number}-{part}", "1")

    await asyncio.gather(*(write(store, number) for number, store in enumerate(stores)))
    assert len((await stores[0].snapshot()).settings) == 20
    for one in stores:
        await one.close()


async def test_a_reader_sees_one_moment_while_another_writes(store: Store, url: str, env: dict[str, str]) -> None:
    async with store.writing() as connection:
        await settings.add(connection, "a", "1")
    other = Store(url, env)
    async with store.reading() as connection:
        first = await settings.listed(connection)
        async with other.writing() as writing:
            await settings.add(writing, "b", "2")
        assert await settings.listed(connection) == first
    assert len((await store.snapshot()).settings) == 2
    await other.close()


async def test_closing(store: Store, env: dict[str, str], tmp_path: Path) -> None:
    unused = Store(f"sqlite:///{tmp_path}/unused.db", env)
    await unused.close()
    await store.revision()
    await store.close()
    await store.close()
    assert (await store.snapshot()).mappings == ()  # opened anew
    assert not (tmp_path / "unused.db").exists()


# ---- secrets ---------------------------------------------------------------------------------------------------------


def written(folder: Path) -> bytes:
    """All that lies in a folder, SQLite's log of what is to be written included."""
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def test_no_key_lies_open(store: Store, tmp_path: Path) -> None:
    await keep(store, "anthropic", SECRET)
    async with store.reading() as connection:
        rows = (await connection.execute(text("SELECT * FROM credentials"))).all()
        (listed,) = await credentials.listed(connection, await store.ring(connection))
    snapshot = await store.snapshot()
    for shown in (repr(rows), repr(listed), repr(snapshot), str(snapshot.credentials[0]), repr(store)):
        assert SECRET not in shown
    assert SECRET.encode() not in written(tmp_path)
    assert listed.shown == "…6789"


TAMPERED: dict[str, tuple[str, ...]] = {
    "swapped": (
        "UPDATE credentials SET sealed = (SELECT c.sealed FROM credentials c WHERE c.provider = 'groq')"
        " WHERE provider = 'openai'",
    ),
    "of another provider": ("UPDATE credentials SET provider = 'evil' WHERE provider = 'openai'",),
    "sent elsewhere": ("UPDATE credentials SET base_url = 'https://evil.example' WHERE provider = 'openai'",),
    "copied to another row": ("UPDATE credentials SET id = 'x' WHERE provider = 'openai'",),
}


@pytest.mark.parametrize("statements", TAMPERED.values(), ids=list(TAMPERED))
async def test_a_row_that_was_tampered_with_is_noticed(store: Store, statements: tuple[str, ...]) -> None:
    await keep(store, "openai", SECRET)
    await keep(store, "groq", OTHER)
    for statement in statements:
        await run(store, statement)
    found = await store.snapshot()
    assert [entry.provider for entry in found.credentials] == ["groq"]
    (warning,) = found.warnings
    assert "was changed, cut or swapped in the database; add it again" in warning
    assert SECRET not in warning


@pytest.mark.parametrize("left", [0, 1, 12, 28, 40])
async def test_a_row_that_was_cut_is_noticed(store: Store, left: int) -> None:
    await keep(store, "openai", SECRET)
    async with store.reading() as connection:
        sealed = (await connection.execute(text("SELECT sealed FROM credentials"))).scalar_one()
    await run(store, "UPDATE credentials SET sealed = :sealed", sealed=bytes(sealed[:left]))
    found = await store.snapshot()
    assert found.credentials == ()
    assert "cut" in found.warnings[0]


async def test_without_the_master_key_nothing_is_opened(store: Store, url: str, tmp_path: Path) -> None:
    await keep(store, "openai", SECRET)
    for env in ({"CROSSWIRE_MASTER_KEY": text_of(new_key())}, {"CROSSWIRE_MASTER_KEY_FILE": str(tmp_path / "other")}):
        if "CROSSWIRE_MASTER_KEY_FILE" in env:
            write_keys(tmp_path / "other", [new_key()])
        blind = Store(url, env)
        found = await blind.snapshot()
        assert found.credentials == ()
        assert "which is not given; set CROSSWIRE_MASTER_KEY" in found.warnings[0]
        await blind.close()


KEYS = st.binary(min_size=32, max_size=32)


@given(KEYS, st.text(max_size=80), st.lists(st.none() | st.text(max_size=10), max_size=4))
def test_what_is_sealed_for_a_place_opens_there(key: bytes, secret: str, place: list[str | None]) -> None:
    ring = Ring([key], b"salt")
    sealed = ring.seal(secret, "credentials", place)
    assert ring.open(sealed, ring.current, "credentials", place) == secret
    for purpose, other in (("another", place), ("credentials", [*place, None]), ("credentials", [*place, ""])):
        with pytest.raises(Tampered):
            ring.open(sealed, ring.current, purpose, other)
    assert ring.seal(secret, "credentials", place) != sealed  # never one nonce twice


@given(KEYS, st.text(min_size=1, max_size=30), st.data())
def test_any_changed_byte_is_noticed(key: bytes, secret: str, data: st.DataObject) -> None:
    ring = Ring([key], b"salt")
    sealed = bytearray(ring.seal(secret, "credentials", ("row",)))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Tampered):
        ring.open(bytes(sealed), ring.current, "credentials", ("row",))


def test_the_salt_and_the_key_make_the_cipher() -> None:
    key = new_key()
    sealed = Ring([key], b"one").seal("x", "p", ())
    with pytest.raises(Tampered):
        Ring([key], b"two").open(sealed, Ring([key], b"two").current, "p", ())
    with pytest.raises(KeyError):
        Ring([new_key()], b"one").open(sealed, Ring([key], b"one").current, "p", ())
    assert text_of(key) not in repr(Ring([key], b"one"))


# ---- the master key --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape",
    [
        lambda key: base64.b64encode(key).decode(),
        lambda key: base64.urlsafe_b64encode(key).decode().rstrip("="),
        lambda key: key.hex(),
        lambda key: f" {key.hex().upper()} ",
    ],
)
def test_a_master_key_may_be_written_in_several_ways(shape: Callable[[bytes], str], tmp_path: Path) -> None:
    key, old = new_key(), new_key()
    assert read_keys({"CROSSWIRE_MASTER_KEY": f"{shape(key)},{text_of(old)}"}, tmp_path / "k") == [key, old]


def test_the_file_of_the_master_key(tmp_path: Path) -> None:
    file = tmp_path / "crosswire.key"
    assert read_keys({}, file) == []
    keys = [new_key(), new_key()]
    write_keys(file, keys)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_keys({}, file) == keys
    assert read_keys({"CROSSWIRE_MASTER_KEY_FILE": str(file)}, tmp_path / "x") == keys
    assert key_file({"CROSSWIRE_MASTER_KEY": "x"}, file) is None


@pytest.mark.parametrize(
    ("env", "content", "mode", "says"),
    [
        ({"CROSSWIRE_MASTER_KEY": "hunter2-secret"}, None, 0o600, "is no master key of 32 bytes"),
        ({"CROSSWIRE_MASTER_KEY": "A" * 44}, None, 0o600, "openssl rand -base64 32"),
        ({}, "hunter2-secret\n", 0o600, "is no master key"),
        ({}, "\n", 0o600, "is empty"),
        ({}, "é", 0o600, "not ASCII"),
        ({}, text_of(b"k" * 32), 0o640, "chmod 600"),
        ({"CROSSWIRE_MASTER_KEY_FILE": "/nowhere/at/all"}, None, 0o600, "is not there"),
    ],
)
def test_mistakes_of_the_master_key(
    env: dict[str, str], content: str | None, mode: int, says: str, tmp_path: Path
) -> None:
    file = tmp_path / "crosswire.key"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    with pytest.raises(StoreError, match=says) as caught:
        read_keys(env, file)
    assert "hunter2" not in str(caught.value)


def test_a_key_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written: No such file"):
        write_keys(tmp_path / "no" / "folder", [new_key()])


@pytest.mark.parametrize(("key", "shown"), [("x" * 19, "…"), ("", "…"), (SECRET, "…6789")])
def test_masks(key: str, shown: str) -> None:
    assert masked(key) == shown
    assert key == "" or key not in repr(Credential(id="1", provider="p", name="n", key=key))


# ---- rotation --------------------------------------------------------------------------------------------------------


async def kept_by_file(url: str, tmp_path: Path) -> tuple[Store, dict[str, str], Path]:
    """A store with three credentials under a key of a file."""
    file = tmp_path / "master"
    write_keys(file, [new_key()])
    env = {"CROSSWIRE_MASTER_KEY_FILE": str(file)}
    store = Store(url, env)
    for provider in ("anthropic", "groq", "openai"):
        await keep(store, provider, f"{SECRET}-{provider}")
    return store, env, file


async def opened(store: Store) -> dict[str, str]:
    return {entry.provider: entry.key for entry in (await store.snapshot()).credentials}


async def test_rotation_by_file(url: str, tmp_path: Path) -> None:
    store, env, file = await kept_by_file(url, tmp_path)
    before, (old,) = await opened(store), read_keys(env, file)
    done = await rotate(store, env)
    (new,) = read_keys(env, file)
    assert (done.count, done.by_hand, new != old) == (3, False, True)
    assert await opened(store) == before
    async with store.reading() as connection:
        masters = (await connection.execute(text("SELECT DISTINCT master FROM credentials"))).scalars().all()
    assert masters == [Ring([new], b"").current]
    await store.close()


@pytest.mark.parametrize("cut_after", [0, 1, 2, 3])
async def test_a_rotation_that_was_cut_off_goes_on(
    cut_after: int, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, env, file = await kept_by_file(url, tmp_path)
    before = await opened(store)
    real, count = credentials.reseal, 0

    async def reseal(connection: AsyncConnection, ring: Ring, number: str) -> None:
        nonlocal count
        if count == cut_after:
            raise KeyboardInterrupt
        count += 1
        await real(connection, ring, number)

    with monkeypatch.context() as patch:
        patch.setattr(credentials, "reseal", reseal)
        if cut_after == 3:
            patch.setattr("proxy.store.rotation.write_keys", write_before_the_end)
        # a cut between any two steps: what serves meanwhile opens everything
        with pytest.raises(KeyboardInterrupt):
            await rotate(store, env)
    assert await opened(store) == before
    first = read_keys(env, file)[0]
    done = await rotate(store, env)
    assert done.count == 3 - cut_after
    assert read_keys(env, file) == [first]
    assert await opened(store) == before
    await store.close()


def write_before_the_end(file: Path, keys: list[bytes]) -> None:
    if len(keys) == 1:
        raise KeyboardInterrupt
    write_keys(file, keys)


async def test_rotation_by_variable(url: str) -> None:
    old, new = new_key(), new_key()
    store = Store(url, {"CROSSWIRE_MASTER_KEY": text_of(old)})
    await keep(store, "openai", SECRET)
    with pytest.raises(StoreError, match="NEW,OLD"):
        await rotate(store, {"CROSSWIRE_MASTER_KEY": text_of(old)})
    await store.close()
    both = {"CROSSWIRE_MASTER_KEY": f"{text_of(new)},{text_of(old)}"}
    store = Store(url, both)
    done = await rotate(store, both)
    assert (done.count, done.by_hand) == (1, True)
    await store.close()
    store = Store(url, {"CROSSWIRE_MASTER_KEY": text_of(new)})
    assert await opened(store) == {"openai": SECRET}
    await store.close()


async def test_rotation_stops_at_what_it_cannot_open(url: str, tmp_path: Path) -> None:
    store, env, file = await kept_by_file(url, tmp_path)
    await run(store, "UPDATE credentials SET base_url = 'https://evil.example' WHERE provider = 'groq'")
    with pytest.raises(StoreError, match="groq was changed"):
        await rotate(store, env)
    assert len(read_keys(env, file)) == 2  # the old key stays while anything needs it
    async with store.writing() as connection:
        await credentials.remove(connection, "groq")
    await rotate(store, env)
    assert sorted(await opened(store)) == ["anthropic", "openai"]
    await store.close()


async def test_nothing_to_rotate_without_a_key(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/s.db", {})
    with pytest.raises(StoreError, match="no master key yet"):
        await rotate(store, {})
    await store.close()


# ---- migrations ------------------------------------------------------------------------------------------------------


async def test_the_schema_is_what_the_migrations_make(store: Store) -> None:
    await store.revision()
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
async def test_an_older_database_is_brought_up_to_date(version: int, url: str, env: dict[str, str]) -> None:
    engine = create_async_engine(parse(url))
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
    await keep(store, "openai", SECRET)
    found = await store.snapshot()
    assert [entry.match for entry in found.mappings] == ["old"] * bool(version)
    assert found.credentials[0].key == SECRET
    async with store.reading() as connection:
        assert (await connection.execute(text("SELECT version FROM store"))).scalar_one() == len(MIGRATIONS)
    await store.close()


async def test_a_newer_database_is_refused(store: Store, url: str, env: dict[str, str]) -> None:
    await run(store, "UPDATE store SET version = 99")
    newer = Store(url, env)
    with pytest.raises(StoreError, match=r"version 99, and this Crosswire knows \d+; use the newer"):
        await newer.snapshot()
    await newer.close()


# ---- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "is no database URL"),
        ("mysql://h/d", "mysql is not supported"),
        ("sqlite+pysqlite:///x", r"sqlite\+pysqlite is not supported"),
        ("postgresql+psycopg2://h/d", "not supported"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_urls_that_are_no_store(url: str, says: str) -> None:
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
def test_urls_of_a_store(given_url: str, driver: str) -> None:
    assert parse(given_url).drivername == driver


async def test_a_store_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
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


async def test_a_mapping_that_somebody_broke_is_said(store: Store) -> None:
    async with store.writing() as connection:
        await mappings.add(connection, "good", "b")
        await mappings.add(connection, "bad", "b")
    for broken in ("nonsense", '{"a": 1}', "7"):
        await run(store, "UPDATE mappings SET fallback = :text WHERE pattern = 'bad'", text=broken)
        found = await store.snapshot()
        assert [entry.match for entry in found.mappings] == ["good"]
        assert "its fallback is no list in JSON" in found.warnings[0]


async def test_a_file_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/later.db", {})
    assert await store.snapshot() is NOTHING
    assert await store.revision() == 0
    assert written(tmp_path) == b""
    async with store.writing() as connection:
        await settings.add(connection, "mode", "eco")
    assert stat.S_IMODE((tmp_path / "later.db").stat().st_mode) == 0o600
    with sqlite3.connect(tmp_path / "later.db") as plain:
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    plain.close()
    await store.close()


# ---- watching --------------------------------------------------------------------------------------------------------


class Told:
    """Counts what a watcher calls."""

    def __init__(self) -> None:
        self.count = 0
        self.event = asyncio.Event()

    async def __call__(self) -> None:
        self.count += 1
        self.event.set()

    async def again(self) -> int:
        await asyncio.wait_for(self.event.wait(), 10)
        self.event.clear()
        return self.count


class Served:
    """A proxy as a watcher sees it: the revision that serves, and how often it was told to read again."""

    def __init__(self, url: str | None, accepts: bool = True) -> None:
        self.url = url
        self.accepts = accepts
        self.serving = 0
        self.seen: list[int] = []
        self.told = asyncio.Event()

    async def reload(self) -> None:
        assert self.url is not None
        store = Store(self.url, {})
        revision = await store.revision()
        await store.close()
        self.seen.append(revision)
        if self.accepts:
            self.serving = revision
        self.told.set()

    async def again(self) -> int:
        """The revision that it read when it was told the next time."""
        await asyncio.wait_for(self.told.wait(), 20)
        self.told.clear()
        return self.seen[-1]


@asynccontextmanager
async def watching(served: Served, interval: float = 0.005) -> AsyncIterator[asyncio.Task[None]]:
    watcher = Watcher(lambda: served.url, {}, lambda: interval, lambda: served.serving, served.reload)
    task = asyncio.ensure_future(watcher.watch())
    yield task
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_watcher_sees_each_change(store: Store, url: str) -> None:
    served = Served(url)
    async with watching(served):
        for count in (1, 2, 3):
            async with store.writing() as connection:
                await settings.add(connection, "mode", str(count))
            assert await served.again() == count
        await asyncio.sleep(0.05)
        assert served.seen == [1, 2, 3]


async def test_a_revision_that_was_refused_is_not_tried_again(store: Store, url: str) -> None:
    served = Served(url, accepts=False)
    async with watching(served):
        for count in (1, 2):
            async with store.writing() as connection:
                await settings.add(connection, "mode", str(count))
            assert await served.again() == count
            await asyncio.sleep(0.05)
        assert served.seen == [1, 2]


async def test_an_older_config_that_came_late_does_not_stay(store: Store, url: str) -> None:
    served = Served(url)
    async with watching(served):
        async with store.writing() as connection:
            await settings.add(connection, "mode", "x")
        assert await served.again() == 1
        served.serving = 0  # a reload that began before the change ended after it
        assert await served.again() == 1


async def test_a_watcher_outlives_its_store(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "s.db"
    write_text(file, "no database yet" * 100)
    served = Served(f"sqlite:///{file}")
    async with watching(served):
        await asyncio.sleep(0.1)
        assert (served.seen, len(caplog.records)) == ([], 1)  # said once, not at each look
        assert "serves on" in caplog.text
        remove(file)
        writer = Store(str(served.url), {})
        async with writer.writing() as connection:
            await settings.add(connection, "mode", "eco")
        assert await served.again() == 1
        assert "can be used again" in caplog.text
        await writer.close()


async def test_a_watcher_goes_where_the_store_goes(tmp_path: Path) -> None:
    served = Served(None)
    async with watching(served):
        for name in ("a", "b"):
            writer = Store(f"sqlite:///{tmp_path}/{name}.db", {})
            for _ in range(2 if name == "b" else 1):
                async with writer.writing() as connection:
                    await settings.add(connection, "mode", "eco")
            await writer.close()
            served.url = f"sqlite:///{tmp_path}/{name}.db"
            assert await served.again() == (2 if name == "b" else 1)


async def test_a_watcher_that_is_switched_off_looks_at_nothing() -> None:
    served = Served("nonsense that would be complained of")
    async with watching(served, 0):
        await asyncio.sleep(0.05)
        assert served.seen == []


def write_text(file: Path, text: str) -> None:
    file.write_text(text)


def remove(file: Path) -> None:
    file.unlink()


async def test_nothing_of_a_key_is_logged(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        await keep(store, "openai", SECRET)
        await store.snapshot()
    assert SECRET not in caplog.text
