"""The Backend of a local model.

It imports nothing of the extra `local`: the engine's thread does, with the first request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping
from typing import TYPE_CHECKING

from ...errors import ClientError, UpstreamError, failure, upstream_failure
from ...ir import Event, Failure, Reply, ReplyEnd, Request, fold
from ...ir.rate_limits import RateLimit
from ...protocols.protocol import NewId, UpstreamRequest, UpstreamTarget
from ...routing import BackendConfig
from ..backend import Sink, StreamChunk, no_sink
from .engine import Engine, EngineLimits, EngineOutput, Generation, LoadRuntime
from .events import EventBuilder
from .memory import MIB
from .model_folder import ModelInfo
from .request import MlxRequest, decode_request, encode_request
from .spec import MLX_SPEC

if TYPE_CHECKING:
    from .runtime import Runtime

SAMPLING_BOUNDS: dict[str, tuple[float, float]] = {
    "temperature": (0, 100),
    "top_p": (0, 1),
    "top_k": (-1, 2**31),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
}
"""Minimum and maximum of the sampling parameters; the penalties as OpenAI bounds them."""


class MlxBackend:
    """One configured local model; its thread starts with the first request and ends with `close`."""

    def __init__(
        self,
        config: BackendConfig,
        model: ModelInfo,
        *,
        first_s: float,
        load: LoadRuntime | None = None,
        engine: Engine | None = None,
    ) -> None:
        """`first_s` is the timeout in seconds for the first output, loading and queueing included.

        `engine` runs the model, if not a thread of this process.
        """
        self.config = config
        self.others: tuple[MlxBackend, ...] = ()
        self.busy = 0
        self.rate_limits: Mapping[str, tuple[RateLimit, ...]] = {}
        self.key = 0
        self.ring = None
        self._first_s = first_s
        self._engine = engine or Engine(model, limits_of(config), load or load_runtime)

    def target(self, model: str) -> UpstreamTarget:
        """Returns this backend as the target of an encoder."""
        config = self.config
        return UpstreamTarget(
            model,
            config.provider,
            config.max_tokens,
            config.limits,
            config.quirks,
            config.host,
            config.traits,
        )

    def encode(self, request: Request, target: UpstreamTarget) -> UpstreamRequest:
        """Encodes a request for the engine, and declares what is lost."""
        return encode_request(request, target)

    def use_key(self, key: int) -> None:
        """Does nothing: a local model has no keys."""

    def next_key(self, refused: Collection[int]) -> bool:
        """Returns False: a local model has no keys."""
        return False

    async def reply(
        self, sent: UpstreamRequest, body: bytes, headers: Mapping[str, str], new_id: NewId
    ) -> tuple[Reply, bytes]:
        """Returns the reply, and its lines for the log."""
        events: list[Event] = []
        lines = []
        chunks = self.stream(sent, body, headers, new_id, relayed=False)
        try:
            async for chunk in chunks:
                events += chunk.events
                lines.append(chunk.raw)
        finally:
            await chunks.aclose()
        folded = fold(events)
        if isinstance(folded, Failure):
            raise UpstreamError(folded)
        return folded, b"".join(lines)

    async def stream(
        self,
        sent: UpstreamRequest,
        body: bytes,
        headers: Mapping[str, str],
        new_id: NewId,
        *,
        relayed: bool,
        sink: Sink = no_sink,
    ) -> AsyncGenerator[StreamChunk, None]:
        """Yields the events as they are decoded, the prompt first; the last event is a ReplyEnd or a Failure."""
        mlx_request = decode_request(sent.payload)
        check_request(mlx_request)
        generation = self._engine.submit(mlx_request)
        if isinstance(generation, Failure):
            raise UpstreamError(generation)
        builder = EventBuilder(sent, new_id)
        self.busy += 1
        try:
            output = await self._first(generation)
            while True:
                if isinstance(output, Failure) and output.status < 500:
                    raise ClientError(output)
                events, line = builder.feed(output)
                yield StreamChunk(events, line)
                if any(isinstance(event, ReplyEnd | Failure) for event in events):
                    return
                output = await generation.outputs.get()
        finally:
            self.busy -= 1
            self._engine.cancel(generation)

    async def send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        """A local model has no other endpoints."""
        raise UpstreamError(failure("not_found", "A local model answers chats alone."))

    async def _first(self, generation: Generation) -> EngineOutput:
        try:
            return await asyncio.wait_for(generation.outputs.get(), self._first_s)
        except TimeoutError:
            raise UpstreamError(upstream_failure(504)) from None

    @property
    def state(self) -> str:
        """Says whether the model is loaded, loading, or why it cannot be loaded."""
        return self._engine.state

    def start(self) -> None:
        """Begins to load the model where the config says `load: start`; the proxy serves meanwhile."""
        if self.config.load == "start":
            self._engine.start()

    async def close(self) -> None:
        """Ends the engine; harmless if called twice or before the first use."""
        await self._engine.close()


def check_request(mlx_request: MlxRequest) -> None:
    """Validates the sampling parameters and `max_tokens`; raises a ClientError that names the field."""
    for name, (minimum, maximum) in SAMPLING_BOUNDS.items():
        value = getattr(mlx_request, name)
        if value is not None and not minimum <= value <= maximum:
            message = f"Invalid request: {name}: must be from {minimum:g} to {maximum:g}, is {value}."
            raise ClientError(failure("bad_request", message, param=name))
    if mlx_request.max_tokens is not None and mlx_request.max_tokens < 1:
        message = f"Invalid request: max_tokens: must be at least 1, is {mlx_request.max_tokens}."
        raise ClientError(failure("bad_request", message, param="max_tokens"))


def limits_of(backend: BackendConfig) -> EngineLimits:
    """Returns the engine's limits as configured for this backend."""
    limits = {**MLX_SPEC.limits, **backend.limits}
    return EngineLimits(
        batch=max(1, int(limits["batch"])),
        queue=int(limits["queue"]),
        prefill=max(1, int(limits["prefill"])),
        cache_bytes=int(limits["cache_mb"] * MIB),
        context=int(limits["context"]) or None,
        memory_bytes=int(limits["memory_mb"] * MIB) or None,
        unload_s=limits["unload_s"] or None,
    )


def load_runtime(model: ModelInfo, limits: EngineLimits) -> Runtime:
    """Loads the model; called on the engine's thread, because it imports MLX."""
    from .runtime import Runtime

    return Runtime(model, batch=limits.batch, prefill=limits.prefill, cache_bytes=limits.cache_bytes)
