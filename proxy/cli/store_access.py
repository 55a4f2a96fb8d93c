"""Access of the commands to the store: their parsers, and reading, changing and printing what it holds.

A change is tried on the config first, and stands in the audit in the same transaction.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from getpass import getuser
from pathlib import Path
from socket import gethostname
from typing import TypeAlias, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from ..config import DEFAULT_STORE_URL, Config, store_address
from ..config.source import config_file
from ..errors import ConfigError, StoreError
from ..store import audit
from ..store.crypto import KeyRing, key_file, new_key, write_keys
from ..store.database import Store
from ..store.snapshot import Snapshot
from .exit_codes import OK

T = TypeVar("T")

Run = Callable[[argparse.Namespace], int]
Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

Load = Callable[[argparse.Namespace, Snapshot], Config]
"""Loads the config that these arguments name, with this over it."""


def group_parser(name: str, what: str, load: Load) -> tuple[argparse.ArgumentParser, Verbs]:
    """The parser of a group of commands, and what its verbs are added to."""
    group = store_parser(name, what, load)
    return group, group.add_subparsers(required=True, metavar="VERB", dest="verb")


def store_parser(name: str, what: str, load: Load) -> argparse.ArgumentParser:
    """The parser of a command on the store."""
    parser = argparse.ArgumentParser(prog=f"crosswire {name}", description=what)
    parser.add_argument("--config", type=Path, metavar="FILE", help="the config that names the store")
    parser.add_argument("--store", metavar="URL", help=f"the store (default: the config's, else {DEFAULT_STORE_URL})")
    parser.set_defaults(command=name, load=load, port=None, backend=None)
    return parser


def verb_parser(verbs: Verbs, name: str, what: str, run: Run) -> argparse.ArgumentParser:
    """Adds a verb."""
    verb = verbs.add_parser(name, help=what, description=what)
    verb.set_defaults(run=run)
    return verb


def switches(noun: str, remove: Run, enable: Callable[[argparse.Namespace, bool], int]) -> list[tuple[str, str, Run]]:
    """The verbs that remove, enable and disable a thing."""
    return [
        ("remove", f"delete a {noun}", remove),
        ("enable", f"enable a {noun}", lambda args: enable(args, True)),
        ("disable", f"disable a {noun} without deleting it", lambda args: enable(args, False)),
    ]


def read_store(args: argparse.Namespace, read: Callable[[Store, AsyncConnection], Awaitable[int]]) -> int:
    async def run(store: Store) -> int:
        async with store.reading() as connection:
            return await read(store, connection)

    return asyncio.run(with_store(store_of(args), run))


def switch(
    args: argparse.Namespace, label: str, done: str, change: Callable[[AsyncConnection], Awaitable[bool]]
) -> int:
    async def run(_: Store, connection: AsyncConnection) -> str:
        if not await change(connection):
            raise StoreError(f"{label} does not exist; `list` shows all")
        return f"{label}: {done}"

    return change_store(args, run, creates=False)


def change_store(
    args: argparse.Namespace,
    change: Callable[[Store, AsyncConnection], Awaitable[str]],
    key: str | None = None,
    *,
    creates: bool = True,
) -> int:
    """Make a change if the config can be loaded with it, or was as wrong without it.

    A `key` that was made is all that is written to standard output then. Only what adds something `creates` a store
    that is not there.
    """

    async def run(store: Store) -> int:
        if not creates:
            async with store.reading():
                pass  # raises where there is none
        async with store.writing() as connection:
            before, _ = _tried(args, await store.read_snapshot(connection))
            done = await change(store, connection)
            await note(connection, args, done)
            after, warnings = _tried(args, await store.read_snapshot(connection))
            if new := [complaint for complaint in after if complaint not in before]:
                raise ConfigError([*new, "nothing was changed"])
        print(done, file=sys.stdout if key is None else sys.stderr)
        if key is not None:
            print(key)
        print(*(f"warning: {warning}" for warning in warnings), sep="\n", end="\n" * bool(warnings), file=sys.stderr)
        return OK

    return asyncio.run(with_store(store_of(args), run))


def _tried(args: argparse.Namespace, snapshot: Snapshot) -> tuple[Sequence[str], Sequence[str]]:
    """The complaints and the warnings of the config with this over it."""
    try:
        return (), args.load(args, snapshot).warnings
    except ConfigError as fault:
        return fault.complaints, ()


def store_of(args: argparse.Namespace) -> Store:
    found = None if args.store else store_address(config_file(args.config), os.environ)
    return Store(args.store or (DEFAULT_STORE_URL if found is None else found.url), os.environ)


async def with_store(store: Store, run: Callable[[Store], Awaitable[T]]) -> T:
    try:
        return await run(store)
    finally:
        await store.close()


def print_table(rows: Iterable[Sequence[str]]) -> None:
    """A table, its columns as wide as what is in them."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def yes(flag: bool) -> str:
    return "yes" if flag else "no"


def switched(enabled: bool) -> str:
    return "enabled" if enabled else "disabled"


# ---- the audit -------------------------------------------------------------------------------------------------------


async def note(connection: AsyncConnection, args: argparse.Namespace, done: str) -> None:
    """Adds what a command has done to the audit."""
    subject, _, detail = done.partition(": ")
    action = f"{args.command} {args.verb}"
    await audit.append(connection, actor=_actor(), origin=_origin(), action=action, subject=subject, detail=detail)


def _actor() -> str:
    """The account that runs the command; behind sudo the one that asked for it too."""
    try:
        user = getuser()
    except (OSError, KeyError):
        user = f"uid {os.getuid()}"
    asked = os.environ.get("SUDO_USER")
    return f"{user} (sudo by {asked})" if asked else user


def _origin() -> str:
    """The machine that runs the command, and the address from which it is used."""
    address = os.environ.get("SSH_CLIENT", "").partition(" ")[0]
    return f"{gethostname()} (ssh from {address})" if address else gethostname()


async def ring_of(store: Store, connection: AsyncConnection) -> KeyRing:
    """The master keys; makes the first one where there is none."""
    ring = await store.ring(connection)
    if ring is None:
        file = key_file(os.environ, store.key_file)
        assert file is not None  # noqa: S101 - with the variable there would be a ring
        write_keys(file, [new_key()])
        print(f"created the master key in {file}; without it the store's secrets cannot be decrypted", file=sys.stderr)
        ring = await store.ring(connection)
        assert ring is not None  # noqa: S101 - it was just made
    return ring
