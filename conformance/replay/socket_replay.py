"""Replays recordings over real sockets: an upstream serves the recorded bytes in random chunks behind the real proxy.

Every case that fits is sent twice, relayed and converted, to a client of its own protocol.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import yaml
from aiohttp import web
from msgspec import Struct, convert
from msgspec.structs import replace

from crosswire.proxy.ir import Loss
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.server.app import make_app
from crosswire.proxy.server.lifecycle import make_runner

from ..client import CLIENTS
from ..client.protocol import ParsedReply
from ..harness.clock import PROXY_CREATED
from .chunking import random_chunks
from .decoding import json_or_none, recorded_request
from .error_kinds import kind_errors
from .recording import Recording
from .reply_judge import judge_reply

TIMEOUT_S = 20.0
"""Seconds until a case counts as hanging; generous for a busy machine."""

RELAY_MODES = {"relayed": "auto", "converted": "never"}
"""Mode -> value of the config key `relay`."""

SMALL_CHUNKS = 20_000
"""Number of bytes at the beginning of a reply that are cut into small chunks; the rest is cut into large ones."""

LARGE_CHUNK = 16_384

SETTINGS: dict[str, Any] = {"retry": {"attempts": 1}, "breaker": {"failures": 0}}
"""No retries and no breaker, so that each error is seen as it is."""


class SocketResult(Struct, frozen=True):
    """Number of cases that were sent, those that do not fit by reason, and what failed by file."""

    cases: int
    left_out: dict[str, int]
    failures: dict[str, list[str]]

    @property
    def right(self) -> tuple[int, int]:
        """The number of cases without a failure in either mode, and of all."""
        return self.cases - len(self.failures), self.cases


def reason_against(recording: Recording) -> str | None:
    """Returns why a recording cannot be sent over sockets, or None."""
    if recording.skipped is not None:
        return recording.skipped
    if recording.request is None:
        return "without its request"
    if recording.array:
        return "an array, for which the proxy never asks"
    if recording.protocol == "ollama" and not recording.streamed and recording.request.get("stream") is not False:
        return "one object in answer to a request for a stream"
    return None


def replay_over_sockets(recordings: Iterable[Recording]) -> SocketResult:
    """Replays the recordings that fit in both modes."""
    fit: list[Recording] = []
    left_out: dict[str, int] = {}
    for recording in recordings:
        if (reason := reason_against(recording)) is None:
            fit.append(recording)
        elif recording.skipped is None:
            left_out[reason] = left_out.get(reason, 0) + 1
    failures = asyncio.run(_replay_all(fit)) if fit else {}
    return SocketResult(len(fit), left_out, failures)


async def _replay_all(recordings: Sequence[Recording]) -> dict[str, list[str]]:
    failures: dict[str, list[str]] = {}
    async with AsyncExitStack() as stack:
        bed = await _Bed.start(stack, {recording.protocol for recording in recordings})
        for recording in recordings:
            for mode in RELAY_MODES:
                for error in await bed.play(recording, mode):
                    failures.setdefault(recording.file, []).append(f"{recording.protocol} {mode}: {error}")
    return failures


class _Bed:
    """An upstream that answers with one recording at a time, and a proxy in front of it for each protocol and mode."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._proxies: dict[tuple[str, str], str] = {}
        self._recording: Recording | None = None
        self._asked: Any = None

    @classmethod
    async def start(cls, stack: AsyncExitStack, protocols: Iterable[str]) -> _Bed:
        """Starts all servers, which end with the stack."""
        logging.getLogger("crosswire").addHandler(logging.NullHandler())  # recorded errors are no news of the proxy
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="crosswire-replay-")))
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        bed = cls(await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout, auto_decompress=False)))
        upstream = web.Application(client_max_size=2**26)
        upstream.router.add_post("/{tail:.*}", bed._answer)
        address = await _serve(stack, web.AppRunner(upstream, access_log=None, shutdown_timeout=0.1))
        for protocol in sorted(protocols):
            # the path that this protocol's SDK expects in a base URL
            base = address + ("/v1" if protocol.startswith("openai") else "")
            for mode, relay in RELAY_MODES.items():
                backend = {"protocol": protocol, "base_url": base, "api_key": "key", "relay": relay}
                file = folder / f"{protocol}-{mode}.yaml"
                config = yaml.safe_dump({**SETTINGS, "backends": {"recorded": backend}})
                await asyncio.to_thread(file.write_text, config)
                # as `crosswire serve` does it, so that plain chats pass by aiohttp's server
                runner = make_runner(make_app(file, clock=lambda: PROXY_CREATED))
                bed._proxies[protocol, mode] = await _serve(stack, runner)
        return bed

    async def play(self, recording: Recording, mode: str) -> list[str]:
        """Sends the recorded request to the proxy of this mode and returns what is wrong with the answer."""
        self._recording, self._asked = recording, None
        proxy = self._proxies[recording.protocol, mode]
        url = proxy + _address(recording)
        data = json.dumps(recording.request).encode()
        head = {"content-type": "application/json", "x-crosswire-backend": "recorded"}
        try:
            async with self._session.post(url, data=data, headers=head) as response:
                headers = {name.lower(): text for name, text in response.headers.items()}
                body, cut = await _read_body(response)
                answer = _Answer(response.status, headers, body, cut)
        except (aiohttp.ClientError, TimeoutError) as fault:
            return [f"no answer: {type(fault).__name__}: {fault}"]
        if recording.status >= 300:
            return _error_faults(recording, answer)
        if answer.status != 200 and _parsed(recording, recording.headers, recording.reply).error is not None:
            return _error_faults(recording, answer)  # a host sent its error with status 200
        if answer.status != 200:
            return [f"status {answer.status}: {body[:200].decode(errors='replace')}"]
        if mode == "relayed":
            return [*_relay_faults(recording, answer), *self._request_faults(recording)]
        return _conversion_faults(recording, answer, await self._losses(proxy, headers))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        """Answers with the recorded bytes in random chunks."""
        self._asked = json_or_none(await request.read())
        recording = self._recording
        assert recording is not None
        kind = PROTOCOLS[recording.protocol].stream_type if recording.streamed else "application/json"
        headers = {"content-type": kind}
        if "retry-after" in recording.headers:
            headers["retry-after"] = recording.headers["retry-after"]
        response = web.StreamResponse(status=recording.status, headers=headers)
        await response.prepare(request)
        reply = recording.reply
        for chunk in random_chunks(reply[:SMALL_CHUNKS], recording.file):
            await response.write(chunk)
            await asyncio.sleep(0)
        for at in range(SMALL_CHUNKS, len(reply), LARGE_CHUNK):
            await response.write(reply[at : at + LARGE_CHUNK])
        await response.write_eof()
        return response

    def _request_faults(self, recording: Recording) -> list[str]:
        """Returns what a relay changed in the request, apart from asking for a stream's usage and for its model."""
        sent, received = ({**(body or {})} for body in (recording.request, self._asked))
        for key in ("stream_options", "model"):
            sent.pop(key, None)
            received.pop(key, None)
        changed = [key for key in dict.fromkeys((*sent, *received)) if sent.get(key) != received.get(key)]
        return [f"the backend received other values of {', '.join(changed)}"] if changed else []

    async def _losses(self, proxy: str, headers: dict[str, str]) -> list[Loss]:
        """Returns the losses in the proxy's record of a request."""
        async with self._session.get(f"{proxy}/crosswire/requests/{headers.get('x-request-id')}") as response:
            record = await response.json()
        return convert(record.get("losses", []), list[Loss])


