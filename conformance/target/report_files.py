"""Files of reports, and the command `report`, which makes them of one run or several."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from .badge import badge as badge_image
from .junit import junit as junit_report
from .markdown import board
from .markdown import markdown as markdown_summary
from .page import render_page
from .run_diff import run_diffs
from .verdict import TargetRun

OK, USAGE = 0, 2

DEFAULT_PAGE = "report.html"


def write_reports(
    runs: Sequence[TargetRun],
    *,
    html: Path | None = None,
    junit: Path | None = None,
    markdown: Path | None = None,
    badge: Path | None = None,
) -> list[Path]:
    """Writes each report that has a file, and returns the files; the badge is of the last run."""
    contents: tuple[tuple[Path | None, Callable[[], bytes]], ...] = (
        (html, lambda: render_page(runs).encode()),
        (junit, lambda: junit_report(runs)),
        (markdown, lambda: markdown_summary(runs).encode()),
        (badge, lambda: badge_image(runs[-1]).encode()),
    )
    written = [(file, make()) for file, make in contents if file is not None]
    for file, content in written:
        file.write_bytes(content)
    return [file for file, _ in written]


def report_parser() -> argparse.ArgumentParser:
    """Returns the parser of `report`."""
    parser = argparse.ArgumentParser(
        prog="crosswire-matrix report",
        description="Compare runs against gateways: a board, and what changed between two runs of one gateway.",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="FILE", help="the JSON of a run")
    parser.add_argument(
        "--html",
        nargs="?",
        type=Path,
        const=Path(DEFAULT_PAGE),
        metavar="FILE",
        help=f"write one HTML page that needs no other file; without FILE: {DEFAULT_PAGE}",
    )
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write a JUnit report")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write a summary in Markdown")
    parser.add_argument("--badge", type=Path, metavar="FILE", help="write a badge of the last run, an SVG image")
    return parser


def report(argv: Sequence[str]) -> int:
    """Writes the reports that were asked for, and prints the board."""
    args = report_parser().parse_args(argv)
    runs = []
    for file in args.runs:
        try:
            runs.append(msgspec.json.decode(file.read_bytes(), type=TargetRun))
        except (OSError, msgspec.DecodeError) as problem:
            why = getattr(problem, "strerror", None) or problem
            print(f"{file}: {why}; give the JSON that `run --profile … --json FILE` wrote", file=sys.stderr)
            return USAGE
    outputs = {"html": args.html, "junit": args.junit, "markdown": args.markdown, "badge": args.badge}
    for flag, file in outputs.items():
        if file is not None and file.suffix == ".json":
            print(f"--{flag} {file}: would overwrite a run; give the report's name after --{flag}", file=sys.stderr)
            return USAGE
        if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
            print(f"--{flag} {file}: cannot be written; give a file in an existing folder", file=sys.stderr)
            return USAGE
    print(*board(runs), sep="\n")
    for diff in run_diffs(runs):
        name = runs[diff.after].gateway.name
        print(f"\n{name}: {len(diff.fixed):,} fixed, {len(diff.broken):,} broken, {len(diff.changed):,} changed")
    for file in write_reports(runs, **outputs):
        print(f"\nWrote {file}.")
    return OK
