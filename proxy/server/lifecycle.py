"""Runs the application on a socket: signals, reload, draining."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import AsyncIterator, Callable

from aiohttp import web
from msgspec.structs import replace

from ..errors import failure
from ..gateway.context import RETRY_AFTER_S
from ..gateway.gateway import Gateway
from ..observability.loop_lag import watch_loop_lag
from ..protocols import DEFAULT, protocol_of_path
from .allocator import keep_blocks, watch_memory
from .body import BROKEN_HTTP
from .connection import Connections
from .descriptors import connection_limit, raise_descriptor_limit
from .limited_server import LimitedServer
from .reload import Reloader
from .responses import to_aiohttp
from .state import GATEWAY

log = logging.getLogger("crosswire")

LAST_WRITES_S = 1.0
"""Seconds at shutdown for answers that are already written to reach their clients."""


BACKLOG = 2048
"""Connections that may wait to be accepted, so that a crowd need not try again after a second; the system may allow
fewer (net.core.somaxconn)."""

LINGER_S = 2.0
"""Seconds in which the rest of a refused body is read, so that its sender reads the refusal before the end."""

MESSAGES = {
    "bad_request": "A message of HTTP/1.0 has no transfer-encoding; send content-length, or HTTP/1.1.",
    "bad_http": "This is not HTTP/1.1 that the proxy can read.",
    "header_too_large": "The request's line and headers are too large; raise limits.header to allow them.",
    "too_slow": "The request's headers did not come in time; raise limits.header_s to allow it.",
    "overloaded": "The proxy has as many connections as it takes (limits.connections); try again later.",
    "internal": "The proxy failed; its log names the cause.",
}
"""The messages of errors below a request, by kind."""


class Runner(web.AppRunner):
    """Serves an app on sockets, with the limits of its config's connections."""

    async def _make_server(self) -> web.Server:
        gateway = self.app[GATEWAY]

        def answer(kind: str, path: str) -> web.Response:
            protocol = protocol_of_path(path) or DEFAULT
            fault = failure("bad_request" if kind == "bad_http" else kind, MESSAGES[kind])
            if kind == "overloaded":
                fault = replace(fault, retry_after=RETRY_AFTER_S)
            return to_aiohttp(gateway.reject(protocol, fault))

        connections = Connections(lambda: gateway.config.settings.limits, connection_limit, answer)
        return LimitedServer(await super()._make_server(), gateway, connections)


def make_runner(app: web.Application) -> web.AppRunner:
    """Makes the runner that serves this app on sockets."""
    logger = logging.getLogger("crosswire.http")
    logger.addFilter(_is_own_fault)
    head = app[GATEWAY].config.settings.limits.header
    return Runner(
        app,
        max_line_size=head,
        max_field_size=head,
        auto_decompress=False,  # aiohttp bounds no body before it is decompressed
        lingering_time=LINGER_S,
        # without it a client that leaves before the first byte is never noticed
        handler_cancellation=True,
        access_log=None,
        logger=logger,
        shutdown_timeout=min(app[GATEWAY].config.settings.drain_s, LAST_WRITES_S),
    )


def _is_own_fault(record: logging.LogRecord) -> bool:
    """Returns whether a log record of the HTTP server is about an error in the proxy, not in a client's HTTP."""
    fault = record.exc_info[1] if record.exc_info else None
    # aiohttp raises the latter where a client leaves while the rest of its refused body is read
    return not (isinstance(fault, BROKEN_HTTP) or (type(fault) is RuntimeError and str(fault) == "Connection closed."))


@contextlib.asynccontextmanager
async def listening(app: web.Application, host: str, port: int = 0) -> AsyncIterator[int]:
    """Serves the app while the context lasts and yields the port; 0 takes a free one. Requests under way are cut."""
    runner = make_runner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def freeze() -> None:
    """Leaves what lives as long as the proxy out of every later collection."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


async def drain(gateway: Gateway, cut: asyncio.Event) -> None:
    """Takes no new requests; those under way may end within `drain_s` seconds, unless `cut` is set before."""
    gateway.draining = True
    if gateway.idle.is_set():
        return
    drain_s = gateway.config.settings.drain_s
    log.warning("draining: open requests have %g s to finish", drain_s)
    # the socket goes on listening, so that /readyz can say 503 and new requests hear why
    ends = (asyncio.ensure_future(gateway.idle.wait()), asyncio.ensure_future(cut.wait()))
    await asyncio.wait(ends, timeout=drain_s, return_when=asyncio.FIRST_COMPLETED)
    for end in ends:
        end.cancel()
    gateway.end_all()


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
    watching: set[asyncio.Task[object]] = {
        asyncio.ensure_future(watch_loop_lag(gateway.metrics.loop_lagged)),
        asyncio.ensure_future(watch_memory(keep_blocks())),
    }
    raise_descriptor_limit()
    runner = make_runner(app)
    await runner.setup()
    site = web.TCPSite(runner, host, port, backlog=BACKLOG)
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
        freeze()
        started(runner.addresses[0][1])
        await stop.wait()
        stopping()
        stop.clear()
        await drain(gateway, stop)
    finally:
        for task in watching:
            task.cancel()
        await runner.cleanup()
