"""Recorded traffic through the protocols: `python -m conformance replay DIR`.

Each recorded request and reply is decoded, said again in its own protocol and in the four others, and judged by the
official SDKs' types and by the mock's readers. It knows no wire name of any dialect.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from .play import play
from .recording import NotARecording, Recording, find, read
from .sockets import SOCKET_CASES, over_sockets
from .tally import good, lines, table
from .verdict import Verdict

OK, FAILED, USAGE = 0, 1, 2

FEW = 40
"""So many files are played in one process: starting another takes longer."""


def main(argv: Sequence[str]) -> int:
    """0 when nothing raised, all was decoded and nearly all came through, 1 when not, 2 for a wrong call."""
    parser = argparse.ArgumentParser(
        prog="crosswire-matrix replay",
        description="Run recorded traffic through the protocols and compare what was said with what arrived.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the recordings: one JSON file a case")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write one JSON line a case")
    try:
        args = parser.parse_args(argv)
    except SystemExit as end:
        return int(end.code or OK)
    if not args.folder.is_dir():
        return _wrong(f"{args.folder} is no folder; give the one that holds the recordings")
    files = find(args.folder)
    if not files:
        return _wrong(f"{args.folder} holds no *.json file; give the folder that holds the recordings")
    if args.json is not None and not args.json.parent.is_dir():
        return _wrong(f"{args.json.parent} is no folder; --json writes a file into one that exists")
    try:
        verdicts = list(_counted(_verdicts(args.folder, files), len(files)))
        chosen = choose(read(file, args.folder) for file in files)
    except NotARecording as fault:
        return _wrong(str(fault))
    if args.json is not None:
        args.json.write_text("".join(f"{line}\n" for line in lines(verdicts)))
    print(*table(verdicts), sep="\n")
    broken = over_sockets(chosen)
    print(f"\nover sockets: {len(chosen)} cases, relayed and converted, {len(broken)} wrong", *broken, sep="\n")
    return OK if good(verdicts) and not broken else FAILED


def _wrong(what: str) -> int:
    print(what, file=sys.stderr)
    return USAGE


def _verdicts(folder: Path, files: Sequence[Path]) -> Iterator[Verdict]:
    if len(files) <= FEW:
        yield from map(partial(_play, folder), files)
        return
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(partial(_play, folder), files, chunksize=8)


def _play(folder: Path, file: Path) -> Verdict:
    return play(read(file, folder))


def _counted(verdicts: Iterator[Verdict], total: int) -> Iterator[Verdict]:
    """The same verdicts, with a counter for whoever waits at a terminal."""
    shown = sys.stderr.isatty()
    for number, verdict in enumerate(verdicts, 1):
        if shown:
            print(f"\r{number}/{total}", end="", file=sys.stderr, flush=True)
        yield verdict
    if shown:
        print("\r", end="", file=sys.stderr)


def choose(recordings: Iterator[Recording]) -> list[Recording]:
    """The cases for the sockets: of each protocol by turns, whole and streamed."""
    fit = [r for r in recordings if r.skipped is None and r.status == 200 and r.request is not None]
    groups: dict[tuple[str, bool], list[Recording]] = {}
    for recording in fit:
        if not recording.array:
            groups.setdefault((recording.protocol, recording.streamed), []).append(recording)
    rounds = max(map(len, groups.values()), default=0)
    turns = [group[at] for at in range(rounds) for _, group in sorted(groups.items()) if at < len(group)]
    return turns[:SOCKET_CASES]
