"""A loader that behaves as HTTP clients do: it keeps its connections, and makes a new one where an answer ended it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from time import perf_counter


class Outcome:
    """The ends of all requests: `answered`, or why not; and when each of them came."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.under_way = 0
        self.slowest = 0.0

    def add(self, what: str, seconds: float) -> None:
        self.counts[what] += 1
        self.slowest = max(self.slowest, seconds)

    @property
    def lost(self) -> dict[str, int]:
        """Everything but answers."""
        return {what: number for what, number in self.counts.items() if what != "answered"}


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[str, bool]:
    """Sends one request; returns how it ended, and whether the connection may be used again."""
    writer.write(request)
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = head.find(b"content-length:")
        if length >= 0:
            await reader.readexactly(int(head[length + 15 :].split(b"\r\n", 1)[0]))
        else:
            while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
                await reader.readexactly(size + 2)
            await reader.readexactly(2)
    except asyncio.IncompleteReadError:
        return "cut", False
    except ConnectionError:
        return "reset", False
    status = head[9:12].decode()
    return ("answered" if status == "200" else f"status {status}"), b"connection: close" not in head


async def keep_asking(port: int, request: bytes, goes_on: Callable[[], bool], outcome: Outcome) -> None:
    """One client: sends its next request once the last is answered."""
    writer = None
    while goes_on():
        began = perf_counter()
        try:
            if writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError as fault:
            outcome.add(f"not connected: {fault.strerror}", perf_counter() - began)
            continue
        outcome.under_way += 1
        try:
            what, keeps = await asyncio.wait_for(ask(reader, writer, request), 60)
        except TimeoutError:
            what, keeps = "no answer", False
        outcome.under_way -= 1
        outcome.add(what, perf_counter() - began)
        if not keeps:
            writer.close()
            writer = None
    if writer is not None:
        writer.close()


def post(port: int, path: str, body: bytes) -> bytes:
    """The bytes of a request."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
