"""Plays exchanges through the proxy as it serves: what a client gets of each, and the record of it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from crosswire.conformance.harness.clock import PROXY_CREATED, fixed_dice, fixed_stopwatch
from crosswire.conformance.harness.ids import NumberedIds, mask_ids
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.server.app import make_app
from crosswire.proxy.server.lifecycle import listening

from .exchanges import REQUESTS, Exchange

WITHIN_S = 20.0
"""Seconds after which an exchange counts as hanging."""

TIMED = ("stages", "total_ms", "ttft_ms", "at")
"""Fields of a record that differ between two runs."""

Outcome = dict[str, Any]
"""The status, headers and body that the client got, whether the answer ended, and the record."""


class _Backend:
    """A backend that sends the answer of the exchange under way."""

    exchange: Exchange

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head[head.find(b"content-length:") + 15 :].split(b"\r\n", 1)[0]))
            one = self.exchange
            kind = PROTOCOLS[one.protocol].stream_type if one.is_stream else "application/json"
            writer.write(
                f"HTTP/1.1 {one.status} X\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n"
                "connection: close\r\n\r\n".encode()
            )
            for piece in one.pieces:
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
                await asyncio.sleep(0)
            if one.whole:
                writer.write(b"0\r\n\r\n")
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            await _close(writer)


async def play(exchanges: Sequence[Exchange], folder: Path) -> list[Outcome]:
    """The outcome of each exchange, one after the other, through a proxy of its own."""
    backend = _Backend()
    async with _proxy(backend, folder) as port:
        found = []
        for exchange in exchanges:
            backend.exchange = exchange
            try:
                async with asyncio.timeout(WITHIN_S):
                    found.append(await _one(port, exchange))
            except TimeoutError:
                found.append({"hangs": True})
        return found


@asynccontextmanager
async def _proxy(backend: _Backend, folder: Path) -> AsyncIterator[int]:
    server = await asyncio.start_server(backend.serve, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    backends = {
        f"m-{name}": {
            "protocol": name,
            "base_url": address + ("/v1" if name.startswith("openai") else ""),
            "api_key": "key",
            "models": {f"m-{name}": "m"},
        }
        for name in REQUESTS
    }
    file = folder / "parity.yaml"
    file.write_text(json.dumps({"retry": {"attempts": 1}, "breaker": {"failures": 0}, "backends": backends}))
    app = make_app(
        file,
        clock=lambda: PROXY_CREATED,
        ids=NumberedIds(count(1)),
        env={},
        dice=fixed_dice,
        stopwatch=fixed_stopwatch,
    )
    async with listening(app, "127.0.0.1") as port:
        yield port
    server.close()


async def _one(port: int, exchange: Exchange) -> Outcome:
    status, headers, body, whole = await _ask(port, exchange.request)
    id_ = headers.get("x-request-id", "")
    _, _, record, _ = await _ask(port, f"GET /crosswire/requests/{id_} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
    for varying in ("date", "content-length", "connection", "keep-alive"):
        headers.pop(varying, None)
    # comments of a backend go on with the read that they came in, which the network decides
    body = re.sub(rb"(?m)^:.*\n\n", b"", body)
    return {
        "status": status,
        "headers": {name: mask_ids(value) for name, value in headers.items()},
        "body": mask_ids(body.decode("latin-1")),
        "whole": whole,
        "record": _without_times(json.loads(mask_ids(record.decode()))),
    }


def _without_times(record: Any) -> Any:
    if isinstance(record, dict):
        for name in TIMED:
            record.pop(name, None)
        for attempt in record.get("attempts", ()):
            for name in ("ms", "began_ms"):
                attempt.pop(name, None)
    return record


async def _ask(port: int, request: bytes) -> tuple[int, dict[str, str], bytes, bool]:
    """The answer's status, headers, body and whether it ended as it should."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = b""
        try:
            if "content-length" in headers:
                body = await reader.readexactly(int(headers["content-length"]))
            else:
                while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
                    body += (await reader.readexactly(size + 2))[:-2]
        except (asyncio.IncompleteReadError, ConnectionError):
            return int(first.split()[1]), headers, body, False
        return int(first.split()[1]), headers, body, True
    finally:
        await _close(writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
