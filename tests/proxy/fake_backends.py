"""A gateway without sockets: canned answers in place of backends, and a sink that keeps what it was given."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from crosswire.proxy.backends.http import HttpBackend
from crosswire.proxy.config import Config
from crosswire.proxy.gateway.chat_handler import ChatRequest
from crosswire.proxy.gateway.context import HttpResponse
from crosswire.proxy.gateway.gateway import Gateway
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.protocol import NewId, UrlParams
from crosswire.proxy.routing import BackendConfig

from .sample_messages import dumps, reply, stream, stream_kind


class CannedAnswer:
    def __init__(self, chunks: list[bytes], kind: str) -> None:
        self.status = 200
        self.headers: Mapping[str, str] = {"content-type": kind}
        self._chunks = chunks
        self.is_over = False

    def whole(self, limit: int) -> bytes | None:
        return None

    async def read(self, limit: int) -> bytes:
        return b"".join(self._chunks)

    async def chunks(self, take: Callable[[bytes], bool] = lambda chunk: False) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            if not take(chunk):
                yield chunk

    def close(self) -> None:
        pass


class CannedTransport:
    """Answers every request as this protocol does, and keeps its body."""

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.bodies: list[bytes] = []

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> CannedAnswer:
        self.bodies.append(body)
        if ":stream" in url or b'"stream":true' in body.replace(b" ", b""):
            return CannedAnswer(stream(self.protocol), stream_kind(self.protocol))
        return CannedAnswer([dumps(reply(self.protocol))], "application/json")

    async def ask(self, method: str, url: str, headers: Mapping[str, str]) -> CannedAnswer:
        return CannedAnswer([b"{}"], "application/json")

    async def close(self) -> None:
        pass


@dataclass
class KeptSink:
    """The answer as a client would have got it; `ended` tells a proper end from a broken one."""

    headers: Mapping[str, str] | None = None
    body: bytes = b""
    ended: bool | None = None
    writes: list[bytes] = field(default_factory=list)
    has_headers: bool = True
    write_now: None = None

    async def open(self, headers: Mapping[str, str]) -> None:
        assert self.headers is None
        self.headers = headers

    async def write(self, data: bytes) -> None:
        assert self.headers is not None
        assert self.ended is None
        self.body += data
        self.writes.append(data)

    async def end(self) -> None:
        assert self.ended is None
        self.ended = True

    def abort(self) -> None:
        assert self.ended is None
        self.ended = False


class Canned:
    """A gateway over canned backends; `ask` sends one request through it."""

    def __init__(self, config: Config) -> None:
        self.transports = {backend.name: CannedTransport(backend.protocol) for backend in config.plan.backends}

        def door(backend: BackendConfig, _: Config) -> HttpBackend:
            connect = lambda: self.transports[backend.name]  # noqa: E731 - as a backend takes it
            return HttpBackend(backend, PROTOCOLS[backend.protocol], connect, frame_limit=2**20, linger=0.05)

        requests = itertools.count(1)

        def ids() -> NewId:
            counts = itertools.count(1)
            number = next(requests)
            return lambda prefix: f"{prefix}{number:x}-{next(counts):x}"

        self.gateway = Gateway(config, door, clock=lambda: 1_760_000_000.0, ids=ids)

    async def ask(
        self,
        frontend: str,
        body: bytes,
        *,
        stream: bool = False,
        headers: Mapping[str, str] | None = None,
        sink: KeptSink | None = None,
    ) -> tuple[HttpResponse | None, KeptSink]:
        where = UrlParams()
        if frontend == "gemini":
            where = UrlParams("m", "streamGenerateContent" if stream else "generateContent", "sse")
        sink = KeptSink() if sink is None else sink
        return await self.gateway.handle_chat(ChatRequest(PROTOCOLS[frontend], where, headers or {}, body), sink), sink
