"""A server between a client and a real provider, which passes everything on and keeps the exchanges."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from msgspec import Struct

from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.protocols.protocol import MalformedRequest

from ..client import CLIENTS
from ..client.protocol import HttpRequest
from .story_writer import Recorded


class Upstream(Struct, frozen=True):
    """A provider: its address up to the path that its SDK adds to, its protocols, and where its key is."""

    url: str
    protocols: tuple[str, ...]
    variable: str = ""
    header: str = "authorization"


UPSTREAMS: dict[str, Upstream] = {
    "openai": Upstream("https://api.openai.com/v1", ("openai-chat", "openai-responses"), "OPENAI_API_KEY"),
    "openrouter": Upstream("https://openrouter.ai/api/v1", ("openai-chat",), "OPENROUTER_API_KEY"),
    "anthropic": Upstream("https://api.anthropic.com", ("anthropic",), "ANTHROPIC_API_KEY", "x-api-key"),
    "gemini": Upstream(
        "https://generativelanguage.googleapis.com", ("gemini",), "GEMINI_API_KEY", "x-goog-api-key"
    ),
    "ollama": Upstream("http://127.0.0.1:11434", ("ollama",), "OLLAMA_API_KEY"),
}  # fmt: skip
"""The providers that can be recorded, by name."""

NOT_PASSED_ON = frozenset(
    (
        *("host", "connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade"),
        *("accept-encoding", "content-encoding"),
    )
)
"""Headers that belong to one connection, or say how a body is compressed: bodies are unpacked here on both ways."""

CREDENTIALS = ("authorization", "x-api-key", "x-goog-api-key")

BODY_LIMIT = 64 * 1024 * 1024


def _passed_on(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Returns the headers that belong to the message; one that occurs twice, such as a cookie, stays twice."""
    return [(name, value) for name, value in headers.items() if name.lower() not in NOT_PASSED_ON]


class Recorder:
    """Passes requests on to a provider, with its key where one is given, and keeps what went over the wire."""

    def __init__(self, upstream: Upstream, key: str = "") -> None:
        self._upstream = upstream
        self._key = key
        self.recorded: list[Recorded] = []
        self.left_out: list[str] = []
        """Reasons for which exchanges were not kept."""
        self._session: aiohttp.ClientSession | None = None

    def app(self) -> web.Application:
        """Returns the application; clients call it as they call the provider, under its base path."""
        app = web.Application(client_max_size=BODY_LIMIT)
        app.router.add_route("*", "/{rest:.*}", self._pass_on)
        app.cleanup_ctx.append(self._with_session)
        return app

    async def _with_session(self, _: web.Application) -> AsyncIterator[None]:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=600)
        self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        yield
        await self._session.close()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = [*_passed_on(request.headers), ("accept-encoding", "identity")]
        if self._key:
            headers = [(name, value) for name, value in headers if name.lower() not in CREDENTIALS]
            bearer = self._upstream.header == "authorization"
            headers.append((self._upstream.header, f"Bearer {self._key}" if bearer else self._key))
        root = urlsplit(self._upstream.url)
        asked = request.rel_url
        if self._key and "key" in asked.query:
            asked = asked.without_query_params("key")
        url = f"{root.scheme}://{root.netloc}{asked}"
        if self._session is None:
            raise RuntimeError("the recorder does not run")
        try:
            answer = await self._session.request(
                request.method, url, headers=headers, data=body or None, allow_redirects=False
            )
        except aiohttp.ClientError as problem:
            self.left_out.append(f"{request.path}: {problem}")
            return web.json_response({"error": {"message": f"the provider cannot be reached: {problem}"}}, status=502)
        async with answer:
            response = web.StreamResponse(status=answer.status, headers=_passed_on(answer.headers))
            await response.prepare(request)
            sent = bytearray()
            broken = False
            pieces = answer.content.iter_any()
            while True:
                try:
                    piece = await anext(pieces, None)
                except aiohttp.ClientError:
                    broken = True
                    break
                if piece is None:
                    break
                sent += piece
                await response.write(piece)
        if broken and request.transport is not None:
            request.transport.abort()  # the client sees what the recorder saw
        else:
            await response.write_eof()
        path = str(request.rel_url).removeprefix(root.path.rstrip("/"))
        if broken and "text/event-stream" not in answer.content_type and "ndjson" not in answer.content_type:
            self.left_out.append(f"{path}: the provider's answer broke off")
        else:
            received = {name.lower(): value for name, value in answer.headers.items()}
            self.keep(request.method, path, dict(request.headers), body, answer.status, received, bytes(sent))
        return response

    def keep(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        status: int,
        reply_headers: Mapping[str, str],
        sent: bytes,
    ) -> None:
        """Keeps an exchange if it is a chat that can be read; `path` is below the base path."""
        plain = path.partition("?")[0]
        chats = [p for p in self._upstream.protocols if MOCK_PROTOCOLS[p].endpoint_of(method, plain) == "generate"]
        if not chats:
            return
        name = chats[0]
        lower = {key.lower(): value for key, value in headers.items()}
        try:
            value = json.loads(body)
            asked = MOCK_PROTOCOLS[name].parse_request(path, lower, value)
        except (ValueError, RecursionError, MalformedRequest) as problem:
            self.left_out.append(f"{path}: {problem}")
            return
        sent_request = HttpRequest(method, path, lower, value)
        received = {key.lower(): value for key, value in reply_headers.items()}
        reply = CLIENTS[name].parse_reply(status, received, sent, stream=asked.stream, request=sent_request)
        wait = received.get("retry-after", "")
        self.recorded.append(Recorded(asked, reply, retry_after=float(wait) if wait.isdecimal() else None))
