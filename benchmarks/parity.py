"""`python -m benchmarks.parity`: everything is played with each lever and without it, and must come out the same.

Mutated exchanges go through the proxy as it serves, lever by lever; the bytes, statuses, losses, usage and records are
compared. With recordings, `crosswire-matrix replay` runs both ways too, with `--mutate` as well; with stories, the
matrix.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import uvloop

from .exchanges import Exchange, evidence, exchanges, recorded
from .levers import LEVERS, taken_away
from .player import Outcome, play
from .program import ROOT, module

SHOWN = 10
"""Differences of a kind that are printed."""


def shapes(args: argparse.Namespace, folder: Path) -> int:
    """Plays the mutated exchanges with all levers and without each; returns the number of differences."""
    logging.getLogger("crosswire").setLevel(logging.CRITICAL)  # broken answers are no news of the proxy
    answers = recorded(args.recordings) if args.recordings else evidence()
    cases = list(exchanges(answers, args.shapes, args.seed))
    expected = _played(cases, folder)
    differ = 0
    for lever in args.without:
        with taken_away([lever]):
            found = _played(cases, folder)
        lines = list(differences(cases, expected, found))
        print(f"{len(cases)} shapes of {len(answers)} answers without {lever}: {len(lines)} differ", flush=True)
        print(*lines[:SHOWN], sep="\n", end="\n" if lines else "")
        differ += len(lines)
    hanging = sum("hangs" in outcome for outcome in expected)
    broken = sum(outcome.get("status", 0) == 500 for outcome in expected)
    statuses = Counter(outcome.get("status") for outcome in expected)
    told = ", ".join(f"{number} × {status}" for status, number in statuses.most_common())
    print(f"with all levers: {told}; {hanging} hang, {broken} are a 500")
    return differ + hanging + broken


def _played(cases: Sequence[Exchange], folder: Path) -> list[Outcome]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(play(cases, folder))


def differences(cases: Sequence[Exchange], expected: Sequence[Any], found: Sequence[Any]) -> Iterator[str]:
    """A line for each exchange that did not come out the same, with the parts that differ."""
    for case, one, other in zip(cases, expected, found, strict=True):
        parts = [key for key in {**one, **other} if one.get(key) != other.get(key)]
        if parts:
            yield f"  {case.name}: " + "; ".join(f"{key}: {_first(one.get(key), other.get(key))}" for key in parts)


def _first(one: Any, other: Any) -> str:
    """The place where two texts or values begin to differ."""
    a, b = (each if isinstance(each, str) else json.dumps(each, sort_keys=True) for each in (one, other))
    at = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return f"…{a[max(at - 20, 0) : at + 40]!r} with it, …{b[max(at - 20, 0) : at + 40]!r} without"


def both_ways(what: str, arguments: Sequence[str], without: Sequence[str], folder: Path) -> int:
    """Runs a command of the suite with all levers and without each; returns the number of runs that differ."""
    expected = _run(arguments, "", folder)
    differ = 0
    for lever in without:
        found = _run(arguments, lever, folder)
        same = found == expected
        differ += not same
        print(f"{what} without {lever}: {'the same' if same else 'differs'}", flush=True)
        if not same:
            lines = [line for line in expected if line not in found] + [line for line in found if line not in expected]
            print(*(f"  {line[:300]}" for line in lines[:SHOWN]), sep="\n")
    print(f"{what}: {len(expected)} lines of results")
    return differ


def _run(arguments: Sequence[str], lever: str, folder: Path) -> list[str]:
    """The exit code, what is printed, and a JSON line for each case."""
    file = folder / "lines.json"
    file.unlink(missing_ok=True)
    wanted = [str(file) if word == "FILE" else word for word in arguments]
    command = module("benchmarks.levers", lever or "none", "crosswire.conformance", *wanted)
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    lines = [_timeless(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []
    if not lines:
        lines = done.stdout.splitlines()
    return [f"exit code {done.returncode}", *sorted(lines)]


def _timeless(line: str) -> str:
    """A JSON line without how long the case took."""
    case = json.loads(line)
    for key in ("ms", "seconds", "took_s", "duration_s", "duration_ms"):
        case.pop(key, None)
    return json.dumps(case, sort_keys=True, ensure_ascii=False)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity", description=__doc__.partition("\n")[0])
    parser.add_argument("--without", nargs="*", choices=LEVERS, default=list(LEVERS), help="only these levers")
    parser.add_argument("--shapes", type=int, default=500, metavar="N", help="mutated exchanges; 0 plays none")
    parser.add_argument("--seed", type=int, default=1, help="choose other mutations")
    parser.add_argument("--recordings", type=Path, metavar="DIR", help="recorded traffic, to be replayed both ways too")
    parser.add_argument("--mutate", type=int, default=2_000, metavar="N", help="mutations of the replay; 0 plays none")
    parser.add_argument("--story", metavar="GLOB", help="play the matrix both ways, these stories")
    parser.add_argument("--frontend", default="*", metavar="GLOB", help="only these frontends of the matrix")
    parser.add_argument("--provider", default="*", metavar="GLOB", help="only these providers of the matrix")
    args = parser.parse_args()
    differ = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.shapes:
            differ += shapes(args, folder)
        if args.recordings:
            place = str(args.recordings.absolute())
            differ += both_ways("the replay", ["replay", place, "--json", "FILE"], args.without, folder)
            if args.mutate:
                mutate = ["replay", place, "--mutate", str(args.mutate), "--seed", str(args.seed)]
                differ += both_ways("the mutated replay", mutate, args.without, folder)
        if args.story:
            chosen = ["--story", args.story, "--frontend", args.frontend, "--provider", args.provider]
            differ += both_ways("the matrix", ["run", "--apart", *chosen, "--json", "FILE"], args.without, folder)
    print("no difference" if not differ else f"{differ} differences")
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main())
