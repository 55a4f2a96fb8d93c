"""The commands on the store: list, add, remove, enable, disable mappings, credentials and settings; a new master key.

A change is tried on the config first: what would keep the proxy from starting is not kept. No key is an argument, for
arguments are in every process list and in the shell's history.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from getpass import getpass

from sqlalchemy.ext.asyncio import AsyncConnection

from ..config.urls import parse_base_url
from ..config.yaml_reader import INVALID_KEY, is_valid_key
from ..providers import canonical
from ..store import credentials, mappings, settings
from ..store.crypto import KEY_VARIABLE
from ..store.database import Store
from ..store.rotation import rotate
from .clients import client_parsers
from .exit_codes import OK, USAGE
from .store_access import (
    Load,
    change_store,
    group_parser,
    note,
    print_table,
    read_store,
    ring_of,
    store_of,
    switch,
    switched,
    switches,
    verb_parser,
    with_store,
    yes,
)


def main(command: str, argv: Sequence[str], load: Load) -> int:
    """Run one of the commands on the store; `load` is what a change is tried on."""
    args = _parsers(load)[command].parse_args(argv)
    return int(args.run(args))


# ---- the arguments ---------------------------------------------------------------------------------------------------


def _parsers(load: Load) -> dict[str, argparse.ArgumentParser]:
    mapping, verbs = group_parser("mappings", "routing rules in the store", load)
    one = verb_parser(verbs, "add", "add a rule", _add_mapping)
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
    verb_parser(verbs, "list", "show all", _list_mappings)
    for verb, what, run in switches("mapping", _remove_mapping, _enable_mapping):
        verb_parser(verbs, verb, what, run).add_argument("id", type=int, help="its number in the list")

    credential, verbs = group_parser("credentials", "provider keys, encrypted in the store", load)
    one = verb_parser(verbs, "add", "add a key, read from the terminal or standard input", _add_credential)
    one.add_argument("provider", help="a known provider, one of llm_custom_providers, or a backend")
    one.add_argument("--name", default=credentials.DEFAULT, help="distinguishes several keys of one provider")
    one.add_argument("--base-url", metavar="URL", help="the address that the key belongs to, instead of the provider's")
    one.add_argument("--from-env", metavar="VARIABLE", help="take the key from this variable")
    verb_parser(verbs, "list", "show all, keys masked", _list_credentials)
    for verb, what, run in switches("credential", _remove_credential, _enable_credential):
        one = verb_parser(verbs, verb, what, run)
        one.add_argument("provider", help="the provider of the key")
        one.add_argument("--name", default=credentials.DEFAULT, help="which of several keys")
    verb_parser(verbs, "rotate", "encrypt all keys with a new master key; run it again if it was interrupted", _rotate)

    setting, verbs = group_parser("settings", "config settings in the store", load)
    one = verb_parser(verbs, "add", "set a key; it overrides the environment and the file", _add_setting)
    one.add_argument("key", help="a top-level key of the config")
    one.add_argument("value", help="as YAML, such as 5 or {home: {protocol: ollama, base_url: …}}")
    verb_parser(verbs, "list", "show all", _list_settings)
    for verb, what, run in switches("setting", _remove_setting, _enable_setting):
        verb_parser(verbs, verb, what, run).add_argument("key", help="a top-level key of the config")
    return {"mappings": mapping, "credentials": credential, "settings": setting, **client_parsers(load)}


# ---- mappings --------------------------------------------------------------------------------------------------------


def _add_mapping(args: argparse.Namespace) -> int:
    pairs = (text.partition("/") for text in args.fallback)
    fallback = [{"backend": name, "model": model} if slash else name for name, slash, model in pairs]

    async def change(_: Store, connection: AsyncConnection) -> str:
        number = await mappings.add(
            connection, args.match, args.backend, args.model, args.priority, fallback, not args.disabled
        )
        return f"mapping {number}: {args.match} -> {args.backend}"

    return change_store(args, change)


def _list_mappings(args: argparse.Namespace) -> int:
    async def read(store: Store, connection: AsyncConnection) -> int:
        found, wrong = await mappings.list_all(connection)
        rows = [("ID", "MATCH", "BACKEND", "MODEL", "PRIORITY", "ENABLED", "FALLBACK")]
        for entry in found:
            steps = (step if isinstance(step, str) else "/".join(step.values()) for step in entry.fallback)
            chain = ", ".join(steps) or "-"
            model, on = entry.model or "-", yes(entry.enabled)
            rows.append((str(entry.id), entry.match, entry.backend, model, str(entry.priority), on, chain))
        print_table(rows)
        print(*wrong, sep="\n", end="\n" if wrong else "", file=sys.stderr)
        return OK

    return read_store(args, read)


def _remove_mapping(args: argparse.Namespace) -> int:
    return switch(args, f"mapping {args.id}", "removed", lambda connection: mappings.remove(connection, args.id))


def _enable_mapping(args: argparse.Namespace, enabled: bool) -> int:
    change = switched(enabled)
    return switch(args, f"mapping {args.id}", change, lambda one: mappings.enable(one, args.id, enabled))


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
        ring = await ring_of(store, connection)
        new = await credentials.add(connection, ring, provider, key, args.name, args.base_url)
        return f"credential {provider}/{args.name}: {'added' if new else 'changed'}"

    return change_store(args, change)


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
        rows += [(e.provider, e.name, e.shown, e.base_url or "-", yes(e.enabled)) for e in found]
        print_table(rows)
        return OK

    return read_store(args, read)


def _remove_credential(args: argparse.Namespace) -> int:
    provider = canonical(args.provider)
    label = f"credential {provider}/{args.name}"
    return switch(args, label, "removed", lambda one: credentials.remove(one, provider, args.name))


def _enable_credential(args: argparse.Namespace, enabled: bool) -> int:
    provider = canonical(args.provider)
    label = f"credential {provider}/{args.name}"
    return switch(args, label, switched(enabled), lambda one: credentials.enable(one, provider, args.name, enabled))


def _rotate(args: argparse.Namespace) -> int:
    async def run(store: Store) -> int:
        done = await rotate(store, os.environ)
        async with store.writing() as connection:
            await note(connection, args, f"master key: {done.count} credentials encrypted anew")
        print(f"{done.count} credentials encrypted with the new key")
        if done.by_hand:
            print(f"remove the old key from {KEY_VARIABLE} once every running proxy has the new one")
        return OK

    return asyncio.run(with_store(store_of(args), run))


# ---- settings --------------------------------------------------------------------------------------------------------


def _add_setting(args: argparse.Namespace) -> int:
    async def change(_: Store, connection: AsyncConnection) -> str:
        new = await settings.add(connection, args.key, args.value)
        return f"setting {args.key}: {'added' if new else 'changed'}"

    return change_store(args, change)


def _list_settings(args: argparse.Namespace) -> int:
    async def read(_: Store, connection: AsyncConnection) -> int:
        rows = [("KEY", "VALUE", "ENABLED")]
        rows += [(entry.key, entry.value, yes(entry.enabled)) for entry in await settings.list_all(connection)]
        print_table(rows)
        return OK

    return read_store(args, read)


def _remove_setting(args: argparse.Namespace) -> int:
    return switch(args, f"setting {args.key}", "removed", lambda one: settings.remove(one, args.key))


def _enable_setting(args: argparse.Namespace, enabled: bool) -> int:
    change = switched(enabled)
    return switch(args, f"setting {args.key}", change, lambda one: settings.enable(one, args.key, enabled))
