"""A real HTTP proxy on a socket of this machine: CONNECT tunnels, absolute targets, and a password if it wants one."""

from __future__ import annotations

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class HttpProxy:
    """Every name leads to this machine. `status` is what it answers instead of connecting, where that is not 200."""

    port: int = 0
    password: str | None = None
    status: int = 200
    asked: list[str] = field(default_factory=list)
    """The first line of each request."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.asked.append(first)
        method, target, _ = first.split(" ")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        if self.password is not None:
            pair = b64encode(f"user:{self.password}".encode()).decode()
            if fields.get("proxy-authorization") != f"Basic {pair}":
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
                return
        if self.status != 200:
            writer.write(f"HTTP/1.1 {self.status} No\r\ncontent-length: 0\r\n\r\n".encode())
            return
        if method == "CONNECT":
            port = int(target.rpartition(":")[2])
            ahead, back = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            parts = urlsplit(target)
            assert "://" in target, "not in absolute form"
            ahead, back = await asyncio.open_connection("127.0.0.1", parts.port or 80)
            kept = "".join(f"{n}: {v}\r\n" for n, v in fields.items() if not n.startswith("proxy-"))
            back.write(f"{method} {parts.path} HTTP/1.1\r\n{kept}\r\n".encode())
        try:
            await asyncio.gather(_pump(reader, back), _pump(ahead, writer))
        finally:
            back.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
    with contextlib.suppress(OSError, RuntimeError, NotImplementedError):
        sink.write_eof()


@contextlib.asynccontextmanager
async def http_proxy(**settings: object) -> AsyncIterator[HttpProxy]:
    """A proxy on a free port."""
    it = HttpProxy(**settings)  # type: ignore[arg-type]
    server = await asyncio.start_server(it.serve, "127.0.0.1", 0)
    it.port = server.sockets[0].getsockname()[1]
    async with server:
        yield it
