"""Alternating rounds of load: every gateway in turn, so that a noisy neighbour hits all alike; medians of them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from statistics import median

from .cases import Case, Group
from .gateways import RELAY, Gateway
from .load import load

Figures = dict[str, float]
"""CPU of a request or event in µs, its ratio to the relay's, requests a second, latencies and wrong answers."""

WARM_UP_S = 0.4


async def measure(
    groups: Sequence[Group], gateways: Sequence[Gateway], seconds: float, rounds: int
) -> dict[str, dict[str, dict[str, Figures]]]:
    """The medians by group, case and gateway."""
    return {group.name: await _measure_group(group, gateways, seconds, rounds) for group in groups}


async def _measure_group(
    group: Group, gateways: Sequence[Gateway], seconds: float, rounds: int
) -> dict[str, dict[str, Figures]]:
    found: dict[str, dict[str, list[Figures]]] = {case.name: {} for case in group.cases}
    for number in range(rounds + 1):  # the first warms up and is thrown away
        for case in group.cases:
            relay_us = 0.0
            for gateway in gateways:
                if (case.frontend, case.backend) not in gateway.pairs:
                    continue
                figure = await one_round(case, gateway, seconds if number else WARM_UP_S)
                relay_us = figure["cpu_us"] if gateway.name == RELAY else relay_us
                figure["of_relay"] = figure["cpu_us"] / max(relay_us, 1e-9)
                if number:
                    found[case.name].setdefault(gateway.name, []).append(figure)
        print(f"{group.name}: {number}/{rounds}", file=sys.stderr, flush=True)
    return {
        case: {name: {key: median(each[key] for each in figures) for key in figures[0]} for name, figures in of.items()}
        for case, of in found.items()
    }


async def one_round(case: Case, gateway: Gateway, seconds: float) -> Figures:
    """Load for so many seconds; the CPU that each request, or each event of a stream, took."""
    before = gateway.program.cpu_s()
    headers = gateway.headers(case.backend, case.streams)
    figure = await load(gateway.port, case.path(gateway), case.data(), case.connections, seconds, headers)
    await asyncio.sleep(0.05)
    cpu = gateway.program.cpu_s() - before
    return figure | {"cpu_us": cpu / max(figure["answers"], 1) / case.events * 1e6}
