"""The proxy inside a Python program: the same decision, the same backends, no socket of its own.

router = BackendRouter("crosswire.yaml")
answer = await router.route_request("openai-chat", {"model": "small", "messages": [...]})
answer["choices"][0]["message"]                  # a body in the protocol that asked
async for chunk in await router.route_request("anthropic", {..., "stream": True}):
    ...                                          # bytes of that protocol's stream
await router.close()
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from . import wire
from .backends.door import Door
from .config import Config, from_environment, load_file, where_stored
from .errors import ConfigError, CrosswireError
from .gateway import Gateway
from .line import ClientGone
from .protocols import PROTOCOLS
from .protocols.contract import Where
from .registry import canonical
from .server import door, random_ids
from .store.snapshot import NOTHING
from .told import Whole
from .way import HEARD_HEADERS, Incoming

_AHEAD = 16
"""Chunks of a stream that wait for whoever reads it, before the backend waits too."""


class RouteError(CrosswireError):
    """A request was refused or failed: `status`, and `body` and `headers` as a client of its protocol gets them."""

    def __init__(self, status: int, body: dict[str, Any], headers: Mapping[str, str]) -> None:
        super().__init__(f"{status}: {wire.encode(body).decode()}")
        self.status = status
        self.body = body
        self.headers = headers


class StreamBroken(CrosswireError):
    """A stream ended before its answer did; its last chunk, where there was one, says why in the protocol's words."""


class Body(dict[str, Any]):
    """An answer in one piece; `headers` tell who served it and what was lost, as over HTTP."""

    def __init__(self, value: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        super().__init__(value)
        self.headers = headers


class BackendRouter:
    """Routes requests by one config, or by that of a file. The backends' pools are made at first use and kept.

    All of it belongs to one event loop.
    """

    def __init__(self, config: Config | Path | str) -> None:
        self._config = config if isinstance(config, Config) else _load(Path(config))
        self._gateway: Gateway | None = None

    @property
    def config(self) -> Config:
        return self._config

    def client(self, name: str) -> Door:
        """The way into one backend, by its name or its provider's: made once, the same one at each call.

        Raises ConfigError where there is none, or its provider wants a key and there is no key.
        """
        gateway = self._open()
        provider = canonical(name)
        for backend in self._config.plan.backends:
            if backend.name.lower() in (name.lower(), provider) or backend.provider == provider:
                if backend.keyless is not None:
                    raise ConfigError([backend.keyless])
                return gateway.doors[backend.name]
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
        """One request in this protocol's words: its answer, or a stream where the body asks for one.

        `model` and `stream` are for gemini, whose address says them. Raises RouteError where the request is refused or
        fails before a word of an answer, ConfigError for an unknown protocol.
        """
        frontend = PROTOCOLS.get(protocol)
        if frontend is None:
            raise ConfigError([f"{protocol!r} is no protocol; known are {', '.join(PROTOCOLS)}"])
        where = Where()
        if protocol == "gemini":
            where = Where(model, "streamGenerateContent" if stream else "generateContent", "sse" if stream else None)
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        heard = {name: value for name, value in lower.items() if name in HEARD_HEADERS}
        data = bytes(body) if isinstance(body, bytes | bytearray) else wire.encode(dict(body))
        incoming = Incoming(frontend, where, heard, data)
        gateway = self._open()
        sink = _Queue()
        task = asyncio.ensure_future(gateway.handle(incoming, sink))
        opened = asyncio.ensure_future(sink.opened.wait())
        try:
            await asyncio.wait((task, opened), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            opened.cancel()
        if sink.opened.is_set():
            return Stream(sink, task)
        return _answer(await task)

    async def close(self) -> None:
        """End what is under way and close every pool; twice is harmless, and so is closing what was never used."""
        gateway, self._gateway = self._gateway, None
        if gateway is not None:
            gateway.draining = True
            gateway.cut()
            await gateway.idle.wait()
            await gateway.close()

    def _open(self) -> Gateway:
        if self._gateway is None:
            self._gateway = Gateway(self._config, door, clock=time.time, ids=random_ids)
        return self._gateway


class Stream:
    """A streamed answer, in bytes of the protocol that asked. Leaving it ends the backend's work at once."""

    def __init__(self, sink: _Queue, task: asyncio.Task[Whole | None]) -> None:
        self._sink = sink
        self._task = task
        self.headers = sink.headers

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Raises StreamBroken after the last chunk of a stream that did not end by itself."""
        try:
            while (chunk := await self._sink.next(self._task)) is not None:
                yield chunk
        finally:
            await self.aclose()
        if self._sink.broken:
            raise StreamBroken("the stream broke before its answer ended")

    async def aclose(self) -> None:
        """Leave it; twice, or after its end, is harmless."""
        if not self._task.done():
            self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class _Queue:
    """A sink into memory: who writes waits while nobody reads."""

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

    async def next(self, task: asyncio.Task[Whole | None]) -> bytes | None:
        """The next chunk; None at the end, or once whoever writes is gone and all that came was read."""
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


def _answer(whole: Whole | None) -> Body:
    """The body of an answer in one piece, or the error that it is."""
    if whole is None:
        raise ClientGone
    body = wire.parse_object(whole.body)
    if whole.status >= 400:
        raise RouteError(whole.status, body, whole.headers)
    return Body(body, whole.headers)


# ---- one for the whole program ---------------------------------------------------------------------------------------

_router: BackendRouter | None = None


def get_router() -> BackendRouter:
    """The program's router, made at first use: by crosswire.yaml where it is here, else by the environment."""
    global _router
    if _router is None:
        _router = BackendRouter(_load(None))
    return _router


async def reset_router() -> None:
    """Close the program's router, if there is one; the next `get_router` makes another."""
    global _router
    router, _router = _router, None
    if router is not None:
        await router.close()


def _load(path: Path | None) -> Config:
    """The config of this file, of the file that is here, or of the environment, under what the store holds."""
    here = Path("crosswire.yaml")
    file = path if path is not None else here if here.is_file() else None
    url = where_stored(file, os.environ)
    stored = NOTHING
    if url is not None:
        from .store_commands import read_store

        stored = read_store(url)
    if file is not None:
        return load_file(file, os.environ, stored=stored)
    return from_environment(os.environ, stored=stored)
