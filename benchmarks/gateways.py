"""The gateways that are measured: the proxy, the proxy with everything on, without its levers, and the plain relay."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from .bodies import ANTHROPIC, CHAT, CROSS, PATHS, SAME
from .ports import free_port
from .program import Program, module, running

RELAY = "relay"
CROSSWIRE = "Crosswire"
ALL_ON = "all on"

KEY = "cw-benchmark-0123456789abcdef"
"""The key of every client and backend."""

PROTOCOLS = {CHAT: "openai-chat", ANTHROPIC: "anthropic"}

STREAMS = ("1", "4", "1x40", "held")
"""The beginnings of paths at the upstream, each with streams of another kind."""


def plain_headers(kind: str, streams: str) -> Mapping[str, str]:
    """The headers of a client of either protocol, whatever the backend and its streams."""
    return {"authorization": f"Bearer {KEY}", "x-api-key": KEY, "anthropic-version": "2023-06-01"}


class Gateway(Struct, frozen=True):
    """A running gateway: its program, its port, and what a request to it looks like."""

    name: str
    program: Program
    port: int
    headers: Callable[[str, str], Mapping[str, str]] = plain_headers
    """The headers of a request for a backend of this kind with these streams."""
    pairs: tuple[tuple[str, str], ...] = (*SAME, *CROSS)
    """The protocols of clients and of backends between which it can be used."""
    prefixed: bool = False
    """True if the path says which streams the upstream sends; otherwise the model or a header does."""

    def path(self, frontend: str, streams: str) -> str:
        return f"/{streams}{PATHS[frontend]}" if self.prefixed else PATHS[frontend]


def base_url(upstream: int, kind: str, streams: str) -> str:
    """The address of a backend at the upstream."""
    return f"http://127.0.0.1:{upstream}/{streams}" + ("/v1" if kind == CHAT else "")


def model(kind: str, streams: str) -> str:
    """The model that a backend of this kind has, which sends these streams."""
    return f"{kind}-{streams}"


def config(port: int, upstream: int) -> dict[str, Any]:
    """A config with a backend of each protocol for each kind of stream, and the proxy's defaults otherwise."""
    backends = {
        model(kind, streams): {
            "protocol": protocol,
            "base_url": base_url(upstream, kind, streams),
            "api_key": KEY,
            "models": {model(kind, streams): model(kind, streams)},
        }
        for kind, protocol in PROTOCOLS.items()
        for streams in STREAMS
    }
    room = {"connections": 20_000, "streams": 20_000}  # every other bound is on
    return {"listen": f"127.0.0.1:{port}", "max_in_flight": 0, "limits": room, "backends": backends}


def all_on(folder: Path, upstream: int) -> dict[str, Any]:
    """The keys of clients with limits, of rows of usage and of traces."""
    limits = {"requests": "1000000000/min", "tokens": "1000000000000/min", "concurrent": 100_000}
    return {
        "clients": {"bench": {"key": KEY, **limits}},
        "store": {"url": f"sqlite:///{folder / 'usage.db'}", "create": True},
        "tracing": {"endpoint": f"http://127.0.0.1:{upstream}/v1/traces"},
    }


@contextmanager
def relay(upstream: int, core: int) -> Iterator[Gateway]:
    port = free_port()
    command = module("benchmarks.relay", str(port), f"http://127.0.0.1:{upstream}")
    with running(command, port, core) as program:
        # what a client of one protocol costs a relay is the same whatever the backend speaks
        yield Gateway(RELAY, program, port, prefixed=True)


@contextmanager
def crosswire(
    upstream: int,
    core: int,
    folder: Path,
    *,
    name: str = CROSSWIRE,
    more: Mapping[str, Any] | None = None,
    without: str = "",
) -> Iterator[Gateway]:
    """The proxy as it is without a word in its config, or with more keys, or without these levers."""
    port = free_port()
    file = folder / f"{port}.yaml"
    file.write_text(json.dumps({**config(port, upstream), **(more or {})}))
    serve = ("crosswire.proxy", "serve", "--config", str(file))
    command = module("benchmarks.levers", without, *serve) if without else module(*serve)
    with running(command, port, core) as program:
        yield Gateway(name, program, port)
