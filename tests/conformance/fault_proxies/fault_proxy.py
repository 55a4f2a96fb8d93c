"""A proxy with a fault: it wraps a correct proxy on both sides, and changes requests, replies or records on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import msgspec
from aiohttp import web
from msgspec import Struct
from msgspec.structs import replace

from crosswire.conformance.harness.testbed import HttpResponse, Testbed, proxy_config, route_config
from crosswire.conformance.matrix.result import Cell
from crosswire.mockserver.scenarios.story import Story

HOP_HEADERS = ("connection", "content-length", "date", "host", "keep-alive", "server", "transfer-encoding")
"""Headers of a single connection, which each hop sets itself."""


class ProxiedRequest(Struct, frozen=True):
    """A request as it arrives from the client, or from the wrapped proxy."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value

    def with_json(self, value: Any) -> ProxiedRequest:
        return replace(self, body=msgspec.json.encode(value))


class FaultContext(Struct, frozen=True):
    """The inputs of a fault: the cell, its provider's protocol and key, and the client's last request."""

    cell: Cell
    protocol: str
    key: str
    client: ProxiedRequest = ProxiedRequest("", "", {}, b"")


ChangeRequest: TypeAlias = Callable[[FaultContext, ProxiedRequest], ProxiedRequest]
ChangeReply: TypeAlias = Callable[[FaultContext, HttpResponse], HttpResponse]


def _same_request(context: FaultContext, request: ProxiedRequest) -> ProxiedRequest:
    return request


def _same_reply(context: FaultContext, response: HttpResponse) -> HttpResponse:
    return response


def _same_record(record: dict[str, Any]) -> dict[str, Any] | None:
    return record


class Fault(Struct, frozen=True):
    """The changes that a fault proxy makes; an empty one makes none.

    `up` changes the request between proxy and provider, `down` the reply between proxy and client, `record` the request
    record. `twice` sends every request upstream twice, `beside` sends another request besides, `canned` replies without
    any upstream request.
    """

    up: ChangeRequest = _same_request
    down: ChangeReply = _same_reply
    record: Callable[[dict[str, Any]], dict[str, Any] | None] = _same_record
    twice: bool = False
    beside: ChangeRequest | None = None
    canned: Callable[[FaultContext], HttpResponse] | None = None


NO_FAULT = Fault()


class FaultProxy:
    """The correct proxy and both sides around it, on a test bed; one fault at a time."""

    def __init__(self, testbed: Testbed) -> None:
        self._testbed = testbed
        self._fault = NO_FAULT
        self._context: FaultContext | None = None
        self._proxy_url = self._shared_proxy_url = self._upstream_url = ""
        self._routed: dict[str, str] = {}
        self.url = ""

    async def open(self) -> None:
        """Starts on the test bed and closes with it."""
        self._upstream_url = await self._testbed.start(_app(self._send_upstream))
        self._shared_proxy_url = await self._testbed.start_proxy(
            proxy_config(self._testbed.scenarios, self._upstream_url)
        )
        self.url = await self._testbed.start(_app(self._receive))

    @contextmanager
    def injecting(self, fault: Fault, cell: Cell) -> Iterator[str]:
        """Applies a fault while a cell is played; yields the URL to play it against."""
        self._fault = fault
        scenarios = self._testbed.scenarios
        story = scenarios.stories[cell.story]
        if story.proxy is None:
            provider, self._proxy_url = scenarios.providers[cell.provider], self._shared_proxy_url
        else:
            first, provider_name = next(iter(story.backends.items()))
            provider, self._proxy_url = scenarios.providers[provider_name].account(first), self._proxy_for(story)
        self._context = FaultContext(cell, provider.protocol, provider.auth.key)
        try:
            yield self.url
        finally:
            self._fault, self._context = NO_FAULT, None

    def _proxy_for(self, story: Story) -> str:
        """Returns the URL of the correct proxy with the story's own config."""
        if story.name not in self._routed:
            config = route_config(story, self._testbed.scenarios.providers, self._upstream_url)
            self._routed[story.name] = self._testbed.wait(self._testbed.start_proxy(config))
        return self._routed[story.name]

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        received = await _received_request(request)
        if received.path.startswith("/crosswire/requests/"):
            return await self._changed_record(request, received)
        assert self._context is not None
        self._context = replace(self._context, client=received)
        if self._fault.canned is not None:
            return await _send(request, self._fault.canned(self._context))
        response = await self._pass_on(self._proxy_url, received)
        return await _send(request, self._fault.down(self._context, response))

    async def _changed_record(self, request: web.Request, received: ProxiedRequest) -> web.StreamResponse:
        response = await self._pass_on(self._proxy_url, received)
        if response.status != 200:
            return await _send(request, response)
        record = self._fault.record(json.loads(response.body))
        if record is None:
            return web.Response(status=404)
        return await _send(request, replace(response, body=msgspec.json.encode(record)))

    async def _send_upstream(self, request: web.Request) -> web.StreamResponse:
        assert self._context is not None
        received = self._fault.up(self._context, await _received_request(request))
        if self._fault.beside is not None:
            await self._pass_on(self._testbed.mock_url, self._fault.beside(self._context, received))
        if self._fault.twice:
            await self._pass_on(self._testbed.mock_url, received)
        return await _send(request, await self._pass_on(self._testbed.mock_url, received))

    async def _pass_on(self, url: str, request: ProxiedRequest) -> HttpResponse:
        return await self._testbed.send(request.method, url + request.path, request.headers, request.body)


def _app(handler: Callable[[web.Request], Any]) -> web.Application:
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{rest:.*}", handler)
    return app


async def _received_request(request: web.Request) -> ProxiedRequest:
    headers = {name.lower(): value for name, value in request.headers.items() if name.lower() not in HOP_HEADERS}
    return ProxiedRequest(request.method, request.rel_url.raw_path_qs, headers, await request.read())


async def _send(request: web.Request, reply: HttpResponse) -> web.StreamResponse:
    headers = {name: value for name, value in reply.headers.items() if name not in HOP_HEADERS}
    response = web.StreamResponse(status=reply.status, headers=headers)
    await response.prepare(request)
    await response.write(reply.body)
    if reply.broken and request.transport is not None:
        request.transport.close()
    else:
        await response.write_eof()
    return response
