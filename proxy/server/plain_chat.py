"""Recognises the plain chats among requests: a POST to a chat's path with a JSON body and nothing out of the ordinary.

What is not plain need not be wrong; it gets all the checks and errors of the server on aiohttp. So what is accepted
here is a narrow part of what that server accepts, and means the same there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hmac import compare_digest
from math import inf

import httptools
from msgspec import Struct
from msgspec.structs import replace

from ..clients.client import Client
from ..clients.keys import HEADERS
from ..clients.registry import ClientRegistry
from ..config.settings import Settings
from ..gateway.forwarded_headers import read_names
from ..ir import Failure
from ..protocols.protocol import Protocol, UrlParams
from .access import NO_QUERY, is_known_host

_UNUSUAL = frozenset(
    (
        # framing and bodies of other kinds
        *(b"transfer-encoding", b"content-encoding", b"expect", b"upgrade"),
        # pages of browsers
        *(b"origin", b"sec-fetch-site"),
    )
)
"""Headers of a request that is not plain."""

_CONTENT_TYPES = frozenset((b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"))

_CONNECTION = {b"": True, b"keep-alive": True, b"close": False}
"""Values of `connection`, and whether another request may follow."""

_MODEL_AND_METHOD = re.compile(rb"([A-Za-z0-9_-][A-Za-z0-9._-]*):([A-Za-z]+)")

_QUERIES: dict[bytes, str | None] = {b"": None, b"alt=sse": "sse"}
"""Queries, with the form of the answer that they ask for, where the path names the method."""

_CREDENTIALS = tuple((name, name.encode()) for name in ("authorization", *HEADERS))
"""Headers in which a client's key may stand, as the registry and as the parser names them."""

_MOST_HEADERS = 100

_KNOWN = 4096
"""Bytes of a head that a connection remembers; of longer ones none."""

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+) *\r\n", re.IGNORECASE)

_DIGITS = 18
"""Digits of a length; Python reads no number of several thousand."""


class PlainChat(Struct, frozen=True):
    """The head of a plain chat: what the gateway needs of it, and the bytes of the body that follows."""

    protocol: Protocol
    url: UrlParams
    headers: dict[str, str]
    length: int
    keeps_alive: bool
    client: Client | None = None
    until: float = inf
    """The unix time until which it surely is a request of this client."""


class KnownHead(Struct, frozen=True):
    """The head of the last plain chat of a connection: the next one mostly differs from it in the body's length."""

    before: bytes
    """The bytes before the length."""
    after: bytes
    settings: Settings
    clients: ClientRegistry | None
    chat: PlainChat

    @staticmethod
    def of(head: bytes, settings: Settings, clients: ClientRegistry | None, chat: PlainChat) -> KnownHead | None:
        match = _LENGTH.search(head) if len(head) <= _KNOWN else None
        if match is None:
            return None
        return KnownHead(head[: match.start(1)], head[match.end(1) :], settings, clients, chat)

    def again(self, head: bytes, settings: Settings, clients: ClientRegistry | None, now: float) -> PlainChat | None:
        """The chat that this head begins, where it is the same but for the length; else None.

        It is of the same client while the registry is the same, which a change of any client or key replaces, and until
        the key ends. Other clients may share the connection, behind a proxy: how long it takes says nothing of a key.
        """
        before, after = self.before, self.after
        digits = head[len(before) : len(head) - len(after)]
        if (
            not digits.isdigit()
            or len(digits) > _DIGITS
            or settings is not self.settings
            or clients is not self.clients
            or now >= self.chat.until
            or not compare_digest(head[: len(before)], before)
            or not compare_digest(head[len(head) - len(after) :], after)
            or len(head) > settings.limits.header
            or not 0 < (length := int(digits)) <= settings.body_limit
        ):
            return None
        return self.chat if length == self.chat.length else replace(self.chat, length=length)


class _Head:
    """The callbacks of httptools' parser for one head."""

    def __init__(self) -> None:
        self.url = b""
        self.fields: dict[bytes, bytes] = {}
        self.is_whole = False
        self.count = 0

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.count += 1
        self.fields[name.lower()] = value

    def on_headers_complete(self) -> None:
        self.is_whole = True


class _Route(Struct, frozen=True):
    protocol: Protocol
    headers: tuple[tuple[str, bytes], ...]
    """The headers that the gateway reads, as it and as the parser names them."""


class PlainChats:
    """Recognises the plain chats of these protocols."""

    def __init__(self, protocols: Iterable[Protocol]) -> None:
        self._routes: dict[bytes, _Route] = {}
        self._prefixes: dict[bytes, _Route] = {}
        for protocol in (each for one in protocols for each in (one, *one.dialects)):
            route = _Route(protocol, tuple((name, name.encode()) for name in read_names(protocol)))
            for path in protocol.paths:
                if "{" not in path:
                    self._routes[path.encode()] = route
                elif path.endswith("/{tail}"):
                    self._prefixes[path.removesuffix("{tail}").encode()] = route

    def read(
        self, head: bytes, settings: Settings, clients: ClientRegistry | None = None, now: float = 0.0
    ) -> PlainChat | None:
        """The chat that this whole head begins; None where it is not plain.

        Where there are `clients`, it also is not plain if it is of none of them at this unix time.
        """
        if (
            not head.startswith(b"POST /")
            or not head.isascii()
            or len(head) > settings.limits.header
            or head.count(b"\r") != head.count(b"\n")
            or settings.cors.origins
        ):
            return None
        found = _Head()
        parser = httptools.HttpRequestParser(found)
        try:
            parser.feed_data(head)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return None
        fields = found.fields
        keeps_alive = _CONNECTION.get(fields.get(b"connection", b"").lower())
        length = fields.get(b"content-length", b"")
        if (
            not found.is_whole
            or parser.get_http_version() != "1.1"
            or len(fields) != found.count  # a header that came twice
            or found.count > _MOST_HEADERS
            or not _UNUSUAL.isdisjoint(fields)
            or fields.get(b"content-type", b"").lower() not in _CONTENT_TYPES
            or not length.isdigit()
            or not 0 < int(length) <= settings.body_limit
            or not is_known_host(fields.get(b"host", b"").decode(), settings.hosts)
            or keeps_alive is None
        ):
            return None
        path, _, query = found.url.partition(b"?")
        route, url = self._routes.get(path), UrlParams()
        if route is None:
            beginning, slash, tail = path.rpartition(b"/")
            route, match = self._prefixes.get(beginning + slash), _MODEL_AND_METHOD.fullmatch(tail)
            if route is None or match is None or query not in _QUERIES:
                return None
            url = UrlParams(match[1].decode(), match[2].decode(), _QUERIES[query])
            if url.method not in route.protocol.chat_methods:
                return None
        chat = PlainChat(route.protocol, url, _chosen(fields, route.headers), int(length), keeps_alive)
        if clients is None:
            return chat
        known = clients.look_up(_chosen(fields, _CREDENTIALS), NO_QUERY, now)
        return None if isinstance(known, Failure) else replace(chat, client=known.client, until=known.until)


def _chosen(fields: Mapping[bytes, bytes], names: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """The headers of these names, which are all ASCII."""
    return {name: fields[raw].strip().decode() for name, raw in names if raw in fields}
