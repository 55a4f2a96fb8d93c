"""The Python API: routes requests within a program by the same config, backends and failover, without a server.

router = BackendRouter("crosswire.yaml")
answer = await router.route_request("openai-chat", {"model": "small", "messages": [...]})
answer["choices"][0]["message"]                  # a body in the protocol that asked
async for chunk in await router.route_request("anthropic", {..., "stream": True}):
    ...                                          # bytes of that protocol's stream
await router.close()
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from .backends.backend import Backend
from .config import Config
from .config.source import config_file, load_config
from .errors import ConfigError, CrosswireError
from .gateway.backend_factory import make_backend
from .gateway.chat_handler import ChatRequest
from .gateway.context import HttpResponse
from .gateway.forwarded_headers import read_names
from .gateway.gateway import Gateway
from .gateway.ids import random_ids
from .gateway.stream_writer import ClientGone
from .protocols import PROTOCOLS
from .providers import canonical
from .wire import json_fields

_AHEAD = 16
"""Chunks of a stream that are buffered for the reader before the backend has to wait."""


class RouteError(CrosswireError):
    """A request was refused or failed: `status`, and `body` and `headers` as a client of its protocol gets them."""

    def __init__(self, status: int, body: dict[str, Any], headers: Mapping[str, str]) -> None:
        super().__init__(f"{status}: {json_fields.encode(body).decode()}")
        self.status = status
        self.body = body
        self.headers = headers


class StreamBroken(CrosswireError):
    """A stream broke before its answer ended; its last chunk, if any, is the protocol's own error."""


class Body(dict[str, Any]):
    """An answer in one piece; `headers` name the backend and the losses, as over HTTP."""

    def __init__(self, value: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        super().__init__(value)
        self.headers = headers


class BackendRouter:
    """Routes requests by a config, or by that of a file. Connections are made at first use and kept.

    A router belongs to one event loop.
    """

    def __init__(self, config: Config | Path | str) -> None:
        self._config = config if isinstance(config, Config) else load_config(Path(config))
        self._gateway: Gateway | None = None

    @property
    def config(self) -> Config:
        return self._config

    def client(self, name: str) -> Backend:
        """One backend, by its name or its provider's; the same object at each call.

        Raises ConfigError where there is none, or its provider wants a key and there is no key.
        """
        gateway = self._open()
        provider = canonical(name)
        for backend in self._config.plan.backends:
            if backend.name.lower() in (name.lower(), provider) or backend.provider == provider:
                if backend.missing_key is not None:
                    raise ConfigError([backend.missing_key])
                return gateway.backends[backend.name]
        known = ", ".join(backend.name for backend in self._config.plan.backends)
        raise ConfigError([f"no backend is called {name!r}; there are {known}"])

    async def route_request(
        self,
        protocol: str,
        body: Mapping[str, Any] | bytes,
        *,
        headers: Mapping[str, str] | None = None,
        model: str | None = None,
        stream: bool = False,
    ) -> Body | Stream:
        """Routes one request of this protocol; returns its answer, or a stream where the body asks for one.

        `model` and `stream` are for a protocol whose URL says them (gemini). Raises RouteError where the request is
        refused or fails before its answer begins, ConfigError for an unknown protocol.
        """
        frontend = PROTOCOLS.get(protocol)
        if frontend is None:
            raise ConfigError([f"unknown protocol {protocol!r}; known: {', '.join(PROTOCOLS)}"])
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        read = {name: value for name, value in lower.items() if name in read_names(frontend)}
        data = bytes(body) if isinstance(body, bytes | bytearray) else json_fields.encode(dict(body))
        request = ChatRequest(frontend, frontend.url_params(model, stream), read, data)
        gateway = self._open()
        writer = _QueueWriter()
        task = asyncio.ensure_future(gateway.handle_chat(request, writer))
        opened = asyncio.ensure_future(writer.opened.wait())
        try:
            await asyncio.wait((task, opened), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            opened.cancel()
        if writer.opened.is_set():
            return Stream(writer, task)
        return _body(await task)

    async def close(self) -> None:
        """Cancels what is under way and closes every connection; twice, or before the first use, is harmless."""
        gateway, self._gateway = self._gateway, None
        if gateway is not None:
            gateway.draining = True
            gateway.cancel_all()
            await gateway.idle.wait()
            await gateway.close()

    def _open(self) -> Gateway:
        if self._gateway is None:
            self._gateway = Gateway(self._config, make_backend, clock=time.time, ids=random_ids)
        return self._gateway


class Stream:
    """A streamed answer in bytes of the client's protocol. Closing it cancels the backend's work."""

    def __init__(self, writer: _QueueWriter, task: asyncio.Task[HttpResponse | None]) -> None:
        self._writer = writer
        self._task = task
        self.headers = writer.headers

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Raises StreamBroken after the last chunk of a stream that did not end by itself."""
        try:
            while (chunk := await self._writer.next(self._task)) is not None:
                yield chunk
        finally:
            await self.aclose()
        if self._writer.broken:
            raise StreamBroken("the stream broke before its answer ended")

    async def aclose(self) -> None:
        """Closes the stream; twice, or after its end, is harmless."""
        if not self._task.done():
            self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class _QueueWriter:
    """A ResponseWriter into memory; a write waits while the buffer is full."""

    has_headers = True
    write_now = None

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.headers: Mapping[str, str] = {}
        self.broken = False
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(_AHEAD)

    async def open(self, headers: Mapping[str, str]) -> None:
        self.headers = headers
        self.opened.set()

    async def write(self, data: bytes) -> None:
        await self._chunks.put(data)

    async def end(self) -> None:
        await self._chunks.put(None)

    def abort(self) -> None:
        self.broken = True

    async def next(self, task: asyncio.Task[HttpResponse | None]) -> bytes | None:
        """The next chunk; None at the end, or once the writing task has ended and everything was read."""
        if self._chunks.empty() and not task.done():
            coming = asyncio.ensure_future(self._chunks.get())
            try:
                await asyncio.wait((coming, task), return_when=asyncio.FIRST_COMPLETED)
                if coming.done():
                    return coming.result()
            finally:
                coming.cancel()
        if not self._chunks.empty():
            return self._chunks.get_nowait()
        self.broken = self.broken or task.cancelled() or task.exception() is not None
        return None


def _body(response: HttpResponse | None) -> Body:
    """The body of an answer; raises RouteError where it is an error."""
    if response is None:
        raise ClientGone
    body = json_fields.parse_object(response.body)
    if response.status >= 400:
        raise RouteError(response.status, body, response.headers)
    return Body(body, response.headers)


# ---- one router for the whole program --------------------------------------------------------------------------------

_router: BackendRouter | None = None


def get_router() -> BackendRouter:
    """The program's router, made at first use from crosswire.yaml where it is here, else from the environment."""
    global _router
    if _router is None:
        _router = BackendRouter(load_config(config_file(None)))
    return _router


async def reset_router() -> None:
    """Closes the program's router, if there is one; the next `get_router` makes another."""
    global _router
    router, _router = _router, None
    if router is not None:
        await router.close()
