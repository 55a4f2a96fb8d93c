"""Recorded answers over real sockets: an upstream that plays their bytes in random pieces, behind the real proxy.

Each case goes twice, relayed and converted, to a client of its own protocol. It knows HTTP and addresses.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import yaml
from aiohttp import web

from conformance.meaning import reply_differences
from mockserver.dialects import DIALECTS
from proxy.protocols import PROTOCOLS
from proxy.server import make_app

from .play import CREATED, asking
from .recording import Recording
from .streams import random_cuts

SOCKET_CASES = 10

TIMEOUT_S = 20.0
"""A bound for hangs, generous on a busy machine."""

WAYS = {"relayed": "auto", "converted": "never"}
"""Both ways to a backend of the client's own protocol, and what the config calls them."""


def over_sockets(recordings: Sequence[Recording]) -> list[str]:
    """What went wrong, a line a case and way."""
    return asyncio.run(_all(recordings)) if recordings else []


async def _all(recordings: Sequence[Recording]) -> list[str]:
    wrong: list[str] = []
    with TemporaryDirectory(prefix="crosswire-replay-") as folder:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
            for number, recording in enumerate(recordings):
                for way, relay in WAYS.items():
                    file = Path(folder) / f"{number}-{way}.yaml"
                    found = await _case(session, recording, relay, file)
                    wrong += [f"{recording.file}, {way}: {what}" for what in found]
    return wrong


async def _case(session: aiohttp.ClientSession, recording: Recording, relay: str, file: Path) -> list[str]:
    runners: list[web.AppRunner] = []
    try:
        upstream = await _serve(_upstream(recording), runners)
        # what a base URL of this protocol's SDK ends with
        base = upstream + ("/v1" if recording.protocol.startswith("openai") else "")
        backend = {"protocol": recording.protocol, "base_url": base, "api_key": "key", "default_model": recording.model}
        config = yaml.safe_dump({"backends": {"recorded": {**backend, "relay": relay}}})
        await asyncio.to_thread(file.write_text, config)
        proxy = await _serve(make_app(file, clock=lambda: CREATED), runners)
        request = json.dumps(recording.request).encode()
        url = proxy + _address(recording)
        async with session.post(url, data=request, headers={"content-type": "application/json"}) as response:
            headers = {name.lower(): text for name, text in response.headers.items()}
            body, cut = await _read(response)
            return _wrong(recording, relay, response.status, headers, body, cut)
    finally:
        for runner in reversed(runners):
            await runner.cleanup()


def _wrong(recording: Recording, relay: str, status: int, headers: dict[str, str], body: bytes, cut: bool) -> list[str]:
    """What is wrong with the client's response."""
    if status != 200:
        return [f"status {status}: {body[:200].decode(errors='replace')}"]
    if relay != "never":
        if body == recording.reply:
            return []
        pairs = enumerate(zip(body, recording.reply, strict=False))
        place = next((at for at, (one, other) in pairs if one != other), min(len(body), len(recording.reply)))
        return [f"{len(body)} bytes came, {len(recording.reply)} were recorded; they differ from byte {place} on"]
    dialect = DIALECTS[recording.protocol]
    asked = asking(recording)
    said, arrived = (
        dialect.hear(200, head, data, stream=recording.streamed, asked=asked)
        for head, data in ((recording.headers, recording.reply), (headers, body))
    )
    if cut and said.error is None:
        return ["the connection broke before the end"]
    declared = headers.get("x-crosswire-loss", "").split(",")
    found = reply_differences(said, dialect, arrived, dialect)
    return [str(difference) for difference in found if difference.word not in declared]


async def _read(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """The bytes to the last one, and whether the connection broke there."""
    chunks: list[bytes] = []
    try:
        async for chunk in response.content.iter_any():
            chunks.append(chunk)
    except aiohttp.ClientError:
        return b"".join(chunks), True
    return b"".join(chunks), False


def _address(recording: Recording) -> str:
    protocol = PROTOCOLS[recording.protocol]
    if "{tail}" in protocol.paths[0]:
        return protocol.address(recording.model, recording.streamed)
    return protocol.paths[0]


def _upstream(recording: Recording) -> web.Application:
    """A server that answers everything with these bytes, in random pieces."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        kind = PROTOCOLS[recording.protocol].stream_type if recording.streamed else "application/json"
        response = web.StreamResponse(headers={"content-type": kind})
        await response.prepare(request)
        for piece in random_cuts(recording.reply, recording.file):
            await response.write(piece)
            await asyncio.sleep(0)
        await response.write_eof()
        return response

    app = web.Application(client_max_size=2**26)
    app.router.add_post("/{tail:.*}", answer)
    return app


async def _serve(app: web.Application, runners: list[web.AppRunner]) -> str:
    """Serve on a free port of loopback until the runners are cleaned up; the URL."""
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    runners.append(runner)
    return f"http://127.0.0.1:{runner.addresses[0][1]}"
