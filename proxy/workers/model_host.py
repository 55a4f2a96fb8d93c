"""The process that has the local models: it runs them, and gives what they say to the workers that asked."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Mapping
from typing import Any

import msgspec

from ..backends.mlx.backend import limits_of, load_runtime
from ..backends.mlx.bad_folder import BadFolder
from ..backends.mlx.engine import Done, Engine, EngineOutput, Generation, LoadRuntime, Prompt
from ..backends.mlx.model_folder import folder_of, read_folder
from ..backends.mlx.output_parser import Fragment
from ..backends.mlx.request import MlxRequest
from ..config import Config
from ..errors import upstream_failure
from ..ir import Failure
from ..protocols import PROTOCOLS
from ..routing import BackendConfig
from .channel import Channel, Refusal
from .worker import HELLO_S, LOOK_S, WorkerSpec, read_config

OUTPUTS: Mapping[str, Any] = {"prompt": Prompt, "said": list[Fragment], "done": Done, "failure": Failure}
"""The types of an engine's outputs, by their names in a frame."""


def write_output(output: EngineOutput) -> list[Any]:
    """An output of the engine as plain values."""
    kinds = {Prompt: "prompt", list: "said", Done: "done", Failure: "failure"}
    return [kinds[type(output)], msgspec.to_builtins(output)]


def read_output(kind: str, value: Any) -> EngineOutput:
    """The output that `write_output` wrote."""
    found: EngineOutput = msgspec.convert(value, OUTPUTS[kind])
    return found


class ModelHost:
    """The engines of all local models. `load` makes a runtime, in an engine's thread."""

    def __init__(self, spec: WorkerSpec, load: LoadRuntime = load_runtime) -> None:
        self._spec = spec
        self._load = load
        self._engines: dict[str, tuple[BackendConfig, Engine]] = {}
        self._waiting_config: Config | None = None
        self._open: set[Channel] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._stop = asyncio.Event()
        self._retire = asyncio.Event()
        self._drain_s = 0.0
        self.channel = Channel(
            {
                "listen": lambda numbers: None,
                "prepare": self._prepare,
                "apply": self._apply,
                "state": lambda state: None,
                "retire": self._retire.set,
                "drain": self._stop.set,
            },
            lambda channel: self._stop.set(),
        )

    async def run(self) -> None:
        """Serves until the supervisor says otherwise, or is gone; then what is being said may end within `drain_s`."""
        try:
            await self._run()
        finally:
            await self.channel.closed()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, self._stop.set)
        for name in (signal.SIGHUP, signal.SIGUSR2):
            loop.add_signal_handler(name, lambda: None)
        await loop.create_unix_connection(lambda: self.channel, self._spec.socket)
        found = await self.channel.ask("hello", self._spec.role, self._spec.version, limit_s=HELLO_S)
        self._use(read_config(found["config"]))
        (descriptor,) = self._spec.listeners[0]
        await self._listen(descriptor)
        self.channel.tell("listening")
        waits = [asyncio.ensure_future(event.wait()) for event in (self._stop, self._retire)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for server in self._servers:
            server.close()
        until = loop.time() + self._drain_s
        # the tasks and connections come and go meanwhile
        while (self._tasks or (self._open and not self._stop.is_set())) and loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)
        for wait in waits:
            wait.cancel()
        for channel in list(self._open):
            channel.close()
        for _, engine in self._engines.values():
            await engine.close()

    async def _listen(self, descriptor: int) -> None:
        with socket.socket(fileno=descriptor) as kept:
            own = kept.dup()
            kept.detach()
        self._servers.append(await asyncio.get_running_loop().create_unix_server(self._connect, sock=own))

    # ---- the config --------------------------------------------------------------------------------------------------

    def _prepare(self, data: bytes) -> None:
        config = read_config(data)
        try:
            for backend in config.plan.backends:
                if backend.protocol not in PROTOCOLS:
                    read_folder(folder_of(backend.folder))
        except BadFolder as fault:
            raise Refusal(str(fault)) from None
        self._waiting_config = config

    def _apply(self) -> None:
        config, self._waiting_config = self._waiting_config, None
        if config is not None:
            self._use(config)

    def _use(self, config: Config) -> None:
        """Makes the engines of this config; one whose backend is unchanged keeps its model."""
        self._drain_s = config.settings.drain_s
        before, self._engines = self._engines, {}
        for backend in config.plan.backends:
            if backend.protocol in PROTOCOLS:
                continue
            known = before.pop(backend.name, None)
            if known is None or known[0] != backend:
                if known is not None:
                    before[backend.name] = known
                known = backend, Engine(read_folder(folder_of(backend.folder)), limits_of(backend), self._load)
            self._engines[backend.name] = known
            if backend.load == "start":
                known[1].start()
        for _, engine in before.values():
            self._keep(engine.close())

    def _keep(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # ---- the workers -------------------------------------------------------------------------------------------------

    def _connect(self) -> Channel:
        saying: dict[int, tuple[Engine, Generation]] = {}

        def generate(id_: int, name: str, request: Mapping[str, Any]) -> None:
            known = self._engines.get(name)
            if known is None:
                reason = upstream_failure(502, kind="upstream_unreachable", message="There is no such local model.")
                channel.tell("output", id_, *write_output(reason))
                return
            generation = known[1].submit(msgspec.convert(request, MlxRequest))
            if isinstance(generation, Failure):
                channel.tell("output", id_, *write_output(generation))
                return
            saying[id_] = known[1], generation
            self._keep(pass_on(id_, generation))

        async def pass_on(id_: int, generation: Generation) -> None:
            while id_ in saying:
                output = await generation.outputs.get()
                channel.tell("output", id_, *write_output(output))
                if isinstance(output, Done | Failure):
                    saying.pop(id_, None)

        def cancel(id_: int) -> None:
            if (found := saying.pop(id_, None)) is not None:
                engine, generation = found
                engine.cancel(generation)
                generation.outputs.put_nowait(GONE)

        def lost(channel: Channel) -> None:
            self._open.discard(channel)
            for id_ in list(saying):
                cancel(id_)

        channel = Channel({"generate": generate, "cancel": cancel}, lost)
        self._open.add(channel)
        return channel


GONE = upstream_failure(502, kind="upstream_unreachable", message="Nobody listens to the local model any more.")
