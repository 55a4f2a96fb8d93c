"""The command line `crosswire`: one module for each command."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from .exit_codes import OK, USAGE

COMMANDS = {
    "serve": "run the proxy",
    "restart": "replace the workers of a running proxy, one after the other",
    "run": "run a client program behind a proxy of its own",
    "env": "show how a client program is pointed at the proxy",
    "doctor": "look whether keys, hosts, clock, ports and store are as they must be",
    "health": "ask a running proxy whether it takes requests",
    "check": "report all errors of a config",
    "init": "write a config with a backend for each key in the environment",
    "schema": "print the JSON Schema of a config, a story, a provider, a profile or the expectations",
    "explain": "show which backend a request would get, and why",
    "traits": "show what is known of a model, and from where",
    "convert": "convert a request body from standard input, and list the losses",
}
"""The commands and their help; each is a module of its name, which is imported only when the command is given."""

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
    arguments = list(sys.argv[1:] if argv is None else argv)
    with _collector_paused():
        from ..errors import ConfigError

        parser = _parser(arguments[0] if arguments else "")
    args = parser.parse_args(arguments)
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


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Imports in this context are not searched for garbage: they leave none, and it took a fifth of the start."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Version(argparse.Action):
    """Prints the version, which takes a while to find."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"{parser.prog} {version('crosswire')}")
        parser.exit()


def _parser(given: str) -> argparse.ArgumentParser:
    """The parser, with the arguments of the given command, or of all where none is given."""
    parser = argparse.ArgumentParser(
        prog="crosswire", description="Any LLM client to any LLM backend, and no silent loss."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show program's version number and exit")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text)
        if name == given or given not in COMMANDS | STORE_COMMANDS:
            import_module(f"{__package__}.{name}").add_arguments(command)
    for name, text in STORE_COMMANDS.items():
        delegated = commands.add_parser(name, **_DELEGATED, help=text)
        delegated.add_argument("rest", nargs="*")
        delegated.set_defaults(run=_run_store_command, command=name)
    return parser


def _run_store_command(args: argparse.Namespace) -> int:
    from .config_source import config_of, store_commands

    return int(store_commands().main(args.command, args.rest, config_of))
