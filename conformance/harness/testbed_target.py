"""Test bed for a gateway of anybody's: a mock, a client, and where it is asked for the gateway's own process."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence

import aiohttp
from aiohttp import web

from crosswire.mockserver import server as mock_server
from crosswire.mockserver.scenarios.loader import Scenarios

from .child_process import ChildProcess, ServerEnded
from .testbed import HttpResponse, Testbed

HOST = "127.0.0.1"

TIMEOUT_S = 60.0
"""Seconds within which a gateway has to answer: some try again what failed, after the seconds that a provider says."""

READY_POLL_S = 0.2
"""Seconds between two requests to a gateway that is starting."""


class NoAnswer(Exception):
    """The gateway did not answer; the message says how."""


class TargetTestbed(Testbed):
    """Serves a mock on a port that the gateway knows, or uses one that runs; starts no proxy."""

    __test__ = False

    def __init__(self, scenarios: Scenarios, *, host: str = HOST, port: int = 0, mock_url: str = "") -> None:
        """`mock_url` is a mock that runs already; else one is served on `host` and `port`, 0 for a free one."""
        super().__init__(scenarios)
        self._host, self._port = host, port
        self._running_mock = mock_url
        self._gateway: ChildProcess | None = None

    async def _open(self) -> None:
        self._session = aiohttp.ClientSession(
            auto_decompress=True, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), cookie_jar=aiohttp.DummyCookieJar()
        )
        self.mock_url = self._running_mock or await self._serve_mock()
        if await self.get_json(f"{self.mock_url}/healthz") is None:
            raise NoAnswer(f"{self.mock_url} is no mock of Crosswire: /healthz is not there")

    async def _serve_mock(self) -> str:
        runner = web.AppRunner(mock_server.make_app(self.scenarios), handler_cancellation=True, access_log=None)
        await runner.setup()
        self._runners.append(runner)
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except OSError as problem:
            why = "the port is taken" if problem.errno == errno.EADDRINUSE else problem.strerror
            raise NoAnswer(
                f"the mock cannot listen on {self._host}:{self._port}: {why}; a crosswire-mock that runs there is used "
                f"with --mock http://{HOST}:{self._port}, and another port is chosen with --mock-port PORT"
            ) from problem
        return f"http://{HOST}:{runner.addresses[0][1]}"

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> HttpResponse:
        """Sends a request as always; raises NoAnswer where none comes."""
        try:
            return await super().send(method, url, headers, body)
        except TimeoutError:
            raise NoAnswer(f"no answer of {url} within {TIMEOUT_S:g} s") from None
        except (aiohttp.ClientError, OSError) as problem:
            raise NoAnswer(f"no answer of {url}: {type(problem).__name__}: {problem}") from None

    async def start_gateway(
        self,
        command: Sequence[str],
        files: Mapping[str, str],
        environment: Mapping[str, str],
        ready: str,
        within_s: float,
    ) -> str:
        """Writes the files, starts the gateway on a free port, and waits until it answers at `ready`; returns its URL.

        `{mock}`, `{port}`, `{folder}` and `{python}` are replaced in all of them. Raises ServerEnded.
        """
        port = _free_port()
        values = {"mock": self.mock_url, "port": str(port), "folder": str(self.folder), "python": sys.executable}

        def fill(text: str) -> str:
            for name, value in values.items():
                text = text.replace(f"{{{name}}}", value)
            return text

        for name, text in files.items():
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(fill(text), "utf-8")
        own = {name: fill(value) for name, value in environment.items()}
        gateway = ChildProcess(
            "the gateway", [fill(word) for word in command], self.folder / "gateway.txt", {**os.environ, **own}
        )
        try:
            gateway.launch()
        except OSError as problem:
            raise ServerEnded(f"the gateway did not start: {command[0]}: {problem.strerror}") from problem
        self._gateway = gateway
        url = f"http://{HOST}:{port}"
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            if ending := gateway.ending():
                raise ServerEnded(ending)
            try:
                if (await self.send("GET", url + (ready or "/"), {}, b"")).status < 500:
                    return url
            except NoAnswer:
                pass
            await asyncio.sleep(READY_POLL_S)
        printed = gateway.printed()[-2000:]
        raise ServerEnded(
            f"the gateway did not answer at {url}{ready or '/'} within {within_s:g} s; it printed:\n{printed}"
        )

    def ending(self) -> str | None:
        """Returns how the gateway's process ended; None while it runs, or where it is not ours."""
        return self._gateway.ending() if self._gateway is not None else None

    async def forget(self) -> None:
        """Empties the mock's journal, so that a long run does not fill the memory."""
        response = await self.send("POST", f"{self.mock_url}/reset", {}, b"")
        assert json.loads(response.body) == {"status": "ok"}

    async def close_servers(self) -> None:
        """Ends the gateway, where it is ours, and the mock."""
        if self._gateway is not None:
            await self._gateway.stop()
        await super().close_servers()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
