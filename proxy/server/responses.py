"""Writes HTTP responses: in one piece, as JSON, or as a stream."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping

from aiohttp import web

from .. import headers
from ..gateway.context import HttpResponse
from ..gateway.stream_writer import ClientGone
from ..wire import json_fields
from .connection import ClientConnection


def to_aiohttp(response: HttpResponse) -> web.Response:
    return web.Response(status=response.status, headers=response.headers | headers.SERVER, body=response.body)


def json_response(value: object) -> web.Response:
    return web.Response(body=json_fields.encode(value), content_type="application/json", headers=headers.SERVER)


class AiohttpResponseWriter:
    """A streamed response on an aiohttp connection."""

    has_headers = True
    write_now = None

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.response: web.StreamResponse = web.Response()

    async def open(self, fields: Mapping[str, str]) -> None:
        self.response = web.StreamResponse(headers={**fields, **headers.SERVER, "cache-control": "no-cache"})
        await self._to_client(self.response.prepare(self._request))

    async def write(self, data: bytes) -> None:
        await self._to_client(self.response.write(data))
        connection = self._request.protocol
        if connection.writing_paused and isinstance(connection, ClientConnection):
            await self._to_client(connection.until_writable())

    async def end(self) -> None:
        await self._to_client(self.response.write_eof())

    async def _to_client(self, sending: Awaitable[object]) -> None:
        try:
            await sending
        except ConnectionError:
            raise ClientGone from None

    def abort(self) -> None:
        # close() flushes what was written; without write_eof the last chunk never goes, so the break can be seen
        if self._request.transport is not None:
            self._request.transport.close()
