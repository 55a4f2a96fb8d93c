"""The bench: a mock and a proxy on free ports in a thread of their own, and a client that keeps every byte.

It knows HTTP and addresses. A cell hands it a request and gets back what went over all four wires.
"""

from __future__ import annotations

import asyncio
import copy
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
from mockserver.scenario import Provider, Scenarios, Story
from proxy.errors import ConfigError
from proxy.server import make_app

T = TypeVar("T")

CREATED = 1_770_000_000
"""What every answer of the proxy says of its time, so that snapshots never change by themselves."""

BACKEND_KEYS = ("protocol", "models", "default_model", "capabilities", "limits", "quirks", "priority", "max_tokens")
"""What a provider file and a backend of the proxy's config have in common."""

BASE: dict[str, Any] = {"listen": "127.0.0.1:0", "retry": {"attempts": 1}, "breaker": {"failures": 0}}
"""What every proxy of the suite has: where it listens, that an error is seen as it is and not after more tries, and no
memory of failures, so that no cell feels what another one met."""

RETRY: dict[str, float] = {"attempts": 3, "base_s": 0.001, "cap_s": 0.002, "budget": 1, "floor_per_s": 1000}
"""How a story's own proxy tries again where the story says nothing: as often as by default, and without its waits."""

_OWN_ID = re.compile(r"c0ffee[0-9a-f]{18}")

TIMEOUT_S = 20.0
"""How long any one answer may take: a bound for hangs, generous on a busy machine."""


class Unfit(Exception):
    """The proxy does not start with this config; the text says why."""


class Answer(Struct, frozen=True):
    """A response to its last byte; `broken` is set where the connection ended without the protocol's end."""

    status: int
    headers: dict[str, str]
    body: bytes
    broken: bool


def backend_config(provider: Provider, mock_url: str, name: str = "") -> dict[str, Any]:
    """The backend of the proxy's config that reaches this provider of the mock, by the account of this name."""
    keys = {key: getattr(provider, key) for key in BACKEND_KEYS if getattr(provider, key)}
    keys = {key: list(value) if isinstance(value, tuple) else value for key, value in keys.items()}
    host = f"{mock_url}/{provider.name}@{name}" if name else f"{mock_url}/{provider.name}"
    path = provider.base_path if provider.protocol.startswith("openai") else ""
    return keys | {"base_url": host + path, "api_key": provider.auth.key}


def proxy_config(scenarios: Scenarios, mock_url: str, **settings: Any) -> dict[str, Any]:
    """The proxy's config that reaches every provider of the scenarios."""
    backends = {name: backend_config(provider, mock_url) for name, provider in scenarios.providers.items()}
    return {**BASE, **settings, "backends": backends}


def route_config(story: Story, providers: Mapping[str, Provider], mock_url: str) -> dict[str, Any]:
    """The config of a story's own proxy, whose backends reach the providers that play them, each by a key of its own.

    What a provider file says of the host itself is taken over; names of models and priorities are the story's affair.
    """
    config = copy.deepcopy(story.proxy or {})
    for name, entry in config["backends"].items():
        account = providers[entry["provider"]].account(name)
        described = backend_config(account, mock_url, name) | {"priority": 0}
        config["backends"][name] = {**described, **entry, "api_key": list(story.keys(name, account.auth.key))}
    custom = {**config.get("llm_custom_providers", {}), **{key: config[key] for key in ("nearai",) if key in config}}
    for name, entry in custom.items():
        reached = backend_config(providers[entry.pop("provider")].account(name), mock_url, name)
        entry |= {key: reached[key] for key in ("protocol", "base_url", "api_key")}
    return {**BASE, **config, "retry": {**RETRY, **config.get("retry", {})}}


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
        self._routed: dict[str, str] = {}
        self._local_log = Path()
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
        """Serve a proxy of this config; its URL. Raises Unfit where the proxy refuses it."""
        file = Path(self._folder.name) / f"crosswire-{len(self._runners)}.yaml"
        file.write_text(yaml.safe_dump(dict(config), sort_keys=False))
        # the variables of whoever runs the suite name providers that no cell may reach
        try:
            app = make_app(file, clock=lambda: CREATED, ids=self.ids, env={})
        except ConfigError as refused:
            raise Unfit(str(refused)) from refused
        return await self.start(app)

    async def alone(self, provider: Provider) -> str:
        """The URL of a proxy that has no other backend than this provider."""
        if provider.name not in self._alone:
            config = {**BASE, "backends": {provider.name: backend_config(provider, self.mock_url)}}
            self._alone[provider.name] = await self.start_proxy(config)
        return self._alone[provider.name]

    async def local(self, backend: Mapping[str, Any]) -> str:
        """The URL of a proxy whose one backend, called mlx, is a model in the proxy itself; it logs what goes in."""
        if "mlx" not in self._alone:
            self._local_log = Path(self._folder.name) / "local.jsonl"
            file = Path(self._folder.name) / "local.yaml"
            file.write_text(yaml.safe_dump({**BASE, "backends": {"mlx": dict(backend)}}))
            app = make_app(file, clock=lambda: CREATED, ids=self.ids, env={}, stage_log=self._local_log)
            self._alone["mlx"] = await self.start(app)
        return self._alone["mlx"]

    async def said_locally(self, id_: str) -> tuple[str, str]:
        """What the local model was given and what it said for this request, as the log has it, once it has it."""
        for _ in range(200):
            lines = self._local_log.read_bytes().splitlines() if self._local_log.exists() else []
            for line in reversed(lines):
                if id_.encode() in line and b'"backend_response"' in line:
                    first, *others = json.loads(line)["body"].splitlines()
                    return json.loads(first)["prompt"], "\n".join(others)
            await asyncio.sleep(0.01)
        raise TimeoutError(f"the log has no answer to {id_}")

    async def routed(self, story: Story) -> str:
        """The URL of the story's own proxy; one for all its cells, unless it would carry memories from cell to cell."""
        config = route_config(story, self.scenarios.providers, self.mock_url)
        # breakers remember failures, and several keys which of them was good
        if config["breaker"] != BASE["breaker"] or any(len(b["api_key"]) > 1 for b in config["backends"].values()):
            return await self.start_proxy(config)
        key = json.dumps(config)
        if key not in self._routed:
            self._routed[key] = await self.start_proxy(config)
        return self._routed[key]

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
