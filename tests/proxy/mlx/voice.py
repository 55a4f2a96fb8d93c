"""A local model to talk to in a test: the shipped one by default, asked and heard in the neutral form."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from proxy.backends.mlx.door import MlxBackend
from proxy.backends.mlx.folder import TINY, read_folder
from proxy.ir import Event, Reply, Request, Text, Tool, Turn
from proxy.routing import Backend

pytest.importorskip("mlx_lm", reason="the extra `local` is not installed: MLX has no wheels for this platform")

WEATHER = Tool(
    "weather",
    "The weather in a city.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


def asks(text: str, **keys: Any) -> Request:
    """A request of one user's turn; `max_tokens` bounds what a mistake may cost."""
    return Request(
        **{"dialect": "openai-chat", "model": "m", "turns": (said("user", text),), "max_tokens": 100, **keys}
    )


def said(role: Any, text: str) -> Turn:
    return Turn(role, (Text(text),))


@dataclass
class Voice:
    """A backend with its ways of being asked; `ids` are call_1, call_2, …"""

    door: MlxBackend
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def new_id(self, prefix: str) -> str:
        return f"{prefix}{next(self._numbers)}"

    async def reply(self, request: Request) -> Reply:
        return (await self.door.reply(*self._sent(request)))[0]

    async def events(self, request: Request) -> AsyncIterator[Event]:
        pieces = self.door.stream(*self._sent(request), relayed=False)
        try:
            async for piece in pieces:
                for event in piece.events:
                    yield event
        finally:
            await pieces.aclose()

    def _sent(self, request: Request) -> tuple[Any, bytes, dict[str, str], Callable[[str], str]]:
        return self.door.encode(request, self.door.target(request.model)), b"", {}, self.new_id


@asynccontextmanager
async def voice(folder: Path = TINY, *, load: Any = None, first_s: float = 60, **limits: float) -> AsyncIterator[Voice]:
    """A local model in this folder, its thread ended afterwards."""
    backend = Backend(name="local", protocol="mlx", base_url="", limits=limits)
    door = MlxBackend(backend, read_folder(folder), first_s=first_s, load=load)
    try:
        yield Voice(door)
    finally:
        await door.close()
