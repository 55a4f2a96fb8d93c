"""The interface of an HTTP client: request bytes in; a status, headers and chunks out. Every call can be cancelled."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from msgspec import Struct


class Timeouts(Struct, frozen=True):
    """In seconds: to connect, and of silence between two reads."""

    connect: float
    read: float


class Unreachable(Exception):
    """No connection to the backend, or it broke before an answer began."""


class TimedOut(Exception):
    """The backend was silent for longer than the config allows."""


class Answer(Protocol):
    """A response: `status` and lower-case `headers` at once, the body in chunks."""

    status: int
    headers: Mapping[str, str]

    async def read(self, limit: int) -> bytes:
        """The whole body; raises OverflowError past `limit` bytes."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives; raises Unreachable where the connection breaks, TimedOut on silence."""
        ...

    def close(self) -> None:
        """Returns the connection to the pool, or closes it where bytes are still under way. Twice is harmless."""
        ...


class Transport(Protocol):
    """A pool of connections to one backend."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer: ...
    async def ask(self, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        """A request without a body: GET or DELETE."""
        ...

    async def close(self) -> None: ...
