"""A local model as a backend: a neutral request in, events or a reply out, as from any provider.

It imports nothing of the extra `local`; the engine's thread does, with the first request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING

from ...errors import ClientError, UpstreamError, failure, upstream_failure
from ...ir import Event, Failure, Finish, Reply, Request, fold
from ...protocols.contract import NewId, Sent, Target
from ...routing import Backend
from ..door import Piece
from .answer import Answer
from .engine import Bounds, Engine, Load, Said, Ticket
from .folder import Model
from .job import Job, decode_job, encode_request
from .speech import SPEECH

if TYPE_CHECKING:
    from .runtime import Runtime

BOUNDS: dict[str, tuple[float, float]] = {
    "temperature": (0, 100),
    "top_p": (0, 1),
    "top_k": (-1, 2**31),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
}
"""What each way of sampling may be; the penalties as OpenAI bounds them."""


class MlxBackend:
    """One configured local model; its thread begins with the first request and ends with `close`."""

    def __init__(self, backend: Backend, model: Model, *, first_s: float, load: Load | None = None) -> None:
        """`first_s` bounds, in seconds, the wait for anything to be said, loading and queueing included."""
        self.backend = backend
        self.busy = 0
        self.key = 0
        self._first_s = first_s
        self._engine = Engine(model, bounds_of(backend), load or _load)

    def target(self, model: str) -> Target:
        """This backend as an encoder sees it."""
        backend = self.backend
        return Target(model, backend.provider, backend.max_tokens, backend.limits, backend.quirks)

    def encode(self, request: Request, target: Target) -> Sent:
        """The request as messages for the model's template, and what those cannot say."""
        return encode_request(request, target)

    def next_key(self, refused: int) -> bool:
        """A local model has no keys."""
        return False

    async def reply(self, sent: Sent, body: bytes, headers: Mapping[str, str], new_id: NewId) -> tuple[Reply, bytes]:
        """The whole answer, and its lines."""
        events: list[Event] = []
        lines = []
        pieces = self.stream(sent, body, headers, new_id, relayed=False)
        try:
            async for piece in pieces:
                events += piece.events
                lines.append(piece.raw)
        finally:
            await pieces.aclose()
        answer = fold(events)
        if isinstance(answer, Failure):
            raise UpstreamError(answer)
        return answer, b"".join(lines)

    async def stream(
        self, sent: Sent, body: bytes, headers: Mapping[str, str], new_id: NewId, *, relayed: bool
    ) -> AsyncGenerator[Piece, None]:
        """The answer as it is decoded, the prompt first; the last events are Finish or a Failure."""
        job = decode_job(sent.payload)
        check(job)
        ticket = self._engine.submit(job)
        if isinstance(ticket, Failure):
            raise UpstreamError(ticket)
        answer = Answer(sent, new_id)
        self.busy += 1
        try:
            said = await self._first(ticket)
            while True:
                if isinstance(said, Failure) and said.status < 500:
                    raise ClientError(said)
                events, line = answer.hear(said)
                yield Piece(events, line)
                if any(isinstance(event, Finish | Failure) for event in events):
                    return
                said = await ticket.heard.get()
        finally:
            self.busy -= 1
            self._engine.cancel(ticket)

    async def _first(self, ticket: Ticket) -> Said:
        try:
            return await asyncio.wait_for(ticket.heard.get(), self._first_s)
        except TimeoutError:
            raise UpstreamError(upstream_failure(504)) from None

    async def close(self) -> None:
        """Twice, or before the first use, is harmless."""
        await self._engine.close()


def check(job: Job) -> None:
    """Refuse what no sampling can do, before it costs anything; raises ClientError that names the field."""
    for name, (least, most) in BOUNDS.items():
        value = getattr(job, name)
        if value is not None and not least <= value <= most:
            what = f"Invalid request: {name}: must be from {least:g} to {most:g}, is {value}."
            raise ClientError(failure("bad_request", what, param=name))
    if job.max_tokens is not None and job.max_tokens < 1:
        what = f"Invalid request: max_tokens: must be at least 1, is {job.max_tokens}."
        raise ClientError(failure("bad_request", what, param="max_tokens"))


def bounds_of(backend: Backend) -> Bounds:
    """The engine's bounds by this backend's limits."""
    limits = {**SPEECH.limits, **backend.limits}
    return Bounds(
        batch=max(1, int(limits["batch"])),
        queue=int(limits["queue"]),
        prefill=max(1, int(limits["prefill"])),
        cache_bytes=int(limits["cache_mb"] * 1024 * 1024),
        context=int(limits["context"]) or None,
    )


def _load(model: Model, bounds: Bounds) -> Runtime:
    from .runtime import Runtime

    return Runtime(model, batch=bounds.batch, prefill=bounds.prefill, cache_bytes=bounds.cache_bytes)
