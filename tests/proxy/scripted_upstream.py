"""A scripted upstream on a raw socket: it plays bytes, waits, cuts and resets, and keeps what it heard.

It knows just enough HTTP to find a request's end, and no protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Step: TypeAlias = object
"""Bytes to send, seconds to wait, an event to wait for, or a word: `hold` waits until the peer leaves, `close` is a
clean end, `reset` is none."""

Script: TypeAlias = Sequence[Step]


@dataclass
class Heard:
    """One request as it came over the socket; `connection` counts from 1."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


@dataclass
class Upstream:
    """The n-th request gets the n-th script; the last one serves all that follow."""

    scripts: list[Script]
    port: int = 0
    requests: list[Heard] = field(default_factory=list)
    connections: int = 0
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once a request came."""
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once a peer left while it was held."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while await self._exchange(reader, writer, number):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            self.left.set()
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        """One request and its script; whether the connection lives on."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.requests.append(Heard(method, target, headers, body, number))
        self.heard.set()
        script = self.scripts[min(len(self.requests), len(self.scripts)) - 1]
        for step in script:
            match step:
                case bytes():
                    writer.write(step)
                    await writer.drain()
                case float() | int():
                    await asyncio.sleep(step)
                case asyncio.Event():
                    await step.wait()
                case "hold":
                    await reader.read()
                    self.left.set()
                    return False
                case "close":
                    return False
                case "reset":
                    _reset(writer)
                    return False
                case _:
                    raise ValueError(f"no step: {step!r}")
        return True


def _reset(writer: asyncio.StreamWriter) -> None:
    """End the connection by RST: what the kernel still holds is lost."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


@contextlib.asynccontextmanager
async def upstream(*scripts: Any) -> AsyncIterator[Upstream]:
    """A running upstream, with a Script for each request; every test has its own."""
    it = Upstream(list(scripts))
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(it.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=64 * 2**20, backlog=1000)
    it.port = server.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# ---- answers ---------------------------------------------------------------------------------------------------------


def http(
    body: bytes, status: str = "200 OK", *, kind: str = "application/json", length: int | None = None, **headers: Any
) -> bytes:
    """A whole answer; `length` overrides the true content-length, and `_` in a header's name is `-`."""
    fields = {"content-type": kind, "content-length": str(len(body) if length is None else length)}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def head(kind: str = "text/event-stream", status: str = "200 OK") -> bytes:
    """The head of a chunked answer."""
    return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n".encode()


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST = b"0\r\n\r\n"
"""The chunk that ends a chunked body."""


def chunked(frames: Sequence[bytes], kind: str = "text/event-stream") -> list[Step]:
    """A whole chunked stream, a write for each frame."""
    return [head(kind), *(chunk(frame) for frame in frames), LAST]
