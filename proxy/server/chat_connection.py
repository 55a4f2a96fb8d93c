"""A client's connection that serves plain chats itself, at a third of the cost of aiohttp's.

Any other request is handed over to aiohttp's handler, with all bytes that came, and the connection stays there. It is
used where httptools is installed (the extra `speed`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import cast

from aiohttp.helpers import rfc822_formatted_time
from aiohttp.tcp_helpers import tcp_keepalive
from aiohttp.web_protocol import RequestHandler
from msgspec import Struct

from ..config.settings import Settings
from ..errors import Malformed
from ..gateway.chat_handler import ChatRequest
from ..gateway.context import HttpResponse
from ..gateway.gateway import Gateway
from ..gateway.stream_writer import ClientGone
from ..headers import SERVER
from ..wire.json_bounds import BoundsScan, check_bounds
from .body import late_body
from .connection import WRITE_BUFFER, Connections, as_bytes
from .plain_chat import KnownHead, PlainChat, PlainChats
from .reader_watch import ReaderWatch

log = logging.getLogger("crosswire.http")

IDLE_S = 3630.0
"""Seconds that a connection may be idle, as long as aiohttp's."""

EARLY = 64 * 1024
"""Bytes of a next request that are kept while a request is under way, before the socket is paused."""

FEW = 4096
"""Values in a body that are few: what is done with each of them takes less time than a change of threads hides."""

_SERVER = "".join(f"{name}: {value}\r\n" for name, value in SERVER.items())

_REASONS = {status.value: status.phrase for status in HTTPStatus}


class _Coming(Struct):
    """A request whose head has come, and of whose body `missing` bytes are not there yet."""

    chat: PlainChat
    head: bytes
    scan: BoundsScan
    timer: asyncio.TimerHandle
    missing: int
    parts: list[bytes] = []


