"""A gateway at rest: the time from its start until it listens, and its memory before the first request."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from statistics import median

from .gateways import Gateway

SETTLE_S = 1.0
"""Seconds after which a program that has started is at rest."""


def measure(
    starts: Mapping[str, Callable[[], AbstractContextManager[Gateway]]], rounds: int
) -> dict[str, dict[str, float]]:
    """The seconds to listening, those of CPU, and the KiB, of programs that are started in turn; medians."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in starts}
    for _ in range(rounds):
        for name, start in starts.items():
            with start() as gateway:
                cpu_s = gateway.program.cpu_s()
                time.sleep(SETTLE_S)
                kib = gateway.program.rss_kib()
                found[name].append({"start_s": gateway.program.start_s, "cpu_s": cpu_s, "rss_kib": kib})
    return {name: {key: median(each[key] for each in of) for key in of[0]} for name, of in found.items()}
