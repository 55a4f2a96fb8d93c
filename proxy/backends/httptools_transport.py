"""A transport on bare asyncio and httptools' parser: about a third of the cost of aiohttp's client.

HTTP/1.1 with keep-alive and TLS, and nothing beyond: no redirects, no cookies, no environment. It is used where
httptools is installed (the extra `speed`).
"""

from __future__ import annotations

import asyncio
import re
import ssl
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from socket import socket as Socket
from typing import Any, cast
from urllib.parse import urlsplit

import httptools
from msgspec import Struct

from .deadlines import DeadlineQueue
from .name_resolution import connect, not_connected, shared_resolver
from .transport import (
    DEFAULT_NAMES,
    DIRECT,
    STALE_S,
    Answer,
    ConnectTimedOut,
    NameSettings,
    NotConnected,
    ProxyRefused,
    TimedOut,
    Timeouts,
    Transport,
    Unreachable,
    WayOut,
    proxy_authorization,
    take_nothing,
)

READ = 32 * 1024
"""Most bytes of one read: what a reader that stalls leaves in memory is a few of them."""

HIGH_WATER = 8 * 1024
"""Bytes of body that wait for their reader before the socket is paused."""

INFLATED = 16 * 2**20
"""Bytes to which one read of a compressed body may grow; a bomb does not go on."""

COPIED = 64 * 1024
"""Bytes of a request's body up to which it is copied behind its head, to be sent by one write."""

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r]")

IDLE_S = 15.0
"""Seconds that an unused connection is kept; servers close theirs after about as long."""


class _Address(Struct, frozen=True):
    """The host and port of a URL, and the part of a request's head that is always the same."""

    host: str
    port: int
    tls: bool
    head: bytes


