"""Test bed: starts a mock and proxies on free ports, here in a thread, and an HTTP client that keeps every byte."""

from __future__ import annotations

import asyncio
import copy
import json
import threading
from collections.abc import Coroutine, Mapping
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self, TypeVar

import aiohttp
import yaml
from aiohttp import web
from msgspec import Struct

from crosswire.mockserver import server as mock_server
from crosswire.mockserver.scenarios.loader import Scenarios
from crosswire.mockserver.scenarios.provider import Provider
from crosswire.mockserver.scenarios.story import Story
from crosswire.proxy.errors import ConfigError
from crosswire.proxy.server.app import make_app

from .clock import PROXY_CREATED, fixed_dice, fixed_stopwatch
from .ids import NumberedIds

T = TypeVar("T")

BACKEND_KEYS = ("protocol", "models", "default_model", "capabilities", "limits", "quirks", "priority", "max_tokens")
"""Keys that a provider file and a backend of the proxy's config have in common."""

BASE_CONFIG: dict[str, Any] = {"listen": "127.0.0.1:0", "retry": {"attempts": 1}, "breaker": {"failures": 0}}
"""The config of every proxy of the suite: no retries, so that each error is seen as it is, and no circuit breaker, so
that cells do not affect each other."""

RETRY_CONFIG: dict[str, float] = {"attempts": 3, "base_s": 0.001, "cap_s": 0.002, "budget": 1, "floor_per_s": 1000}
"""Default retry settings of a story's own proxy: the proxy's default number of attempts, without waiting."""

TIMEOUT_S = 20.0
"""Seconds that one response may take: a bound for hangs, generous on a busy machine."""


class RejectedConfig(Exception):
    """The proxy rejects this config; the message says why."""


class HttpResponse(Struct, frozen=True):
    """A response read to its last byte; `broken` is set where the connection ended before the response did."""

    status: int
    headers: dict[str, str]
    body: bytes
    broken: bool


def backend_config(provider: Provider, mock_url: str, name: str = "") -> dict[str, Any]:
    """Returns the backend config that reaches a provider of the mock, as the account of this name."""
    keys = {key: getattr(provider, key) for key in BACKEND_KEYS if getattr(provider, key)}
    keys = {key: list(value) if isinstance(value, tuple) else value for key, value in keys.items()}
    host = f"{mock_url}/{provider.name}@{name}" if name else f"{mock_url}/{provider.name}"
    path = provider.base_path if provider.protocol.startswith("openai") else ""
    return keys | {"base_url": host + path, "api_key": provider.auth.key}


def proxy_config(scenarios: Scenarios, mock_url: str, **settings: Any) -> dict[str, Any]:
    """Returns the proxy config that reaches every provider of the scenarios."""
    backends = {name: backend_config(provider, mock_url) for name, provider in scenarios.providers.items()}
    return {**BASE_CONFIG, **settings, "backends": backends}


