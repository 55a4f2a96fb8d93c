"""Transport over aiohttp's client."""

from __future__ import annotations

import asyncio
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from io import BytesIO
from typing import Any

import aiohttp
from aiohappyeyeballs import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult
from msgspec import Struct
from yarl import URL

from .name_resolution import (
    ATTEMPT_DELAY_S,
    NameResolver,
    not_connected,
    not_resolved,
    open_descriptor,
    shared_resolver,
)
from .transport import (
    DEFAULT_NAMES,
    DIRECT,
    STALE_S,
    Answer,
    ConnectTimedOut,
    NameNotResolved,
    NameSettings,
    ProxyRefused,
    TimedOut,
    Timeouts,
    Transport,
    Unreachable,
    WayOut,
    proxy_authorization,
    take_nothing,
)

_LARGE = 1024 * 1024


class _Course(Struct):
    """One request's course: `reused` if it went out on a connection of the pool, `silent` if no answer began."""

    reused: bool = False
    silent: bool = False


async def _note_reuse(session: aiohttp.ClientSession, context: Any, parameters: object) -> None:
    context.trace_request_ctx.reused = True


class AiohttpTransport:
    """aiohttp's client without its own habits: no redirects, no cookies, no environment, no total timeout."""

    def __init__(self, timeouts: Timeouts, names: NameSettings, way_out: WayOut) -> None:
        self._timeouts = timeouts
        self._way_out = way_out
        self._through: dict[str, Any] = {}
        """The arguments of a request that goes through an HTTP proxy."""
        self._proxy_fields: dict[str, str] = {}
        if way_out.proxy is not None:
            url = URL(way_out.proxy)
            given = proxy_authorization(way_out.proxy)
            self._proxy_fields = {} if given is None else {"proxy-authorization": given}
            self._through = {"proxy": url.with_user(None), "proxy_headers": self._proxy_fields}
        self._resolver = _Resolver(shared_resolver(names))
        self._own_error = (0, 0.0)
        """The last error of our own, and when it was."""
        self._session = self._make_session(keeps=True)
        self._fresh: aiohttp.ClientSession | None = None
        """Without a pool, for requests that failed on a connection of the pool."""
        self._parsed: dict[str, URL] = {}

    def _make_session(self, *, keeps: bool) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_note_reuse)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                ssl=True if self._way_out.ca_file is self._way_out.client_cert is None else self._context(),
                resolver=self._resolver,
                use_dns_cache=False,  # the resolver has its own
                happy_eyeballs_delay=ATTEMPT_DELAY_S,
                socket_factory=self._open_descriptor,
                force_close=not keeps,
            ),
            # the default ends a stream after five minutes
            timeout=aiohttp.ClientTimeout(total=None, connect=self._timeouts.connect, sock_read=self._timeouts.read),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=True,
            max_line_size=self._timeouts.header,  # hosts behind several proxies pass aiohttp's 8 KiB
            max_field_size=self._timeouts.header,
            trace_configs=[trace],
        )

    def _context(self) -> ssl.SSLContext:
        try:
            return self._way_out.tls_context()
        except (OSError, ValueError) as fault:  # a certificate's file may be gone, or broken
            raise not_connected(fault) from None

    def _open_descriptor(self, info: AddrInfoType) -> socket.socket:
        own: list[int] = []
        try:
            return open_descriptor(info, own)
        finally:
            if own:
                self._own_error = own[0], asyncio.get_running_loop().time()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        return await self._request("POST", url, headers, body)

    async def ask(self, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        return await self._request(method, url, headers, None)

    async def _request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        parsed = self._parsed.get(url)
        if parsed is None:
            try:
                # encoded: a model named `../../admin` must stay within its path segment
                parsed = URL(url, encoded=True)
            except ValueError as fault:  # a name that IDNA refuses
                raise NameNotResolved(str(fault)) from None
            if len(self._parsed) < 1000:
                self._parsed[url] = parsed
        course = _Course()
        try:
            return await self._send(self._session, method, parsed, headers, body, course)
        except Unreachable:
            # the server closed the idle connection while the request was on its way
            if not (course.reused and course.silent):
                raise
        if self._fresh is None:
            self._fresh = self._make_session(keeps=False)
        return await self._send(self._fresh, method, parsed, headers, body, _Course())

    async def _send(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        body: bytes | None,
        course: _Course,
    ) -> Answer:
        began = asyncio.get_running_loop().time()
        try:
            # aiohttp would forward x-api-key to wherever a redirect points
            # and it warns of larger bodies in one piece
            data = body if body is None or len(body) <= _LARGE else BytesIO(body)
            if self._proxy_fields and url.scheme == "http":  # without a tunnel the proxy reads the request itself
                headers = {**headers, **self._proxy_fields}
            response = await session.request(
                method,
                url,
                data=data,
                headers=headers,
                allow_redirects=False,
                trace_request_ctx=course,
                **self._through,
            )
        except aiohttp.ConnectionTimeoutError:
            raise ConnectTimedOut from None
        except TimeoutError:
            raise TimedOut from None
        except aiohttp.ClientConnectorDNSError as fault:
            raise not_resolved(fault.os_error) from None
        except aiohttp.InvalidURL as fault:
            raise NameNotResolved(str(fault)) from None
        except aiohttp.ClientHttpProxyError as fault:
            raise ProxyRefused(f"the HTTP proxy answered {fault.status}") from None
        except aiohttp.ClientConnectorCertificateError as fault:
            raise not_connected(fault.certificate_error) from None
        except aiohttp.ClientConnectorError as fault:
            own, at = self._own_error
            raise not_connected(fault.os_error, (own,) if own and at >= began else ()) from None
        except (aiohttp.ClientError, OSError) as fault:
            is_silent = isinstance(fault, aiohttp.ClientOSError) or (
                isinstance(fault, aiohttp.ServerDisconnectedError) and isinstance(fault.message, str)
            )  # with the beginning of an answer its message is no text
            course.silent = is_silent and asyncio.get_running_loop().time() - began <= STALE_S
            raise Unreachable(type(fault).__name__) from None
        return _AiohttpAnswer(response)

    async def close(self) -> None:
        await self._session.close()
        if self._fresh is not None:
            await self._fresh.close()


INFLATED = 16 * 2**20
"""Bytes to which one piece of a compressed body may grow."""


class _AiohttpAnswer:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    def whole(self, limit: int) -> bytes | None:
        return None

    async def read(self, limit: int) -> bytes:
        chunks = []
        size = 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                raise OverflowError
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def chunks(self, take: Callable[[bytes], bool] = take_nothing) -> AsyncIterator[bytes]:
        # aiohttp decodes gzip, but not its old name
        is_old_gzip = self._response.headers.get("content-encoding", "").lower() == "x-gzip"
        inflate = zlib.decompressobj(zlib.MAX_WBITS | 16) if is_old_gzip else None
        try:
            # iter_any and our own framing: aiohttp's line iteration raises past 512 KiB
            async for chunk in self._response.content.iter_any():
                data = chunk if inflate is None else inflate.decompress(chunk, INFLATED)
                if inflate is not None and inflate.unconsumed_tail:
                    raise zlib.error("inflates to more than any answer has")
                if not take(data):
                    yield data
        except TimeoutError:
            raise TimedOut from None
        except (aiohttp.ClientError, OSError, zlib.error) as fault:
            raise Unreachable(type(fault).__name__) from None

    @property
    def is_over(self) -> bool:
        return self._response.content.at_eof()

    def close(self) -> None:
        self._response.release()


class _Resolver(AbstractResolver):
    """Our resolver in the shape that aiohttp takes."""

    def __init__(self, resolver: NameResolver) -> None:
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=found,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for found, _, protocol, _, address in await self._resolver.addresses(host, port)
            if family in (socket.AF_UNSPEC, found)
        ]

    async def close(self) -> None:
        """Holds nothing of its own."""


def aiohttp_transport(
    timeouts: Timeouts, names: NameSettings = DEFAULT_NAMES, way_out: WayOut = DIRECT
) -> Callable[[], Transport]:
    """Returns what makes the transport at its first use."""
    return lambda: AiohttpTransport(timeouts, names, way_out)
