"""The command `leaderboard`: gateways that the registries offer, installed, judged, and put on one board."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from crosswire.mockserver.scenarios.folders import scenario_folders
from crosswire.mockserver.scenarios.loader import load_scenarios

from .installation import NotInstalled, install
from .leaderboard_page import with_board
from .profile import Profile
from .profile_parser import find_profile, read_profile, shipped_profiles
from .verdict import TargetRun

OK, FAILED, USAGE = 0, 1, 2

JUDGED = (0, 1)
"""Exit codes of a run that judged: nothing wrong, and something."""

GRACE_S = 60.0
"""Seconds in which an interrupted run has to write what it has."""


def leaderboard_parser() -> argparse.ArgumentParser:
    """Returns the parser of `leaderboard`."""
    parser = argparse.ArgumentParser(
        prog="crosswire-matrix leaderboard",
        description="Install gateways from the registries, judge each with its profile, and write the board of all.",
        epilog="Environments and runs stay in --folder, and a gateway that is there is not installed again. Those of "
        "npm need Node. A gateway that is left out keeps the run that it has.",
    )
    parser.add_argument("--gateway", default="*", metavar="GLOB", help="only the gateways that match")
    parser.add_argument(
        "--profile", action="append", default=[], metavar="FILE", help="a gateway of one's own beside the shipped ones"
    )
    parser.add_argument("--story", metavar="GLOBS", help="other stories than the core ones")
    parser.add_argument("--minutes", type=float, metavar="N", help="end the run of a gateway after as many")
    parser.add_argument("--folder", type=Path, default=Path("leaderboard"), help="default: %(default)s")
    parser.add_argument("--page", type=Path, metavar="FILE", help="the page; default: leaderboard.md in --folder")
    parser.add_argument("--draw", action="store_true", help="judge nothing, only write the page")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Installs, judges and writes the page; exit code 1 where a gateway gave no run."""
    args = leaderboard_parser().parse_args(argv)
    profiles = _profiles([*shipped_profiles(), *args.profile])
    if profiles is None:
        return USAGE
    chosen = [profile for profile in profiles if fnmatchcase(profile.name, args.gateway)]
    if not chosen:
        print(f"--gateway {args.gateway}: none of {', '.join(one.name for one in profiles)}", file=sys.stderr)
        return USAGE
    folder: Path = args.folder.absolute()
    runs = folder / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    missing = [] if args.draw else [one.name for one in chosen if not _has_run(one, folder, args.story, args.minutes)]
    files = [runs / f"{profile.name}.json" for profile in profiles]
    found = [msgspec.json.decode(file.read_bytes(), type=TargetRun) for file in files if file.is_file()]
    if not found:
        print(f"no run in {runs}", file=sys.stderr)
        return FAILED
    page: Path = args.page or folder / "leaderboard.md"
    page.write_text(with_board(page.read_text("utf-8") if page.is_file() else "", found), "utf-8")
    print(f"Wrote {page} with {len(found)} gateways; their runs are in {runs}.")
    if missing:
        print(f"no run of {', '.join(missing)}", file=sys.stderr)
    return FAILED if missing else OK


def _profiles(names: Sequence[str]) -> list[Profile] | None:
    """Returns the profiles that can be started, those that start slowly last; None after naming what is wrong."""
    providers = load_scenarios(*scenario_folders(None)).providers
    found: list[Profile] = []
    for name in names:
        file = find_profile(name)
        if file is None:
            print(f"--profile {name}: no such file", file=sys.stderr)
            return None
        profile, mistakes = read_profile(str(file), file.read_text("utf-8"), providers)
        if profile is None or profile.start is None:
            print(*mistakes, *([] if mistakes else [f"{file}: has no `start`"]), sep="\n", file=sys.stderr)
            return None
        found.append(profile)
    return sorted(found, key=lambda one: one.start.within_s if one.start else 0)


def _has_run(profile: Profile, folder: Path, stories: str | None, minutes: float | None) -> bool:
    """Installs and judges a gateway; returns whether it gave a run."""
    print(f"== {profile.name} {profile.version}".rstrip(), flush=True)
    path = os.environ.get("PATH", "")
    if profile.install is not None:
        try:
            path = f"{install(profile, folder / profile.name)}{os.pathsep}{path}"
        except NotInstalled as problem:
            print(f"{profile.name} could not be installed: {problem}", file=sys.stderr)
            return False
    file = folder / "runs" / f"{profile.name}.json"
    command = [sys.executable, "-m", "crosswire.conformance", "run", "--profile", profile.file, "--start"]
    command += ["--json", str(file), *(["--story", stories] if stories else ["--core"])]
    return _judge(command, {**os.environ, "PATH": path}, minutes) in JUDGED


def _judge(command: Sequence[str], environment: dict[str, str], minutes: float | None) -> int:
    """Runs the command and returns its exit code; after so many minutes the run ends with what it has."""
    with subprocess.Popen(command, env=environment) as process:  # noqa: S603
        try:
            return process.wait(None if minutes is None else minutes * 60)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            return process.wait(GRACE_S)
        finally:
            process.kill()


if __name__ == "__main__":
    sys.exit(main())
