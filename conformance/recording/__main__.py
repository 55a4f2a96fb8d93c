"""`crosswire-mock record`: stands before a real provider, and writes what passes as stories.

Exit status: 0 stories were written, 1 nothing was written, 2 wrong command line.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web
from msgspec.structs import replace

from .recorder import UPSTREAMS, Recorder
from .redaction import Redactor
from .story_writer import Written, write_stories

OK, NOTHING, USAGE = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status."""
    try:
        args = record_parser().parse_args(None if argv is None else list(argv))
    except SystemExit as exited:
        return OK if exited.code in (0, None) else USAGE
    upstream = UPSTREAMS[args.upstream]
    # the key of a provider goes to its own address alone; to another the client's own credentials go
    key = os.environ.get(upstream.variable, "") if args.base_url is None else ""
    if args.base_url is not None:
        upstream = replace(upstream, url=args.base_url.rstrip("/"))
    recorder = Recorder(upstream, key)
    try:
        asyncio.run(_serve(recorder, upstream.url, args.port))
    except OSError as problem:
        print(f"cannot listen on 127.0.0.1:{args.port}: {problem.strerror}; try another --port", file=sys.stderr)
        return USAGE
    return finish(recorder, args.upstream, args.output, yes=args.yes)


def record_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="crosswire-mock record",
        description="Pass requests on to a real provider until Ctrl-C, then write them as stories that the mock plays "
        "in every protocol. Ids, keys and e-mail addresses are replaced; what was replaced is shown, and nothing is "
        "written before you agree. Read the stories before you share them: names and the like are yours to find.",
    )
    parser.add_argument("--upstream", required=True, choices=list(UPSTREAMS), help="the provider")
    parser.add_argument("--base-url", metavar="URL", help="its address, for another host of the same protocol")
    parser.add_argument("--port", type=int, default=8889, help="port to listen on, 0 for a free one; default: 8889")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("scenarios/stories"), metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument("--yes", action="store_true", help="write without asking")
    return parser


async def _serve(recorder: Recorder, url: str, port: int) -> None:
    runner = web.AppRunner(recorder.app(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        path = urlsplit(url).path.rstrip("/")
        print(f"Recording {url} at http://127.0.0.1:{runner.addresses[0][1]}{path} until Ctrl-C", flush=True)
        await ended.wait()
    finally:
        await runner.cleanup()


def finish(recorder: Recorder, upstream: str, folder: Path, *, yes: bool, ask: Callable[[str], str] = input) -> int:
    """Shows what was recorded and what was replaced in it, and writes it where the person agrees."""
    redactor = Redactor()
    written = write_stories(recorder.recorded, upstream, redactor)
    stories = [each for each in written if not each.problem]
    print()
    for each in written:
        print(f"  {each.name}: {each.problem or 'a story'}")
    print(*(f"  left out: {why}" for why in recorder.left_out), sep="\n", end="\n" if recorder.left_out else "")
    if not stories:
        print("No story was recorded; nothing is written.")
        return NOTHING
    print("\nReplaced:" if redactor.redactions else "\nNothing had to be replaced.")
    print(*(f"  {each}" for each in redactor.redactions), sep="\n", end="\n" if redactor.redactions else "")
    try:
        agreed = yes or ask(f"\nWrite {len(stories)} stories to {folder}? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        agreed = False
    if not agreed:
        print("Nothing is written; --yes writes without asking.")
        return NOTHING
    folder.mkdir(parents=True, exist_ok=True)
    for each in stories:
        print(f"wrote {_write(folder, each)}")
    return OK


def _write(folder: Path, story: Written) -> Path:
    """Writes a story to a file of its name; a file that is there is kept."""
    number = 1
    while True:
        file = folder / (f"{story.name}.yaml" if number == 1 else f"{story.name}-{number}.yaml")
        try:
            with open(file, "x", encoding="utf-8") as opened:
                opened.write(story.text)
            return file
        except FileExistsError:
            number += 1


if __name__ == "__main__":
    sys.exit(main())
