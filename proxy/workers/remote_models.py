"""A local model in another process, as a worker asks it: an engine like that of this process."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from typing import Any

import msgspec

from ..backends.mlx.backend import MlxBackend, limits_of
from ..backends.mlx.engine import Done, Engine, Generation
from ..backends.mlx.model_folder import ModelInfo, folder_of, read_folder
from ..backends.mlx.request import MlxRequest
from ..config import Config
from ..errors import upstream_failure
from ..ir import Failure
from ..routing import BackendConfig
from .channel import Channel
from .model_host import read_output

TRIES_S = 5.0
"""Seconds in which the process of the local models must be reached, which may just be starting."""

AGAIN_S = 0.05

LOST = "The process of the local models ended; it is started again."


class ModelPool:
    """The connection of one worker to the process that has the local models; it is made with the first request."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._channel: Channel | None = None
        self._connecting = asyncio.Lock()
        self._ids = itertools.count(1)
        self._open: dict[int, Generation] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, name: str, request: MlxRequest) -> Generation:
        """Asks the model of this backend; what it says comes in the generation's outputs."""
        generation = Generation(request, asyncio.get_running_loop())
        generation.uid = next(self._ids)
        self._open[generation.uid] = generation
        task = asyncio.ensure_future(self._ask(name, generation))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return generation

    def cancel(self, generation: Generation) -> None:
        """Nobody wants the rest of it."""
        generation.cancelled = True
        if self._open.pop(generation.uid, None) is not None and self._channel is not None:
            self._channel.tell("cancel", generation.uid)

    async def _ask(self, name: str, generation: Generation) -> None:
        try:
            channel = await self._connected()
        except (OSError, TimeoutError):
            self._fail(generation)
            return
        if not generation.cancelled:
            channel.tell("generate", generation.uid, name, msgspec.to_builtins(generation.request))

    async def _connected(self) -> Channel:
        async with self._connecting:
            if self._channel is not None and self._channel.is_open:
                return self._channel
            channel = Channel({"output": self._take}, self._lost)
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(TRIES_S):
                while True:
                    with contextlib.suppress(ConnectionError, FileNotFoundError):
                        await loop.create_unix_connection(lambda: channel, self._path)
                        break
                    await asyncio.sleep(AGAIN_S)
            self._channel = channel
            return channel

    def _take(self, id_: int, kind: str, value: Any) -> None:
        generation = self._open.get(id_)
        if generation is None:
            return
        output = read_output(kind, value)
        if isinstance(output, Done | Failure):
            del self._open[id_]
        generation.outputs.put_nowait(output)

    def _lost(self, channel: Channel) -> None:
        for generation in list(self._open.values()):
            self._fail(generation)

    def _fail(self, generation: Generation) -> None:
        if self._open.pop(generation.uid, None) is not None:
            generation.outputs.put_nowait(upstream_failure(502, kind="upstream_unreachable", message=LOST))


class RemoteEngine(Engine):
    """The engine of one backend, in another process."""

    def __init__(self, backend: BackendConfig, model: ModelInfo, pool: ModelPool) -> None:
        super().__init__(model, limits_of(backend), _load_nothing)
        self._name = backend.name
        self._pool = pool
        self.state = "in the process of the local models"

    def start(self) -> None:
        """Leaves the loading to that process, which reads the same config."""

    def submit(self, request: MlxRequest) -> Generation:
        """Queues a request there."""
        return self._pool.submit(self._name, request)

    def cancel(self, generation: Generation) -> None:
        """Drops a request there."""
        self._pool.cancel(generation)

    async def close(self) -> None:
        """Leaves the model to the other workers."""


def remote_backend(backend: BackendConfig, config: Config, pool: ModelPool) -> MlxBackend:
    """The backend of a local model that another process runs."""
    model = read_folder(folder_of(backend.folder))
    engine = RemoteEngine(backend, model, pool)
    return MlxBackend(backend, model, first_s=config.settings.read_timeout_s, engine=engine)


def _load_nothing(*arguments: Any) -> Callable[[], None]:
    raise RuntimeError("the model is loaded by another process")
