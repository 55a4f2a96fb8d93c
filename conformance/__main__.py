"""The command line of the suite: run the matrix, play the classic checks, replay recorded traffic."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

OK, FAILED, USAGE, ENVIRONMENT = 0, 1, 2, 3

HERE = Path(__file__).parent
ROOT = HERE.parent


def main(argv: Sequence[str] | None = None) -> int:
    """0 as expected, 1 a failure, 2 a wrong call or config, 3 the machine lacks something."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not (ROOT / "scenarios").is_dir():
        print(f"{ROOT} holds no scenarios/: run the matrix from a checkout (pip install -e '.[test]')", file=sys.stderr)
        return ENVIRONMENT
    if arguments[:1] == ["replay"]:
        from .replay import main as replay

        return replay(arguments[1:])
    if arguments[:1] == ["run"]:
        arguments = arguments[1:]
    return run(_parser().parse_args(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run-matrix.sh",
        description="Play every frontend against every provider, and hold the bytes on both sides against the stories.",
        epilog="`replay DIR` runs recorded traffic through the protocols instead.",
    )
    for axis in ("frontend", "provider", "story"):
        parser.add_argument(f"--{axis}", default="*", metavar="GLOB", help=f"only the {axis}s that this glob names")
    parser.add_argument("--stream", action=argparse.BooleanOptionalAction, help="only streams, or only unary answers")
    parser.add_argument("--scenarios", type=Path, default=ROOT / "scenarios", help="another folder of scenarios")
    parser.add_argument("--snapshots", type=Path, help="another folder of snapshots")
    parser.add_argument("--known-failing", type=Path, metavar="FILE", help="another list of cells known to fail")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write one JSON line a cell")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one page to look at: grid, reasons, all texts")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write a JUnit report")
    parser.add_argument("--classic", action="store_true", help="only the four classic checks, printed for reading")
    parser.add_argument("--update", action="store_true", help="write the snapshots anew; read the diff!")
    parser.add_argument("--accept-new", action="store_true", help="write snapshots that do not exist yet, change none")
    parser.add_argument("--readme", action="store_true", help="write the README's tables; the grid if all is played")
    parser.add_argument("-x", dest="first", action="store_true", help="stop at the first failure")
    return parser


def run(args: argparse.Namespace) -> int:
    """The matrix by these flags."""
    wrong = list(_mistakes(args))
    if wrong:
        print(*wrong, sep="\n", file=sys.stderr)
        return USAGE
    try:
        import pytest
    except ImportError:
        print("the matrix needs the extra `test`: pip install -e '.[test]'", file=sys.stderr)
        return ENVIRONMENT
    from mockserver.scenario import load

    mistakes = load(args.scenarios).mistakes
    if mistakes:
        print(*mistakes, sep="\n", file=sys.stderr)
        return USAGE
    if args.classic:
        from .classic import play_classic

        return play_classic(args.scenarios)
    code = pytest.main(pytest_arguments(args))
    return {0: OK, 1: FAILED, 5: USAGE}.get(int(code), USAGE)


def _mistakes(args: argparse.Namespace) -> Iterator[str]:
    """What is wrong with the call itself, each with what to do."""
    for part in ("providers", "stories"):
        if not (args.scenarios / part).is_dir():
            yield f"--scenarios {args.scenarios}: holds no {part}/; give the folder with providers/ and stories/"
    if args.snapshots is not None and args.snapshots.exists() and not args.snapshots.is_dir():
        yield f"--snapshots {args.snapshots}: is no folder"
    if args.known_failing is not None and not args.known_failing.is_file():
        yield f"--known-failing {args.known_failing}: no such file"
    for flag in ("json", "html", "junit"):
        file = getattr(args, flag)
        if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
            yield f"--{flag} {file}: cannot be written there; give a file in a folder that exists"


def pytest_arguments(args: argparse.Namespace) -> list[str]:
    """The same run in pytest's words."""
    mode = {None: "both", True: "stream", False: "unary"}[args.stream]
    out = [str(HERE), f"--rootdir={ROOT}", "--grid", "-qq", "-rN", "--no-header", "--tb=no", "-p", "no:cacheprovider"]
    out += ["-o", "console_output_style=classic", "--capture=no", "-p", "conformance.quiet"]
    out += ["-p", "no:hypothesispytest"]  # no test here uses it, and it takes longest to load
    out += [f"--{axis}={getattr(args, axis)}" for axis in ("frontend", "provider", "story")]
    out += [f"--mode={mode}", f"--scenarios={args.scenarios}"]
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
    if args.readme:
        out.append("--readme")
    if args.first:
        out.append("-x")
    # syrupy's own search for unused snapshots stops short of other folders, takes a filtered run for a whole one,
    # and deletes what it finds at an update: a test of ours looks for them instead
    out.append("--snapshot-disable-unused")
    if args.update:
        out.append("--snapshot-update")
    if args.accept_new:
        out.append("--snapshot-update-new-only")
    return out


if __name__ == "__main__":
    sys.exit(main())
