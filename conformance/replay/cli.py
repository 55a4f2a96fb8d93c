"""Command line of the replay of recorded traffic: `python -m crosswire.conformance replay DIR`.

Each recorded request and reply is decoded, encoded again in its own protocol and in the four others for several models
each, and judged by the mock's rules, the official SDKs' types, and what was said; then sent over sockets.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from random import randrange

from .bars import Comparison, compare, raise_bars, read_bars
from .mutation import mutate_recordings
from .recording import NotARecording, find_recordings, read_recording
from .runner import replay_recording
from .socket_replay import SocketResult, replay_over_sockets
from .summary import capability_table, figures, frequent, json_lines, table
from .verdict import Verdict

OK, FAILED, USAGE = 0, 1, 2

SINGLE_PROCESS_FILES = 40
"""Most files that are replayed in one process, as starting others takes longer."""


def main(argv: Sequence[str]) -> int:
    """Returns 0 if nothing raised and no figure is below its bar; 1 if not; 2 for wrong arguments."""
    parser = argparse.ArgumentParser(
        prog="crosswire-matrix replay",
        description="Run recorded traffic through the protocols and compare what was recorded with what is received.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of the recordings: one JSON file per case")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write one JSON line per case")
    parser.add_argument("--capabilities", action="store_true", help="print a table by capability too")
    parser.add_argument("--raise-bars", action="store_true", help="write the figures that are above their bars as bars")
    parser.add_argument("--mutate", type=int, metavar="N", help="instead run N random mutations of the recordings")
    parser.add_argument("--seed", type=int, metavar="S", help="choose the same mutations again; the seed is printed")
    try:
        args = parser.parse_args(argv)
    except SystemExit as end:
        return int(end.code or OK)
    if not args.folder.is_dir():
        return _usage_error(f"{args.folder} is not a folder; give the folder of the recordings")
    files = find_recordings(args.folder)
    if not files:
        return _usage_error(f"{args.folder} has no *.json files; give the folder of the recordings")
    if args.json is not None and not args.json.parent.is_dir():
        return _usage_error(f"{args.json.parent} is not a folder; --json needs an existing one")
    try:
        if args.mutate is not None:
            return _mutate(args.folder, files, args.mutate, args.seed)
        verdicts = list(_with_progress(_verdicts(args.folder, files), len(files)))
        sockets = replay_over_sockets(read_recording(file, args.folder) for file in files)
    except NotARecording as fault:
        return _usage_error(str(fault))
    if args.json is not None:
        args.json.write_text("".join(f"{line}\n" for line in json_lines(verdicts, sockets.failures)))
    print(*table(verdicts), *(capability_table(verdicts) if args.capabilities else ()), sep="\n")
    print(*_socket_lines(sockets), sep="\n")
    raised = [text for verdict in verdicts for text in verdict.raised]
    reached = figures(verdicts, sockets.right if sockets.cases else None)
    name = args.folder.resolve().name
    compared = compare(reached, read_bars(), name)
    for line in (*(f"raised: {text}" for text in raised), *_bar_lines(compared)):
        print(line)
    if args.raise_bars:
        print("raised bars:", ", ".join(raise_bars(reached, name)) or "none")
    return OK if compared.passed and not raised else FAILED


def _socket_lines(sockets: SocketResult) -> Iterator[str]:
    """Yields the part of the report about sockets."""
    right, cases = sockets.right
    yield f"\nover sockets: {cases} cases, relayed and converted, {right} right, {len(sockets.failures)} failed"
    for reason, number in sockets.left_out.items():
        yield f"left out {number}: {reason}"
    yield from frequent((file, text) for file, found in sockets.failures.items() for text in found)


def _bar_lines(compared: Comparison) -> Iterator[str]:
    """Yields what is below and above the bars."""
    yield from (f"below the bar: {text}" for text in compared.below)
    yield from (f"not measured: {text}" for text in compared.missing)
    yield from (f"above the bar: {text}; raise it with --raise-bars" for text in compared.above)


def _mutate(folder: Path, files: Sequence[Path], number: int, seed: int | None) -> int:
    seed = randrange(2**32) if seed is None else seed
    faults = mutate_recordings(folder, files, number, seed)
    print(f"{number} mutations with seed {seed}: {len(faults)} faults", *faults, sep="\n")
    return FAILED if faults else OK


def _usage_error(message: str) -> int:
    print(message, file=sys.stderr)
    return USAGE


def _verdicts(folder: Path, files: Sequence[Path]) -> Iterator[Verdict]:
    if len(files) <= SINGLE_PROCESS_FILES:
        yield from map(partial(_replay_file, folder), files)
        return
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(partial(_replay_file, folder), files, chunksize=8)


def _replay_file(folder: Path, file: Path) -> Verdict:
    return replay_recording(read_recording(file, folder))


def _with_progress(verdicts: Iterator[Verdict], total: int) -> Iterator[Verdict]:
    """Yields the verdicts unchanged, and shows a counter if stderr is a terminal."""
    shown = sys.stderr.isatty()
    for number, verdict in enumerate(verdicts, 1):
        if shown:
            print(f"\r{number}/{total}", end="", file=sys.stderr, flush=True)
        yield verdict
    if shown:
        print("\r", end="", file=sys.stderr)
