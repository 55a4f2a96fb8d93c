"""The proxy as an aiohttp application: its routes, and a handler for each kind of request."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from aiohttp import HttpVersion11, web

from ..balance.strategy import Dice
from ..config import Config, load_file
from ..endpoints.table import EndpointRow, answer_endpoint, endpoints
from ..errors import failure
from ..gateway.backend_factory import make_backend
from ..gateway.chat_handler import ChatRequest
from ..gateway.endpoint_handler import EndpointRequest
from ..gateway.gateway import Gateway
from ..gateway.ids import random_ids
from ..gateway.runtime import Ids, MakeBackend
from ..gateway.stream_writer import ClientGone
from ..ir import Failure
from ..observability.record_log import RecordFiles, StageLog
from ..protocols import PROTOCOLS, detect_client_protocol, protocol_of_path
from ..protocols.protocol import Protocol, UrlParams
from ..state.interface import State
from . import admin, page
from .access import add_cors_headers, check_access, content_type_failure
from .requests import chat_url, read_body, read_headers, with_deployment
from .responses import AiohttpResponseWriter, to_aiohttp
from .state import GATEWAY, client_of
from .websocket import serve_websocket, wants_websocket

_ANY = r"[\s\S]*"  # a dot would not match a line end, which percent-encoded may stand in any path

SOCKET_PATHS = frozenset(
    path for protocol in PROTOCOLS.values() if protocol.socket is not None for path in protocol.paths if "{" not in path
)
"""Paths on which a GET is a WebSocket."""

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(
    config: Config | Path,
    *,
    clock: Callable[[], float] = time.time,
    ids: Ids = random_ids,
    stage_log: Path | None = None,
    records: Path | None = None,
    env: Mapping[str, str] = os.environ,
    instance: str | None = None,
    state: State | None = None,
    make_backend: MakeBackend = make_backend,
    dice: Dice = random.random,
    stopwatch: Callable[[], float] = time.perf_counter,
) -> web.Application:
    """The proxy for this config, or for the config in this file. `clock` gives unix seconds, `ids` a request's ids.

    `env` resolves such a file's `${NAME}` and the variables beside it. `stage_log` is a file for the stages of each
    request, `records` a folder for a record of each. `instance` is the id that the workers of one proxy share,
    and `state` the state of limits that they do. `dice` choose among equal targets, whose answers are timed with the
    `stopwatch`.
    """
    if isinstance(config, Path):
        config = load_file(config, env)
    limits = config.settings.log_buffer, config.settings.log_end_s
    stages = StageLog(stage_log, *limits) if stage_log is not None else None
    files = RecordFiles(records, *limits) if records is not None else None
    gateway = Gateway(
        config,
        make_backend,
        clock=clock,
        ids=ids,
        stages=stages,
        record_files=files,
        instance=instance,
        state=state,
        dice=dice,
        stopwatch=stopwatch,
    )
    app = web.Application(middlewares=[check_access])
    app.on_response_prepare.append(add_cors_headers)
    app.on_response_prepare.append(_end_connection)
    app[GATEWAY] = gateway
    router = app.router
    for protocol in (each for one in PROTOCOLS.values() for each in (one, *one.dialects)):
        for path in protocol.paths:
            router.add_post(_pattern(path), _chat_handler(gateway, protocol), expect_handler=_answer_expectation)
            if protocol.socket is not None and path in SOCKET_PATHS:
                router.add_get(_pattern(path), _socket_handler(gateway, protocol), allow_head=False)
    for row in endpoints():
        for path in row.endpoint.paths:
            handler = _endpoint_handler(gateway, row)
            if row.endpoint.verb == "GET":
                router.add_get(_pattern(path, _not_a_method()), handler)  # and HEAD with it
            else:
                router.add_route(row.endpoint.verb, _pattern(path), handler, expect_handler=_answer_expectation)
    admin.add_routes(router)
    page.add_routes(app)
    router.add_route("*", "/{path:" + _ANY + "}", _no_route, expect_handler=_answer_expectation)  # last

    async def start(_: web.Application) -> None:
        gateway.limits.start()
        gateway.start()

    async def close(_: web.Application) -> None:
        await gateway.close()

    app.on_startup.append(start)
    app.on_cleanup.append(close)
    return app


def gateway_of(app: web.Application) -> Gateway:
    """The gateway behind this application."""
    return app[GATEWAY]


async def _end_connection(request: web.Request, response: web.StreamResponse) -> None:
    """Ends the connection with this answer, where a successor takes the next one."""
    if request.app[GATEWAY].retiring:
        response.force_close()


def _chat_handler(gateway: Gateway, protocol: Protocol) -> Handler:
    """The handler of one protocol's chats, and of what else clients post to the same path."""

    async def handle(request: web.Request) -> web.StreamResponse:
        body = content_type_failure(request, protocol) or await read_body(request)
        if isinstance(body, Failure):
            return to_aiohttp(gateway.reject(protocol, body))
        url = chat_url(request)
        endpoint = protocol.methods.get(url.method) if url.method is not None else None
        if endpoint is not None:
            url = UrlParams(url.model, endpoint.method, url.alt)
            return to_aiohttp(await answer_endpoint(gateway, endpoint, _endpoint_request(request, protocol, url, body)))
        writer = AiohttpResponseWriter(request)
        try:
            response = await gateway.handle_chat(
                ChatRequest(
                    protocol, url, read_headers(request, protocol), with_deployment(request, body), client_of(request)
                ),
                writer,
            )
        except ClientGone:
            return writer.response
        # what has begun is never followed by a second response
        return writer.response if response is None or writer.response.prepared else to_aiohttp(response)

    return handle


