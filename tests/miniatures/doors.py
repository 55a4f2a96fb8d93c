"""A miniature proxy: a front door before an honest proxy and a back door behind it, and a lie that works at either.

It knows HTTP and hands bytes on; what is changed in them is the lie's affair.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import msgspec
from aiohttp import web
from msgspec import Struct
from msgspec.structs import replace

from conformance.bench import Answer, Bench, proxy_config, route_config
from conformance.cells import Cell
from mockserver.scenario import Story

HOP = ("connection", "content-length", "date", "host", "keep-alive", "server", "transfer-encoding")
"""Headers of one connection, which each hop says anew."""


class Asked(Struct, frozen=True):
    """A request at one of the doors."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value

    def with_json(self, value: Any) -> Asked:
        return replace(self, body=msgspec.json.encode(value))


class Scene(Struct, frozen=True):
    """What a lie may know: the cell, its provider's protocol and key, and what the client asked last."""

    cell: Cell
    protocol: str
    key: str
    client: Asked = Asked("", "", {}, b"")


Ask: TypeAlias = Callable[[Scene, Asked], Asked]
Tell: TypeAlias = Callable[[Scene, Answer], Answer]


def _same_request(scene: Scene, asked: Asked) -> Asked:
    return asked


def _same_answer(scene: Scene, answer: Answer) -> Answer:
    return answer


def _same_record(record: dict[str, Any]) -> dict[str, Any] | None:
    return record


class Lie(Struct, frozen=True):
    """What a miniature does to what passes through it; an empty one is honest.

    `up` changes the request between proxy and provider, `down` the answer between proxy and client, `record` what
    the record says. `twice` sends every request upstream twice, `beside` sends one more to somebody else, `canned`
    answers without asking anybody.
    """

    up: Ask = _same_request
    down: Tell = _same_answer
    record: Callable[[dict[str, Any]], dict[str, Any] | None] = _same_record
    twice: bool = False
    beside: Ask | None = None
    canned: Callable[[Scene], Answer] | None = None


HONEST = Lie()


class Miniature:
    """Both doors and the honest proxy between them, on a bench; one lie at a time."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._lie = HONEST
        self._scene: Scene | None = None
        self._core_url = self._all_url = self._back_url = ""
        self._routed: dict[str, str] = {}
        self.url = ""

    async def open(self) -> None:
        """Start on the bench; it closes with the bench."""
        self._back_url = await self._bench.start(_app(self._back))
        self._all_url = await self._bench.start_proxy(proxy_config(self._bench.scenarios, self._back_url))
        self.url = await self._bench.start(_app(self._front))

    @contextmanager
    def telling(self, lie: Lie, cell: Cell) -> Iterator[str]:
        """Tell this lie while the cell is played; the URL to play it against."""
        self._lie = lie
        scenarios = self._bench.scenarios
        story = scenarios.stories[cell.story]
        if story.proxy is None:
            provider, self._core_url = scenarios.providers[cell.provider], self._all_url
        else:
            first, plays = next(iter(story.backends.items()))
            provider, self._core_url = scenarios.providers[plays].account(first), self._core_of(story)
        self._scene = Scene(cell, provider.protocol, provider.auth.key)
        try:
            yield self.url
        finally:
            self._lie, self._scene = HONEST, None

    def _core_of(self, story: Story) -> str:
        """The honest proxy of a story's own config."""
        if story.name not in self._routed:
            config = route_config(story, self._bench.scenarios.providers, self._back_url)
            self._routed[story.name] = self._bench.wait(self._bench.start_proxy(config))
        return self._routed[story.name]

    async def _front(self, request: web.Request) -> web.StreamResponse:
        asked = await _asked(request)
        if asked.path.startswith("/crosswire/requests/"):
            return await self._told_record(request, asked)
        assert self._scene is not None
        self._scene = replace(self._scene, client=asked)
        if self._lie.canned is not None:
            return await _send(request, self._lie.canned(self._scene))
        answer = await self._pass_on(self._core_url, asked)
        return await _send(request, self._lie.down(self._scene, answer))

    async def _told_record(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        answer = await self._pass_on(self._core_url, asked)
        if answer.status != 200:
            return await _send(request, answer)
        told = self._lie.record(json.loads(answer.body))
        if told is None:
            return web.Response(status=404)
        return await _send(request, replace(answer, body=msgspec.json.encode(told)))

    async def _back(self, request: web.Request) -> web.StreamResponse:
        assert self._scene is not None
        asked = self._lie.up(self._scene, await _asked(request))
        if self._lie.beside is not None:
            await self._pass_on(self._bench.mock_url, self._lie.beside(self._scene, asked))
        if self._lie.twice:
            await self._pass_on(self._bench.mock_url, asked)
        return await _send(request, await self._pass_on(self._bench.mock_url, asked))

    async def _pass_on(self, url: str, asked: Asked) -> Answer:
        return await self._bench.send(asked.method, url + asked.path, asked.headers, asked.body)


def _app(handler: Callable[[web.Request], Any]) -> web.Application:
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{rest:.*}", handler)
    return app


async def _asked(request: web.Request) -> Asked:
    headers = {name.lower(): value for name, value in request.headers.items() if name.lower() not in HOP}
    return Asked(request.method, request.rel_url.raw_path_qs, headers, await request.read())


async def _send(request: web.Request, answer: Answer) -> web.StreamResponse:
    headers = {name: value for name, value in answer.headers.items() if name not in HOP}
    response = web.StreamResponse(status=answer.status, headers=headers)
    await response.prepare(request)
    await response.write(answer.body)
    if answer.broken and request.transport is not None:
        request.transport.close()
    else:
        await response.write_eof()
    return response
