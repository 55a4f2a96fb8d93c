"""`crosswire init`: writes a config with a backend for each provider whose variable the environment has."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..config.environment import enabled_by_variable
from ..config.source import DEFAULT_FILE
from ..providers import Provider
from .exit_codes import ENVIRONMENT, OK, USAGE
from .schema import schema_file

HEAD = """\
# yaml-language-server: $schema={schema}
# Config of Crosswire. `crosswire check` names every mistake, `crosswire serve` starts the proxy with this file.
# ${{NAME}} is a variable of the environment: no key stands in this file.

listen: 127.0.0.1:9001          # other machines may reach another address only with `clients`, or with `open: true`

backends:
"""

ROUTES = """
# Which backend serves a model: exact names come first, then the pattern that says most. A name that none of them fits
# goes to the first backend that can do what the request asks for.
routes:
"""

TAIL = """
# Who may use the proxy, and how much. Without clients everybody on this machine may.
# clients:
#   ada:
#     key: ${ADA_KEY}           # made with: openssl rand -hex 16
#     requests: 60/min

# Other names for models, for programs whose model cannot be set.
# aliases: {gpt-4: gpt-5-mini}

# The operator's page at /ui, and the endpoints of the operator.
# admin_key: ${CROSSWIRE_ADMIN_KEY}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", nargs="?", type=Path, default=DEFAULT_FILE, metavar="FILE", help="a file that is there is kept"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    found = [each for each in enabled_by_variable() if os.environ.get(str(each.enabling_variable))]
    if not found:
        variables = ", ".join(str(each.enabling_variable) for each in enabled_by_variable())
        print(f"none of these variables is set: {variables}", file=sys.stderr)
        print("set that of a provider; docs/quickstart.md shows how to try the proxy without a key", file=sys.stderr)
        return USAGE
    try:
        with open(args.file, "x", encoding="utf-8") as file:
            file.write(config_text(found, os.environ))
    except FileExistsError:
        print(f"{args.file}: is there already, and is kept; name another file", file=sys.stderr)
        return USAGE
    except OSError as fault:
        print(f"{args.file}: cannot be written: {fault.strerror}", file=sys.stderr)
        return ENVIRONMENT
    print(f"wrote {args.file}: {', '.join(each.name for each in found)}; next: crosswire check {args.file}")
    return OK


def config_text(providers: Iterable[Provider], env: Mapping[str, str]) -> str:
    """Returns a config with a backend for each of these providers; a key is there by the name of its variable."""
    every = tuple(providers)
    lines = [line for provider in every for line in _backend_lines(provider, env)]
    patterns = [(pattern, provider.name) for provider in every for pattern in provider.families]
    # "*" fits every name, so that nothing behind it would be asked
    routes = [f"  - {{match: {_quoted(pattern)}, backend: {name}}}" for pattern, name in patterns if pattern != "*"]
    text = HEAD.format(schema=schema_file("config")) + "\n".join(lines) + "\n"
    if len(every) > 1 and routes:
        text += ROUTES + "\n".join(routes) + "\n"
    return text + TAIL


def _backend_lines(provider: Provider, env: Mapping[str, str]) -> list[str]:
    has_key = provider.key_variable is not None and (provider.needs_key or env.get(provider.key_variable))
    lines = (
        [f"  {provider.name}:", f"    api_key: ${{{provider.key_variable}}}"]
        if has_key
        else [f"  {provider.name}: {{}}"]
    )
    address, variable = provider.address(env)
    lines.append(f"    # base_url: the variable {variable} says it" if variable else f"    # base_url: {address}")
    lines.append("    # models: {fast: the-name-at-the-provider}   # names of your own, and the list that clients see")
    return lines


def _quoted(pattern: str) -> str:
    return f'"{pattern}"'
