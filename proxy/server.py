"""The proxy as an aiohttp application: receive bytes, hand them to the gateway, send what comes back.

It knows sockets, paths and headers, and no protocol's words.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from hmac import compare_digest
from pathlib import Path
from random import getrandbits
from typing import TypeAlias

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from . import wire
from .around import METHODS, PLACES, Place, answer, by_signs
from .backends.door import Door
from .backends.http import HttpBackend, aiohttp_transport
from .backends.mlx.door import MlxBackend
from .backends.mlx.folder import folder_of, read_folder
from .backends.mlx.speech import NAME as LOCAL
from .backends.transport import Timeouts, Transport
from .config import Config, load_file
from .errand import Asking
from .errors import Malformed, failure
from .explain import explain
from .gateway import Gateway
from .ir import Failure
from .line import ClientGone
from .protocols import PROTOCOLS
from .protocols.contract import NewId, Protocol, Where
from .record import RecordFiles, StageLog
from .reload import Reloader
from .routing import Backend
from .shared import Ids
from .told import Whole
from .way import HEARD_HEADERS, Incoming

log = logging.getLogger("crosswire")

_GATEWAY: web.AppKey[Gateway] = web.AppKey("gateway", Gateway)
_LAST_WRITES_S = 1.0
"""How long what was already answered may take to reach its client at shutdown."""

_LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
_FAMILIES: dict[str, tuple[str, ...]] = {
    "gemini": ("/v1beta", "/v1/models/", "/models/"),
    "anthropic": ("/v1/messages", "/messages"),
    "openai-responses": ("/v1/responses", "/responses"),
    "ollama": ("/api/",),
}
_ANY = r"[\s\S]*"  # a dot would not match a line end, which percent-encoded may stand in any path
_NO_METHOD = rf"(?!{_ANY}:[a-zA-Z]+Contents?$|{_ANY}:countTokens$)"
"""What a name that is to be shown must not be: a model and what Gemini's clients post to it."""

_BROKEN_HTTP = (HttpProcessingError, web.RequestPayloadError)
SERVER = {"server": "crosswire"}
"""What answers say of who sent them; aiohttp would name itself and its version."""

_CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii")


def random_ids() -> NewId:
    """Ids of one request: 24 random hex digits, and a count where one request needs several of a kind."""
    base = f"{getrandbits(96):024x}"
    counts: dict[str, int] = {}

    def new_id(prefix: str) -> str:
        count = counts[prefix] = counts.get(prefix, -1) + 1
        return f"{prefix}{base}{count:02x}" if count else prefix + base

    return new_id


def make_app(
    config: Config | Path,
    *,
    clock: Callable[[], float] = time.time,
    ids: Ids = random_ids,
    stage_log: Path | None = None,
    records: Path | None = None,
    env: Mapping[str, str] = os.environ,
) -> web.Application:
    """The proxy for this config, or for the config in this file. `clock` gives unix seconds, `ids` a request's ids.

    `env` is where such a file's `${NAME}` and the variables beside it are read. `stage_log` is a file for the stages of
    each request, `records` a folder for a record of each.
    """
    if isinstance(config, Path):
        config = load_file(config, env)
    stages = StageLog(stage_log) if stage_log is not None else None
    files = RecordFiles(records) if records is not None else None
    gateway = Gateway(config, door, clock=clock, ids=ids, stages=stages, record_files=files)
    app = web.Application(client_max_size=config.settings.body_limit)
    app[_GATEWAY] = gateway
    for protocol in PROTOCOLS.values():
        for path in protocol.paths:
            app.router.add_post(_pattern(path), _frontend(gateway, protocol))
    app.router.add_get("/livez", _livez)
    app.router.add_get("/readyz", _readyz)
    app.router.add_get("/metrics", _metrics)
    for place in PLACES:
        for path in place.paths:
            handler = _around(gateway, place)
            if place.verb == "GET":
                app.router.add_get(_pattern(path, _NO_METHOD), handler)  # and HEAD with it
            else:
                app.router.add_route(place.verb, _pattern(path), handler)
    app.router.add_get("/crosswire/requests/{id}", _record)
    app.router.add_post("/admin/explain", _explain)
    app.router.add_route("*", "/{path:" + _ANY + "}", _nowhere)  # last: what nothing above takes

    async def shut(_: web.Application) -> None:
        await gateway.close()

    app.on_cleanup.append(shut)
    return app


