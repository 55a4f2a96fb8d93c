"""One worker: a whole proxy that accepts from sockets which the supervisor keeps, and does what it says."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
from aiohttp import web
from msgspec import Struct

from ..config import Config
from ..errors import Malformed, StoreError
from ..gateway.gateway import Gateway
from ..gateway.runtime import MakeBackend
from ..observability.loop_lag import watch_loop_lag
from ..observability.metrics_sum import families_of
from ..page.views import number_by_clock, show_here
from ..server.app import gateway_of
from ..server.descriptors import raise_descriptor_limit
from ..server.lifecycle import drain, freeze, make_runner
from ..server.limited_server import LimitedServer
from ..server.page import SESSIONS
from .channel import Channel, Refusal
from .listeners import BACKLOG
from .remote_peers import RemotePeers
from .remote_state import RemoteState
from .remote_usage import RemoteUsage

log = logging.getLogger("crosswire")

HELLO_S = 30.0
"""Seconds in which the supervisor must have taken a new worker."""

LOOK_S = 0.02
"""Seconds between two looks whether the clients of a worker that retires are gone."""

POOL = "models"
"""The role of the process that has the local models."""


class WorkerSpec(Struct, frozen=True):
    """The arguments of a worker's process. `listeners` are the descriptors of all sockets, by worker."""

    role: str
    socket: str
    version: str
    instance: str = ""
    listeners: tuple[tuple[int, ...], ...] = ()
    models: str = ""
    """The path of the socket of the process that has the local models."""

    def as_argument(self) -> str:
        return json.dumps(msgspec.to_builtins(self))


def read_spec(text: str) -> WorkerSpec:
    """The spec that `as_argument` wrote."""
    return msgspec.json.decode(text, type=WorkerSpec)


def read_config(data: bytes) -> Config:
    """The config that the supervisor loaded."""
    found = pickle.loads(data)  # noqa: S301 - it comes from the supervisor, over a socket of this user alone
    assert isinstance(found, Config)  # noqa: S101 - the supervisor writes nothing else
    return found


App: TypeAlias = web.Application

MakeApp: TypeAlias = Callable[[Config, RemoteState], App]