class HttptoolsTransport:
    """A pool of connections to one backend."""

    def __init__(self, timeouts: Timeouts, names: NameSettings, way_out: WayOut) -> None:
        self._timeouts = timeouts
        self._resolver = shared_resolver(names)
        self._way_out = way_out
        self._proxy = None if way_out.proxy is None else urlsplit(way_out.proxy)
        given = None if way_out.proxy is None else proxy_authorization(way_out.proxy)
        self._proxy_fields = "" if given is None else f"proxy-authorization: {given}\r\n"
        self._idle: deque[tuple[float, _Connection]] = deque()
        self._open: set[_Connection] = set()
        self._addresses: dict[str, _Address] = {}
        self._tls: ssl.SSLContext | None = None
        self._loop = asyncio.get_running_loop()
        self._silences = DeadlineQueue(timeouts.read)
        self._buffer = memoryview(bytearray(READ))
        """The memory that each read of any connection fills until it is parsed, which is at once."""

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Coroutine[Any, Any, Answer]:
        address = self._addresses.get(url) or self._address_of(url)
        return self._send(address, b"%bcontent-length: %d\r\n" % (address.head, len(body)), headers, body)

    def ask(self, method: str, url: str, headers: Mapping[str, str]) -> Coroutine[Any, Any, Answer]:
        address = self._address_of(url, method)
        return self._send(address, address.head, headers, b"")

    async def _send(self, address: _Address, head: bytes, headers: Mapping[str, str], body: bytes) -> Answer:
        """Sends a request, and returns once the answer's head is there."""
        fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        head = b"%b%b\r\n" % (head, fields.encode("latin-1", "replace"))
        request = (head + body,) if len(body) <= COPIED else (head, body)
        connection = self._reuse()
        was_idle, asked = connection is not None, self._loop.time()
        while True:
            if connection is None:
                connection = await self._connect(address)
            try:
                connection.ask(request)
                while not connection.status:
                    await connection.wait()
                return _HttptoolsAnswer(self, connection)
            except BaseException as fault:
                connection.drop()
                if (
                    not was_idle
                    or not isinstance(fault, Unreachable)
                    or connection.heard
                    or self._loop.time() - asked > STALE_S
                ):
                    raise
                # the server closed the idle connection while the request was on its way
                connection, was_idle = None, False

    def _address_of(self, url: str, method: str = "POST") -> _Address:
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        target, fields = path or "/", ""
        if self._proxy is not None and not tls:
            # "a client MUST send the target URI in 'absolute-form'" https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2
            target, fields = f"http://{parts.netloc}{target}", self._proxy_fields
        head = f"{method} {target} HTTP/1.1\r\nhost: {parts.netloc}\r\n{fields}".encode()
        address = _Address(parts.hostname or "", parts.port or (443 if tls else 80), tls, head)
        if method == "POST" and len(self._addresses) < 1000:
            self._addresses[url] = address
        return address

    def _reuse(self) -> _Connection | None:
        """The connection that was used last, if it is young and still open."""
        while self._idle:
            since, connection = self._idle.pop()
            if connection.is_open and self._loop.time() - since < IDLE_S:
                return connection
            connection.drop()
        return None

    async def _connect(self, address: _Address) -> _Connection:
        try:
            async with asyncio.timeout(self._timeouts.connect):
                if address.tls and self._tls is None:
                    self._tls = await asyncio.to_thread(self._way_out.tls_context)
                if self._proxy is None:
                    socket = await connect(self._resolver, address.host, address.port)
                else:
                    socket = await connect(self._resolver, self._proxy.hostname or "", self._proxy.port or 80)
                try:
                    if self._proxy is not None and address.tls:
                        await self._open_tunnel(socket, address)
                    _, connection = await self._loop.create_connection(
                        lambda: _Connection(self._open.discard, self._silences, self._timeouts.header, self._buffer),
                        sock=socket,
                        ssl=self._tls if address.tls else None,
                        server_hostname=address.host if address.tls else None,
                    )
                except BaseException:
                    socket.close()
                    raise
        except TimeoutError:
            raise ConnectTimedOut from None
        except NotConnected:
            raise
        except (OSError, ValueError) as fault:  # a certificate's file may be gone, or broken
            raise not_connected(fault) from None
        self._open.add(connection)
        return connection

    async def _open_tunnel(self, socket: Socket, address: _Address) -> None:
        """Asks the HTTP proxy on this socket for a connection to the backend; raises ProxyRefused.

        https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6
        """
        host = f"[{address.host}]" if ":" in address.host else address.host
        name = f"{host}:{address.port}"
        request = f"CONNECT {name} HTTP/1.1\r\nhost: {name}\r\n{self._proxy_fields}\r\n"
        await self._loop.sock_sendall(socket, request.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            data = await self._loop.sock_recv(socket, READ)
            head += data
            if not data or len(head) > self._timeouts.header:
                raise ProxyRefused("the HTTP proxy closed the connection")
        status = _STATUS_LINE.match(head)
        if status is None or status[1][:1] != b"2":
            shown = "what is not HTTP" if status is None else status[1].decode()
            raise ProxyRefused(f"the HTTP proxy answered {shown}")

    def give_back(self, connection: _Connection) -> None:
        """Keep a connection whose answer is whole; break any other."""
        if connection.is_reusable:
            now = self._loop.time()
            self._idle.append((now, connection))
            while self._idle and now - self._idle[0][0] >= IDLE_S:
                self._idle.popleft()[1].drop()
        else:
            connection.drop()

    async def close(self) -> None:
        for connection in list(self._open):
            connection.drop()
        self._idle.clear()


class _Connection(asyncio.BufferedProtocol):
    """One connection: the parser's callbacks fill the answer that is being read."""

    def __init__(
        self,
        lost: Callable[[_Connection], None],
        silences: DeadlineQueue,
        header_limit: int,
        buffer: memoryview,
    ) -> None:
        self._buffer = buffer
        self._header_limit = header_limit
        self._loop = asyncio.get_running_loop()
        self._lost = lost
        self._silences = silences
        self._socket: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        """Waits for more of an answer, or for its fault."""
        self._fault: Exception | None = None
        self.chunks: list[bytes] = []
        """The parts of the body that came and were not taken yet."""
        self.on_body = self.chunks.append  # the parser's callback for each piece: a function of ours would cost more
        self._parser = httptools.HttpResponseParser(self)
        self._timer: asyncio.TimerHandle | None = None
        """The rest of a silence that began after its request."""
        self._busy = False
        self._reset()

    def _reset(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.chunks.clear()
        self.refused: bytes | None = None
        """The part that was offered to the reader before, and comes first."""
        self._take: Callable[[bytes], bool] | None = None
        """The reader that waits, if it takes chunks without waking up."""
        self.complete = False
        self.heard = False
        """True if any byte of an answer came."""
        self._header_bytes = 0
        self._head_bytes = 0
        self._paused = False
        self._inflate: zlib._Decompress | None = None

    @property
    def is_open(self) -> bool:
        return self._socket is not None and not self._socket.is_closing()

    @property
    def is_reusable(self) -> bool:
        return self.complete and self.is_open and self._keeps

    # ---- asking ------------------------------------------------------------------------------------------------------

    def ask(self, request: tuple[bytes, ...]) -> None:
        """Sends the parts of a request; the head of its answer is there as soon as there is a `status`."""
        self._reset()
        self._keeps = self._busy = True
        self._silences.add(self)
        if self._socket is None:
            raise Unreachable("closed")
        self._socket.writelines(request)

    def wait(self, take: Callable[[bytes], bool] | None = None) -> asyncio.Future[None]:
        """Until something happens: the head, a chunk that `take` refuses, the end or a fault.

        A fault is raised by the next call, so that what came before it is heard first.
        """
        if self._fault is not None:
            raise self._fault
        self._heard = self._loop.time()  # silence counts while somebody listens: a slow client is not the backend's
        self._take = take
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def taken(self) -> bytes:
        """Gives the reader what has come, as one chunk."""
        chunk = self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)
        self.chunks.clear()
        if self._paused and self._socket is not None:
            self._paused = False
            self._socket.resume_reading()
        return chunk

    def rest(self) -> None:
        """The answer is over for its reader: no more silence to watch."""
        self._busy = False
        self._silences.remove(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def drop(self) -> None:
        """Break the connection; twice is harmless."""
        self.rest()
        self._lost(self)
        if self._socket is not None:
            self._socket.abort()
            self._socket = None

    def expire(self) -> None:
        """Fails the answer where the backend was silent since its request, or looks again once it may have been."""
        waits = self._waiter is not None and not self._waiter.done()
        silent = self._loop.time() - self._heard if waits else 0.0
        if silent < self._silences.seconds:
            self._timer = self._loop.call_later(self._silences.seconds - silent, self.expire)
        else:
            self._fail(TimedOut())

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _fail(self, fault: Exception) -> None:
        if self._fault is None:
            self._fault = fault
        self._wake()

    # ---- asyncio's callbacks -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast(asyncio.Transport, transport)  # uvloop's is one in all but its ancestry

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if not self._busy:
            self.drop()  # unrequested bytes must not become the beginning of the next answer
            return
        self._heard = self._loop.time()
        self.heard = True
        chunks = self.chunks
        before = len(chunks)
        try:
            self._parser.feed_data(self._buffer[:nbytes])
            if self._inflate is not None:
                self._inflate_from(before)
        except (httptools.HttpParserError, zlib.error) as fault:
            self._fail(Unreachable(type(fault).__name__))
        except httptools.HttpParserUpgrade:
            self._fail(Unreachable("upgrade"))
        if chunks:
            if self._take is not None and self._is_taken(self._take) and not self.complete and self._fault is None:
                return  # the most frequent read of a stream: its reader sleeps on
            self._pause_if_full()
        if not self.status:  # the parser keeps a header until it is whole
            self._head_bytes += nbytes
            if self._head_bytes > self._header_limit:
                self._fail(Unreachable("headers too large"))
                self.drop()
        self._wake()

    def _is_taken(self, take: Callable[[bytes], bool]) -> bool:
        """Offers what has come to the reader while it waits; what it refuses is kept for it."""
        if self._waiter is None or self._waiter.done():
            return False
        chunk = self.taken()
        try:
            if take(chunk):
                return True
        except Exception as fault:  # it is the reader's, and raised where that waits
            self._fail(fault)
            return True
        self.refused = chunk
        return False

    def _pause_if_full(self) -> None:
        if not self._paused and self._socket is not None and sum(map(len, self.chunks)) > HIGH_WATER:
            self._paused = True
            self._socket.pause_reading()

    def _inflate_from(self, first: int) -> None:
        """Decompresses the chunks from this one on."""
        data = b"".join(self.chunks[first:])
        del self.chunks[first:]
        if self._inflate is not None and (whole := self._inflate.decompress(data, INFLATED)):
            self.chunks.append(whole)
        if self._inflate is not None and self._inflate.unconsumed_tail:
            raise zlib.error("inflates to more than any answer has")

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._socket = None
        self._lost(self)
        if self.status and not self.complete and error is None and self._ends_with_the_connection:
            self.complete = True
            self._wake()
        elif not self.complete:
            self._fail(Unreachable(type(error).__name__ if error else "closed"))

    @property
    def _ends_with_the_connection(self) -> bool:
        return "content-length" not in self.headers and "transfer-encoding" not in self.headers

    # ---- httptools' callbacks ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.complete:  # an unrequested second answer must not become the beginning of the next
            self._keeps = False
            raise httptools.HttpParserError("more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > self._header_limit:
            raise httptools.HttpParserError("headers too large")
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self.headers = {}  # an interim answer: the real one follows
            return
        self._keeps = self._parser.should_keep_alive()
        encoding = self.headers.get("content-encoding", "identity").lower()
        # some hosts compress although they were told not to; "x-gzip" is "equivalent to "gzip""
        # https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1.3
        if encoding in ("gzip", "x-gzip", "deflate"):
            self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        self.status = status

    def on_message_complete(self) -> None:
        if self.status:
            self.complete = True


class _HttptoolsAnswer:
    def __init__(self, transport: HttptoolsTransport, connection: _Connection) -> None:
        self._transport = transport
        self._connection = connection
        self._closed = False
        self.status = connection.status
        self.headers: Mapping[str, str] = connection.headers

    def whole(self, limit: int) -> bytes | None:
        connection = self._connection
        if connection.complete and len(connection.chunks) == 1 and len(connection.chunks[0]) <= limit:
            return connection.taken()
        return None

    async def read(self, limit: int) -> bytes:
        chunks = []
        size = 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                raise OverflowError
            chunks.append(chunk)
        return b"".join(chunks)

    async def chunks(self, take: Callable[[bytes], bool] = take_nothing) -> AsyncIterator[bytes]:
        connection = self._connection
        while True:
            if connection.refused is not None:
                chunk, connection.refused = connection.refused, None
                yield chunk
            elif connection.chunks:
                chunk = connection.taken()
                if not take(chunk):
                    yield chunk
            elif connection.complete:
                return
            else:
                await connection.wait(take)

    @property
    def is_over(self) -> bool:
        connection = self._connection
        return connection.complete and not connection.chunks and connection.refused is None

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._connection.rest()
            self._transport.give_back(self._connection)


def httptools_transport(
    timeouts: Timeouts, names: NameSettings = DEFAULT_NAMES, way_out: WayOut = DIRECT
) -> Callable[[], Transport]:
    """Makes a pool when it is first needed."""
    return lambda: HttptoolsTransport(timeouts, names, way_out)
