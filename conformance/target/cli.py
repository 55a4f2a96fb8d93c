"""Command lines of the judge: `run --target`, `show`, `profile new` and `profile check`."""

from __future__ import annotations

import argparse
import difflib
import json
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from crosswire.mockserver.scenarios.folders import scenario_folders
from crosswire.mockserver.scenarios.loader import Scenarios, load_scenarios

from ..checks.routing import ROUTE
from ..harness.child_process import ServerEnded
from ..harness.testbed_target import HOST, NoAnswer, TargetTestbed
from ..matrix.cells import enumerate_cells, matches
from ..matrix.expectations import Expectations, read_expectations
from ..matrix.result import Cell
from .baseline import Baseline, read_baseline, regressions, stale_entries
from .core_stories import core_stories
from .judge import Table, judge_cell
from .profile import Profile
from .profile_draft import ask_gateway, draft_text
from .profile_parser import find_profile, read_profile, shipped_profiles
from .report import shown, summary
from .report_files import write_reports
from .verdict import FORMAT, LABELS, Gateway, TargetRun, Verdict, recorded

OK, FAILED, USAGE, ENVIRONMENT = 0, 1, 2, 3

OWN_HEADER = "x-crosswire-"
"""Start of the request headers that only Crosswire knows: stories that send them are of the house."""

FORGET_EVERY = 200
"""Cells after which the mock's journal is emptied."""


def _say(*lines: object) -> None:
    print(*lines, sep="\n", file=sys.stderr)


# ---- run -------------------------------------------------------------------------------------------------------------


def run_target(args: argparse.Namespace) -> int:
    """Judges a gateway with these flags and returns the exit code."""
    folders = scenario_folders(args.scenarios)
    scenarios = load_scenarios(*folders)
    if scenarios.mistakes:
        _say(*scenarios.mistakes)
        return USAGE
    profile = _load_profile(args.profile, scenarios)
    if profile is None:
        return USAGE
    mistakes = list(_run_mistakes(args, profile))
    if mistakes:
        _say(*mistakes)
        return USAGE
    try:
        baseline = read_baseline(args.baseline) if args.baseline else None
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as problem:
        _say(f"--baseline {args.baseline}: {problem}")
        return USAGE
    matrix = read_expectations()
    cells = list(target_cells(scenarios, matrix, args))
    if not cells:
        _say("no cell matches these filters; see the names with `crosswire-matrix run --story '*'`")
        return USAGE
    if args.start:
        signal.signal(signal.SIGTERM, _end_once)
    logging.getLogger("crosswire.mock").addHandler(logging.NullHandler())  # what it refuses is in the verdicts
    try:
        port, mock_url = 0 if args.start else args.mock_port, args.mock or ""
        with TargetTestbed(scenarios, host=args.mock_host, port=port, mock_url=mock_url) as testbed:
            url = _gateway_url(args, profile, testbed)
            table = Table(testbed, url, profile.before(testbed.mock_url), scenarios, matrix, args.house)
            verdicts = _play(cells, table, first=args.first)
            mock_url = testbed.mock_url
    except (NoAnswer, ServerEnded) as problem:
        _say(problem)
        return ENVIRONMENT
    shown_url = "a port of its own" if args.start else url
    gateway = Gateway(profile.name, profile.version, shown_url)
    run = _run(verdicts, gateway, house=args.house, planned=len(cells))
    print(*summary(run), sep="\n")
    if hint := _hint_of_no_request(verdicts, mock_url):
        _say("", hint)
    written = write_reports([run], html=args.html, junit=args.junit, markdown=args.markdown, badge=args.badge)
    print("", *(f"Wrote {file}." for file in written), sep="\n") if written else None
    if args.json:
        args.json.write_bytes(msgspec.json.format(msgspec.json.encode(run)))
        print(f"\nEvery cell is in {args.json}; crosswire-matrix show CELL --from {args.json} shows one.")
    return _judge_run(verdicts, baseline, whole=len(verdicts) == len(cells) and _is_whole(args))


