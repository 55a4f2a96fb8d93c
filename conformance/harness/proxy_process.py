"""The proxies of a run as one process: each is started, with its config, by a request to a control port.

It runs the program as `crosswire serve` does, on the same sockets and with the same limits; only the clock and the ids
are the suite's, so that what the clients get can be compared with the snapshots.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from itertools import count
from pathlib import Path

from aiohttp import web

from crosswire.proxy.errors import ConfigError
from crosswire.proxy.server.app import make_app
from crosswire.proxy.server.lifecycle import make_runner

from .clock import PROXY_CREATED, fixed_dice, fixed_stopwatch
from .ids import NumberedIds

HOST = "127.0.0.1"


class ProxyProcess:
    """The proxies that this process runs, and the handler of the requests that start them."""

    def __init__(self) -> None:
        self._ids = NumberedIds(count(1))
        self._runners: list[web.AppRunner] = []

    async def listen(self, runner: web.AppRunner) -> str:
        """Serves on a free port; returns the URL."""
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()
        self._runners.append(runner)
        return f"http://{HOST}:{runner.addresses[0][1]}"

    async def start_proxy(self, request: web.Request) -> web.Response:
        """Starts a proxy with the config in this file; answers its URL, or with 422 why the config is refused."""
        asked = await request.json()
        log = asked.get("stage_log")
        try:
            # environment variables could add providers of their own
            app = make_app(
                Path(asked["config"]),
                clock=lambda: PROXY_CREATED,
                ids=self._ids,
                env={},
                stage_log=Path(log) if log is not None else None,
                dice=fixed_dice,
                stopwatch=fixed_stopwatch,
            )
        except ConfigError as refused:
            return web.json_response({"error": str(refused)}, status=422)
        return web.json_response({"url": await self.listen(make_runner(app))})

    async def serve(self) -> None:
        """Serves the control port until SIGTERM, and prints its URL."""
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        control = web.Application()
        control.router.add_post("/proxies", self.start_proxy)
        try:
            url = await self.listen(web.AppRunner(control, access_log=None))
            print(f"Listening on {url}", flush=True)
            await stop.wait()
        finally:
            for runner in reversed(self._runners):
                await runner.cleanup()


def main() -> int:
    """Runs the process until it is told to end."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stdout)
    asyncio.run(ProxyProcess().serve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
