"""`python -m benchmarks.growth`: how the cost grows with turns, tools, backends and routes, and streams; draws it.

Each cost is CPU of the proxy, under load, beside that of the plain relay. Rounds alternate over the numbers, so that a
noisy neighbour does not bend a line.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import uvloop
from msgspec import Struct

from crosswire.proxy.server.descriptors import raise_descriptor_limit

from . import table
from .bodies import ANTHROPIC, CHAT, SMALL, history, tools
from .cases import Case
from .chart import svg
from .gateways import KEY, Gateway, base_url, crosswire, model, relay
from .machine import machine
from .ports import free_port
from .program import ROOT, module, running
from .rounds import one_round

FOLDER = ROOT / "docs" / "growth"

TURN = 300
"""Characters of a turn."""

EVENTS = 40
"""Events of a stream, few so that thousands at once end in time."""

SAME, CROSS, RELAYED = "same protocol", "two protocols", "relay"

NOISE = 1.15
"""The factor by which a line may be steeper than a straight one and still count as one."""

Costs = dict[str, list[tuple[float, float]]]
"""By line the numbers of things and the µs of CPU of each."""


class Curve(Struct, frozen=True):
    """One chart: the numbers that are tried, and the case of load for each number between two protocols."""

    name: str
    title: str
    things: str
    numbers: tuple[int, ...]
    case: Callable[[int, str, str], Case]


def _turns(number: int, frontend: str, backend: str) -> Case:
    return Case(frontend, backend, history(frontend, number, TURN), connections=8)


def _tools(number: int, frontend: str, backend: str) -> Case:
    return Case(frontend, backend, tools(frontend, number), connections=8)


def _streams(number: int, frontend: str, backend: str) -> Case:
    return Case(frontend, backend, SMALL[frontend], f"1x{EVENTS}", True, EVENTS, connections=number)


CURVES = (
    Curve("turns", "CPU µs a request, by turns of 300 characters", "turns", (1, 25, 125, 250, 500), _turns),
    Curve("tools", "CPU µs a request, by tools", "tools", (0, 25, 50, 100, 200), _tools),
    Curve("streams", "CPU µs an event, by streams at once", "streams", (10, 100, 500, 1000, 2000), _streams),
)

BACKENDS = (1, 10, 100, 500, 1000)
"""Numbers of backends, each with a route of its own."""

BACKENDS_TITLE = "CPU µs a request, by backends, each with a route"


async def _curve(curve: Curve, gateways: Sequence[Gateway], seconds: float, rounds: int) -> Costs:
    """The medians of each number, for a relay, a client of the backend's protocol and one of another."""
    relayed, proxy = gateways
    lines = ((RELAYED, relayed, CHAT), (SAME, proxy, CHAT), (CROSS, proxy, ANTHROPIC))
    found: dict[tuple[str, int], list[float]] = {}
    for round_ in range(rounds):
        for number in curve.numbers:
            for name, gateway, backend in lines:
                figure = await one_round(curve.case(number, CHAT, backend), gateway, seconds)
                assert not figure["wrong"], f"{curve.name} {number} {name}: {figure}"
                found.setdefault((name, number), []).append(figure["cpu_us"])
        print(f"{curve.name}: {round_ + 1}/{rounds}", file=sys.stderr, flush=True)
    return {name: [(number, median(found[name, number])) for number in curve.numbers] for name, _, _ in lines}


def _backends(upstream: int, core: int, folder: Path, seconds: float, rounds: int) -> Costs:
    """The cost of a request whose model is that of the last route, by the number of backends and routes."""
    lines = {SAME: CHAT, CROSS: ANTHROPIC}
    found: dict[tuple[str, int], list[float]] = {}
    with ExitStack() as stack:
        proxies = {
            number: stack.enter_context(crosswire(upstream, core, folder, more=many(upstream, number)))
            for number in BACKENDS
        }
        for round_ in range(rounds):
            for number, proxy in proxies.items():
                for name, backend in lines.items():
                    figure = uvloop.run(one_round(Case(CHAT, backend, SMALL[CHAT]), proxy, seconds))
                    assert not figure["wrong"], f"{number} backends, {name}: {figure}"
                    found.setdefault((name, number), []).append(figure["cpu_us"])
            print(f"backends: {round_ + 1}/{rounds}", file=sys.stderr, flush=True)
    return {name: [(number, median(found[name, number])) for number in BACKENDS] for name in lines}


