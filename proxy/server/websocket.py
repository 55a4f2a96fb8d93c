"""Serves chats over a WebSocket: each message of the client is a request, its events are the answer.

Every turn goes through the gateway as a POST does, so its routing, limits, records and failures are the same.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp.http import WSMessageNoDecodeText
from msgspec.structs import replace

from ..clients.client import Client
from ..errors import Malformed, failure
from ..gateway.chat_handler import ChatRequest
from ..gateway.context import RETRY_AFTER_S
from ..gateway.gateway import Gateway
from ..gateway.runtime import LARGE
from ..gateway.stream_writer import ClientGone
from ..headers import SERVER
from ..ir import Failure
from ..protocols.protocol import Protocol, SocketSession, UrlParams
from ..wire.json_bounds import check_bounds
from .requests import read_headers
from .responses import to_aiohttp

CLOSE_S = 2.0
"""Seconds for a client to answer the end of its connection."""

_SOON_S = 0.01
"""Seconds by which a timer may be early."""


def wants_websocket(request: web.Request) -> bool:
    """Returns whether the request asks for an upgrade to a WebSocket."""
    return request.headers.get("upgrade", "").lower() == "websocket"


async def serve_websocket(request: web.Request, gateway: Gateway, protocol: Protocol) -> web.StreamResponse:
    """Answers an upgrade, then serves the connection until one side ends it, it is idle, or has lasted too long."""
    settings = gateway.config.settings
    socket: web.WebSocketResponse[Literal[False]] = web.WebSocketResponse(
        timeout=CLOSE_S,
        heartbeat=settings.keepalive_s,
        compress=False,  # aiohttp bounds a message only after it is decompressed
        max_msg_size=settings.body_limit,
        decode_text=False,
    )
    if (fault := _refusal(request, gateway, socket)) is not None:
        return to_aiohttp(gateway.reject(protocol, fault))
    assert protocol.socket is not None  # noqa: S101 - only such protocols have this route
    socket.headers.update(SERVER)
    await socket.prepare(request)
    gateway.sockets += 1
    connection = SocketConnection(
        gateway, protocol, socket, protocol.socket(settings.body_limit), partial(_identify, request, gateway)
    )
    try:
        await connection.run(read_headers(request, protocol))
    finally:
        gateway.sockets -= 1
    return socket


def _refusal(request: web.Request, gateway: Gateway, socket: web.WebSocketResponse[Literal[False]]) -> Failure | None:
    limits = gateway.config.settings.limits
    if not gateway.config.settings.websockets:
        # Codex asks for a WebSocket first, and falls back to a POST at this status
        return failure("upgrade_required", "WebSockets are turned off (websockets); send the request by POST.")
    if gateway.draining:
        return failure("draining", "The proxy is shutting down; try again elsewhere.")
    if gateway.sockets >= limits.sockets:
        text = "The proxy has as many WebSockets as it takes (limits.sockets); send the request by POST."
        return replace(failure("overloaded", text), retry_after=RETRY_AFTER_S)
    if not socket.can_prepare(request):
        return failure("bad_request", "This is no WebSocket handshake of version 13; send the request by POST.")
    return None


def _identify(request: web.Request, gateway: Gateway) -> Client | Failure | None:
    """The client of a connection as it is now: its key may have ended since the upgrade."""
    if gateway.config.clients is None:
        return None
    return gateway.config.clients.identify(request.headers, request.query, gateway.clock())


class SocketConnection:
    """One open WebSocket: its turns come one after the other, and a client that leaves ends the one under way."""

    def __init__(
        self,
        gateway: Gateway,
        protocol: Protocol,
        socket: web.WebSocketResponse[Literal[False]],
        session: SocketSession,
        identify: Callable[[], Client | Failure | None],
    ) -> None:
        self._identify = identify
        self._gateway = gateway
        self._protocol = protocol
        self._socket = socket
        self._session = session
        self._size = 0
        """Bytes of the last request's body, which the next one is likely to have too."""

    async def run(self, headers: Mapping[str, str]) -> None:
        """Serves until the end, and tells the client why."""
        loop, limits = asyncio.get_running_loop(), self._gateway.config.settings.limits
        ends = loop.time() + limits.socket_s
        stopping = loop.create_task(self._gateway.stopping.wait())
        reading: asyncio.Task[WSMessageNoDecodeText] | None = loop.create_task(self._socket.receive())
        turn: asyncio.Task[None] | None = None
        waiting: bytes | None = None
        code, why = WSCloseCode.OK, b""
        try:
            while True:
                if turn is None and waiting is not None:
                    turn, waiting = loop.create_task(self._turn(waiting, headers)), None
                if turn is None:
                    if self._gateway.stopping.is_set():
                        code, why = WSCloseCode.GOING_AWAY, b"the proxy is shutting down"
                        return
                    if loop.time() >= ends - _SOON_S:
                        await self._send(self._session.limit_reached())
                        return
                if reading is None and waiting is None:
                    reading = loop.create_task(self._socket.receive())
                tasks = (reading, turn if turn is not None else stopping)
                pending = {task for task in tasks if task is not None}
                left = max(0.0, ends - loop.time())
                idle = None if turn is not None else min(limits.socket_idle_s, left)
                done, _ = await asyncio.wait(pending, timeout=idle, return_when=asyncio.FIRST_COMPLETED)
                if not done and idle != left:
                    code, why = WSCloseCode.GOING_AWAY, b"idle for limits.socket_idle_s"
                    return
                if turn is not None and turn.done():
                    if turn.cancelled():  # at the end of a drain
                        code, why = WSCloseCode.GOING_AWAY, b"the answer was cut off"
                        return
                    turn.result()
                    turn = None
                if reading is not None and reading.done():
                    message, reading = reading.result(), None
                    if message.type is WSMsgType.BINARY:
                        code, why = WSCloseCode.UNSUPPORTED_DATA, b"messages must be text"
                        return
                    if message.type is not WSMsgType.TEXT:
                        return  # the client ended the connection, or broke its rules, and heard so already
                    waiting = message.data
        except (ClientGone, ConnectionError):
            return
        finally:
            left_over = [task for task in (reading, turn, stopping) if task is not None]
            for task in left_over:
                task.cancel()
            await asyncio.gather(*left_over, return_exceptions=True)
            with contextlib.suppress(ConnectionError):
                await self._socket.close(code=code, message=why)

    async def _turn(self, message: bytes, headers: Mapping[str, str]) -> None:
        """Answers one message; raises ClientGone where the client left."""
        gateway, protocol = self._gateway, self._protocol
        settings = gateway.config.settings
        try:
            if max(len(message), self._size) < LARGE:
                body = self._begin(message)
            else:
                body = await gateway.off_loop(partial(self._begin, message))
        except Malformed as fault:
            error = failure("bad_request", f"Invalid request: {fault}.", param=fault.path or None)
            response = gateway.reject(protocol, error)
        else:
            if len(body) > settings.body_limit:
                text = f"The conversation has more than {settings.body_limit} bytes; raise body_limit to allow it."
                response = gateway.reject(protocol, failure("too_large", text))
            elif isinstance(client := self._identify(), Failure):
                response = gateway.reject(protocol, client)
            else:
                writer = SocketWriter(self._socket, self._session)
                answer = await gateway.handle_chat(ChatRequest(protocol, UrlParams(), headers, body, client), writer)
                if answer is None:
                    return
                response = answer
        await self._send(self._session.error(response.status, response.body))

    def _begin(self, message: bytes) -> bytes:
        """The body of the request that a message stands for; raises Malformed."""
        limits = self._gateway.config.settings.limits
        check_bounds(message, limits)
        body = self._session.begin(message)
        if len(body) > len(message):
            check_bounds(body, limits)
        self._size = len(body)
        return body

    async def _send(self, message: bytes) -> None:
        try:
            await self._socket.send_frame(message, WSMsgType.TEXT)
        except ConnectionError:
            raise ClientGone from None


class SocketWriter:
    """A streamed answer as messages of a WebSocket, which stays open when the answer ends, well or not."""

    has_headers = False
    write_now = None

    def __init__(self, socket: web.WebSocketResponse[Literal[False]], session: SocketSession) -> None:
        self._socket = socket
        self._session = session

    async def open(self, headers: Mapping[str, str]) -> None:
        """Does nothing: a message has no headers."""

    async def write(self, data: bytes) -> None:
        messages = self._session.messages(data)
        try:
            for message in messages:
                await self._socket.send_frame(message, WSMsgType.TEXT)
            if not messages:
                await self._socket.ping()
        except ConnectionError:
            raise ClientGone from None

    async def end(self) -> None:
        """Does nothing: the last event ends the answer."""

    def abort(self) -> None:
        """Does nothing: the last event says that the answer failed."""
