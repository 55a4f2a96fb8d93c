"""Command line of the mock server: serves a folder of scenarios or checks it, lists the rules, or judges a client.

Exit status: 0 success, 1 mistakes in the scenarios, 2 wrong command line or missing folder.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from .any_reply import WAYS
from .conditions import Conditions, Latency, parse_faults, parse_latency
from .protocols.names import NAMES
from .rule_list import rules_as_json, rules_as_text
from .scenarios.folders import scenario_folders
from .scenarios.loader import Scenarios, load_scenarios

T = TypeVar("T")

PORT = 8888
"""Default port."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status; `argv` defaults to the process's arguments."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["rules"]:
        return _list_rules(arguments[1:])
    if arguments[:1] == ["record"]:
        return _run_of_suite("crosswire.conformance.recording.__main__", arguments[1:])
    if arguments[:1] == ["verdict"]:
        from .verdict_command import run_verdict

        return run_verdict(arguments[1:])
    check = arguments[:1] == ["check"]
    if check:
        arguments = arguments[1:]
    parser = argparse.ArgumentParser(
        prog="crosswire-mock check" if check else "crosswire-mock",
        description=(
            "Check a folder of scenarios and print every mistake with its file and line."
            if check
            else "Serve mock LLM providers over HTTP from a folder of scenarios. "
            "`crosswire-mock check FOLDER` only checks the folder; `crosswire-mock rules` lists what is refused; "
            "`crosswire-mock verdict` judges a client; `crosswire-mock record` makes stories of real traffic."
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
        parser.add_argument(
            "--any",
            choices=list(WAYS),
            help="answer requests that fit no story too, with any key and model: "
            + "; ".join(f"{way}: {text}" for way, text in WAYS.items())
            + ". JSON where the request asks for it, and a call where it must be one",
        )
        parser.add_argument(
            "--latency",
            type=_checked(parse_latency),
            default=Latency(),
            metavar="ttft=300ms,tps=50",
            help="time to the first token, and tokens a second after it",
        )
        parser.add_argument(
            "--faults",
            type=_checked(parse_faults),
            default=(),
            metavar="5%:429,1%:cut",
            help="shares of the replies and what befalls them: a status, cut, reset, garble, or slow=3s",
        )
        parser.add_argument("--seed", type=int, default=0, help="which replies the faults befall; default: %(default)s")
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
        number = len(scenarios.mistakes)
        print("1 mistake" if number == 1 else f"{number} mistakes", file=sys.stderr)
        return 1
    if check:
        print(f"{len(scenarios.providers)} providers, {len(scenarios.stories)} stories, no mistakes")
        return 0
    logging.basicConfig(level=logging.WARNING if args.quiet else logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    try:
        asyncio.run(_serve(scenarios, args.host, args.port, Conditions(args.any, args.latency, args.faults, args.seed)))
    except OSError as problem:
        print(f"cannot listen on {args.host}:{args.port}: {problem.strerror}; try another --port", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


def _run_of_suite(module: str, arguments: Sequence[str]) -> int:
    """Runs a command that needs the suite's clients, which parse answers; the mock itself imports nothing of them."""
    return int(import_module(module).main(arguments))


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


def _checked(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Returns a type of an argument, whose errors say what is wrong."""

    def parse_argument(text: str) -> T:
        try:
            return parse(text)
        except ValueError as problem:
            raise argparse.ArgumentTypeError(str(problem)) from None

    return parse_argument


async def _serve(scenarios: Scenarios, host: str, port: int, conditions: Conditions) -> None:
    from .server import serve

    await serve(scenarios, host, port, conditions)


if __name__ == "__main__":
    sys.exit(main())
