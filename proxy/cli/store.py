"""The commands on the store: list, add, remove, enable, disable mappings, credentials and settings; a new master key.

A change is tried on the config first: what would keep the proxy from starting is not kept. No key is an argument, for
arguments are in every process list and in the shell's history.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from getpass import getpass
from pathlib import Path
from typing import TypeAlias, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from ..config import DEFAULT_STORE_URL, Config, store_address
from ..config.source import config_file
from ..config.urls import parse_base_url
from ..config.yaml_reader import INVALID_KEY, is_valid_key
from ..errors import ConfigError, StoreError
from ..providers import canonical
from ..store import credentials, mappings, settings
from ..store.crypto import KEY_VARIABLE, key_file, new_key, write_keys
from ..store.database import Store
from ..store.rotation import rotate
from ..store.snapshot import Snapshot
from .exit_codes import OK, USAGE

T = TypeVar("T")

Run = Callable[[argparse.Namespace], int]
Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

Load = Callable[[argparse.Namespace, Snapshot], Config]
"""Loads the config that these arguments name, with this over it."""


def main(command: str, argv: Sequence[str], load: Load) -> int:
    """Run `crosswire mappings`, `credentials` or `settings`; `load` is what a change is tried on."""
    args = _parsers(load)[command].parse_args(argv)
    return int(args.run(args))


# ---- the arguments ---------------------------------------------------------------------------------------------------


def _parsers(load: Load) -> dict[str, argparse.ArgumentParser]:
    mapping, verbs = _group("mappings", "routing rules in the store", load)
    one = _verb(verbs, "add", "add a rule", _add_mapping)
    one.add_argument("match", help="a model's name, or a pattern such as 'gpt-*'")
    one.add_argument("backend", help="the backend or provider that serves it")
    one.add_argument(
        "--model", help="the upstream model, instead of the client's; {1} is the text of the first wildcard"
    )
    one.add_argument("--priority", type=int, default=0, help="higher first")
    one.add_argument(
        "--fallback",
        nargs="*",
        default=[],
        metavar="BACKEND[/MODEL]",
        help="backends to try after it, in order, each with its own model if needed",
    )
    one.add_argument("--disabled", action="store_true", help="add it disabled")
    _verb(verbs, "list", "show all", _list_mappings)
    for verb, what, run in _switches("mapping", _remove_mapping, _enable_mapping):
        _verb(verbs, verb, what, run).add_argument("id", type=int, help="its number in the list")

    credential, verbs = _group("credentials", "provider keys, encrypted in the store", load)
    one = _verb(verbs, "add", "add a key, read from the terminal or standard input", _add_credential)
    one.add_argument("provider", help="a known provider, one of llm_custom_providers, or a backend")
    one.add_argument("--name", default=credentials.DEFAULT, help="distinguishes several keys of one provider")
    one.add_argument("--base-url", metavar="URL", help="the address that the key belongs to, instead of the provider's")
    one.add_argument("--from-env", metavar="VARIABLE", help="take the key from this variable")
    _verb(verbs, "list", "show all, keys masked", _list_credentials)
    for verb, what, run in _switches("credential", _remove_credential, _enable_credential):
        one = _verb(verbs, verb, what, run)
        one.add_argument("provider", help="the provider of the key")
        one.add_argument("--name", default=credentials.DEFAULT, help="which of several keys")
    _verb(verbs, "rotate", "encrypt all keys with a new master key; run it again if it was interrupted", _rotate)

    setting, verbs = _group("settings", "config settings in the store", load)
    one = _verb(verbs, "add", "set a key; it overrides the environment and the file", _add_setting)
    one.add_argument("key", help="a top-level key of the config")
    one.add_argument("value", help="as YAML, such as 5 or {home: {protocol: ollama, base_url: …}}")
    _verb(verbs, "list", "show all", _list_settings)
    for verb, what, run in _switches("setting", _remove_setting, _enable_setting):
        _verb(verbs, verb, what, run).add_argument("key", help="a top-level key of the config")
    return {"mappings": mapping, "credentials": credential, "settings": setting}


def _group(name: str, what: str, load: Load) -> tuple[argparse.ArgumentParser, Verbs]:
    group = argparse.ArgumentParser(prog=f"crosswire {name}", description=what)
    group.add_argument("--config", type=Path, metavar="FILE", help="the config that names the store")
    group.add_argument("--store", metavar="URL", help=f"the store (default: the config's, else {DEFAULT_STORE_URL})")
    group.set_defaults(load=load, port=None, backend=None)
    return group, group.add_subparsers(required=True, metavar="VERB")


def _verb(verbs: Verbs, name: str, what: str, run: Run) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=what, description=what)
    verb.set_defaults(run=run)
    return verb


def _switches(noun: str, remove: Run, enable: Callable[[argparse.Namespace, bool], int]) -> list[tuple[str, str, Run]]:
    return [
        ("remove", f"delete a {noun}", remove),
        ("enable", f"enable a {noun}", lambda args: enable(args, True)),
        ("disable", f"disable a {noun} without deleting it", lambda args: enable(args, False)),
    ]


# ---- mappings --------------------------------------------------------------------------------------------------------


def _add_mapping(args: argparse.Namespace) -> int:
    pairs = (text.partition("/") for text in args.fallback)
    fallback = [{"backend": name, "model": model} if slash else name for name, slash, model in pairs]

    async def change(_: Store, connection: AsyncConnection) -> str:
        number = await mappings.add(
            connection, args.match, args.backend, args.model, args.priority, fallback, not args.disabled
        )
        return f"mapping {number}: {args.match} -> {args.backend}"

    return _change(args, change)


def _list_mappings(args: argparse.Namespace) -> int:
    async def read(store: Store, connection: AsyncConnection) -> int:
        found, wrong = await mappings.list_all(connection)
        rows = [("ID", "MATCH", "BACKEND", "MODEL", "PRIORITY", "ENABLED", "FALLBACK")]
        for entry in found:
            steps = (step if isinstance(step, str) else "/".join(step.values()) for step in entry.fallback)
            chain = ", ".join(steps) or "-"
            model, on = entry.model or "-", _yes(entry.enabled)
            rows.append((str(entry.id), entry.match, entry.backend, model, str(entry.priority), on, chain))
        _print(rows)
        print(*wrong, sep="\n", end="\n" if wrong else "", file=sys.stderr)
        return OK

    return _read(args, read)


def _remove_mapping(args: argparse.Namespace) -> int:
    return _switch(args, f"mapping {args.id}", "removed", lambda connection: mappings.remove(connection, args.id))


def _enable_mapping(args: argparse.Namespace, enabled: bool) -> int:
    change = _word(enabled)
    return _switch(args, f"mapping {args.id}", change, lambda one: mappings.enable(one, args.id, enabled))


# ---- credentials -----------------------------------------------------------------------------------------------------


def _add_credential(args: argparse.Namespace) -> int:
    if args.base_url is not None:
        args.base_url, wrong = parse_base_url(args.base_url)
        if wrong:
            print(f"--base-url: {wrong}", file=sys.stderr)
            return USAGE
    key = _given_key(args)
    if not is_valid_key(key):
        print(f"the key {INVALID_KEY}", file=sys.stderr)
        return USAGE
    provider = canonical(args.provider)

    async def change(store: Store, connection: AsyncConnection) -> str:
        ring = await store.ring(connection)
        if ring is None:
            file = key_file(os.environ, store.key_file)
            assert file is not None  # noqa: S101 - with the variable there would be a ring
            write_keys(file, [new_key()])
            print(f"created the master key in {file}; without it the credentials cannot be decrypted", file=sys.stderr)
            ring = await store.ring(connection)
            assert ring is not None  # noqa: S101 - it was just made
        new = await credentials.add(connection, ring, provider, key, args.name, args.base_url)
        return f"credential {provider}/{args.name}: {'added' if new else 'changed'}"

    return _change(args, change)


def _given_key(args: argparse.Namespace) -> str:
    """The key, from a variable, from a person who types it unseen, or from standard input."""
    if args.from_env is not None:
        return os.environ.get(args.from_env, "")
    if sys.stdin.isatty():
        return getpass(f"key of {args.provider}: ").strip()
    return sys.stdin.readline().strip()


def _list_credentials(args: argparse.Namespace) -> int:
    async def read(store: Store, connection: AsyncConnection) -> int:
        found = await credentials.list_all(connection, await store.ring(connection))
        rows = [("PROVIDER", "NAME", "KEY", "BASE URL", "ENABLED")]
        rows += [(e.provider, e.name, e.shown, e.base_url or "-", _yes(e.enabled)) for e in found]
        _print(rows)
        return OK

    return _read(args, read)


def _remove_credential(args: argparse.Namespace) -> int:
    provider = canonical(args.provider)
    label = f"credential {provider}/{args.name}"
    return _switch(args, label, "removed", lambda one: credentials.remove(one, provider, args.name))


def _enable_credential(args: argparse.Namespace, enabled: bool) -> int:
    provider = canonical(args.provider)
    label = f"credential {provider}/{args.name}"
    return _switch(args, label, _word(enabled), lambda one: credentials.enable(one, provider, args.name, enabled))


def _rotate(args: argparse.Namespace) -> int:
    async def run(store: Store) -> int:
        done = await rotate(store, os.environ)
        print(f"{done.count} credentials encrypted with the new key")
        if done.by_hand:
            print(f"remove the old key from {KEY_VARIABLE} once every running proxy has the new one")
        return OK

    return asyncio.run(_with(_store(args), run))


# ---- settings --------------------------------------------------------------------------------------------------------


def _add_setting(args: argparse.Namespace) -> int:
    async def change(_: Store, connection: AsyncConnection) -> str:
        new = await settings.add(connection, args.key, args.value)
        return f"setting {args.key}: {'added' if new else 'changed'}"

    return _change(args, change)


def _list_settings(args: argparse.Namespace) -> int:
    async def read(_: Store, connection: AsyncConnection) -> int:
        rows = [("KEY", "VALUE", "ENABLED")]
        rows += [(entry.key, entry.value, _yes(entry.enabled)) for entry in await settings.list_all(connection)]
        _print(rows)
        return OK

    return _read(args, read)


def _remove_setting(args: argparse.Namespace) -> int:
    return _switch(args, f"setting {args.key}", "removed", lambda one: settings.remove(one, args.key))


def _enable_setting(args: argparse.Namespace, enabled: bool) -> int:
    change = _word(enabled)
    return _switch(args, f"setting {args.key}", change, lambda one: settings.enable(one, args.key, enabled))


# ---- what they share -------------------------------------------------------------------------------------------------


def _read(args: argparse.Namespace, read: Callable[[Store, AsyncConnection], Awaitable[int]]) -> int:
    async def run(store: Store) -> int:
        async with store.reading() as connection:
            return await read(store, connection)

    return asyncio.run(_with(_store(args), run))


def _switch(
    args: argparse.Namespace, label: str, done: str, change: Callable[[AsyncConnection], Awaitable[bool]]
) -> int:
    async def run(_: Store, connection: AsyncConnection) -> str:
        if not await change(connection):
            raise StoreError(f"{label} does not exist; `list` shows all")
        return f"{label}: {done}"

    return _change(args, run)


def _change(args: argparse.Namespace, change: Callable[[Store, AsyncConnection], Awaitable[str]]) -> int:
    """Make a change if the config can be loaded with it, or was as wrong without it."""

    async def run(store: Store) -> int:
        async with store.writing() as connection:
            before, _ = _tried(args, await store.read_snapshot(connection))
            done = await change(store, connection)
            after, warnings = _tried(args, await store.read_snapshot(connection))
            if new := [complaint for complaint in after if complaint not in before]:
                raise ConfigError([*new, "nothing was changed"])
        print(done)
        print(*(f"warning: {warning}" for warning in warnings), sep="\n", end="\n" * bool(warnings), file=sys.stderr)
        return OK

    return asyncio.run(_with(_store(args), run))


def _tried(args: argparse.Namespace, snapshot: Snapshot) -> tuple[Sequence[str], Sequence[str]]:
    """The complaints and the warnings of the config with this over it."""
    try:
        return (), args.load(args, snapshot).warnings
    except ConfigError as fault:
        return fault.complaints, ()


def _store(args: argparse.Namespace) -> Store:
    found = None if args.store else store_address(config_file(args.config), os.environ)
    return Store(args.store or (DEFAULT_STORE_URL if found is None else found.url), os.environ)


async def _with(store: Store, run: Callable[[Store], Awaitable[T]]) -> T:
    try:
        return await run(store)
    finally:
        await store.close()


def _print(rows: Iterable[Sequence[str]]) -> None:
    """A table, its columns as wide as what is in them."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"


def _word(enabled: bool) -> str:
    return "enabled" if enabled else "disabled"
