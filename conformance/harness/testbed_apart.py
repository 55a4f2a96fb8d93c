"""Test bed whose mock and proxies are two processes beside the suite's, as in life: bytes come as TCP cuts them."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp

from crosswire.mockserver.scenarios.loader import Scenarios

from .child_process import ChildProcess, ServerEnded
from .testbed import HttpResponse, RejectedConfig, Testbed

START_S = 40.0
"""Seconds in which a process must listen: a bound for hangs, generous on a busy machine."""

LISTENING = re.compile(r"^Listening on (http://\S+)", re.MULTILINE)
"""The line by which either process says where it listens."""

MOCK = (sys.executable, "-m", "crosswire.mockserver", "--port", "0", "--quiet")
PROXY = (sys.executable, "-m", "crosswire.conformance.harness.proxy_process")


class TestbedApart(Testbed):
    """Starts `crosswire-mock` and a process with the proxies; what a run needs of them goes over HTTP."""

    def __init__(
        self,
        scenarios: Scenarios,
        folders: Sequence[Path],
        mock: Sequence[str] | None = None,
        proxy: Sequence[str] | None = None,
    ) -> None:
        """`folders` are those of the scenarios, `mock` and `proxy` other commands, the first without the folders."""
        super().__init__(scenarios)
        shown = ["--scenarios", str(folders[-1])] if len(folders) > 1 else [str(folders[0])]
        self._mock = ChildProcess("the mock", (*(mock or MOCK), *shown), self.folder / "mock.txt")
        self._proxy = ChildProcess("the proxy", proxy or PROXY, self.folder / "proxy.txt")
        self._control_url = ""

    async def serve_mock(self) -> str:
        """Starts both processes at once; returns the mock's URL."""
        starting = (self._mock.start(LISTENING, START_S), self._proxy.start(LISTENING, START_S))
        urls: list[str] = []
        for started in await asyncio.gather(*starting, return_exceptions=True):
            if isinstance(started, BaseException):
                raise started
            urls.append(started)
        url, self._control_url = urls
        return url

    async def serve_proxy(self, file: Path, stage_log: Path | None = None) -> str:
        """Starts a proxy with the config in this file, in the process of the proxies; returns its URL."""
        asked = {"config": str(file), "stage_log": str(stage_log) if stage_log is not None else None}
        response = await self.send("POST", f"{self._control_url}/proxies", {}, json.dumps(asked).encode())
        answer = json.loads(response.body)
        if response.status == 422:
            raise RejectedConfig(answer["error"])
        return str(answer["url"])

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> HttpResponse:
        """Sends a request as always; raises ServerEnded where it fails because a process is gone."""
        try:
            return await super().send(method, url, headers, body)
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            await asyncio.sleep(0.2)  # a process that just broke off is not yet known to have ended
            if ending := self.ending():
                raise ServerEnded(ending) from None
            raise

    def pids(self) -> dict[str, int | None]:
        """Returns the numbers of the processes, by their names in messages."""
        return {one.name: one.pid for one in (self._mock, self._proxy)}

    def ending(self) -> str | None:
        """Returns how the processes that are gone ended; None while both run."""
        return "\n".join(filter(None, (self._mock.ending(), self._proxy.ending()))) or None

    def positions(self) -> tuple[int, ...]:
        """Returns how much each process has printed, for `printed`."""
        return self._mock.position(), self._proxy.position()

    def printed(self, since: tuple[int, ...]) -> list[str]:
        """Returns what each process has printed since then, under its name."""
        texts = zip((self._mock, self._proxy), since, strict=True)
        return [f"{one.name} printed: {text}" for one, at in texts if (text := one.printed(at).strip())]

    async def close_servers(self) -> None:
        """Ends both processes."""
        await asyncio.gather(self._mock.stop(), self._proxy.stop())
