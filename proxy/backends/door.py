"""What the gateway asks of a backend, over HTTP or in process: neutral requests in, replies and events out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Protocol as Interface

from msgspec import Struct

from ..ir import Event, Reply, Request
from ..protocols.contract import NewId, Sent, Target
from ..routing import Backend


class Piece(Struct, frozen=True):
    """What one read of a stream brought: the events in it, and the bytes of its whole frames."""

    events: list[Event]
    raw: bytes


class Door(Interface):
    """One backend. Failures are UpstreamErrors, in a stream before its first piece, else the last event is one."""

    backend: Backend
    busy: int
    """Requests under way; a backend that is no longer in the plan is closed when there are none."""

    key: int
    """Which of its keys is in use."""

    def target(self, model: str) -> Target:
        """This backend as an encoder sees it."""
        ...

    def encode(self, request: Request, target: Target) -> Sent:
        """The request as this backend takes it; raises ClientError where the client asks for what cannot be."""
        ...

    async def reply(self, sent: Sent, body: bytes, headers: Mapping[str, str], new_id: NewId) -> tuple[Reply, bytes]:
        """The whole answer, and its bytes as a log shows them."""
        ...

    def stream(
        self, sent: Sent, body: bytes, headers: Mapping[str, str], new_id: NewId, *, relayed: bool
    ) -> AsyncGenerator[Piece, None]: ...

    def next_key(self, refused: int) -> bool:
        """Whether there is another key to try than this one, which was refused; it is in use from now on."""
        ...

    async def close(self) -> None:
        """Twice, or before the first use, is harmless."""
        ...