def many(upstream: int, number: int) -> dict[str, Any]:
    """So many backends of either protocol, each with a route; the last route of each leads to the upstream."""
    backends, routes = {}, []
    for kind, protocol in ((CHAT, "openai-chat"), (ANTHROPIC, "anthropic")):
        for at in range(number):
            name = model(kind, "1") if at == number - 1 else f"{kind}-other-{at}"
            backends[name] = {"protocol": protocol, "base_url": base_url(upstream, kind, "1"), "api_key": KEY}
            routes.append({"match": name, "backend": name})
    return {"backends": backends, "routes": routes, "model_lists_s": 0}


def steepness(line: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The factors by which the number and the cost grow between the last two points."""
    (few, before), (number, cost) = line[-2:]
    return number / few, cost / before


def rows(costs: dict[str, Costs]) -> list[str]:
    """A table of the costs at the first and the last number, and of the growth between the last two."""
    out = ["| | first | last | growth at the end | |", "|---|---|---|---|---|"]
    for curve, lines in costs.items():
        for name, line in lines.items():
            if name != RELAYED:
                times, factor = steepness(line)
                told = "linear or better" if factor <= NOISE * times else "steeper than linear"
                first, last = (f"{cost:,.0f} µs at {number:,}" for number, cost in (line[0], line[-1]))
                out.append(f"| {curve}, {name} | {first} | {last} | × {factor:.2f} for × {times:.3g} | {told} |")
    return out


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=1, help="of load a round")
    parser.add_argument("--rounds", type=int, default=3)
    names = [*(curve.name for curve in CURVES), "backends"]
    parser.add_argument("--only", action="append", choices=names, help="only this curve; may be repeated")
    parser.add_argument("--json", type=Path, help="write the costs to this file")
    parser.add_argument("--page", action="store_true", help="draw the charts and write the table in docs/")
    args = parser.parse_args()
    raise_descriptor_limit()
    cores = sorted(os.sched_getaffinity(0))
    where = machine()
    os.sched_setaffinity(0, {cores[-1]})
    costs: dict[str, Costs] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        upstream = free_port()
        stack.enter_context(running(module("benchmarks.upstream", str(upstream), "1"), upstream, cores[-1]))
        with relay(upstream, cores[0]) as relayed, crosswire(upstream, cores[0], Path(folder)) as proxy:
            for curve in CURVES:
                if curve.name in (args.only or names):
                    costs[curve.name] = uvloop.run(_curve(curve, (relayed, proxy), args.seconds, args.rounds))
        if "backends" in (args.only or names):
            costs["backends"] = _backends(upstream, cores[0], Path(folder), args.seconds, args.rounds)
    text = "\n".join(rows(costs))
    print(f"{where}\n\n{text}")
    if args.json:
        args.json.write_text(json.dumps({"machine": where, "costs": costs}, indent=1, ensure_ascii=False))
    if args.page:
        draw(costs)
        table.write("growth", f"{where}; {args.rounds} rounds of {args.seconds:g} s.\n\n{text}")
    return 0


def draw(costs: dict[str, Costs]) -> None:
    """Writes the charts of these costs."""
    FOLDER.mkdir(exist_ok=True)
    titles = {curve.name: (curve.title, curve.things) for curve in CURVES}
    for name, lines in costs.items():
        title, things = titles.get(name, (BACKENDS_TITLE, "backends"))
        (FOLDER / f"{name}.svg").write_text(svg(title, things, lines), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
