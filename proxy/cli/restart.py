"""`crosswire restart`: replaces the workers of a running proxy one after the other."""

from __future__ import annotations

import argparse
import asyncio
import sys

from ..workers.channel import Channel, ChannelError
from ..workers.private_folder import SOCKET, folder_of
from .config_source import add_config_arguments, config_of
from .exit_codes import ENVIRONMENT, FAILED, OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(parser)
    parser.add_argument("--port", type=int, help="the port of the proxy, instead of the config's (9001)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    port = args.port or config_of(args).settings.port
    return asyncio.run(_restart(port))


async def _restart(port: int) -> int:
    channel = Channel({})
    try:
        await asyncio.get_running_loop().create_unix_connection(lambda: channel, str(folder_of(port) / SOCKET))
    except OSError:
        text = f"no proxy of this user with several workers is running on port {port}; one is started with --workers"
        print(text, file=sys.stderr)
        return ENVIRONMENT
    try:
        print(await channel.ask("restart"))
    except ChannelError as fault:
        print(f"the workers were not replaced: {fault}", file=sys.stderr)
        return FAILED
    finally:
        channel.close()
    return OK