def gateway_of(app: web.Application) -> Gateway:
    """The gateway behind this application."""
    return app[_GATEWAY]


def door(backend: Backend, config: Config) -> Door:
    """The way into this backend."""
    settings = config.settings
    if backend.protocol == LOCAL:
        return MlxBackend(backend, read_folder(folder_of(backend.folder)), first_s=settings.read_timeout_s)
    timeouts = Timeouts(settings.connect_timeout_s, settings.read_timeout_s)
    return HttpBackend(
        backend,
        PROTOCOLS[backend.protocol],
        _transport()(timeouts),
        frame_limit=settings.max_frame,
        linger=settings.linger_s,
    )


def _transport() -> Callable[[Timeouts], Callable[[], Transport]]:
    """The lean transport where its parser is installed (the extra `speed`), else aiohttp's client."""
    try:
        from .backends.lean import lean_transport
    except ImportError:
        return aiohttp_transport
    return lean_transport


# ---- one request -----------------------------------------------------------------------------------------------------


Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _frontend(gateway: Gateway, protocol: Protocol) -> Handler:
    """The handler of one frontend protocol."""

    async def handle(request: web.Request) -> web.StreamResponse:
        body = await _read(request)
        if isinstance(body, Failure):
            return _response(gateway.reject(protocol, body))
        where = _where(request)
        if where.method in METHODS:
            place = METHODS[where.method]
            return _response(await answer(gateway, place, _asking(request, protocol, where, body)))
        sink = _Sink(request)
        try:
            whole = await gateway.handle(Incoming(protocol, where, _heard(request), body), sink)
        except ClientGone:
            return sink.response
        return sink.response if whole is None else _response(whole)

    return handle


def _around(gateway: Gateway, place: Place) -> Handler:
    """The handler of one address beside the chat."""

    async def handle(request: web.Request) -> web.StreamResponse:
        protocol = PROTOCOLS[place.frontend or by_signs(request.headers, request.query)]
        body = await _read(request) if place.has_body else b""
        if isinstance(body, Failure):
            return _response(gateway.reject(protocol, body))
        where = Where(request.match_info.get("tail") or request.match_info.get("name"), place.method)
        return _response(await answer(gateway, place, _asking(request, protocol, where, body)))

    return handle


def _asking(request: web.Request, protocol: Protocol, where: Where, body: bytes) -> Asking:
    query = tuple(request.query.items())
    return Asking(protocol, request.method, where, _heard(request), query, body)


def _pattern(path: str, but: str = "") -> str:
    """The path as the router takes it: a model's name may hold anything, but not begin as the expression `but`."""
    return path.replace("{tail}", "{tail:" + but + _ANY + "}")


def _where(request: web.Request) -> Where:
    """What the address says: a model may hold slashes and colons, so its method is behind the last one."""
    tail = request.match_info.get("tail")
    if tail is None:
        return Where()
    model, _, method = tail.rpartition(":")
    return Where(model, method, request.query.get("alt"))


def _heard(request: web.Request) -> dict[str, str]:
    """The headers that mean anything here; one that came several times is one list."""
    headers = request.headers
    return {name: ", ".join(headers.getall(name)) for name in HEARD_HEADERS if name in headers}


