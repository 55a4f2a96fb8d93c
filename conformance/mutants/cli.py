"""Command line of the mutation tests: `python -m crosswire.conformance mutants`."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from time import perf_counter

from yaml import YAMLError

from .mutant import Mutant
from .runner import Outcome, Verdict, judge_mutants
from .table import FOLDER, read_table, sample, sample_of_commit

OK, FAILED, USAGE, ENVIRONMENT = 0, 1, 2, 3

COMMIT_SAMPLES = 5
"""A commit chooses one of so many samples."""

MARKS: dict[Outcome, str] = {"killed": "✓", "survived": "✗", "expected to survive": "~", "invalid": "!"}


def main(argv: Sequence[str]) -> int:
    """Returns 0 if every mutant ends as expected, 1 if not, 2 for wrong arguments, 3 where the system cannot fork."""
    parser = argparse.ArgumentParser(
        prog="crosswire-matrix mutants",
        description="Break the proxy on purpose, one mutant at a time, and see whether a check of the matrix fails. "
        "Snapshots are never read.",
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--all", action="store_true", help="try every mutant; this is the default")
    chosen.add_argument(
        "--sample", type=_sample, metavar="N/M", help="try the Nth of M samples, which together are all"
    )
    chosen.add_argument(
        "--commit", metavar="HASH", help=f"try one of {COMMIT_SAMPLES} samples, chosen by the hash of a commit"
    )
    chosen.add_argument("--name", metavar="GLOB", action="append", help="try the mutants of this name; may be repeated")
    parser.add_argument("--list", action="store_true", help="only list the mutants, with what a user would lose")
    parser.add_argument("--jobs", type=int, metavar="N", help="try N mutants at a time, by default one on each core")
    parser.add_argument("--table", type=Path, metavar="DIR", help="folder of another table of mutants")
    try:
        args = parser.parse_args(argv)
    except SystemExit as end:
        return int(end.code or OK)
    folder = FOLDER if args.table is None else args.table
    if not any(folder.glob("*.yaml")):
        print(f"--table {folder}: has no *.yaml files; give the folder of a table of mutants", file=sys.stderr)
        return USAGE
    try:
        mutants = _chosen(args, read_table(folder).mutants)
    except (ValueError, YAMLError) as fault:
        print(f"--table {folder}: {fault}", file=sys.stderr)
        return USAGE
    if not mutants:
        print(f"no mutant has a name like {', '.join(args.name or ())}; --list shows all", file=sys.stderr)
        return USAGE
    if args.list:
        for mutant in mutants:
            print(f"{mutant.name}: {mutant.loses}")
        return OK
    if not hasattr(os, "fork"):
        print("a mutant runs in a forked process, which this system has not", file=sys.stderr)
        return ENVIRONMENT
    return _run(mutants, max(1, args.jobs or os.cpu_count() or 1))


def _sample(text: str) -> tuple[int, int]:
    number, slash, count = text.partition("/")
    if not (slash and number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} is not N/M with N from 1 to M, such as 2/5")
    return int(number), int(count)


def _chosen(args: argparse.Namespace, mutants: Sequence[Mutant]) -> list[Mutant]:
    if args.commit is not None:
        number = sample_of_commit(args.commit, COMMIT_SAMPLES)
        print(f"sample {number}/{COMMIT_SAMPLES} of commit {args.commit}")
        return sample(mutants, number, COMMIT_SAMPLES)
    if args.sample is not None:
        return sample(mutants, *args.sample)
    if args.name is not None:
        return [mutant for mutant in mutants if any(fnmatchcase(mutant.name, glob) for glob in args.name)]
    return list(mutants)


def _run(mutants: Sequence[Mutant], jobs: int) -> int:
    from crosswire.mockserver.scenarios.folders import scenario_folders
    from crosswire.mockserver.scenarios.loader import load_scenarios

    began = perf_counter()
    verdicts = []
    show = _show_progress if sys.stderr.isatty() else None
    for verdict in judge_mutants(mutants, load_scenarios(*scenario_folders(None)), jobs, show):
        verdicts.append(verdict)
        print(line(verdict), flush=True)
    counts = Counter(verdict.outcome for verdict in verdicts)
    print(f"\n{len(verdicts)} mutants: {', '.join(f'{counts[outcome]} {outcome}' for outcome in MARKS)}", end="; ")
    print(f"{sum(verdict.cells for verdict in verdicts)} cells in {perf_counter() - began:.0f} s")
    return OK if all(verdict.is_expected for verdict in verdicts) else FAILED


def _show_progress(done: int, total: int) -> None:
    print(f"\r{done}/{total}", end="\r", file=sys.stderr, flush=True)


def line(verdict: Verdict) -> str:
    """Returns the verdict as one line: mark, name, outcome, and the check that failed or what a user would lose."""
    mutant = verdict.mutant
    reason = verdict.reason.partition("\n")[0] if verdict.outcome == "killed" else verdict.reason
    reason = reason if len(reason) <= 240 or verdict.outcome != "killed" else f"{reason[:240]} …"
    if verdict.outcome == "survived":
        reason = f"no check fails in {verdict.cells} cells, although {mutant.loses}"
    if verdict.outcome == "killed" and mutant.survives:
        reason += f" (it was expected to survive: {mutant.survives}; take `survives` out of the table)"
    return f"{MARKS[verdict.outcome]} {mutant.name}: {verdict.outcome}; {reason}"
