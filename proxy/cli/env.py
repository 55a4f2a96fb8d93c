"""`crosswire env`: prints how a client program is pointed at the proxy, and writes its config file."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from ..known_clients import CLIENTS, EVERY_VARIABLE, KEY_VARIABLE, Client, Setup, fill, find_client, setup_of
from .exit_codes import ENVIRONMENT, OK, USAGE

ADDRESS = "http://127.0.0.1:9001"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "client", nargs="?", metavar="CLIENT", help="a client of docs/clients.md; without one all are listed"
    )
    parser.add_argument("--model", metavar="M", help="the model that it asks for; any name that the proxy serves")
    parser.add_argument("--url", default=ADDRESS, help=f"the proxy's address, {ADDRESS} if it is left out")
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="write the client's config file here; one that is there is kept"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.client is None:
        width = max(len(client.name) for client in CLIENTS)
        print(*(f"{client.name:{width}}  {client.title}: {client.speaks}" for client in CLIENTS), sep="\n")
        return OK
    base, key = args.url.rstrip("/").removesuffix("/v1"), os.environ.get(KEY_VARIABLE, "")
    client = find_client(args.client)
    if client is None:
        known = ", ".join(each.name for each in CLIENTS)
        print(f"{args.client}: is no client that is known; known: {known}", file=sys.stderr)
        print("# the variables that the official SDKs read:", *export_lines(EVERY_VARIABLE, base, key), sep="\n")
        return USAGE
    if client.needs_model and args.model is None:
        print(f"{client.name} asks for no model by itself; choose one with --model", file=sys.stderr)
        return USAGE
    folder = None if args.write is None else str(args.write.resolve().parent)
    setup = setup_of(client, base, args.model, folder, key)
    if args.write is not None:
        return write_file(args.write, client, setup)
    print(*lines_of(client, setup, base, args.model or "MODEL", key), sep="\n")
    return OK


def export_lines(variables: Mapping[str, str], base: str, key: str = "") -> list[str]:
    """Returns a line of the shell for each variable."""
    return [f"export {name}={shlex.quote(fill(text, base, '', key))}" for name, text in variables.items()]


def lines_of(client: Client, setup: Setup, base: str, model: str, key: str = "") -> list[str]:
    """Returns what a shell takes, with the rest of the recipe as its comments."""
    lines = export_lines(setup.variables, base)
    if setup.aliases:
        pairs = ", ".join(f'"{name}": {means}' for name, means in setup.aliases.items())
        lines.append(f"# for the models that it asks for by itself, in crosswire.yaml: aliases: {{{pairs}}}")
    if setup.arguments:
        words = " ".join(map(shlex.quote, (client.command or client.name, *setup.arguments)))
        lines.append(f"# run it as: {words}")
    elif client.file is not None and not client.file.by_content and setup.file_text is not None:
        lines.append(f"# it needs a config file, {client.file.usual}; --write FILE writes it:")
        lines += [f"#   {line}" for line in setup.file_text.splitlines()]
    lines.append(f"# {fill(client.example, base, model, key)}")
    return lines


def write_file(path: Path, client: Client, setup: Setup) -> int:
    """Writes the client's config file where none is, and says how the client finds it."""
    if client.file is None or setup.file_text is None:
        why = "needs no config file" if client.file is None else "has a config file for a model only; add --model"
        print(f"--write: {client.name} {why}", file=sys.stderr)
        return USAGE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # it may hold the client's key
        with open(path, "x", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(setup.file_text)
    except FileExistsError:
        print(f"--write: {path} is there already, and is kept; name another file", file=sys.stderr)
        return USAGE
    except OSError as fault:
        print(f"--write: {path} cannot be written: {fault.strerror}", file=sys.stderr)
        return ENVIRONMENT
    print(f"wrote {path}", file=sys.stderr)
    variables = dict(setup.variables)
    if client.file.variable is not None and not client.file.by_content:
        variables[client.file.variable] = str(path.resolve().parent)
    if client.file.by_content:
        variables.pop(client.file.variable or "", None)
        variables["OPENCODE_CONFIG"] = str(path.resolve())
    print(*export_lines(variables, ""), sep="\n")
    if path.name != client.file.name and not client.file.by_content:
        print(f"# {client.title} looks for a file of the name {client.file.name}")
    return OK
