"""`python -m benchmarks`: the proxy beside a plain aiohttp relay, on one core, in one run; one table of all figures.

All gateways share a core in turn; the upstream and the loader have another. Rounds alternate, and each figure is the
median of its rounds, so that a noisy neighbour hits all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from crosswire.proxy.server.descriptors import raise_descriptor_limit

from . import crowd, rounds, standing, table
from .cases import groups
from .decide import open_decision_us
from .gateways import ALL_ON, CROSSWIRE, RELAY, Gateway, all_on, crosswire, relay
from .levers import LEVERS
from .machine import machine
from .peers import PEERS, NotInstalled
from .ports import free_port
from .program import module, running

Start = Callable[[], AbstractContextManager[Gateway]]

OTHER_ROWS = ("crowd", "decision", "standing")
"""The rows that are not of load: streams at once, a decision, memory and start."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=2, help="of load a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--streams", type=int, default=2_000, help="that are opened at once")
    parser.add_argument(
        "--only", default="*", metavar="GLOB", help=f"only these rows, by their names, or {', '.join(OTHER_ROWS)}"
    )
    parser.add_argument(
        "--without", action="append", default=[], choices=LEVERS, help="without this lever too: what it gives"
    )
    parser.add_argument("--peers", action="store_true", help=f"also {', '.join(PEERS)}, those that are installed")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--page", action="store_true", help="write the table into docs/benchmarks.md")
    args = parser.parse_args()
    raise_descriptor_limit()
    cores = sorted(os.sched_getaffinity(0))
    figures: dict[str, Any] = {"machine": machine(), "seconds": args.seconds, "rounds": args.rounds}
    os.sched_setaffinity(0, {cores[-1]})
    with tempfile.TemporaryDirectory() as folder:
        upstream = free_port()
        with running(module("benchmarks.upstream", str(upstream), "1"), upstream, cores[-1]):
            starts = _starts(upstream, cores[0], Path(folder), args.without, peers=args.peers)
            figures |= _measure(args, starts)
    text = "\n".join(table.gains(figures) if args.without else table.lines(figures))
    print(f"{figures['machine']}\n\n{text}")
    if args.page:
        said = f"{figures['machine']}; {args.rounds} rounds of {args.seconds:g} s."
        table.write("without" if args.without else "table", f"{said}\n\n{text}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1, ensure_ascii=False))
    return 0


def _starts(upstream: int, core: int, folder: Path, without: list[str], *, peers: bool) -> dict[str, Start]:
    """By name what starts each gateway."""
    starts: dict[str, Start] = {
        RELAY: partial(relay, upstream, core),
        CROSSWIRE: partial(crosswire, upstream, core, folder),
    }
    for lever in without:
        name = f"{table.WITHOUT}{lever}"
        starts[name] = partial(crosswire, upstream, core, folder, name=name, without=lever)
    if not without:
        starts[ALL_ON] = partial(crosswire, upstream, core, folder, name=ALL_ON, more=all_on(folder, upstream))
    for name, start in PEERS.items() if peers else ():
        place = folder / name
        place.mkdir()
        try:
            with start(upstream, core, place):
                starts[name] = partial(start, upstream, core, place)
        except NotInstalled as why:
            print(f"left out {name}: {why}", file=sys.stderr)
        except RuntimeError as why:
            print(f"left out {name}: it does not start: {why}", file=sys.stderr)
    return starts


def _measure(args: argparse.Namespace, starts: Mapping[str, Start]) -> dict[str, Any]:
    wanted = [group for group in groups() if fnmatchcase(group.name, args.only)]
    others = [name for name in OTHER_ROWS if fnmatchcase(name, args.only)]
    found: dict[str, Any] = {}
    if wanted:
        with ExitStack() as stack:
            gateways = [stack.enter_context(start()) for start in starts.values()]
            found["groups"] = uvloop.run(rounds.measure(wanted, gateways, args.seconds, args.rounds))
    if "crowd" in others:
        print(f"{args.streams} streams at once", file=sys.stderr)
        with ExitStack() as stack:
            gateways = [stack.enter_context(start()) for start in starts.values()]
            of = uvloop.run(crowd.measure(gateways, args.streams, min(args.rounds, 3)))
        found["crowd"] = {"streams": args.streams, "of": of}
    if "decision" in others:
        found["decision_us"] = open_decision_us()
    if "standing" in others:
        print("memory and start", file=sys.stderr)
        found["standing"] = standing.measure(starts, min(args.rounds, 5))
    return found


if __name__ == "__main__":
    sys.exit(main())