class _Answer(Struct, frozen=True):
    """An answer as the client received it; `cut` says that the connection broke."""

    status: int
    headers: dict[str, str]
    body: bytes
    cut: bool


def _error_faults(recording: Recording, answer: _Answer) -> list[str]:
    client = CLIENTS[recording.protocol]
    sent = client.parse_reply(recording.status, recording.headers, recording.reply, stream=False)
    received = client.parse_reply(answer.status, answer.headers, answer.body, stream=False)
    if sent.error is None or received.error is None:
        return [] if received.error is not None else [f"status {answer.status} without an error"]
    return kind_errors(sent.error, received.error)


def _relay_faults(recording: Recording, answer: _Answer) -> list[str]:
    """Returns where the answer is not the recorded one, byte for byte."""
    body, recorded = answer.body, recording.reply
    if body == recorded:
        return []
    pairs = enumerate(zip(body, recorded, strict=False))
    place = next((at for at, (one, other) in pairs if one != other), min(len(body), len(recorded)))
    if _is_error_frame(recorded, place):
        return _stream_error_faults(recording, answer)
    return [f"received {len(body)} bytes, recorded {len(recorded)}; the first difference is at byte {place}"]


def _is_error_frame(stream: bytes, place: int) -> bool:
    """Returns True if the byte at this place is in a frame that tells an error."""
    start = stream.rfind(b"\n\n", 0, place) + 2 if b"\n\n" in stream[:place] else 0
    end = stream.find(b"\n\n", place)
    frame = stream[start : end if end >= 0 else len(stream)]
    values = [json_or_none(line.partition(b":")[2].strip()) for line in frame.splitlines() if line.startswith(b"data:")]
    return any(isinstance(value, dict) and (value.get("error") or value.get("type") == "error") for value in values)


def _stream_error_faults(recording: Recording, answer: _Answer) -> list[str]:
    """Returns what is wrong with the error at the end of a relayed stream.

    A backend's error may be about the proxy's own key, so the proxy tells it in its own words.
    """
    sent = _parsed(recording, recording.headers, recording.reply).error
    received = _parsed(recording, answer.headers, answer.body).error
    if sent is None or received is None or received.kind == "cut":
        return ["the stream's error did not arrive"]
    return kind_errors(sent, received)


def _conversion_faults(recording: Recording, answer: _Answer, losses: Iterable[Loss]) -> list[str]:
    name = recording.protocol
    recorded = _parsed(recording, recording.headers, recording.reply, ends_with_done=True)
    received = _parsed(recording, answer.headers, answer.body)
    if answer.cut and recorded.error is None:
        return ["the connection broke before the end"]
    sent, got = (
        reply.events if recording.streamed else (json_or_none(body),)
        for reply, body in ((recorded, recording.reply), (received, answer.body))
    )
    return judge_reply(recorded, name, received, name, losses, sent, got)


def _parsed(recording: Recording, headers: dict[str, str], body: bytes, *, ends_with_done: bool = False) -> ParsedReply:
    """Returns a reply as the client parses it; some hosts and recorders omit a stream's end marker or stop reason.

    With `ends_with_done` the end marker alone ends a stream, as it does where a host sends no stop reason.
    """
    client, request = CLIENTS[recording.protocol], recorded_request(recording)
    reply = client.parse_reply(200, headers, body, stream=recording.streamed, request=request)
    ended = reply.stop is not None or (ends_with_done and b"data: [DONE]" in body)
    if reply.error is not None and reply.error.kind == "cut" and ended:
        reply = replace(reply, error=None)
    return replace(reply, stop="end") if reply.stop is None and reply.error is None else reply


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


async def _serve(stack: AsyncExitStack, runner: web.AppRunner) -> str:
    """Serves an application on a free loopback port until the stack ends; returns its URL."""
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"