async def _read(request: web.Request) -> bytes | Failure:
    """The body's bytes; whatever is wrong with them before they are JSON is a failure with its status."""
    if request.content_type not in ("application/json",) and not request.content_type.endswith("+json"):
        shown = request.headers.get("content-type", "none")[:100]
        return failure("media_type", f"The content-type must be application/json, is {shown}.")
    if request.charset is not None and request.charset.lower() not in _CHARSETS:
        return failure("bad_request", "The charset must be utf-8: JSON has no other.")
    limit_s = request.app[_GATEWAY].config.settings.body_timeout_s
    try:
        if request.content.is_eof():  # it came with its headers, as most do: nothing to wait for
            body = await request.read()
        else:
            async with asyncio.timeout(limit_s):
                body = await request.read()
    except TimeoutError:
        return failure("too_slow", f"The body did not come within {limit_s:g} s; raise body_timeout_s to allow it.")
    except web.HTTPRequestEntityTooLarge:
        limit = request.client_max_size
        return failure("too_large", f"The body has more than {limit} bytes; raise body_limit to allow it.")
    except (*_BROKEN_HTTP, ValueError):
        return failure("bad_request", "The body cannot be read: its content-encoding or its chunks are broken.")
    return body or failure("bad_request", "The body is empty; it must be a JSON object.")


def _response(whole: Whole) -> web.Response:
    return web.Response(status=whole.status, headers=whole.headers | SERVER, body=whole.body)


class _Sink:
    """A streamed answer on an aiohttp response."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.response: web.StreamResponse = web.Response()

    async def open(self, headers: Mapping[str, str]) -> None:
        self.response = web.StreamResponse(headers={**headers, **SERVER, "cache-control": "no-cache"})
        await self._to_client(self.response.prepare(self._request))

    async def write(self, data: bytes) -> None:
        await self._to_client(self.response.write(data))

    async def end(self) -> None:
        await self._to_client(self.response.write_eof())

    async def _to_client(self, sending: Awaitable[object]) -> None:
        try:
            await sending
        except ConnectionError:
            raise ClientGone from None

    def abort(self) -> None:
        # close() lets out what was written; without write_eof the last chunk never goes, so the break can be seen
        if self._request.transport is not None:
            self._request.transport.close()


async def _nowhere(request: web.Request) -> web.Response:
    """No such path, or not with this method: an error in the shape of the client that asked."""
    routes = [route for route in request.app.router.routes() if route.resource and route.handler is not _nowhere]
    there = {route.method for route in routes if route.resource and _leads(route.resource, request.path)}
    takes = ", ".join(sorted(there))
    if there and request.headers.get("upgrade", "").lower() == "websocket":
        # Codex asks for a WebSocket first, and falls back to a POST at this status
        fault = failure("upgrade_required", "No WebSocket here; send the request by POST.")
    elif there:
        fault = failure("method_not_allowed", f"This path takes {takes}, not {request.method}.")
    else:
        fault = failure("not_found", "No such path; the proxy's start-up message lists the address of each protocol.")
    whole = request.app[_GATEWAY].reject(_protocol_of(request), fault)
    if there:
        # "The origin server MUST generate an Allow header field in a 405 response"
        # https://www.rfc-editor.org/rfc/rfc9110#section-15.5.6
        whole.headers["allow"] = takes
    return _response(whole)


def _leads(resource: web.AbstractResource, path: str) -> bool:
    info = resource.get_info()
    pattern = info.get("pattern")
    return pattern.fullmatch(path) is not None if pattern is not None else info.get("path") == path


def _protocol_of(request: web.Request) -> Protocol:
    """Whose shape an error has where no handler was found: by the path's family, else by what each one's clients send.

    `/v1/models/` is of three families; only Gemini's clients post below it.
    """
    for name, roots in _FAMILIES.items():
        if request.path.startswith(roots):
            return PROTOCOLS[name]
    return PROTOCOLS[by_signs(request.headers, request.query)]


# ---- around the chat -------------------------------------------------------------------------------------------------


async def _livez(request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _readyz(request: web.Request) -> web.Response:
    gateway = request.app[_GATEWAY]
    if gateway.draining:
        return web.Response(status=503, text="draining\n")
    # an older config serves as well as ever, so the proxy is ready; who reads on learns what is wrong with the newest
    complaints = [
        f"the newest config was refused, the one before it serves: {line}" for line in gateway.config_complaints
    ]
    return web.Response(text="\n".join(["ready", *complaints, ""]))


async def _metrics(request: web.Request) -> web.Response:
    gateway = request.app[_GATEWAY]
    return web.Response(body=gateway.rendered_metrics(), headers={"content-type": gateway.metrics.content_type})


async def _record(request: web.Request) -> web.Response:
    """What happened to one request; for the machine itself or an admin, as it tells the plan."""
    gateway = request.app[_GATEWAY]
    record = gateway.records.get(request.match_info["id"]) if _is_admin(request, gateway) else None
    if record is None:
        whole = gateway.reject(PROTOCOLS["openai-chat"], failure("not_found", "No record of this request."))
        return _response(whole)
    return _json(record.rendered())


async def _explain(request: web.Request) -> web.Response:
    """What would become of a request, without sending it; for the machine itself or an admin."""
    gateway, protocol = request.app[_GATEWAY], PROTOCOLS["openai-chat"]
    if not _is_admin(request, gateway):
        return _response(gateway.reject(protocol, failure("not_found", "No such path for this caller.")))
    body = await _read(request)
    if isinstance(body, Failure):
        return _response(gateway.reject(protocol, body))
    try:
        return _json(explain(gateway.config, wire.parse_object(body), gateway.health.down(gateway.now())))
    except Malformed as fault:
        fault_told = failure("bad_request", f"Invalid request: {fault}.", param=fault.path or None)
    except RecursionError:
        fault_told = failure("bad_request", "Invalid request: nested too deeply.")
    return _response(gateway.reject(protocol, fault_told))


def _is_admin(request: web.Request, gateway: Gateway) -> bool:
    """Whether this caller may see records: from the machine itself, or with the config's admin key."""
    if request.remote in _LOOPBACK:
        return True
    key = gateway.config.settings.admin_key
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    return key is not None and compare_digest(given.encode(errors="surrogateescape"), key.encode())


