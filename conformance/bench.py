"""The bench: a mock and a proxy on free ports in a thread of their own, and a client that keeps every byte.

It knows HTTP and addresses. A cell hands it a request and gets back what went over all four wires.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable, Coroutine, Mapping
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import aiohttp
import yaml
from aiohttp import web
from msgspec import Struct

from mockserver import server as mock_server
from mockserver.scenario import Provider, Scenarios
from proxy.server import make_app

T = TypeVar("T")

CREATED = 1_770_000_000
"""What every answer of the proxy says of its time, so that snapshots never change by themselves."""

BACKEND_KEYS = ("protocol", "models", "default_model", "capabilities", "limits", "quirks", "priority", "max_tokens")
"""What a provider file and a backend of the proxy's config have in common."""

BASE: dict[str, Any] = {"listen": "127.0.0.1:0", "retry": {"attempts": 1}}
"""What every proxy of the suite has: where it listens, and that an error is seen as it is, not after more tries."""

_OWN_ID = re.compile(r"c0ffee[0-9a-f]{18}")

TIMEOUT_S = 20.0
"""How long any one answer may take: a bound for hangs, generous on a busy machine."""


class Answer(Struct, frozen=True):
    """A response to its last byte; `broken` is set where the connection ended without the protocol's end."""

    status: int
    headers: dict[str, str]
    body: bytes
    broken: bool


def backend_config(provider: Provider, mock_url: str) -> dict[str, Any]:
    """The backend of the proxy's config that reaches this provider of the mock."""
    keys = {key: getattr(provider, key) for key in BACKEND_KEYS if getattr(provider, key)}
    keys = {key: list(value) if isinstance(value, tuple) else value for key, value in keys.items()}
    path = provider.base_path if provider.protocol.startswith("openai") else ""
    return keys | {"base_url": f"{mock_url}/{provider.name}{path}", "api_key": provider.auth.key}


def proxy_config(scenarios: Scenarios, mock_url: str, **settings: Any) -> dict[str, Any]:
    """The proxy's config that reaches every provider of the scenarios."""
    backends = {name: backend_config(provider, mock_url) for name, provider in scenarios.providers.items()}
    return {**BASE, **settings, "backends": backends}


class Bench:
    """A mock, a proxy in front of it, and a client; everything lives in one thread's event loop."""

    def __init__(self, scenarios: Scenarios) -> None:
        self.scenarios = scenarios
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="bench", daemon=True)
        self._folder = TemporaryDirectory(prefix="crosswire-matrix-")
        self._runners: list[web.AppRunner] = []
        self._numbers = count(1)
        self._alone: dict[str, str] = {}
        self._session: aiohttp.ClientSession | None = None
        self.mock_url = ""
        self.base_url = ""

    def __enter__(self) -> Bench:
        self._thread.start()
        self.wait(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self.wait(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._folder.cleanup()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on the bench's loop, from any other thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(TIMEOUT_S * 3)

    async def _open(self) -> None:
        self._session = aiohttp.ClientSession(
            auto_decompress=False, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), cookie_jar=aiohttp.DummyCookieJar()
        )
        self.mock_url = await self.start(mock_server.make_app(self.scenarios))
        self.base_url = await self.start_proxy(proxy_config(self.scenarios, self.mock_url))

    async def start(self, app: web.Application) -> str:
        """Serve an application on a free port of loopback until the bench closes; its URL."""
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._runners.append(runner)
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def start_proxy(self, config: Mapping[str, Any]) -> str:
        """Serve a proxy of this config; its URL."""
        file = Path(self._folder.name) / f"crosswire-{len(self._runners)}.yaml"
        file.write_text(yaml.safe_dump(dict(config), sort_keys=False))
        return await self.start(make_app(file, clock=lambda: CREATED, ids=self.ids))

    async def alone(self, provider: Provider) -> str:
        """The URL of a proxy that has no other backend than this provider."""
        if provider.name not in self._alone:
            config = {**BASE, "backends": {provider.name: backend_config(provider, self.mock_url)}}
            self._alone[provider.name] = await self.start_proxy(config)
        return self._alone[provider.name]

    def ids(self) -> Callable[[str], str]:
        """Ids that differ between requests only in a number that `plain` takes out of the texts again."""
        base = f"c0ffee{next(self._numbers):018x}"  # what _OWN_ID finds
        counts: dict[str, int] = {}

        def new_id(prefix: str) -> str:
            number = counts[prefix] = counts.get(prefix, -1) + 1
            return f"{prefix}{base}{number:02x}" if number else prefix + base

        return new_id

    @staticmethod
    def plain(text: str) -> str:
        """A text without what differs from run to run: the numbers in our own ids."""
        return _OWN_ID.sub("0" * 24, text)

    async def _close(self) -> None:
        if self._session is not None:
            await self._session.close()
        for runner in reversed(self._runners):
            await runner.cleanup()

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send, and read to the last byte or to where the connection breaks."""
        assert self._session is not None
        async with self._session.request(method, url, headers=headers, data=body, allow_redirects=False) as response:
            chunks: list[bytes] = []
            broken = False
            try:
                async for chunk in response.content.iter_any():
                    chunks.append(chunk)
            except (aiohttp.ClientError, ConnectionError):
                broken = True
            found = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, found, b"".join(chunks), broken)

    async def get_json(self, url: str) -> Any:
        """The JSON of an address, or None where there is none."""
        answer = await self.send("GET", url, {}, b"")
        return json.loads(answer.body) if answer.status == 200 else None

    async def journal(self, since: int) -> tuple[int, list[dict[str, Any]]]:
        """The mock's next number, and its entries from `since` on."""
        found = await self.get_json(f"{self.mock_url}/journal?since={since}")
        return found["next"], found["entries"]
