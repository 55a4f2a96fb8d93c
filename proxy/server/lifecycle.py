"""Runs the application on a socket: signals, reload, draining."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Callable

from aiohttp import web

from .reload import Reloader
from .requests import BROKEN_HTTP
from .state import GATEWAY

log = logging.getLogger("crosswire")

LAST_WRITES_S = 1.0
"""Seconds at shutdown for answers that are already written to reach their clients."""


def make_runner(app: web.Application) -> web.AppRunner:
    """Makes the runner that serves this app on sockets."""
    logger = logging.getLogger("crosswire.http")
    logger.addFilter(_is_own_fault)
    return web.AppRunner(
        app,
        # without it a client that leaves before the first byte is never noticed
        handler_cancellation=True,
        access_log=None,
        logger=logger,
        shutdown_timeout=min(app[GATEWAY].config.settings.drain_s, LAST_WRITES_S),
    )


def _is_own_fault(record: logging.LogRecord) -> bool:
    """Returns whether a log record of the HTTP server is about an error in the proxy, not in a client's HTTP."""
    return not (record.exc_info and isinstance(record.exc_info[1], BROKEN_HTTP))


async def serve(
    app: web.Application,
    host: str,
    port: int,
    *,
    started: Callable[[int], None],
    reloader: Reloader | None = None,
    stopping: Callable[[], None] = lambda: None,
) -> None:
    """Serves until SIGINT or SIGTERM, then drains: no new requests, and those under way may end. A second signal cuts.

    `reloader` reads the config again, at SIGHUP and when its file changed. `started` is told the port, and `stopping`
    is called at the signal.
    """
    gateway = app[GATEWAY]
    watching: set[asyncio.Task[object]] = set()
    runner = make_runner(app)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, stop.set)
        if reloader is not None:
            watching.add(asyncio.ensure_future(reloader.watch()))
            # a task that nothing refers to may be collected before it ends
            loop.add_signal_handler(
                signal.SIGHUP, lambda: watching.add(asyncio.ensure_future(reloader.reload_settled()))
            )
        # what lives as long as the proxy need not be looked at in every collection
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 50)
        started(runner.addresses[0][1])
        await stop.wait()
        stopping()
        stop.clear()
        gateway.draining = True
        if not gateway.idle.is_set():
            drain_s = gateway.config.settings.drain_s
            log.warning("draining: open requests have %g s to finish", drain_s)
            # the socket goes on listening, so that /readyz can say 503 and new requests hear why
            ends = (asyncio.ensure_future(gateway.idle.wait()), asyncio.ensure_future(stop.wait()))
            await asyncio.wait(ends, timeout=drain_s, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()
            gateway.cancel_all()
    finally:
        for task in watching:
            task.cancel()
        await runner.cleanup()