def _end_once(*_: object) -> None:
    """Ends the run like Ctrl-C, which stops the gateway too; a second signal must not keep it from that."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _load_profile(name: str | None, scenarios: Scenarios) -> Profile | None:
    """Returns the profile of this file or name; None after saying what is wrong with it."""
    file = find_profile(name) if name else None
    if file is None:
        what = f"--profile {name}: no such file, and no shipped profile" if name else "--target needs --profile"
        _say(f"{what}; shipped: {', '.join(shipped_profiles())}; `crosswire-matrix profile new URL` drafts one")
        return None
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        _say(f"--profile {file}: is no text that can be read: {getattr(problem, 'strerror', None) or problem}")
        return None
    profile, mistakes = read_profile(str(file), text, scenarios.providers)
    _say(*mistakes) if mistakes else None
    return profile


def _run_mistakes(args: argparse.Namespace, profile: Profile) -> Iterator[str]:
    """Yields the mistakes in the flags, each with what to do."""
    if args.start and profile.start is None:
        yield f"--start: {profile.file} has no `start`; start the gateway before {profile.name} is judged, or add one"
    if args.start and args.target:
        yield "--start and --target: the gateway is started on a port of its own; give one of the two"
    if args.target and not args.target.startswith(("http://", "https://")):
        yield f"--target {args.target}: no address; it begins with http:// or https://"
    if not args.start and not (args.target or profile.url):
        yield f"{profile.file} has no `url`; give --target URL"
    for flag in ("snapshots", "known_failing", "classic", "update", "accept_new", "docs", "apart"):
        if getattr(args, flag):
            yield f"--{flag.replace('_', '-')} is about Crosswire's own matrix; leave it out with --profile"


def _is_whole(args: argparse.Namespace) -> bool:
    return (args.frontend, args.provider, args.story, args.stream, args.core) == ("*", "*", "*", None, False)


def target_cells(scenarios: Scenarios, matrix: Expectations, args: argparse.Namespace) -> Iterator[Cell]:
    """Yields the cells of a run: none with a config of Crosswire's own; its headers are of the house."""
    core = core_stories() if args.core else ()
    chosen = {
        name: story
        for name, story in scenarios.stories.items()
        if matches(name, args.story) and (not core or name in core)
    }
    for cell in enumerate_cells(replace(scenarios, stories=chosen), matrix):
        axes = ((cell.frontend, args.frontend), (cell.provider, args.provider))
        if args.stream not in (None, cell.stream) or not all(matches(name, globs) for name, globs in axes):
            continue
        story = scenarios.stories[cell.story]
        of_the_house = any(
            name.lower().startswith(OWN_HEADER)
            for exchange in story.exchanges
            for name in (*exchange.ask.headers, *exchange.hear.headers)
        )
        if cell.provider != ROUTE and (args.house or not of_the_house):
            yield cell


def _gateway_url(args: argparse.Namespace, profile: Profile, testbed: TargetTestbed) -> str:
    """Returns the gateway's URL, after starting it where that was asked for; raises NoAnswer where it is not ready."""
    start = profile.start
    if args.start and start is not None:
        starting = testbed.start_gateway(start.command, start.files, start.environment, profile.ready, start.within_s)
        return testbed.wait(starting, start.within_s + 60)
    url: str = (args.target or profile.url).rstrip("/")
    response = testbed.wait(testbed.send("GET", url + (profile.ready or "/"), {}, b""))
    if profile.ready and response.status != 200:
        raise NoAnswer(f"{url}{profile.ready} answers {response.status}; the gateway is not ready")
    return url


