"""Makes a connection for each client: of aiohttp's kind, or where httptools is there one that serves plain chats."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from ..gateway.gateway import Gateway
from ..protocols import PROTOCOLS
from .connection import ClientConnection, Connections

try:
    from .chat_connection import ChatConnection
    from .plain_chat import PlainChats
except ImportError:  # without the extra `speed`
    HAS_PARSER = False
else:
    HAS_PARSER = True


class LimitedServer(web.Server):
    """A server whose connections keep limits of their heads, their silence and their number."""

    def __init__(self, server: web.Server, gateway: Gateway, connections: Connections) -> None:
        super().__init__(
            server.request_handler,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            **server._kwargs,
        )
        self._options = server._kwargs
        self.clients = connections
        """The connections of clients, whichever code serves them."""
        self._make: Callable[[], asyncio.Protocol] = self._aiohttp_connection
        if HAS_PARSER:
            chats = PlainChats(PROTOCOLS.values())
            self._make = lambda: ChatConnection(gateway, connections, chats, self._aiohttp_connection)

    def _aiohttp_connection(self) -> RequestHandler:
        return ClientConnection(self, connections=self.clients, loop=self._loop, **self._options)

    def __call__(self) -> asyncio.Protocol:  # type: ignore[override] # a server of asyncio takes any
        return self._make()

    def pre_shutdown(self) -> None:
        super().pre_shutdown()
        for connection in self._chat_connections():
            connection.close()

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - aiohttp's own
        own = (connection.shutdown(timeout or 0.0) for connection in self._chat_connections())
        await asyncio.gather(super().shutdown(timeout), *own)

    def _chat_connections(self) -> list[ChatConnection]:
        return [each for each in self.clients.open if HAS_PARSER and isinstance(each, ChatConnection)]
