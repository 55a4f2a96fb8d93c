"""A client's connection: aiohttp's, with limits of its head, its silence and its number.

It relies on names of aiohttp's RequestHandler that are not documented (`_waiter`, `_handle_request`, `_request_count`,
`_payload_parser`); its tests hold that they are there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias
from typing import Protocol as Interface

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from ..config.limits import Limits
from .reader_watch import ReaderWatch

Answer: TypeAlias = Callable[[str, str], web.Response]
"""Makes the error response for a kind of failure and a request's path, which is empty where it is not known."""

Next: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


FRAMING = 1024 * 1024
"""Bytes that the framing of a chunked body may take, and beside them one for each byte of content."""

BEGINNING = 256
"""Bytes of a request in which its path is looked for."""

WRITE_BUFFER = 16 * 1024
"""Bytes that wait for a client before what is written to it waits as well."""


class Connection(Interface):
    """A client's connection, whichever code serves it."""

    @property
    def is_idle(self) -> bool: ...
    def force_close(self) -> None: ...


class Connections:
    """All connections of one server: their limits, and how their errors are answered."""

    def __init__(self, limits: Callable[[], Limits], most: Callable[[int], int], answer: Answer) -> None:
        self._limits = limits
        self._most = most
        self.answer = answer
        self.open: dict[Connection, None] = {}
        """In the order in which they last became idle."""

    @property
    def limits(self) -> Limits:
        return self._limits()

    def admit(self, connection: Connection) -> bool:
        """Takes one more connection, for which the one idle longest makes room; returns whether there is any."""
        if not self.has_room():
            return False
        self.open[connection] = None
        return True

    def has_room(self) -> bool:
        """Returns whether there is room for one more connection, for which the one idle longest makes some."""
        if len(self.open) < self._most(self.limits.connections):
            return True
        idle = next((each for each in self.open if each.is_idle), None)
        if idle is None:
            return False
        idle.force_close()
        self.open.pop(idle, None)
        return True