def route_config(story: Story, providers: Mapping[str, Provider], mock_url: str) -> dict[str, Any]:
    """Returns the config of a story's own proxy: each backend reaches the provider that plays it with its own key.

    The host's properties come from the provider file; model names and priorities come from the story.
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
    return {**BASE_CONFIG, **config, "retry": {**RETRY_CONFIG, **config.get("retry", {})}}


class Testbed:
    """A mock, a proxy in front of it, and a client, all on one event loop in a thread of its own."""

    __test__ = False  # pytest would collect a class of this name

    def __init__(self, scenarios: Scenarios) -> None:
        self.scenarios = scenarios
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="testbed", daemon=True)
        self._temporary = TemporaryDirectory(prefix="crosswire-matrix-")
        self.folder = Path(self._temporary.name)
        self._runners: list[web.AppRunner] = []
        self._configs = count()
        self._ids = NumberedIds(count(1))
        self._single_backend_urls: dict[str, str] = {}
        self._story_urls: dict[str, str] = {}
        self._local_log = Path()
        self._session: aiohttp.ClientSession | None = None
        self.mock_url = ""
        self.base_url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self.wait(self._open())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.wait(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._temporary.cleanup()

    def wait(self, work: Coroutine[Any, Any, T], within_s: float = TIMEOUT_S * 3) -> T:
        """Runs a coroutine on the test bed's loop, from any other thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(within_s)

    async def _open(self) -> None:
        self._session = aiohttp.ClientSession(
            auto_decompress=False, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), cookie_jar=aiohttp.DummyCookieJar()
        )
        self.mock_url = await self.serve_mock()
        self.base_url = await self.start_proxy(proxy_config(self.scenarios, self.mock_url))

    async def start(self, app: web.Application) -> str:
        """Serves an application on a free loopback port until the test bed closes; returns its URL."""
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._runners.append(runner)
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def serve_mock(self) -> str:
        """Serves the mock and returns its URL."""
        return await self.start(mock_server.make_app(self.scenarios))

    async def serve_proxy(self, file: Path, stage_log: Path | None = None) -> str:
        """Serves a proxy with the config in this file and returns its URL; raises RejectedConfig as `start_proxy`."""
        # environment variables could add providers of their own
        try:
            app = make_app(
                file,
                clock=lambda: PROXY_CREATED,
                ids=self._ids,
                env={},
                stage_log=stage_log,
                dice=fixed_dice,
                stopwatch=fixed_stopwatch,
            )
        except ConfigError as refused:
            raise RejectedConfig(str(refused)) from refused
        return await self.start(app)

    async def start_proxy(self, config: Mapping[str, Any], stage_log: Path | None = None) -> str:
        """Serves a proxy with this config and returns its URL; raises RejectedConfig where the proxy refuses it."""
        file = self.folder / f"crosswire-{next(self._configs)}.yaml"
        file.write_text(yaml.safe_dump(dict(config), sort_keys=False))
        return await self.serve_proxy(file, stage_log)

    async def proxy_for_provider(self, provider: Provider) -> str:
        """Returns the URL of a proxy whose only backend is this provider."""
        if provider.name not in self._single_backend_urls:
            config = {**BASE_CONFIG, "backends": {provider.name: backend_config(provider, self.mock_url)}}
            self._single_backend_urls[provider.name] = await self.start_proxy(config)
        return self._single_backend_urls[provider.name]

    async def proxy_for_local_model(self, backend: Mapping[str, Any]) -> str:
        """Returns the URL of a proxy whose only backend, mlx, is a model in its own process; it logs the prompts."""
        if "mlx" not in self._single_backend_urls:
            self._local_log = self.folder / "local.jsonl"
            config = {**BASE_CONFIG, "backends": {"mlx": dict(backend)}}
            self._single_backend_urls["mlx"] = await self.start_proxy(config, self._local_log)
        return self._single_backend_urls["mlx"]

    async def local_model_log(self, id_: str) -> tuple[dict[str, Any], str, str]:
        """Returns the template's input, the prompt and the output of a request id; waits until the log has them."""
        for _ in range(200):
            written = self._local_log.read_bytes() if self._local_log.exists() else b""
            given = b'{"body": {}}'
            for line in written.split(b"\n")[:-1]:  # the last may be under way
                if id_.encode() in line and b'"backend_request"' in line:
                    given = line
                elif id_.encode() in line and b'"backend_response"' in line:
                    first, *others = json.loads(line)["body"].splitlines()
                    return json.loads(given)["body"], json.loads(first)["prompt"], "\n".join(others)
            await asyncio.sleep(0.01)
        raise TimeoutError(f"the log has no output for request {id_}")

    async def proxy_for_story(self, story: Story) -> str:
        """Returns the URL of the story's own proxy: one for all its cells, unless it keeps state between requests."""
        config = route_config(story, self.scenarios.providers, self.mock_url)
        # circuit breakers, key rotation and strategies keep state
        if (
            config["breaker"] != BASE_CONFIG["breaker"]
            or any(len(b["api_key"]) > 1 for b in config["backends"].values())
            or any("strategy" in route for route in config.get("routes", ()))
        ):
            return await self.start_proxy(config)
        key = json.dumps(config)
        if key not in self._story_urls:
            self._story_urls[key] = await self.start_proxy(config)
        return self._story_urls[key]

    async def _close(self) -> None:
        if self._session is not None:
            await self._session.close()
        await self.close_servers()

    async def close_servers(self) -> None:
        """Ends the mock and the proxies."""
        for runner in reversed(self._runners):
            await runner.cleanup()

    def ending(self) -> str | None:
        """Returns how servers in processes of their own ended; None while all run, as they do in this process."""
        return None

    def positions(self) -> tuple[int, ...]:
        """Returns how much each server in a process of its own has printed, for `printed`."""
        return ()

    def printed(self, since: tuple[int, ...]) -> list[str]:
        """Returns what servers in processes of their own have printed since then; there is none."""
        return []

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> HttpResponse:
        """Sends a request and reads the response to its last byte, or to where the connection breaks."""
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
            return HttpResponse(response.status, found, b"".join(chunks), broken)

    async def get_json(self, url: str) -> Any:
        """Returns the JSON at a URL, or None for any status but 200."""
        response = await self.send("GET", url, {}, b"")
        return json.loads(response.body) if response.status == 200 else None

    async def cut_replies(self, write: int | str | None) -> None:
        """Makes the mock cut replies into writes of this size, `whole`, or by `frame`; None is as the stories say."""
        response = await self.send("POST", f"{self.mock_url}/wire", {}, json.dumps({"write": write}).encode())
        assert response.status == 200, response.body

    async def journal(self, since: int) -> tuple[int, list[dict[str, Any]]]:
        """Returns the mock's next sequence number, and its journal entries from `since` on."""
        found = await self.get_json(f"{self.mock_url}/journal?since={since}")
        return found["next"], found["entries"]