class ChatConnection(asyncio.Protocol):
    """One connection, and the writer of its streamed answers. `take_over` makes aiohttp's handler for it."""

    has_headers = True

    def __init__(
        self,
        gateway: Gateway,
        connections: Connections,
        chats: PlainChats,
        take_over: Callable[[], RequestHandler],
    ) -> None:
        self._gateway = gateway
        self._connections = connections
        self._chats = chats
        self._take_over = take_over
        self._loop = asyncio.get_running_loop()
        self._known: KnownHead | None = None
        self._coming: _Coming | None = None
        """The request whose body is not there yet."""
        self._task: asyncio.Task[None] | None = None
        """The answer under way."""
        self._early: list[bytes] = []
        """The bytes of a next request that came meanwhile."""
        self._early_size = 0
        self._has_spoken = False
        self._idle_since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        """Until the first byte comes, and from then on to see whether the connection is idle for too long."""
        self._drained: asyncio.Future[None] | None = None
        """Waits for the client to read, while too much waits for it."""
        self.write_now: Callable[[bytes], None] | None = self._write_chunk
        self._is_open = False
        """True once a streamed answer has begun."""
        self._closes = False
        """True if the connection ends with the answer under way."""
        self._is_lost = False

    @property
    def _settings(self) -> Settings:
        return self._gateway.config.settings

    @property
    def is_idle(self) -> bool:
        """True if no request is under way, nor a part of one."""
        return self._task is None and self._coming is None

    # ---- its life ----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._connections.has_room():
            self._hand_over(b"")  # which refuses it
            return
        tcp_keepalive(self._transport)
        self._transport.set_write_buffer_limits(WRITE_BUFFER)
        self._reader = ReaderWatch(self._loop, self._transport, lambda: self._settings.limits.write_s)
        self._connections.admit(self)
        self._timer = self._loop.call_later(self._settings.limits.header_s, self._never_spoke)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._is_lost = self._closes = True
        self.write_now = None
        self._leave()
        self._reader.stop()
        if self._task is not None:
            self._task.cancel()

    def force_close(self) -> None:
        self._transport.close()

    def close(self) -> None:
        """Closes once the request under way is answered."""
        self._closes = True
        if self.is_idle:
            self._transport.close()

    async def shutdown(self, limit_s: float) -> None:
        """Lets the request under way end in time, then cancels it."""
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=limit_s)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,), timeout=limit_s)
        self._transport.close()

    def _leave(self) -> None:
        self._connections.open.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
        if self._coming is not None:
            self._coming.timer.cancel()
        self._timer = self._coming = None

    def _never_spoke(self) -> None:
        self._timer = None
        self._transport.close()

    def _check_idle(self) -> None:
        silent = self._loop.time() - self._idle_since if self.is_idle else 0.0
        if silent >= IDLE_S:
            self._transport.close()
        else:
            self._timer = self._loop.call_later(IDLE_S - silent, self._check_idle)

    def _hand_over(self, received: bytes) -> None:
        """Gives the connection to aiohttp's handler, as if these bytes had come to it."""
        self._leave()
        handler = self._take_over()
        self._transport.set_protocol(handler)
        handler.connection_made(self._transport)
        if received:
            handler.data_received(received)

    # ---- a request ---------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._task is not None:
            self._keep_early(data)
        elif self._coming is None:
            self._begin(data)
        else:
            self._continue(self._coming, data)

    def _keep_early(self, data: bytes) -> None:
        """Keeps what came before its turn."""
        self._early.append(data)
        self._early_size += len(data)
        if self._early_size > EARLY:
            self._transport.pause_reading()

    def _begin(self, data: bytes) -> None:
        """The beginning of a request: its head, which has to be whole, and what follows."""
        if not self._has_spoken and self._timer is not None:
            self._has_spoken = True
            self._timer.cancel()
            self._timer = self._loop.call_later(IDLE_S, self._check_idle)
        end = data.find(b"\r\n\r\n") + 4
        chat = None if end < 4 else self._read_head(data[:end])
        if chat is None:
            self._hand_over(data)
            return
        size = len(data) - end
        if size >= chat.length:  # the most frequent case: all came in one read
            body = data[end : end + chat.length]
            try:
                check_bounds(body, self._settings.limits)
            except Malformed:
                self._hand_over(data)
                return
            if size > chat.length:
                self._keep_early(data[end + chat.length :])
            self._answer(chat, body)
            return
        timer = self._loop.call_later(self._settings.body_timeout_s, self._body_is_late)
        self._coming = _Coming(chat, data[:end], BoundsScan(self._settings.limits), timer, chat.length)
        if size:
            self._continue(self._coming, data[end:])

    def _read_head(self, head: bytes) -> PlainChat | None:
        """The chat that a head begins; None where it is not plain."""
        gateway, settings = self._gateway, self._settings
        clients = gateway.config.clients
        now = 0.0 if clients is None else gateway.clock()  # keys end
        if self._known is not None and (chat := self._known.again(head, settings, clients, now)) is not None:
            return chat
        chat = self._chats.read(head, settings, clients, now)
        self._known = None if chat is None else KnownHead.of(head, settings, clients, chat)
        return chat

    def _continue(self, coming: _Coming, data: bytes) -> None:
        """More of a body."""
        if len(data) > coming.missing:
            self._keep_early(data[coming.missing :])
            data = data[: coming.missing]
        coming.parts.append(data)
        coming.missing -= len(data)
        try:
            coming.scan.feed(data)
        except Malformed:
            self._hand_over(b"".join((coming.head, *coming.parts, *self._early)))
            return
        if not coming.missing:
            coming.timer.cancel()
            self._coming = None
            self._answer(coming.chat, b"".join(coming.parts), is_simple=coming.scan.elements <= FEW)

    def _body_is_late(self) -> None:
        if self._coming is not None:
            self._closes = True
            self._write_whole(self._gateway.reject(self._coming.chat.protocol, late_body(self._settings)))
            self._transport.close()

    def _answer(self, chat: PlainChat, body: bytes, *, is_simple: bool = False) -> None:
        self._closes = self._closes or not chat.keeps_alive
        self._connections.open.pop(self, None)  # the connections that have been idle longest stand first
        self._connections.open[self] = None
        request = ChatRequest(chat.protocol, chat.url, chat.headers, body, chat.client, is_simple)
        self._task = self._loop.create_task(self._run(request))

    async def _run(self, request: ChatRequest) -> None:
        self._is_open = False
        try:
            response = await self._gateway.handle_chat(request, self)
            if response is not None and not self._is_open:
                self._write_whole(response)
            if self._drained is not None:
                await self._drained
        except ClientGone:
            self._closes = True
        except asyncio.CancelledError:
            self._closes = True
            raise
        except Exception:
            # catch-all: what is unexpected outside the gateway becomes a 500 as well; the traceback is logged
            log.exception("Error handling request")
            self._closes = True
            if not self._is_open and not self._is_lost:
                self._transport.write(as_bytes(self._connections.answer("internal", request.frontend.paths[0])))
        finally:
            self._task = None
            self._idle_since = self._loop.time()
            if self._closes:
                self._transport.close()
            elif self._early:
                self._next()

    def _next(self) -> None:
        """Begins with what came meanwhile."""
        early, size, self._early, self._early_size = b"".join(self._early), self._early_size, [], 0
        if size > EARLY:
            self._transport.resume_reading()
        self._begin(early)

    # ---- the answer: a ResponseWriter --------------------------------------------------------------------------------

    def _write_whole(self, response: HttpResponse) -> None:
        own = f"Content-Length: {len(response.body)}\r\n"
        self._transport.write(self._head(response.status, response.headers, own) + response.body)

    async def open(self, headers: Mapping[str, str]) -> None:
        self._is_open = True
        own = "cache-control: no-cache\r\nTransfer-Encoding: chunked\r\n"
        self._transport.write(self._head(200, headers, own))

    async def write(self, data: bytes) -> None:
        if self._is_lost:
            raise ClientGone
        if data:
            self._write_chunk(data)
        if self._drained is not None:
            await self._drained

    def _write_chunk(self, data: bytes) -> None:
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self) -> None:
        self._transport.write(b"0\r\n\r\n")

    def abort(self) -> None:
        self._closes = True
        self._transport.close()  # without the last chunk, so the break can be seen

    def _head(self, status: int, fields: Mapping[str, str], own: str) -> bytes:
        """The head of an answer with these fields and the server's own lines."""
        self._closes = self._closes or self._gateway.retiring
        end = "Connection: close\r\n\r\n" if self._closes else "\r\n"
        lines = "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
        if lines.count("\n") != len(fields) or lines.count("\r") != len(fields):
            raise ValueError("a header of an answer has a line break")
        start = f"HTTP/1.1 {status} {_REASONS.get(status, '')}\r\n"
        return f"{start}{lines}{_SERVER}{own}Date: {rfc822_formatted_time()}\r\n{end}".encode()

    # ---- a client that does not read ---------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        self._drained = self._loop.create_future()
        self.write_now = None
        self._reader.start()

    def resume_writing(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None
        self.write_now = None if self._is_lost else self._write_chunk
        self._reader.stop()
