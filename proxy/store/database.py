"""The database behind the store: a URL in; transactions, a count of changes and snapshots out.

Whatever the database says in a failure is passed on without the URL's password.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from sqlite3 import OperationalError
from typing import Any

import asyncpg
from sqlalchemy import event, select, update
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from ..errors import StoreError
from . import credentials, mappings, settings
from .crypto import Ring, read_keys
from .migrations import migrate
from .schema import STORE
from .snapshot import NOTHING, Snapshot

DRIVERS = {"sqlite": "aiosqlite", "postgresql": "asyncpg", "postgres": "asyncpg"}
"""By database, the driver that speaks to it without blocking."""

KEY_FILE = "crosswire.key"
"""The master key's file where nothing else is said: beside SQLite's file, else in the working folder."""

BUSY_MS = 5000
"""How long a writer of SQLite waits for another."""

CONNECT_S = 10


def parse(url: str) -> URL:
    """The store's URL with its driver; raises StoreError where it is none of the two databases, or names no file."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError("store: is no database URL; write sqlite:///FILE or postgresql://USER@HOST/DATABASE") from None
    database, _, driver = parsed.drivername.partition("+")
    if database not in DRIVERS or driver not in ("", DRIVERS[database]):
        known = "sqlite:///FILE or postgresql://USER@HOST/DATABASE"
        raise StoreError(f"store: {parsed.drivername} is not supported; write {known}")
    if database == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise StoreError("store: names no file; write sqlite:///FILE")
    return parsed.set(drivername=f"{'sqlite' if database == 'sqlite' else 'postgresql'}+{DRIVERS[database]}")


class Store:
    """One database; nothing is opened before its first use, and it is closed once. `env` holds the master key."""

    def __init__(self, url: str, env: Mapping[str, str]) -> None:
        self._url = parse(url)
        self._env = env
        self._engine: AsyncEngine | None = None

    def __repr__(self) -> str:
        return f"Store({self.shown})"

    @property
    def shown(self) -> str:
        """The URL without its password."""
        return self._url.render_as_string(hide_password=True)

    @property
    def file(self) -> Path | None:
        """SQLite's file."""
        return Path(str(self._url.database)) if self._url.get_backend_name() == "sqlite" else None

    @property
    def key_file(self) -> Path:
        """Where the master key's file is, if no variable says otherwise."""
        return Path(KEY_FILE) if self.file is None else self.file.with_name(KEY_FILE)

    # ---- reading -----------------------------------------------------------------------------------------------------

    async def revision(self) -> int:
        """How many changes there were; 0 also while SQLite's file is not there."""
        if self._is_absent():
            return 0
        async with self.reading() as connection:
            return int((await connection.execute(select(STORE.c.revision))).scalar_one())

    async def snapshot(self) -> Snapshot:
        """All that it holds at one moment, credentials opened; nothing while SQLite's file is not there."""
        if self._is_absent():
            return NOTHING
        async with self.reading() as connection:
            return await self.seen(connection)

    async def seen(self, connection: AsyncConnection) -> Snapshot:
        """All that it holds as this transaction sees it."""
        revision = (await connection.execute(select(STORE.c.revision))).scalar_one()
        opened, wrong = await credentials.opened(connection, await self.ring(connection))
        found, unread = await mappings.listed(connection)
        return Snapshot(
            revision=revision,
            mappings=tuple(found),
            settings=tuple(await settings.listed(connection)),
            credentials=tuple(opened),
            warnings=(*unread, *wrong),
        )

    async def ring(self, connection: AsyncConnection) -> Ring | None:
        """The master keys as they are now; None where there are none."""
        salt = (await connection.execute(select(STORE.c.salt))).scalar_one()
        keys = read_keys(self._env, self.key_file)
        return Ring(keys, salt) if keys else None

    # ---- transactions ------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one moment and changes nothing."""
        with self._told():
            engine = await self._open()
            # SQLite's transactions see one moment by themselves
            level = {} if self.file is not None else {"isolation_level": "REPEATABLE READ"}
            async with engine.connect() as plain:
                connection = await plain.execution_options(**level)
                async with connection.begin():
                    yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that counts as a change; one waits for the other, and a failure undoes all of it."""
        with self._told():
            engine = await self._open()
            async with engine.connect() as plain:
                connection = await plain.execution_options(immediate=True)
                async with connection.begin():
                    await connection.execute(update(STORE).values(revision=STORE.c.revision + 1))
                    yield connection

    async def close(self) -> None:
        """Twice, or before the first use, is harmless."""
        if self._engine is not None:
            engine, self._engine = self._engine, None
            await engine.dispose()

    # ---- opening -----------------------------------------------------------------------------------------------------

    def _is_absent(self) -> bool:
        return self._engine is None and self.file is not None and not self.file.exists()

    async def _open(self) -> AsyncEngine:
        """The engine, its database as the newest migration leaves it."""
        if self._engine is None:
            file = self.file
            if file is not None:
                os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))  # its owner's alone from the beginning
                engine = create_async_engine(self._url, connect_args={"timeout": BUSY_MS / 1000})
                event.listen(engine.sync_engine, "connect", _prepare_sqlite)
                event.listen(engine.sync_engine, "begin", _begin_sqlite)
            else:
                engine = create_async_engine(self._url, connect_args={"timeout": CONNECT_S}, pool_pre_ping=True)
            try:
                async with engine.connect() as plain:
                    connection = await plain.execution_options(immediate=True)
                    async with connection.begin():
                        await migrate(connection)
            except BaseException:
                await engine.dispose()
                raise
            self._engine = engine
        return self._engine

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the database or its driver raises becomes a StoreError in one line."""
        try:
            yield
        except (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as fault:
            cause = fault.orig if isinstance(fault, DBAPIError) and fault.orig is not None else fault
            text = (str(cause) or type(cause).__name__).splitlines()[0]
            if self._url.password:
                text = text.replace(str(self._url.password), "***")
            raise StoreError(f"store: {self.shown} cannot be used: {text}") from None


def _prepare_sqlite(connection: Any, _: ConnectionPoolEntry) -> None:
    """WAL, so that readers and the writer do not wait for each other; transactions begin where `begin` says."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=NORMAL")
    with suppress(OperationalError):  # another has it locked: the file keeps the mode, and the next connection sets it
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """A writer takes its lock at once: one that reads first and then writes would fail beside another."""
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