def _json(value: object) -> web.Response:
    return web.Response(body=wire.encode(value), content_type="application/json", headers=SERVER)


# ---- running ---------------------------------------------------------------------------------------------------------


def make_runner(app: web.Application) -> web.AppRunner:
    """What serves this app on sockets."""
    logger = logging.getLogger("crosswire.http")
    logger.addFilter(_is_ours)
    return web.AppRunner(
        app,
        # without it a client that leaves before the first byte is never noticed
        handler_cancellation=True,
        access_log=None,
        logger=logger,
        shutdown_timeout=min(app[_GATEWAY].config.settings.drain_s, _LAST_WRITES_S),
    )


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a log record of the HTTP server tells of a fault in the proxy; broken HTTP is whoever's sent it."""
    return not (record.exc_info and isinstance(record.exc_info[1], _BROKEN_HTTP))


async def serve(
    app: web.Application,
    host: str,
    port: int,
    *,
    started: Callable[[int], None],
    load: Callable[[], Config] | None = None,
    file: Path | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, then drain: no new requests, and those under way may end. A second signal cuts.

    `load` reads the config again, at SIGHUP and when `file` changed.
    """
    gateway = app[_GATEWAY]
    settings = gateway.config.settings
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
        if load is not None:
            reloader = Reloader(gateway, load, file)
            watching.add(asyncio.ensure_future(reloader.watch()))
            # a task that nobody holds may be collected before it ends
            loop.add_signal_handler(signal.SIGHUP, lambda: watching.add(asyncio.ensure_future(reloader.reload())))
        # what lives as long as the proxy need not be looked at in every collection
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 50)
        started(runner.addresses[0][1])
        await stop.wait()
        stop.clear()
        gateway.draining = True
        if not gateway.idle.is_set():
            log.warning("draining: requests under way have %g s to end", settings.drain_s)
            # the socket goes on listening, so that /readyz can say 503 and new requests hear why
            ends = (asyncio.ensure_future(gateway.idle.wait()), asyncio.ensure_future(stop.wait()))
            await asyncio.wait(ends, timeout=settings.drain_s, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()
            gateway.cut()
    finally:
        for task in watching:
            task.cancel()
        await runner.cleanup()
