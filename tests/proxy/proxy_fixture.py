"""A running proxy for a test: a config around one or more upstreams, and a raw client that sees the bytes.

It knows the proxy by its config and by HTTP alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from crosswire.proxy.backends.aiohttp_transport import aiohttp_transport
from crosswire.proxy.backends.httptools_transport import httptools_transport
from crosswire.proxy.config import Config, load
from crosswire.proxy.gateway.gateway import Gateway
from crosswire.proxy.protocols.protocol import NewId
from crosswire.proxy.server.app import gateway_of, make_app
from crosswire.proxy.server.lifecycle import make_runner

TRANSPORTS = {"httptools": httptools_transport, "aiohttp": aiohttp_transport}

KEY = "sk-the-proxys-own-key"


def config(backends: Mapping[str, Mapping[str, Any]], **settings: Any) -> Config:
    """A config as a file would say it; every backend has KEY, and nothing is tried twice, unless it says otherwise."""
    full = {name: {"api_key": KEY, **keys} for name, keys in backends.items()}
    text = json.dumps({"backends": full, "drain_s": 0.2, "retry": {"attempts": 1}, **settings})
    return load(text, "crosswire.yaml", {})


def one(protocol: str, url: str, **keys: Any) -> dict[str, Any]:
    """A single backend, called `b`, that takes every model."""
    return {"b": {"protocol": protocol, "base_url": url, **keys}}


def counted_ids() -> NewId:
    """Ids for a request that tests can know."""
    counts = itertools.count(1)
    return lambda prefix: f"{prefix}{next(counts):x}" if prefix != "req_" else f"req_{next(_REQUESTS):x}"


_REQUESTS = itertools.count(1)


@dataclass
class Answer:
    """The answer as a raw client got it; `whole` tells whether the body ended as HTTP says that it must."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool


@dataclass
class Stage:
    """A proxy that listens on `port`."""

    app: web.Application
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def gateway(self) -> Gateway:
        return gateway_of(self.app)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, limit=64 * 2**20)

    async def ask(
        self,
        path: str,
        body: bytes | dict[str, Any] | None,
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "",
    ) -> Answer:
        """One request on a connection of its own, read to the end of the connection."""
        reader, writer = await self.connect()
        try:
            writer.write(request(path, body, {"host": f"127.0.0.1:{self.port}", **(headers or {})}, method=method))
            return await read_answer(reader, head_only=method == "HEAD")
        finally:
            writer.close()

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return await self.ask(path, None, headers)

    async def record(self, answer: Answer) -> dict[str, Any]:
        """The proxy's record of this answer's request."""
        key = gateway_of(self.app).config.settings.admin_key
        fields = {"authorization": f"Bearer {key}"} if key else {}
        found = await self.get(f"/crosswire/requests/{answer.headers['x-request-id']}", fields)
        assert found.status == 200, found
        value = json.loads(found.body)
        assert isinstance(value, dict)
        return value

    async def metrics(self) -> str:
        return (await self.get("/metrics")).body.decode()


def request(
    path: str, body: bytes | dict[str, Any] | None, headers: Mapping[str, str] | None = None, *, method: str = ""
) -> bytes:
    """A request's bytes, as a plain client writes them."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    fields: dict[str, str] = {"host": "127.0.0.1", "connection": "close"}
    if data is not None:
        fields |= {"content-type": "application/json", "content-length": str(len(data))}
    fields |= {name.lower(): value for name, value in (headers or {}).items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value != "-")
    first = f"{method or ('GET' if body is None else 'POST')} {path} HTTP/1.1\r\n"
    return f"{first}{lines}\r\n".encode("latin-1") + (data or b"")


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    raw = await reader.readuntil(b"\r\n\r\n")
    first, *lines = raw.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    return int(first.split(" ", 2)[1]), headers


async def read_chunk(reader: asyncio.StreamReader) -> bytes | None:
    """One chunk's data, None for the last; IncompleteReadError where the connection ends before it."""
    size = int((await reader.readuntil(b"\r\n")).strip(), 16)
    data = await reader.readexactly(size + 2)
    return data[:-2] if size else None


async def read_answer(reader: asyncio.StreamReader, *, head_only: bool = False) -> Answer:
    """One answer, whole or as far as it came."""
    status, headers = await read_head(reader)
    if head_only or status == 204:
        return Answer(status, headers, await reader.read() if head_only else b"", True)
    if "content-length" not in headers and "transfer-encoding" not in headers:  # HTTP/1.0: up to the end
        return Answer(status, headers, await reader.read(), True)
    if headers.get("transfer-encoding") != "chunked":
        length = int(headers["content-length"])
        body = await reader.readexactly(length)
        return Answer(status, headers, body, True)
    chunks: list[bytes] = []
    try:
        while (data := await read_chunk(reader)) is not None:
            chunks.append(data)
    except (asyncio.IncompleteReadError, ConnectionError):
        return Answer(status, headers, b"".join(chunks), False)
    return Answer(status, headers, b"".join(chunks), True)


@contextlib.asynccontextmanager
async def stage(cfg: Config, *, stage_log: Path | None = None) -> AsyncIterator[Stage]:
    """The proxy with this config, in this loop, on a free port."""
    app = make_app(cfg, clock=lambda: 1_760_000_000.0, ids=counted_ids, stage_log=stage_log)
    runner = make_runner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield Stage(app, runner.addresses[0][1])
    finally:
        await runner.cleanup()