def _play(cells: Sequence[Cell], table: Table, *, first: bool) -> list[Verdict]:
    verdicts: list[Verdict] = []
    for number, cell in enumerate(cells):
        if number % FORGET_EVERY == 0:
            table.testbed.wait(table.testbed.forget())
        try:
            verdicts.append(table.testbed.wait(judge_cell(cell, table), within_s=600))
        except KeyboardInterrupt:
            if not verdicts:
                raise
            _say(f"interrupted after {number:,} of {len(cells):,} cells; what follows is of those")
            break
        if ending := table.testbed.ending():
            raise ServerEnded(f"{cell}: {ending}")
        if sys.stderr.isatty():
            print(f"\r{number + 1:,} of {len(cells):,} cells", end="", file=sys.stderr, flush=True)
        if first and not verdicts[-1].is_fine:
            break
    if sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)
    return verdicts


def _run(verdicts: Sequence[Verdict], gateway: Gateway, *, house: bool, planned: int) -> TargetRun:
    counts: dict[str, int] = {outcome: sum(verdict.outcome == outcome for verdict in verdicts) for outcome in LABELS}
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return TargetRun(FORMAT, gateway, at, version("crosswire"), house, counts, list(map(recorded, verdicts)), planned)


def _hint_of_no_request(verdicts: Sequence[Verdict], mock_url: str) -> str:
    """Returns what to do where no request of a whole run reached the mock; nothing where one did."""
    steps = [step for verdict in verdicts for step in verdict.steps]
    if not steps or any(step.provider_request is not None for step in steps):
        return ""
    return (
        f"No request reached the mock at {mock_url}: point the gateway's providers at {mock_url}/PROVIDER, "
        "or serve the mock where they point, with --mock-port PORT."
    )


def _judge_run(verdicts: Sequence[Verdict], baseline: Baseline | None, *, whole: bool) -> int:
    if baseline is None:
        return OK if all(verdict.is_fine for verdict in verdicts) else FAILED
    worse, stale = regressions(verdicts, baseline), stale_entries(verdicts, baseline, whole=whole)
    for title, lines in (("Not in the baseline:", worse), ("Stale in the baseline, remove them:", stale)):
        if lines:
            print("", title, *(f"  {line}" for line in lines), sep="\n")
    if not worse and not stale:
        print("\nNothing is worse than the baseline.")
    return FAILED if worse or stale else OK


# ---- show ------------------------------------------------------------------------------------------------------------


def show_parser() -> argparse.ArgumentParser:
    """Returns the parser of `show`."""
    parser = argparse.ArgumentParser(
        prog="crosswire-matrix show",
        description="Show cells of a run against a gateway: what is not right, by which rule, and all four wires.",
    )
    parser.add_argument("cell", nargs="?", metavar="CELL", help="name of a cell, or a glob")
    parser.add_argument("--from", dest="run", type=Path, metavar="FILE", help="the JSON of the run")
    parser.add_argument("--markdown", action="store_true", help="as Markdown, to paste into a bug report")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema of a run's JSON, and nothing else")
    return parser


def show(argv: Sequence[str]) -> int:
    """Prints the cells of a run that match."""
    args = show_parser().parse_args(argv)
    if args.schema:
        print(json.dumps(run_schema(), indent=2))
        return OK
    if args.cell is None or args.run is None:
        _say("show needs CELL and --from FILE, the JSON that `crosswire-matrix run --target … --json FILE` wrote")
        return USAGE
    try:
        run = msgspec.json.decode(args.run.read_bytes(), type=TargetRun)
    except (OSError, msgspec.DecodeError) as problem:
        _say(f"{args.run}: {getattr(problem, 'strerror', None) or problem}")
        return USAGE
    found = [cell for cell in run.cells if fnmatchcase(cell.id, args.cell)]
    if not found:
        near = difflib.get_close_matches(args.cell, [cell.id for cell in run.cells], 3, 0.3)
        _say(f"{args.run} has no cell {args.cell}; near: {', '.join(near) or 'none'}")
        return USAGE
    for cell in found:
        print(*shown(cell, run.gateway, markdown=args.markdown), sep="\n")
    return OK


