"""`crosswire run`: starts a proxy on a free port and a client program behind it, and ends with its exit code."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from ..config import Config
from ..known_clients import EVERY_VARIABLE, KEY_VARIABLE, Client, fill, find_client, setup_of
from ..observability.metrics import Totals
from ..protocols import DEFAULT, PROTOCOLS
from ..server.app import gateway_of, make_app
from ..server.lifecycle import listening
from .config_source import add_config_arguments, config_of, counted
from .exit_codes import ENVIRONMENT, USAGE
from .usage_writer import keep_usage

NOT_FOUND = 127
"""The exit code of a shell for a command that is not there."""

SIGNALLED = 128
"""Added to the number of the signal that ended the command, as shells do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(parser)
    parser.add_argument(
        "--model", metavar="M", help="the model that the client asks for; any name that the config serves"
    )
    parser.add_argument("--log-file", type=Path, metavar="FILE", help="write each request and response as JSON lines")
    parser.add_argument("-q", "--quiet", action="store_true", help="print no summary at the end")
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="-- CLIENT ...", help="the command and its arguments"
    )
    parser.set_defaults(run=run, port=None)


def run(args: argparse.Namespace) -> int:
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        print("crosswire run: name a command behind --, such as: crosswire run -- codex", file=sys.stderr)
        return USAGE
    # the client has the terminal; what the proxy has to say would be written over it
    logging.basicConfig(level=logging.CRITICAL)
    config = config_of(args)
    if config.clients is not None and not os.environ.get(KEY_VARIABLE):
        what = f"the config has clients, so the command needs the key of one; put it into the variable {KEY_VARIABLE}"
        print(f"crosswire run: {what}", file=sys.stderr)
        return USAGE
    client = find_client(command[0])
    model = args.model or (default_model(config) if client is not None and client.needs_model else None)
    if client is not None:
        aliases = {**config.plan.aliases, **setup_of(client, "", args.model).aliases}
        if aliases != config.plan.aliases:
            config = replace(config, plan=replace(config.plan, aliases=aliases))
    for warning in config.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return asyncio.run(_run(config, client, command, model, args))


def default_model(config: Config) -> str:
    """Returns the first model that the config names, else an example of its first backend's protocol."""
    first = config.plan.ordered[0]
    named = next((name for backend in config.plan.backends for name in backend.models), None)
    return named or first.default_model or PROTOCOLS.get(first.protocol, DEFAULT).example_model


async def _run(
    config: Config, client: Client | None, command: Sequence[str], model: str | None, args: argparse.Namespace
) -> int:
    try:
        app = make_app(config, stage_log=args.log_file)
    except OSError as fault:
        print(f"--log-file: {fault.filename} cannot be written: {fault.strerror}", file=sys.stderr)
        return ENVIRONMENT
    gateway = gateway_of(app)
    app.cleanup_ctx.append(lambda app: keep_usage(gateway))
    lists = asyncio.ensure_future(gateway.model_lists.watch())
    try:
        async with listening(app, "127.0.0.1") as port:
            with _environment(client, f"http://127.0.0.1:{port}", model) as (variables, arguments):
                code = await _run_command((command[0], *arguments, *command[1:]), variables)
    finally:
        lists.cancel()
    totals = gateway.metrics.totals()
    if not args.quiet and (totals.requests or code not in (NOT_FOUND, NOT_FOUND - 1)):
        print(summary(totals), file=sys.stderr)
    return code


@contextlib.contextmanager
def _environment(
    client: Client | None, base: str, model: str | None
) -> Iterator[tuple[Mapping[str, str], Sequence[str]]]:
    """Yields the variables of the command and the arguments that point it here; a config file lives as long as it."""
    key = os.environ.get(KEY_VARIABLE, "")
    own = {name: fill(text, base, "", key) for name, text in EVERY_VARIABLE.items()}
    if client is None:
        yield {**os.environ, **own}, ()
        return
    with tempfile.TemporaryDirectory(prefix="crosswire-") as folder:
        setup = setup_of(client, base, model, folder, key)
        if setup.file_text is not None and client.file is not None and client.file.variable in setup.variables:
            Path(folder, client.file.name).write_text(setup.file_text, "utf-8")
        # a program that the client starts may be another one
        yield {**os.environ, **own, **setup.variables}, setup.arguments


async def _run_command(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Runs the command on this terminal and returns its exit code, as a shell tells it."""
    try:
        process = await asyncio.create_subprocess_exec(*command, env=dict(variables))
    except FileNotFoundError:
        print(f"crosswire run: there is no command {command[0]!r}; install it, or give its path", file=sys.stderr)
        return NOT_FOUND
    except OSError as fault:
        print(f"crosswire run: {command[0]!r} cannot be run: {fault.strerror}", file=sys.stderr)
        return NOT_FOUND - 1
    loop = asyncio.get_running_loop()
    # the terminal sends an interrupt to both; whether it ends is for the client to say
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    for name in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(name, _forward, process, name)
    code = await process.wait()
    return code if code >= 0 else SIGNALLED - code


def _forward(process: asyncio.subprocess.Process, name: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(name)


def summary(totals: Totals) -> str:
    """Returns what was asked, lost and used, on one line."""
    parts = [counted(totals.requests, "request")]
    if totals.failed:
        parts.append(f"{totals.failed} failed")
    parts.append(f"{totals.input_tokens} tokens in, {totals.output_tokens} out")
    lost = ", ".join(f"{feature} ({number})" for feature, number in sorted(totals.losses.items()))
    parts.append(f"lost: {lost}" if lost else "nothing lost")
    return f"crosswire: {'; '.join(parts)}"
