"""Streams that are opened at once: the time until all have spoken, and the memory that each takes while it is open."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from statistics import median
from time import perf_counter
from typing import cast

from .bodies import CHAT, SMALL
from .gateways import Gateway, model
from .load import post

HELD = "held"
WITHIN_S = 90.0


class _Listener(asyncio.Protocol):
    """A client that asks for a stream and waits for its first word."""

    def __init__(self, request: bytes, spoken: asyncio.Semaphore) -> None:
        self._request = request
        self._spoken = spoken
        self._received = b""
        self.has_spoken = self.is_refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self.has_spoken:
            self._received += data
            self.is_refused = not self._received.startswith(b"HTTP/1.1 200"[: len(self._received)])
            self.has_spoken = self.is_refused or b"word0" in self._received
            if self.has_spoken:
                self._spoken.release()


async def measure(gateways: Sequence[Gateway], streams: int, rounds: int) -> dict[str, dict[str, float]]:
    """The seconds until the last of so many streams has spoken and the KiB of each, in turn; medians of the rounds."""
    found: dict[str, list[dict[str, float]]] = {gateway.name: [] for gateway in gateways}
    for _ in range(rounds):
        for gateway in gateways:
            found[gateway.name].append(await open_at_once(gateway, streams))
    return {name: {key: median(each[key] for each in of) for key in of[0]} for name, of in found.items()}


async def open_at_once(gateway: Gateway, streams: int) -> dict[str, float]:
    """Opens the streams, waits until all have spoken, and closes them."""
    body = json.dumps({"model": model(CHAT, HELD), **SMALL[CHAT], "stream": True}, separators=(",", ":")).encode()
    request = post(gateway.port, gateway.path(CHAT, HELD), body, gateway.headers(CHAT, HELD))
    loop, spoken, memory = asyncio.get_running_loop(), asyncio.Semaphore(0), gateway.program.rss_kib()
    began, cpu = perf_counter(), gateway.program.cpu_s()
    connecting = (
        loop.create_connection(lambda: _Listener(request, spoken), "127.0.0.1", gateway.port) for _ in range(streams)
    )
    connections = asyncio.gather(*connecting)
    async with asyncio.timeout(WITHIN_S):
        for _ in range(streams):
            await spoken.acquire()
    took, cpu = perf_counter() - began, gateway.program.cpu_s() - cpu
    kib = (gateway.program.rss_kib() - memory) / streams
    opened = await connections
    for transport, _ in opened:
        transport.abort()
    await asyncio.sleep(1)  # until the gateway has noticed
    return {"s": took, "cpu_s": cpu, "kib": kib, "wrong": sum(listener.is_refused for _, listener in opened)}