class ClientConnection(RequestHandler):
    """One connection. `received` counts its bytes since the request under way began."""

    __slots__ = (
        *(
            "_connections",
            "_next_check",
            "_beginning",
            "_head",
            "_head_size",
            "_head_timer",
            "_is_admitted",
            "_reader",
            "_seen",
        ),
        "received",
    )

    def __init__(self, manager: web.Server, *, connections: Connections, **options: Any) -> None:
        super().__init__(manager, **options)
        self._connections = connections
        self._is_admitted = False
        self._seen = 0
        """Number of requests that had begun at the last read."""
        self._head = b""
        """The beginning of a head that is not whole yet."""
        self._beginning = b""
        """The beginning of the last bytes that began a request, for an error that names no path."""
        self._head_size = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._reader: ReaderWatch | None = None
        self.received = 0
        self._next_check = FRAMING
        """Number of bytes that may be received before they are compared with what they brought."""

    @property
    def is_idle(self) -> bool:
        """True if no request is under way, nor a part of one."""
        return self._is_waiting and not self._head_size

    @property
    def _is_waiting(self) -> bool:
        """True if the next request may begin; while a refused body is read to its end it may not."""
        return self._waiter is not None and not self._waiter.done()

    # ---- its life ----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.transport is not None:
            self.transport.set_write_buffer_limits(WRITE_BUFFER)
            self._reader = ReaderWatch(self._loop, self.transport, lambda: self._connections.limits.write_s)
        if not self._connections.admit(self):
            self._refuse("overloaded")
            return
        self._is_admitted = True
        self._watch_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.open.pop(self, None)
        self._stop_head_timer()
        if self._reader is not None:
            self._reader.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._force_close or not self._is_admitted:
            return
        if self._payload_parser is not None:  # a WebSocket's frames, which have limits of their own
            super().data_received(data)
            return
        self.received += len(data)
        if self.received > self._next_check and self._is_all_framing():
            self.force_close()
            return
        begins = self._is_waiting or not self._request_count
        if begins and self._head_size + len(data) > self._connections.limits.header and b"\r\n\r\n" not in data:
            self._head += data[:1024]
            self._refuse("header_too_large")
            return
        if begins:
            self._beginning = self._head[:BEGINNING] or data[:BEGINNING]
        super().data_received(data)
        if self._request_count != self._seen:
            self._seen = self._request_count
            self._head, self._head_size = b"", 0
            self._stop_head_timer()
        elif begins:
            self._head += data[: 1024 - len(self._head)]
            self._head_size += len(data)
            if self._head_size > self._connections.limits.header:  # blank lines, which are no head at all
                self._refuse("header_too_large")
            elif self._head_timer is None:
                self._watch_head()

    # ---- a head that is not whole, and a body that is none ----------------------------------------------------------

    def _is_all_framing(self) -> bool:
        """Returns whether what was received is mostly chunk headers, their extensions or trailers; none has a limit."""
        self._next_check = self.received + FRAMING
        request = self._current_request
        return request is not None and self.received > 2 * request.content.total_bytes + FRAMING

    def _watch_head(self) -> None:
        self._head_timer = self._loop.call_later(self._connections.limits.header_s, self._head_is_late)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._head_size:
            self._refuse("too_slow")
        elif self._is_waiting:
            self.force_close()  # it never sent a byte

    def _refuse(self, kind: str) -> None:
        """Answers before a request is there, and closes."""
        self._stop_head_timer()
        if self.transport is not None:
            self.transport.write(as_bytes(self._connections.answer(kind, _path_in(self._head))))
        self.force_close()

    # ---- a request ---------------------------------------------------------------------------------------------------

    def _handle_request(
        self, request: web.BaseRequest, start_time: float | None, request_handler: Next
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        self.received, self._next_check = 0, FRAMING
        if self._is_admitted:  # the connections that have been idle longest stand first
            self._connections.open.pop(self, None)
            self._connections.open[self] = None
        kind = self._fault_of(request)
        return super()._handle_request(request, start_time, request_handler if kind is None else self._refusal(kind))

    def _fault_of(self, request: web.BaseRequest) -> str | None:
        """The kind of failure of a head that the parser lets pass."""
        if request.version < HttpVersion11 and hdrs.TRANSFER_ENCODING in request.headers:
            # "A server … that receives an HTTP/1.0 message containing a Transfer-Encoding header field MUST treat the
            # message as if the framing is faulty" https://www.rfc-editor.org/rfc/rfc9112#section-6.1
            return "bad_request"
        size = sum([len(name) + len(value) + 4 for name, value in request.raw_headers], len(request.raw_path))
        return "header_too_large" if size > self._connections.limits.header else None

    def _refusal(self, kind: str) -> Next:
        async def refuse(request: web.BaseRequest) -> web.StreamResponse:
            response = self._connections.answer(kind, request.path)
            response.force_close()
            return response

        return refuse

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The response to HTTP that cannot be parsed, or to an exception outside the gateway.

        The parser's own text repeats the client's bytes.
        """
        if status >= 500:
            self.log_exception("Error handling request", exc_info=exc)
        kind = "internal" if status >= 500 else "header_too_large" if isinstance(exc, LineTooLong) else "bad_http"
        response = self._connections.answer(kind, _path_in(self._beginning))
        response.force_close()
        return response

    async def until_writable(self) -> None:
        """Waits until the client has read most of what was written."""
        if self._paused:
            await self._drain_helper()

    # ---- a client that does not read ---------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._reader is not None:
            self._reader.start()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._reader is not None:
            self._reader.stop()


def _path_in(head: bytes) -> str:
    """The path in the beginning of a request; empty where there is none."""
    first = head.lstrip(b"\r\n").split(b"\r\n", 1)[0].split(b" ")
    return first[1].decode("latin-1").partition("?")[0] if len(first) > 1 else ""


def as_bytes(response: web.Response) -> bytes:
    """A response as it stands on the wire, where no request is there that aiohttp could answer."""
    body = response.body
    assert isinstance(body, bytes)  # noqa: S101 - errors are JSON in bytes
    fields = {**response.headers, "Content-Length": str(len(body)), "Connection": "close"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {response.status} {response.reason}\r\n{lines}\r\n".encode("latin-1") + body
