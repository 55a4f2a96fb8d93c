"""The interface of a backend, over HTTP or in this process: encoded requests in, replies and events out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from typing import Protocol as Interface
from typing import TypeAlias, runtime_checkable

from msgspec import Struct

from ..balance.key_ring import KeyRing
from ..ir import Event, Reply, Request
from ..ir.rate_limits import RateLimit
from ..ir.stream import Texts
from ..protocols.protocol import NewId, UpstreamRequest, UpstreamTarget
from ..routing import BackendConfig

Sink: TypeAlias = Callable[[bytes, Texts | None], bool]
"""Takes whole frames of a stream, and the texts in them unless they are relayed; False where it cannot now."""


def no_sink(whole: bytes, texts: Texts | None) -> bool:
    """Takes nothing."""
    return False


class StreamChunk(Struct, frozen=True):
    """One read of a stream: the events in it, and the bytes of its whole frames.

    `is_whole` where the bytes are a body in place of a stream, which a relay cannot pass on. `texts` are the same as
    the events, where those are pieces of one text and nothing else.
    """

    events: list[Event]
    raw: bytes
    is_whole: bool = False
    texts: Texts | None = None

    @staticmethod
    def of_plain(whole: bytes, texts: Texts | None) -> StreamChunk:
        """Returns the chunk of plain frames, which are relayed unread where there are no texts."""
        return StreamChunk([] if texts is None else texts.events(), whole, False, texts)


@runtime_checkable
class LoadedBackend(Interface):
    """A backend whose model is loaded into this process."""

    @property
    def state(self) -> str:
        """Says whether the model is loaded, loading, or why it cannot be loaded."""
        ...

    def start(self) -> None:
        """Begins to load the model, if it is to be loaded before the first request."""
        ...


class Backend(Interface):
    """One backend. It fails with an UpstreamError; a stream after its first chunk with a Failure as its last event."""

    config: BackendConfig

    @property
    def others(self) -> Sequence[Backend]:
        """The same backend in the protocols that it speaks beside its first."""
        ...

    @property
    def busy(self) -> int:
        """Requests under way; a backend that is no longer in the config is closed when there are none."""
        ...

    @property
    def rate_limits(self) -> Mapping[str, tuple[RateLimit, ...]]:
        """The limits that its provider named last, by model; empty where it names none. The last is the newest."""
        ...

    @property
    def key(self) -> int:
        """The index of the key in use."""
        ...

    def target(self, model: str) -> UpstreamTarget:
        """This backend as an encoder sees it."""
        ...

    def encode(self, request: Request, target: UpstreamTarget) -> UpstreamRequest:
        """Encodes the request for this backend; raises ClientError where the client asks for what cannot be."""
        ...

    async def reply(
        self, sent: UpstreamRequest, body: bytes, headers: Mapping[str, str], new_id: NewId
    ) -> tuple[Reply, bytes]:
        """The decoded answer, and its bytes as the stage log shows them."""
        ...

    def stream(
        self,
        sent: UpstreamRequest,
        body: bytes,
        headers: Mapping[str, str],
        new_id: NewId,
        *,
        relayed: bool,
        sink: Sink = no_sink,
    ) -> AsyncGenerator[StreamChunk, None]:
        """The answer as it comes, but for what the sink takes."""
        ...

    async def send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        """Calls another endpoint below the base URL; returns the whole answer's bytes."""
        ...

    @property
    def ring(self) -> KeyRing | None:
        """Its keys, where there are several."""
        ...

    def use_key(self, key: int) -> None:
        """Sends the next request with this key, by its index."""
        ...

    def next_key(self, refused: Collection[int]) -> bool:
        """Switches to a key that is not among those that were refused; False where all of them were."""
        ...

    async def close(self) -> None:
        """Closes its connections; twice, or before the first use, is harmless."""
        ...
