"""The interface of an HTTP client: request bytes in; a status, headers and chunks out. Every call can be cancelled."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol
from urllib.parse import unquote, urlsplit

from msgspec import Struct


class Timeouts(Struct, frozen=True):
    """In seconds: to connect, the look-up of the host's name included, and of silence between two reads.

    `header` are an answer's most bytes of headers.
    """

    connect: float
    read: float
    header: int = 64 * 1024


class NameSettings(Struct, frozen=True, kw_only=True):
    """Look-ups of host names. Times in seconds."""

    ttl_s: float = 30
    """Time for which addresses are used before the name is looked up again."""
    stale_s: float = 86400
    """Further time for which they are used while look-ups fail or are slow."""
    threads: int = 32
    """Look-ups at once; each name has at most one."""


DEFAULT_NAMES = NameSettings()


class WayOut(Struct, frozen=True, kw_only=True):
    """The way of connections to one backend: an HTTP proxy, and the certificates."""

    proxy: str | None = None
    """`http://host:port`, with a user and a password before the host where it asks for them."""
    ca_file: str | None = None
    """PEM file of the authorities that are trusted, in place of the system's."""
    client_cert: str | None = None
    """PEM file of the certificate that the proxy shows, with its key unless `client_key` names another file."""
    client_key: str | None = None

    def tls_context(self) -> ssl.SSLContext:
        """Makes the context of these certificates; raises OSError (of which SSLError is one), or ValueError.

        Reading the system's authorities takes some milliseconds.
        """
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.client_cert is not None:
            # without a password OpenSSL would ask the terminal for that of an encrypted key
            context.load_cert_chain(self.client_cert, self.client_key, password=_no_password)
        return context


def _no_password() -> str:
    raise ValueError("the key is encrypted")


DIRECT = WayOut()


def proxy_authorization(proxy: str) -> str | None:
    """Returns the header's value for the user and the password in a proxy's URL."""
    parts = urlsplit(proxy)
    if parts.username is None:
        return None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {b64encode(pair.encode()).decode()}"


STALE_S = 1.0
"""Seconds within which a connection of the pool breaks if the server closed it while it was idle.

A request on one that breaks later may have been worked on, so it is not sent again on a new connection.
"""


class Unreachable(Exception):
    """The connection to the backend broke before an answer began, or within it."""

    was_sent = True
    """True if the request may have reached the backend."""


class NotConnected(Unreachable):
    """No connection could be made."""

    was_sent = False


class NameNotResolved(NotConnected):
    """The look-up of the host's name failed; it says nothing of the backend."""


class ProxyRefused(NotConnected):
    """The HTTP proxy on the way did not make the connection."""


class OutOfResources(NotConnected):
    """This process has no file descriptor, memory or port left; it says nothing of the backend."""


class TimedOut(Exception):
    """The backend was silent for longer than the config allows."""

    was_sent = True


class ConnectTimedOut(TimedOut):
    """No connection was made in time."""

    was_sent = False


def take_nothing(chunk: bytes) -> bool:
    """Refuses each chunk, so that the reader gets it."""
    return False


class Answer(Protocol):
    """A response: `status` and lower-case `headers` at once, the body in chunks."""

    status: int
    headers: Mapping[str, str]

    def whole(self, limit: int) -> bytes | None:
        """The whole body, if it is there already and has no more bytes; else None."""
        ...

    async def read(self, limit: int) -> bytes:
        """The whole body; raises OverflowError past `limit` bytes."""
        ...

    def chunks(self, take: Callable[[bytes], bool] = take_nothing) -> AsyncIterator[bytes]:
        """The body as it arrives; raises Unreachable where the connection breaks, TimedOut on silence.

        Each chunk is offered to `take` first, maybe before the reader wakes up; only what it refuses is yielded.
        """
        ...

    @property
    def is_over(self) -> bool:
        """True once the whole body came and was read."""
        ...

    def close(self) -> None:
        """Returns the connection to the pool, or closes it where bytes are still under way. Twice is harmless."""
        ...


class Transport(Protocol):
    """A pool of connections to one backend.

    A request that fails on a connection of the pool before any byte of an answer is sent once more on a new one: the
    server closed the idle connection while the request was on its way.
    """

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer: ...
    async def ask(self, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        """A request without a body: GET or DELETE."""
        ...

    async def close(self) -> None: ...
