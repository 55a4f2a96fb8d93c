"""Replays recordings over real sockets: an upstream serves the recorded bytes in random chunks behind the real proxy.

Each case is sent twice, relayed and converted, to a client of its own protocol.
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

from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.server.app import make_app

from ..client import CLIENTS
from ..comparison import reply_differences
from ..harness.clock import PROXY_CREATED
from .chunking import random_chunks
from .decoding import recorded_request
from .recording import Recording

SOCKET_CASES = 10
"""Number of recordings that are replayed over sockets."""

TIMEOUT_S = 20.0
"""Seconds until a case counts as hanging; generous for a busy machine."""

RELAY_MODES = {"relayed": "auto", "converted": "never"}
"""Mode -> value of the config key `relay`."""


def replay_over_sockets(recordings: Sequence[Recording]) -> list[str]:
    """Replays the recordings in both modes; returns one line per failure."""
    return asyncio.run(_replay_all(recordings)) if recordings else []


async def _replay_all(recordings: Sequence[Recording]) -> list[str]:
    failures: list[str] = []
    with TemporaryDirectory(prefix="crosswire-replay-") as folder:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
            for number, recording in enumerate(recordings):
                for mode, relay in RELAY_MODES.items():
                    file = Path(folder) / f"{number}-{mode}.yaml"
                    found = await _replay_case(session, recording, relay, file)
                    failures += [f"{recording.file}, {mode}: {error}" for error in found]
    return failures


async def _replay_case(session: aiohttp.ClientSession, recording: Recording, relay: str, file: Path) -> list[str]:
    runners: list[web.AppRunner] = []
    try:
        upstream = await _serve(_upstream_app(recording), runners)
        # the path that this protocol's SDK expects in a base URL
        base = upstream + ("/v1" if recording.protocol.startswith("openai") else "")
        backend = {"protocol": recording.protocol, "base_url": base, "api_key": "key", "default_model": recording.model}
        config = yaml.safe_dump({"backends": {"recorded": {**backend, "relay": relay}}})
        await asyncio.to_thread(file.write_text, config)
        proxy = await _serve(make_app(file, clock=lambda: PROXY_CREATED), runners)
        request = json.dumps(recording.request).encode()
        url = proxy + _address(recording)
        async with session.post(url, data=request, headers={"content-type": "application/json"}) as response:
            headers = {name.lower(): text for name, text in response.headers.items()}
            body, cut = await _read_body(response)
            return _response_errors(recording, relay, response.status, headers, body, cut)
    finally:
        for runner in reversed(runners):
            await runner.cleanup()


def _response_errors(
    recording: Recording, relay: str, status: int, headers: dict[str, str], body: bytes, cut: bool
) -> list[str]:
    """Returns what is wrong with the client's response."""
    if status != 200:
        return [f"status {status}: {body[:200].decode(errors='replace')}"]
    if relay != "never":
        if body == recording.reply:
            return []
        pairs = enumerate(zip(body, recording.reply, strict=False))
        place = next((at for at, (one, other) in pairs if one != other), min(len(body), len(recording.reply)))
        return [f"received {len(body)} bytes, recorded {len(recording.reply)}; the first difference is at byte {place}"]
    client = CLIENTS[recording.protocol]
    request = recorded_request(recording)
    recorded, received = (
        client.parse_reply(200, head, data, stream=recording.streamed, request=request)
        for head, data in ((recording.headers, recording.reply), (headers, body))
    )
    if cut and recorded.error is None:
        return ["the connection broke before the end"]
    declared = headers.get("x-crosswire-loss", "").split(",")
    found = reply_differences(recorded, client, received, client)
    return [str(difference) for difference in found if difference.feature not in declared]


async def _read_body(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """Reads the complete body; returns it, and True if the connection broke."""
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


def _upstream_app(recording: Recording) -> web.Application:
    """Returns a server that answers every request with the recorded bytes in random chunks."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        kind = PROTOCOLS[recording.protocol].stream_type if recording.streamed else "application/json"
        response = web.StreamResponse(headers={"content-type": kind})
        await response.prepare(request)
        for chunk in random_chunks(recording.reply, recording.file):
            await response.write(chunk)
            await asyncio.sleep(0)
        await response.write_eof()
        return response

    app = web.Application(client_max_size=2**26)
    app.router.add_post("/{tail:.*}", answer)
    return app


async def _serve(app: web.Application, runners: list[web.AppRunner]) -> str:
    """Serves an application on a free loopback port until the runners are cleaned up; returns its URL."""
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    runners.append(runner)
    return f"http://127.0.0.1:{runner.addresses[0][1]}"
