"""The cases of load: a request from one protocol to another, so large, and the stream that answers it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

from msgspec import Struct

from .bodies import CROSS, SAME, SMALL, Pairs, history, image, tools
from .gateways import Gateway, model
from .upstream import EVENTS

LARGE = (("1 MB image", image, 2.0), ("300 kB history", history, 0.8), ("100 tools", tools, 0.5))
"""Large requests, with the milliseconds of CPU that one may take."""

LARGE_CONNECTIONS = 8


class Case(Struct, frozen=True):
    """A body from a client of one protocol to a backend of one, answered whole or by a stream."""

    frontend: str
    backend: str
    body: dict[str, Any]
    streams: str = "1"
    is_streamed: bool = False
    events: int = 1
    connections: int = 32

    @property
    def name(self) -> str:
        return f"{self.frontend} → {self.backend}"

    def data(self) -> bytes:
        """The bytes of the body."""
        body = {"model": model(self.backend, self.streams), **self.body} | (
            {"stream": True} if self.is_streamed else {}
        )
        return json.dumps(body, separators=(",", ":")).encode()

    def path(self, gateway: Gateway) -> str:
        return gateway.path(self.frontend, self.streams)


class Group(Struct, frozen=True):
    """Cases that make one row of the table, and what they may cost.

    Costs are ratios to the relay's CPU, for an event of a stream; or with `is_ms` milliseconds of CPU a request.
    """

    name: str
    cases: tuple[Case, ...]
    target: float | None
    is_ms: bool = False


def _small(pairs: Pairs) -> tuple[Case, ...]:
    return tuple(Case(one, other, SMALL[one]) for one, other in pairs)


def _streams(pairs: Pairs, streams: str) -> tuple[Case, ...]:
    return tuple(Case(one, other, SMALL[one], streams, True, EVENTS) for one, other in pairs)


def _large(make: Callable[[str], dict[str, Any]], pairs: Pairs) -> tuple[Case, ...]:
    return tuple(Case(one, other, make(one), connections=LARGE_CONNECTIONS) for one, other in pairs)


@cache
def groups() -> tuple[Group, ...]:
    """All rows of CPU, in the order of the table."""
    return (
        Group("unary, same protocol", _small(SAME), 0.60),
        Group("unary, two protocols", _small(CROSS), 0.85),
        Group("stream, an event a write, same protocol", _streams(SAME, "1"), 0.75),
        Group("stream, an event a write, two protocols", _streams(CROSS, "1"), 0.85),
        Group("stream, four events a write, same protocol", _streams(SAME, "4"), 0.9),
        Group("stream, four events a write, two protocols", _streams(CROSS, "4"), 1.1),
        *(
            Group(f"{what}, {which}", _large(make, pairs), target if pairs is SAME else None, is_ms=True)
            for what, make, target in LARGE
            for which, pairs in (("same protocol", SAME), ("two protocols", CROSS))
        ),
    )
