"""A loader on bare asyncio: as many connections as asked, each sending its next request once the answer is whole."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from time import perf_counter
from typing import cast

import uvloop

HEADERS = {"anthropic-version": "2023-06-01", "x-api-key": "client", "authorization": "Bearer client"}


class Caller(asyncio.Protocol):
    """One connection that asks again and again until the time is up."""

    def __init__(self, request: bytes, until: float) -> None:
        self._request = request
        self._until = until
        self._tail = b""
        self._due = -1
        self.answers = 0
        self.wrong = 0
        self.latencies: list[float] = []
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one, but not by inheritance
        self._ask()

    def close(self) -> None:
        self._transport.close()

    def _ask(self) -> None:
        self._asked = perf_counter()
        self._tail, self._due = b"", -1
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._due < 0:
            self._tail += data
            end = self._tail.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._tail[:end].lower()
            self.wrong += not head.startswith(b"http/1.1 200")
            at = head.find(b"content-length:")
            if at >= 0:
                self._due = int(head[at + 15 :].split(b"\r\n", 1)[0]) - (len(self._tail) - end - 4)
                if self._due == 0:
                    self._answered()
                return
            self._due = 1 << 60
            data = self._tail[end + 2 :]
        elif self._due < 1 << 59:
            self._due -= len(data)
            if self._due == 0:
                self._answered()
            return
        self._tail = (self._tail[-7:] + data)[-7:]
        if self._tail.endswith(b"\r\n0\r\n\r\n"):
            self._answered()

    def _answered(self) -> None:
        now = perf_counter()
        self.answers += 1
        self.latencies.append(now - self._asked)
        if now < self._until:
            self._ask()
        elif not self.over.done():
            self.over.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.over.done():
            self.wrong += 1
            self.over.set_result(None)


def post(port: int, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """The bytes of a request."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def load(
    port: int, path: str, body: bytes, connections: int, seconds: float, headers: Mapping[str, str] = HEADERS
) -> dict[str, float]:
    """Requests per second, the median and 99th percentile of latency in ms, and how many answers were not 200."""
    request = post(port, path, body, headers)
    loop = asyncio.get_running_loop()
    began = perf_counter()
    callers = []
    for _ in range(connections):
        _, caller = await loop.create_connection(lambda: Caller(request, began + seconds), "127.0.0.1", port)
        callers.append(caller)
    await asyncio.wait_for(asyncio.gather(*(caller.over for caller in callers)), seconds + 30)
    took = perf_counter() - began
    for caller in callers:
        caller.close()
    latencies = sorted(latency for caller in callers for latency in caller.latencies)
    answers = sum(caller.answers for caller in callers)
    return {
        "rps": answers / took,
        "answers": answers,
        "p50_ms": latencies[len(latencies) // 2] * 1000 if latencies else 0.0,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1000 if latencies else 0.0,
        "wrong": sum(caller.wrong for caller in callers),
    }


if __name__ == "__main__":
    port, path, connections, seconds = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    print(uvloop.run(load(port, path, sys.stdin.buffer.read(), connections, seconds)))
