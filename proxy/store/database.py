"""Access to the store's database: connections, transactions, the change counter, and snapshots.

Error messages of the database are passed on without the password of its URL.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from sqlite3 import OperationalError
from typing import Any

from sqlalchemy import event, inspect, select, update
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from ..errors import MissingStoreError, StoreError
from . import clients, credentials, mappings, settings
from .crypto import KeyRing, read_keys
from .migrations import migrate
from .schema import STORE
from .snapshot import EMPTY_SNAPSHOT, Snapshot

DRIVERS = {"sqlite": "aiosqlite", "postgresql": "asyncpg", "postgres": "asyncpg"}
"""Database to its asynchronous driver."""

KEY_FILE = "crosswire.key"
"""Default name of the master key's file: beside the SQLite file, else in the working folder."""

BUSY_MS = 5000
"""Time in milliseconds that a SQLite writer waits for another one."""

CONNECT_S = 10
"""Time limit in seconds for connecting to PostgreSQL, and for each of its answers."""
POSTGRES_TIMES = {"timeout": CONNECT_S, "command_timeout": CONNECT_S}


def parse_url(url: str) -> URL:
    """Parses the store's URL and adds the driver; raises StoreError for another database, or SQLite without a file."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError(
            "store: is not a database URL; write sqlite:///FILE or postgresql://USER@HOST/DATABASE"
        ) from None
    database, _, driver = parsed.drivername.partition("+")
    if database not in DRIVERS or driver not in ("", DRIVERS[database]):
        known = "sqlite:///FILE or postgresql://USER@HOST/DATABASE"
        raise StoreError(f"store: {parsed.drivername} is not supported; write {known}")
    if database == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise StoreError("store: names no file; write sqlite:///FILE")
    return parsed.set(drivername=f"{'sqlite' if database == 'sqlite' else 'postgresql'}+{DRIVERS[database]}")


class Store:
    """A connection pool to the store's database, opened on first use; `env` may hold the master key."""

    def __init__(self, url: str, env: Mapping[str, str]) -> None:
        self._url = parse_url(url)
        self._env = env
        self._engine: AsyncEngine | None = None
        self._opened_inode: int | None = None
        self._faults: tuple[type[Exception], ...] = (
            SQLAlchemyError,
            OSError,
            *(() if self.file is not None else _postgres_faults()),
        )

    def __repr__(self) -> str:
        return f"Store({self.masked_url})"

    @property
    def masked_url(self) -> str:
        """The URL without its password."""
        return self._url.render_as_string(hide_password=True)

    @property
    def file(self) -> Path | None:
        """The SQLite file; None for PostgreSQL."""
        return Path(str(self._url.database)) if self._url.get_backend_name() == "sqlite" else None

    @property
    def key_file(self) -> Path:
        """The default path of the master key's file."""
        return Path(KEY_FILE) if self.file is None else self.file.with_name(KEY_FILE)

    # ---- reading -----------------------------------------------------------------------------------------------------

    async def revision(self) -> int:
        """Returns the change counter; 0 also while there is no store."""
        try:
            async with self.reading() as connection:
                return int((await connection.execute(select(STORE.c.revision))).scalar_one())
        except MissingStoreError:
            return 0

    async def snapshot(self) -> Snapshot:
        """Reads the whole store in one transaction, with credentials decrypted; empty while there is no store."""
        try:
            async with self.reading() as connection:
                return await self.read_snapshot(connection)
        except MissingStoreError:
            return EMPTY_SNAPSHOT

    async def read_snapshot(self, connection: AsyncConnection) -> Snapshot:
        """Reads the whole store as this transaction sees it."""
        revision = (await connection.execute(select(STORE.c.revision))).scalar_one()
        decrypted, errors = await credentials.decrypt_all(connection, await self.ring(connection))
        found, mapping_errors = await mappings.list_all(connection)
        stored_clients = await clients.list_all(connection)
        hash_key = None
        if stored_clients:
            try:
                hash_key = await clients.hash_key(connection, await self.ring(connection))
            except StoreError as fault:
                errors += [f"store: {fault}"]
        return Snapshot(
            revision=revision,
            mappings=tuple(found),
            settings=tuple(await settings.list_all(connection)),
            credentials=tuple(decrypted),
            clients=tuple(stored_clients),
            hash_key=hash_key,
            warnings=tuple(mapping_errors),
            errors=tuple(errors),
        )

    async def ring(self, connection: AsyncConnection) -> KeyRing | None:
        """Reads the current master keys; returns None if there are none."""
        salt = (await connection.execute(select(STORE.c.salt))).scalar_one()
        keys = read_keys(self._env, self.key_file)
        return KeyRing(keys, salt) if keys else None

    # ---- transactions ------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Opens a transaction for reading, which sees one state; raises MissingStoreError without a store."""
        with self._store_errors():
            engine = await self._open(create=False)
            # SQLite transactions see a consistent state at their default isolation level
            level = {} if self.file is not None else {"isolation_level": "REPEATABLE READ"}
            async with engine.connect() as raw_connection:
                connection = await raw_connection.execution_options(**level)
                async with connection.begin():
                    yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """Opens a transaction for writing, which increments the change counter; writers wait for each other.

        The first one makes the store. An exception rolls it back.
        """
        with self._store_errors():
            engine = await self._open(create=True)
            async with engine.connect() as raw_connection:
                connection = await raw_connection.execution_options(immediate=True)
                async with connection.begin():
                    await connection.execute(update(STORE).values(revision=STORE.c.revision + 1))
                    yield connection

    @asynccontextmanager
    async def appending(self) -> AsyncIterator[AsyncConnection]:
        """Opens a transaction for rows that no snapshot holds, so the change counter stays as it is."""
        with self._store_errors():
            engine = await self._open(create=True)
            async with engine.connect() as raw_connection:
                connection = await raw_connection.execution_options(immediate=True)
                async with connection.begin():
                    yield connection

    async def close(self) -> None:
        """Closes all connections; it may be called repeatedly, and before the first use."""
        if self._engine is not None:
            engine, self._engine = self._engine, None
            await engine.dispose()

    # ---- opening -----------------------------------------------------------------------------------------------------

    def _inode(self) -> int | None:
        """The SQLite file's inode; None where there is no file."""
        try:
            return None if self.file is None else self.file.stat().st_ino
        except FileNotFoundError:
            return None

    async def _open(self, *, create: bool) -> AsyncEngine:
        """Returns the engine; the first call runs the migrations.

        With `create` it makes the SQLite file and the tables, without it raises MissingStoreError where there are none.
        """
        inode = self._inode()
        if self._engine is not None and inode != self._opened_inode:
            await self.close()  # another file is there, or none: what is open is read by nobody else
        if self._engine is None:
            file = self.file
            if file is not None:
                if inode is None and not create:
                    raise MissingStoreError(
                        f"store: {self.masked_url} is missing; the first row makes it (crosswire clients add, "
                        "credentials add, mappings add or settings add)"
                    )
                # never readable by others
                os.close(os.open(file, os.O_RDWR | (os.O_CREAT if create else 0), 0o600))
                engine = create_async_engine(self._url, connect_args={"timeout": BUSY_MS / 1000})
                event.listen(engine.sync_engine, "connect", _prepare_sqlite)
                event.listen(engine.sync_engine, "begin", _begin_sqlite)
            else:
                engine = create_async_engine(self._url, connect_args=POSTGRES_TIMES, pool_pre_ping=True)
            try:
                async with engine.connect() as raw_connection:
                    connection = await raw_connection.execution_options(immediate=True)
                    async with connection.begin():
                        if not create and not await connection.run_sync(_has_tables):
                            raise MissingStoreError(f"store: there is no store in {self.masked_url}")
                        await migrate(connection)
            except BaseException:
                await engine.dispose()
                raise
            self._engine, self._opened_inode = engine, self._inode()
        return self._engine

    @contextmanager
    def _store_errors(self) -> Iterator[None]:
        """Converts exceptions of the database and its driver to a one-line StoreError."""
        try:
            yield
        except self._faults as error:
            cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
            text = (str(cause) or type(cause).__name__).splitlines()[0]
            if self._url.password:
                text = text.replace(str(self._url.password), "***")
            raise StoreError(f"store: {self.masked_url} cannot be used: {text}") from None


def _postgres_faults() -> tuple[type[Exception], ...]:
    """The exceptions of PostgreSQL's driver, which takes memory that SQLite does not need."""
    import asyncpg

    return asyncpg.PostgresError, asyncpg.InterfaceError


def _has_tables(connection: Connection) -> bool:
    return inspect(connection).has_table(STORE.name)


def _prepare_sqlite(connection: Any, _: ConnectionPoolEntry) -> None:
    """Sets WAL mode, so that readers and a writer do not block each other, and leaves BEGIN to `_begin_sqlite`."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=NORMAL")
    with suppress(OperationalError):  # locked by another connection: a later one sets the mode, which the file keeps
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Begins a transaction; a writer takes the lock at once, because upgrading from read to write can fail."""
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
