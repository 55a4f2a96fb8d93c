"""The command line of the mock: play a folder of scenarios, or check it. It knows no scenario and no protocol.

Exit status: 0 all is well, 1 the scenarios hold mistakes, 2 the command line is wrong or the folder is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence

from .scenario import Scenarios, load

PORT = 8888


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    check = words[:1] == ["check"]
    if check:
        words = words[1:]
    parser = argparse.ArgumentParser(
        prog="crosswire-mock check" if check else "crosswire-mock",
        description=(
            "Name every mistake in a folder of scenarios, with file and line."
            if check
            else "Play the providers of a folder of scenarios over HTTP. `crosswire-mock check FOLDER` only checks it."
        ),
    )
    parser.add_argument("folder", help="the folder that holds providers/ and stories/")
    if not check:
        parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
        parser.add_argument("--port", type=int, default=PORT, help="0 takes a free one; default: %(default)s")
        parser.add_argument("-q", "--quiet", action="store_true", help="no line for each request")
    try:
        asked = parser.parse_args(words)
    except SystemExit as left:
        return 0 if left.code in (0, None) else 2
    try:
        scenarios = load(asked.folder)
    except FileNotFoundError as problem:
        print(problem, file=sys.stderr)
        return 2
    for mistake in scenarios.mistakes:
        print(mistake, file=sys.stderr)
    if scenarios.mistakes:
        print(f"{len(scenarios.mistakes)} mistakes", file=sys.stderr)
        return 1
    if check:
        print(f"{len(scenarios.providers)} providers, {len(scenarios.stories)} stories, no mistakes")
        return 0
    logging.basicConfig(level=logging.WARNING if asked.quiet else logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    try:
        asyncio.run(_serve(scenarios, asked.host, asked.port))
    except OSError as problem:
        print(f"cannot listen on {asked.host}:{asked.port}: {problem.strerror}; try another --port", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


async def _serve(scenarios: Scenarios, host: str, port: int) -> None:
    from .server import serve

    await serve(scenarios, host, port)


if __name__ == "__main__":
    sys.exit(main())