def run_schema() -> dict[str, Any]:
    """Returns the JSON schema of the JSON of a run, made from its types."""
    schema = msgspec.json.schema(TargetRun)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A run against a gateway", **schema}


# ---- profile ---------------------------------------------------------------------------------------------------------


def profile_parser() -> argparse.ArgumentParser:
    """Returns the parser of `profile`."""
    parser = argparse.ArgumentParser(prog="crosswire-matrix profile", description="Draft or check a gateway's profile.")
    commands = parser.add_subparsers(dest="command", required=True)
    new = commands.add_parser("new", help="ask a gateway, and write a draft of its profile")
    new.add_argument("url", metavar="URL", help="address of the running gateway")
    new.add_argument("--key", default="", help="the key with which its clients call it")
    new.add_argument("--name", default="my-gateway", help="name of the gateway; default: %(default)s")
    new.add_argument(
        "--mock-port",
        type=int,
        default=8888,
        metavar="PORT",
        help="port on which the gateway expects its providers; the mock is served there while it is asked, if the "
        "port is free; default: %(default)s",
    )
    new.add_argument("-o", "--output", type=Path, metavar="FILE", help="write here; by default it is printed")
    check = commands.add_parser("check", help="name every mistake of a profile, with file and line")
    check.add_argument("profile", metavar="FILE", help="file of a profile, or the name of a shipped one")
    for command in (new, check):
        command.add_argument("--scenarios", type=Path, metavar="DIR", help="folder over the shipped scenarios")
    return parser


def profile(argv: Sequence[str]) -> int:
    """Runs `profile new` or `profile check`."""
    args = profile_parser().parse_args(argv)
    scenarios = load_scenarios(*scenario_folders(args.scenarios))
    commands: dict[str, Callable[[argparse.Namespace, Scenarios], int]] = {"new": _new, "check": _check}
    return commands[args.command](args, scenarios)


def _new(args: argparse.Namespace, scenarios: Scenarios) -> int:
    if not args.url.startswith(("http://", "https://")):
        _say(f"{args.url}: no address; it begins with http:// or https://")
        return USAGE
    if args.output is not None and args.output.exists():
        _say(f"{args.output} exists; give another name, or remove it")
        return USAGE
    url = args.url.rstrip("/")
    logging.getLogger("crosswire.mock").addHandler(logging.NullHandler())
    served = _is_free(args.mock_port)
    with TargetTestbed(scenarios, port=args.mock_port if served else 0) as testbed:
        try:
            testbed.wait(testbed.send("GET", url + "/", {}, b""))
        except NoAnswer as problem:
            _say(problem)
            return ENVIRONMENT
        draft = testbed.wait(ask_gateway(testbed, url, args.key), within_s=600)
        mock_url, (_, entries) = testbed.mock_url, testbed.wait(testbed.journal(0))
    text = draft_text(replace(draft, key=args.key), args.name, scenarios.providers)
    if args.output is None:
        print(text, end="")
        return OK
    args.output.write_text(text, "utf-8")
    offered = {name: status for name, status in draft.statuses.items() if status is not None}
    print(f"Wrote {args.output}: frontends {', '.join(offered) or 'none'}. Complete `models`, then:")
    print(f"  crosswire-matrix profile check {args.output}")
    if any(status in (401, 403) for status in offered.values()):
        print("It wants a key: give it with --key, or write it to `key:` of each frontend.")
    elif served and offered and not entries:
        print(f"No request reached the mock: point the gateway's providers at {mock_url}/PROVIDER.")
    return OK


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _check(args: argparse.Namespace, scenarios: Scenarios) -> int:
    loaded = _load_profile(args.profile, scenarios)
    if loaded is None:
        return USAGE
    print(
        f"{loaded.name}: {_counted(len(loaded.frontends), 'frontend')}, {_counted(len(loaded.models), 'provider')}"
        + (", can be started" if loaded.start else "")
    )
    return OK