class Worker:
    """A worker while it runs: its app, the sites from which it accepts, and its channel to the supervisor."""

    def __init__(self, spec: WorkerSpec, make_app: MakeApp, make_backend: MakeBackend) -> None:
        self._spec = spec
        self._make_app = make_app
        self._make_backend = make_backend
        self._stop = asyncio.Event()
        self._retire = asyncio.Event()
        self._sites: dict[int, list[web.SockSite]] = {}
        self._listening = asyncio.Lock()
        self._waiting_config: Config | None = None
        self.channel = Channel(
            {
                "listen": self._listen,
                "prepare": self._prepare,
                "apply": self._apply,
                "state": self._learn,
                "retire": self._retire.set,
                "drain": self._stop.set,
                "metrics": self._metrics,
                "record": self._record,
                "view": self._view,
                "session": self._session,
                "places": self._places,
                "fact": lambda *values: self._limits.hear(*values),
            },
            lambda channel: self._stop.set(),
        )

    async def run(self, stopping: Callable[[Gateway], None] = lambda gateway: None) -> None:
        """Serves until the supervisor says otherwise, or is gone. `stopping` is called once it drains."""
        try:
            await self._run(stopping)
        finally:
            await self.channel.closed()

    async def _run(self, stopping: Callable[[Gateway], None]) -> None:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, self._stop.set)
        for name in (signal.SIGHUP, signal.SIGUSR2):
            loop.add_signal_handler(name, lambda: None)  # they are the supervisor's
        await loop.create_unix_connection(lambda: self.channel, self._spec.socket)
        found = await self.channel.ask("hello", self._spec.role, self._spec.version, limit_s=HELLO_S)
        limits = RemoteState(self.channel, loop.time)
        app = self._make_app(read_config(found["config"]), limits)
        gateway = self._gateway = gateway_of(app)
        self._app = app
        self._limits = limits
        self._peers = gateway.peers = RemotePeers(self.channel, self._spec.role)
        self._usage = RemoteUsage(self.channel, gateway)
        self._learn(found["state"])
        gateway.began = found["began"]
        gateway.records.next_number = number_by_clock
        if gateway.limits is limits:
            gateway.share_places()
        watching = {
            asyncio.ensure_future(watch_loop_lag(gateway.metrics.loop_lagged)),
            asyncio.ensure_future(gateway.model_lists.watch()),
            asyncio.ensure_future(self._usage.run()),
        }
        raise_descriptor_limit()
        runner = self._runner = make_runner(app)
        await runner.setup()
        try:
            freeze()
            await self._listen(found["listen"])
            self.channel.tell("listening")
            await self._until_told(self._stop, self._retire)
            if self._retire.is_set() and not self._stop.is_set():
                await self._finish(gateway, runner)
            stopping(gateway)
            cut = self._stop
            if self._stop.is_set():
                self._stop.clear()
            await drain(gateway, cut)
        finally:
            for task in watching:
                task.cancel()
            await runner.cleanup()
            await self._usage.close()
            self.channel.tell("ended", self._metrics_now())

    async def _until_told(self, *events: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in events]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _finish(self, gateway: Gateway, runner: web.AppRunner) -> None:
        """Accepts nothing new, and serves its connections until they end, each with its next answer, or time is up."""
        await self._listen(())
        gateway.retire()
        server = runner.server
        loop = asyncio.get_running_loop()
        until = loop.time() + gateway.config.settings.drain_s
        while isinstance(server, LimitedServer) and server.clients.open and loop.time() < until:
            if self._stop.is_set():
                return
            await asyncio.sleep(LOOK_S)

    # ---- what the supervisor says ------------------------------------------------------------------------------------

    async def _listen(self, numbers: Sequence[int]) -> None:
        """Accepts from these of the sockets, and from no others."""
        async with self._listening:
            for number in [each for each in self._sites if each not in numbers]:
                for site in self._sites.pop(number):
                    await site.stop()
            for number in numbers:
                if number in self._sites:
                    continue
                self._sites[number] = sites = []
                for descriptor in self._spec.listeners[number]:
                    with socket.socket(fileno=descriptor) as kept:
                        own = kept.dup()
                        kept.detach()
                    site = web.SockSite(self._runner, own, backlog=BACKLOG)
                    await site.start()
                    sites.append(site)

    def _prepare(self, data: bytes) -> None:
        """Takes a new config without serving by it; says why where it cannot."""
        config = read_config(data)
        try:
            for backend in config.plan.backends:
                self._make_backend(backend, config)
        except Exception as fault:
            raise Refusal(f"{type(fault).__name__}: {fault}") from None
        self._waiting_config = config

    def _apply(self) -> None:
        """Serves by the config that was prepared."""
        config, self._waiting_config = self._waiting_config, None
        if config is not None:
            self._gateway.apply_config(config)

    def _learn(self, state: Mapping[str, Any]) -> None:
        """Takes note of the state of the config, the store and the other workers."""
        gateway = self._gateway
        gateway.config_complaints = tuple(state["config"])
        gateway.metrics.config_good = not state["config"]
        gateway.store_complaint = state["store"]
        self._peers.complaints = tuple(state["workers"])
        self._usage.keep(state["usage"])

    # ---- what the others ask -----------------------------------------------------------------------------------------

    def _places(self, key: str, backend: str, used: int, is_freed: bool) -> None:
        """A backend has got a request, or is rid of one, whichever worker's it was."""
        self._limits.learn_places(key, used)
        if is_freed:
            self._gateway.places.freed(backend)

    async def _metrics(self) -> list[list[Any]]:
        guard = self._gateway.guard
        if guard is not None and self._gateway.limits is self._limits:
            await self._limits.refresh(guard.all_budgets())
        return self._metrics_now()

    def _metrics_now(self) -> list[list[Any]]:
        self._gateway.update_metrics()
        return families_of(self._gateway.metrics.collect())

    def _record(self, id_: str) -> list[Any] | None:
        found = self._gateway.records.get(id_)
        return None if found is None else [found.client, found.rendered()]

    async def _view(self, path: str, id_: str, query: Mapping[str, str]) -> Any:
        try:
            return await show_here(self._gateway, path, id_, query)
        except (Malformed, StoreError) as fault:
            raise Refusal(str(fault)) from None

    def _session(self, what: str, value: str) -> None:
        self._app[SESSIONS].learn(what, value)
