"""Command line of the suite: runs the matrix, judges other gateways, replays recorded traffic, tries mutants."""

from __future__ import annotations

import argparse
import difflib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

OK, FAILED, USAGE, ENVIRONMENT = 0, 1, 2, 3

HERE = Path(__file__).parent
"""The package's folder; in an editable install a folder of links to the checkout."""


class Command(NamedTuple):
    """A command: what it does, and the module and function that run it."""

    what: str
    where: str


COMMANDS: dict[str, Command] = {
    "run": Command("play stories through a gateway, and judge what arrives on both sides", ""),
    "profile": Command("draft or check the profile of a gateway", ".target.cli:profile"),
    "show": Command("show a cell of a run: what is not right, by which rule, and all wires", ".target.cli:show"),
    "report": Command("compare runs, as HTML, JUnit, Markdown or a badge", ".target.report_files:report"),
    "leaderboard": Command("install gateways, judge each, and write the board", ".target.leaderboard:main"),
    "replay": Command("play recorded traffic through the protocols", ".replay.cli:main"),
    "mutants": Command("break the proxy on purpose, and see whether a check fails", ".mutants.cli:main"),
}
"""The commands by name."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command: 0 as expected, 1 a failure, 2 a wrong call or config, 3 the machine lacks something."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments in (["-h"], ["--help"]):
        print(_overview())
        return OK
    command = arguments[0] if arguments and not arguments[0].startswith("-") else "run"
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, 1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(COMMANDS)}"
        print(f"crosswire-matrix: no command {command}{hint}", file=sys.stderr)
        return USAGE
    rest = arguments[1:] if arguments[:1] == [command] else arguments
    if command == "run":
        return run(_parser().parse_args(rest))
    module, _, name = COMMANDS[command].where.partition(":")
    try:
        found: Callable[[Sequence[str]], int] = getattr(import_module(module, __package__), name)
    except ModuleNotFoundError as problem:
        if command != "replay" or (problem.name or "").startswith("crosswire"):
            raise
        print(
            f"the replay checks by the types of the official SDKs, and {problem.name} is missing: "
            "pip install 'crosswire[conformance]' openai anthropic google-genai ollama",
            file=sys.stderr,
        )
        return ENVIRONMENT
    return found(rest)


def _overview() -> str:
    """Returns the help of the command without a command: what each command does."""
    rows = (f"  {name:13}{command.what}" for name, command in COMMANDS.items())
    return "\n".join(
        (
            "usage: crosswire-matrix COMMAND ...",
            "",
            "Judge LLM gateways: this project's proxy by default, any other with --target or --profile.",
            "",
            "commands:",
            *rows,
            "",
            "`crosswire-matrix COMMAND --help` explains each; without a command it is run.",
        )
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="crosswire-matrix run",
        description="Play every frontend against every provider, and check requests and replies against the stories.",
        epilog="`replay DIR` plays recorded traffic through the protocols; `mutants` breaks the proxy on purpose; "
        "`profile`, `show`, `report` and `leaderboard` belong to --target.",
    )
    for axis, plural in (("frontend", "frontends"), ("provider", "providers"), ("story", "stories")):
        parser.add_argument(
            f"--{axis}",
            default="*",
            metavar="GLOB",
            help=f"only the {plural} that match this glob, or one of several, with commas between",
        )
    parser.add_argument(
        "--stream", action=argparse.BooleanOptionalAction, help="only streamed replies, or only unary ones"
    )
    parser.add_argument(
        "--apart", action="store_true", help="run the mock and the proxy as processes of their own, beside the suite's"
    )
    parser.add_argument("--scenarios", type=Path, metavar="DIR", help="folder whose files lie over the shipped ones")
    parser.add_argument("--snapshots", type=Path, help="folder of the snapshots")
    parser.add_argument("--known-failing", type=Path, metavar="FILE", help="list of the cells that are known to fail")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write one JSON line per cell; of another gateway the run, for show and report",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write an HTML page: grid, reasons, all bodies")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write a JUnit report")
    parser.add_argument("--classic", action="store_true", help="run only the four classic checks and print them")
    parser.add_argument("--update", action="store_true", help="overwrite the snapshots; review the diff")
    parser.add_argument("--accept-new", action="store_true", help="write missing snapshots, change no existing one")
    parser.add_argument(
        *("--docs", "--readme"),
        action="store_true",
        help="after a full run write docs/matrix.md and the README's status line",
    )
    target = parser.add_argument_group("another gateway, judged by the client's wire and the mock's journal")
    target.add_argument("--target", metavar="URL", help="address of the running gateway; needs --profile")
    target.add_argument(
        "--profile", metavar="FILE", help="profile of the gateway: a file, or the name of a shipped one"
    )
    target.add_argument("--start", action="store_true", help="start the gateway as its profile says")
    target.add_argument("--core", action="store_true", help="only the core stories, those of the leaderboard")
    target.add_argument("--house", action="store_true", help="judge by the rules of this house too")
    target.add_argument(
        "--mock", metavar="URL", help="the running mock that the gateway calls; by default one is served"
    )
    target.add_argument(
        "--mock-port", type=int, default=8888, metavar="PORT", help="port of the served mock; default: %(default)s"
    )
    target.add_argument(
        "--mock-host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address of the served mock, for a gateway that is not on this machine; default: %(default)s",
    )
    target.add_argument(
        "--baseline", type=Path, metavar="FILE", help="what is known to fail: globs, or the JSON of an earlier run"
    )
    target.add_argument("--markdown", type=Path, metavar="FILE", help="write a summary in Markdown")
    target.add_argument("--badge", type=Path, metavar="FILE", help="write a badge, an SVG image")
    parser.add_argument("-x", dest="first", action="store_true", help="stop at the first failure")
    return parser


PLUGINS = ("pytest_asyncio.plugin", "pytest_aiohttp.plugin", "syrupy")
"""The plugins of pytest that the matrix needs."""


def run(args: argparse.Namespace) -> int:
    """Runs the matrix with these flags and returns the exit code."""
    mistakes = list(_flag_mistakes(args))
    if mistakes:
        print(*mistakes, sep="\n", file=sys.stderr)
        return USAGE
    if args.target or args.profile:
        from .target.cli import run_target

        return run_target(args)
    try:
        import pytest
    except ImportError:
        print("the matrix needs the extra `conformance`: pip install 'crosswire[conformance]'", file=sys.stderr)
        return ENVIRONMENT
    from crosswire.mockserver.scenarios.folders import scenario_folders
    from crosswire.mockserver.scenarios.loader import load_scenarios

    folders = scenario_folders(args.scenarios)
    invalid = load_scenarios(*folders).mistakes
    if invalid:
        print(*invalid, sep="\n", file=sys.stderr)
        return USAGE
    if args.classic:
        from .reports.classic import run_classic_checks

        return run_classic_checks(folders, apart=args.apart)
    os.environ.pop("PYTEST_ADDOPTS", None)  # the options of another run: this one has its own flags
    if args.apart:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C, which stops the processes too
    code = pytest.main(pytest_arguments(args))
    return {0: OK, 1: FAILED, 5: USAGE}.get(int(code), USAGE)


def _flag_mistakes(args: argparse.Namespace) -> Iterator[str]:
    """Yields the mistakes in the flags, each with what to do."""
    parts = ("providers", "stories")
    if args.scenarios is not None and not any((args.scenarios / part).is_dir() for part in parts):
        yield f"--scenarios {args.scenarios}: has no providers/ and no stories/; give the folder that has one of them"
    if args.snapshots is not None and args.snapshots.exists() and not args.snapshots.is_dir():
        yield f"--snapshots {args.snapshots}: not a folder"
    if args.known_failing is not None and not args.known_failing.is_file():
        yield f"--known-failing {args.known_failing}: no such file"
    if not (args.target or args.profile):
        for flag in ("start", "core", "house", "mock", "baseline", "markdown", "badge"):
            if getattr(args, flag):
                yield f"--{flag}: is about another gateway; give --profile FILE or NAME with it"
    if args.baseline is not None and not args.baseline.is_file():
        yield f"--baseline {args.baseline}: no such file"
    for flag in ("json", "html", "junit", "markdown", "badge"):
        file = getattr(args, flag)
        if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
            yield f"--{flag} {file}: cannot be written; give a file in an existing folder"


def pytest_arguments(args: argparse.Namespace) -> list[str]:
    """Returns the arguments of pytest for these flags."""
    mode = {None: "both", True: "stream", False: "unary"}[args.stream]
    out = [str(HERE), f"--rootdir={HERE}", "-c", str(HERE / "pytest.ini"), "--grid", "-qq", "-rN", "--no-header"]
    out += ["--tb=no", "-p", "no:cacheprovider"]
    out += ["-o", "console_output_style=classic", "--capture=no", "-p", "crosswire.conformance.reports.pytest_output"]
    # only the plugins that the tests here use: others take long to load, and may be of a project that is judged
    out += ["--disable-plugin-autoload", *(word for plugin in PLUGINS for word in ("-p", plugin))]
    out += [f"--{axis}={getattr(args, axis)}" for axis in ("frontend", "provider", "story")]
    out.append(f"--mode={mode}")
    if args.apart:
        out.append("--apart")
    if args.scenarios:
        out.append(f"--scenarios={args.scenarios.absolute()}")
    if args.snapshots:
        out.append(f"--snapshot-dirname={args.snapshots.absolute()}")
    if args.known_failing:
        out.append(f"--known-failing={args.known_failing}")
    if args.json:
        out.append(f"--cells-json={args.json}")
    if args.html:
        out.append(f"--cells-html={args.html}")
    if args.junit:
        out.append(f"--junit-xml={args.junit}")
    if args.docs:
        out.append("--docs")
    if args.first:
        out.append("-x")
    # syrupy's own search for unused snapshots misses other folders, takes a filtered run for a complete one, and
    # deletes on --snapshot-update; test_no_snapshot_is_left_over does the search instead
    out.append("--snapshot-disable-unused")
    if args.update:
        out.append("--snapshot-update")
    if args.accept_new:
        out.append("--snapshot-update-new-only")
    return out


if __name__ == "__main__":
    sys.exit(main())