def _socket_handler(gateway: Gateway, protocol: Protocol) -> Handler:
    """The handler of a protocol's WebSockets; a GET that asks for none has no route here."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if not wants_websocket(request):
            return await _no_route(request)
        return await serve_websocket(request, gateway, protocol)

    return handle


def _endpoint_handler(gateway: Gateway, row: EndpointRow) -> Handler:
    """The handler of one endpoint beside the chat."""

    async def handle(request: web.Request) -> web.StreamResponse:
        protocol = row.protocol or detect_client_protocol(request.headers, request.query)
        body: bytes | Failure = b""
        if row.endpoint.has_body:
            body = content_type_failure(request, protocol) or await read_body(request)
        if isinstance(body, Failure):
            return to_aiohttp(gateway.reject(protocol, body))
        body = with_deployment(request, body)
        url = UrlParams(request.match_info.get("tail") or request.match_info.get("name"), row.endpoint.method)
        return to_aiohttp(await answer_endpoint(gateway, row.endpoint, _endpoint_request(request, protocol, url, body)))

    return handle


def _endpoint_request(request: web.Request, protocol: Protocol, url: UrlParams, body: bytes) -> EndpointRequest:
    query = tuple(request.query.items())
    fields = read_headers(request, protocol)
    return EndpointRequest(protocol, request.method, url, fields, query, body, client_of(request))


async def _no_route(request: web.Request) -> web.Response:
    """No such path, or not with this method: an error in the shape of the client that asked."""
    routes = [route for route in request.app.router.routes() if route.resource and route.handler is not _no_route]
    methods = {route.method for route in routes if route.resource and _matches(route.resource, request.path)}
    if request.path in SOCKET_PATHS:
        methods.discard("GET")  # which alone asks for an upgrade
    allowed = ", ".join(sorted(methods))
    if methods and wants_websocket(request):
        error = failure("upgrade_required", "This path has no WebSockets; send the request by POST.")
    elif methods:
        error = failure("method_not_allowed", f"This path takes {allowed}, not {request.method}.")
    else:
        error = failure("not_found", "No such path; the proxy's start-up message lists the address of each protocol.")
    protocol = protocol_of_path(request.path) or detect_client_protocol(request.headers, request.query)
    response = request.app[GATEWAY].reject(protocol, error)
    if methods:
        # "The origin server MUST generate an Allow header field in a 405 response"
        # https://www.rfc-editor.org/rfc/rfc9110#section-15.5.6
        response.headers["allow"] = allowed
    return to_aiohttp(response)


async def _answer_expectation(request: web.Request) -> web.Response | None:
    """Asks for the body that a client holds back; any other expectation is refused in the client's shape.

    "A server that receives an Expect field value containing a member other than 100-continue MAY respond with a 417
    (Expectation Failed) status code" https://www.rfc-editor.org/rfc/rfc9110#section-10.1.1
    """
    if request.version < HttpVersion11:
        return None
    if request.headers["expect"].lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # it is no part of the answer
        return None
    protocol = protocol_of_path(request.path) or detect_client_protocol(request.headers, request.query)
    text = "The proxy knows no expectation but 100-continue in `expect`."
    return to_aiohttp(request.app[GATEWAY].reject(protocol, failure("expectation", text)))


def _pattern(path: str, but: str = "") -> str:
    """The path as the router takes it: a model's name may hold anything, but not match the expression `but`."""
    return path.replace("{tail}", "{tail:" + but + _ANY + "}")


def _not_a_method() -> str:
    """Rules out, for a model that is to be shown, a name with a method that clients post to the same path."""
    methods = [method for protocol in PROTOCOLS.values() for method in (*protocol.chat_methods, *protocol.methods)]
    return rf"(?!{_ANY}:(?:{'|'.join(methods)})$)"


def _matches(resource: web.AbstractResource, path: str) -> bool:
    info = resource.get_info()
    pattern = info.get("pattern")
    return pattern.fullmatch(path) is not None if pattern is not None else info.get("path") == path
