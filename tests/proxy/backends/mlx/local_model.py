"""A running local model for tests, the bundled one by default, with requests and replies in the neutral form."""

from __future__ import annotations

import itertools
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from crosswire.proxy.backends.mlx.backend import MlxBackend
from crosswire.proxy.backends.mlx.model_folder import TINY, read_folder
from crosswire.proxy.ir import Event, Reply, Request, Text, Tool, Turn
from crosswire.proxy.routing import BackendConfig

pytest.importorskip("mlx_lm", reason="the extra `local` is not installed: MLX has no wheels for this platform")

WEATHER = Tool(
    "weather",
    "The weather in a city.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


def make_request(text: str, **keys: Any) -> Request:
    """Returns a request with one user turn; `max_tokens` bounds a runaway reply."""
    return Request(
        **{"protocol": "openai-chat", "model": "m", "turns": (turn("user", text),), "max_tokens": 100, **keys}
    )


def turn(role: Any, text: str) -> Turn:
    return Turn(role, (Text(text),))


def mlx_threads() -> set[threading.Thread]:
    """Returns the engines' threads; one of an earlier test may still be loading its model."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("mlx")}


@dataclass
class LocalModel:
    """A local model as a backend; new ids are call_1, call_2, …"""

    backend: MlxBackend
    _count: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def new_id(self, prefix: str) -> str:
        return f"{prefix}{next(self._count)}"

    async def reply(self, request: Request) -> Reply:
        return (await self.backend.reply(*self._arguments(request)))[0]

    async def events(self, request: Request) -> AsyncIterator[Event]:
        chunks = self.backend.stream(*self._arguments(request), relayed=False)
        try:
            async for chunk in chunks:
                for event in chunk.events:
                    yield event
        finally:
            await chunks.aclose()

    def _arguments(self, request: Request) -> tuple[Any, bytes, dict[str, str], Callable[[str], str]]:
        return self.backend.encode(request, self.backend.target(request.model)), b"", {}, self.new_id


@asynccontextmanager
async def local_model(
    folder: Path = TINY, *, load: Any = None, first_s: float = 60, **limits: float
) -> AsyncIterator[LocalModel]:
    """Runs the model of a folder, and ends its thread afterwards."""
    config = BackendConfig(name="local", protocol="mlx", base_url="", limits=limits)
    backend = MlxBackend(config, read_folder(folder), first_s=first_s, load=load)
    try:
        yield LocalModel(backend)
    finally:
        await backend.close()
