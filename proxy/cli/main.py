"""The command line `crosswire`: one module for each command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from ..errors import ConfigError
from . import check, convert, doctor, env, explain, health, init, restart, run, schema, serve, traits
from .config_source import config_of, store_commands
from .exit_codes import OK, USAGE

COMMANDS = {
    "serve": (serve, "run the proxy"),
    "restart": (restart, "replace the workers of a running proxy, one after the other"),
    "run": (run, "run a client program behind a proxy of its own"),
    "env": (env, "show how a client program is pointed at the proxy"),
    "doctor": (doctor, "look whether keys, hosts, clock, ports and store are as they must be"),
    "health": (health, "ask a running proxy whether it takes requests"),
    "check": (check, "report all errors of a config"),
    "init": (init, "write a config with a backend for each key in the environment"),
    "schema": (schema, "print the JSON Schema of a config, a story, a provider, a profile or the expectations"),
    "explain": (explain, "show which backend a request would get, and why"),
    "traits": (traits, "show what is known of a model, and from where"),
    "convert": (convert, "convert a request body from standard input, and list the losses"),
}

STORE_COMMANDS = {
    "mappings": "routing rules in the store",
    "credentials": "provider keys, encrypted in the store",
    "settings": "config settings in the store",
    "clients": "who may use the proxy: keys in the store, and what each may do",
    "usage": "what was used and what it cost, by client, model or day",
    "audit": "who changed the store, when and from where",
}

_DELEGATED: dict[str, Any] = {"add_help": False, "prefix_chars": "\0"}
"""Keeps a command's arguments for the parser in `store`, which is imported with its libraries only when it is used."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code; see `exit_codes`."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.run is None:
        parser.print_help(sys.stderr)
        return USAGE
    try:
        return int(args.run(args))
    except ConfigError as fault:
        print(*fault.complaints, sep="\n", file=sys.stderr)
        return USAGE
    except BrokenPipeError:
        return OK  # the reader of the output closed it


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="crosswire", description="Any LLM client to any LLM backend, and no silent loss."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('crosswire')}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(metavar="COMMAND")
    for name, (command, text) in COMMANDS.items():
        command.add_arguments(commands.add_parser(name, help=text))
    for name, text in STORE_COMMANDS.items():
        delegated = commands.add_parser(name, **_DELEGATED, help=text)
        delegated.add_argument("rest", nargs="*")
        delegated.set_defaults(run=_run_store_command, command=name)
    return parser


def _run_store_command(args: argparse.Namespace) -> int:
    return int(store_commands().main(args.command, args.rest, config_of))
