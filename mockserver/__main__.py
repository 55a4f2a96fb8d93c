"""Command line of the mock server: serves a folder of scenarios, checks it, or lists the rules of the providers.

Exit status: 0 success, 1 mistakes in the scenarios, 2 wrong command line or missing folder.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from .protocols.names import NAMES
from .rule_list import rules_as_json, rules_as_text
from .scenarios.folders import scenario_folders
from .scenarios.loader import Scenarios, load_scenarios

PORT = 8888
"""Default port."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status; `argv` defaults to the process's arguments."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["rules"]:
        return _list_rules(arguments[1:])
    check = arguments[:1] == ["check"]
    if check:
        arguments = arguments[1:]
    parser = argparse.ArgumentParser(
        prog="crosswire-mock check" if check else "crosswire-mock",
        description=(
            "Check a folder of scenarios and print every mistake with its file and line."
            if check
            else "Serve mock LLM providers over HTTP from a folder of scenarios. "
            "`crosswire-mock check FOLDER` only checks the folder; `crosswire-mock rules` lists what is refused."
        ),
    )
    parser.add_argument(
        "folder",
        nargs="?",
        help="folder that contains providers/ and stories/; default: ./scenarios if it is there, else the shipped ones",
    )
    parser.add_argument("--scenarios", type=Path, metavar="DIR", help="folder whose files lie over the shipped ones")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('crosswire')}")
    if not check:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on; default: %(default)s")
        parser.add_argument(
            "--port", type=int, default=PORT, help="port to listen on, 0 for a free one; default: %(default)s"
        )
        parser.add_argument("-q", "--quiet", action="store_true", help="do not log each request")
    try:
        args = parser.parse_args(arguments)
    except SystemExit as exited:
        return 0 if exited.code in (0, None) else 2
    try:
        folders = (Path(args.folder),) if args.folder else scenario_folders(args.scenarios)
        scenarios = load_scenarios(*folders)
    except FileNotFoundError as problem:
        print(problem, file=sys.stderr)
        return 2
    for mistake in scenarios.mistakes:
        print(mistake, file=sys.stderr)
    if scenarios.mistakes:
        print(f"{len(scenarios.mistakes)} mistakes", file=sys.stderr)
        return 1
    if check:
        print(f"{len(scenarios.providers)} providers, {len(scenarios.stories)} stories, no mistakes")
        return 0
    logging.basicConfig(level=logging.WARNING if args.quiet else logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    try:
        asyncio.run(_serve(scenarios, args.host, args.port))
    except OSError as problem:
        print(f"cannot listen on {args.host}:{args.port}: {problem.strerror}; try another --port", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


def _list_rules(arguments: Sequence[str]) -> int:
    """Prints the rules by which the mock refuses requests."""
    parser = argparse.ArgumentParser(
        prog="crosswire-mock rules",
        description="List the rules by which the mock refuses requests as the real providers do: the message, what the "
        "vendor says, where, and when it was read.",
    )
    parser.add_argument("protocol", nargs="?", choices=NAMES, metavar="PROTOCOL", help="only the rules of one protocol")
    parser.add_argument("--json", action="store_true", help="print a JSON array")
    try:
        args = parser.parse_args(arguments)
    except SystemExit as exited:
        return 0 if exited.code in (0, None) else 2
    print(rules_as_json(args.protocol) if args.json else rules_as_text(args.protocol))
    return 0


async def _serve(scenarios: Scenarios, host: str, port: int) -> None:
    from .server import serve

    await serve(scenarios, host, port)


if __name__ == "__main__":
    sys.exit(main())
