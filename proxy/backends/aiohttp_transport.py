"""Transport over aiohttp's client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from io import BytesIO

import aiohttp
from yarl import URL

from .transport import Answer, TimedOut, Timeouts, Transport, Unreachable

_HEADER_LIMIT = 64 * 1024
_LARGE = 1024 * 1024


class AiohttpTransport:
    """aiohttp's client without its own habits: no redirects, no cookies, no environment, no total timeout."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            # the default ends a stream after five minutes
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect, sock_read=timeouts.read),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=True,
            max_line_size=_HEADER_LIMIT,  # hosts behind several proxies pass aiohttp's 8 KiB
            max_field_size=_HEADER_LIMIT,
        )
        self._parsed: dict[str, URL] = {}

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        return await self._request("POST", url, headers, body)

    async def ask(self, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        return await self._request(method, url, headers, None)

    async def _request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        parsed = self._parsed.get(url)
        if parsed is None:
            # encoded: a model named `../../admin` must stay within its path segment
            parsed = URL(url, encoded=True)
            if len(self._parsed) < 1000:
                self._parsed[url] = parsed
        try:
            # aiohttp would forward x-api-key to wherever a redirect points
            # and it warns of larger bodies in one piece
            data = body if body is None or len(body) <= _LARGE else BytesIO(body)
            response = await self._session.request(method, parsed, data=data, headers=headers, allow_redirects=False)
        except TimeoutError:
            raise TimedOut from None
        except (aiohttp.ClientError, OSError) as fault:
            raise Unreachable(type(fault).__name__) from None
        return _AiohttpAnswer(response)

    async def close(self) -> None:
        await self._session.close()


class _AiohttpAnswer:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def read(self, limit: int) -> bytes:
        chunks = []
        size = 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                raise OverflowError
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            # iter_any and our own framing: aiohttp's line iteration raises past 512 KiB
            async for chunk in self._response.content.iter_any():
                yield chunk
        except TimeoutError:
            raise TimedOut from None
        except (aiohttp.ClientError, OSError) as fault:
            raise Unreachable(type(fault).__name__) from None

    def close(self) -> None:
        self._response.release()


def aiohttp_transport(timeouts: Timeouts) -> Callable[[], Transport]:
    """Returns what makes the transport at its first use."""
    return lambda: AiohttpTransport(timeouts)
