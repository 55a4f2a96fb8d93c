"""The supervisor: keeps the sockets and what must be exact, starts the workers, and starts again what dies."""

from __future__ import annotations

import asyncio
import logging
import pickle
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from msgspec import Struct

from ..config import Config
from ..errors import ConfigError
from ..observability import metrics_sum
from ..protocols import PROTOCOLS
from .channel import Channel, ChannelError, Handler, Refusal
from .limit_desk import LimitDesk, SharedLimits
from .worker import POOL, WorkerSpec

log = logging.getLogger("crosswire")

FIRST_WAIT_S = 0.1
"""Seconds before the second start of what dies at once; each further one takes twice as long. The first is at once."""

MOST_WAIT_S = 10.0

GOOD_S = 10.0
"""Seconds that a worker must have served for its death to count as the first."""

START_S = 60.0
"""Seconds in which a new worker must listen."""

ANSWER_S = 5.0
"""Seconds in which a worker must answer."""

APPLY_S = 30.0
"""Seconds in which a worker must have taken a config."""

KILL_S = 2.0
"""Seconds beside those of a drain after which a worker that does not end is killed."""

Command: TypeAlias = Callable[[WorkerSpec], Sequence[str]]
"""Returns the command line of a worker."""


class Times(Struct, frozen=True):
    """The times by which what dies is started again."""

    first_wait_s: float = FIRST_WAIT_S
    most_wait_s: float = MOST_WAIT_S
    good_s: float = GOOD_S


USUAL = Times()


class Member:
    """One process: a worker, or the process that has the local models."""

    def __init__(self, role: str, desk: LimitDesk) -> None:
        self.role = role
        self.desk = desk
        self.process: asyncio.subprocess.Process | None = None
        self.channel: Channel | None = None
        self.serves = asyncio.Event()
        """Set once it listens."""
        self.is_retiring = False
        self.is_trial = False
        """True while it is to replace another one, which serves on if this one does not come up."""
        self.config: Config | None = None
        """The config that it was told of."""
        self.began = time.monotonic()
        self.families: Sequence[metrics_sum.Family] = ()
        """Its metrics when it was asked last."""

    @property
    def is_serving(self) -> bool:
        """True while it takes new connections."""
        return self.serves.is_set() and not self.is_retiring and self.channel is not None and self.channel.is_open


class ReloadCount:
    """The number of new configs by how they ended."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.counts = {"taken": 0, "refused": 0}
        self._changed = changed

    def reloaded(self, good: bool) -> None:
        """A new config was taken, or could not be."""
        self.counts["taken" if good else "refused"] += 1
        self._changed()


class Supervisor:
    """All processes of one proxy. `command` makes a worker's command line; `extra` answers what else workers ask."""

    def __init__(
        self,
        config: Config,
        workers: int,
        listeners: Sequence[Sequence[socket.socket]],
        spec: WorkerSpec,
        command: Command,
        limits: SharedLimits,
        extra: Mapping[str, Handler],
        *,
        taken: Callable[[], None] = lambda: None,
        models: socket.socket | None = None,
        times: Times = USUAL,
    ) -> None:
        self.config = config
        self._listeners = listeners
        self._spec = spec
        self.command = command
        self._limits = limits
        limits.places_changed = self._tell_places
        self._extra = extra
        self._taken = taken
        self._models = models
        self._times = times
        self.roles = [str(number) for number in range(1, workers + 1)]
        self._members: dict[str, Member] = {}
        """The process of each role that is to serve; one that retires is in `_retiring` alone."""
        self._retiring: set[Member] = set()
        self._deaths: dict[str, int] = {}
        """The number of times that each role died without having served for long."""
        self.starts: dict[str, int] = {}
        """The number of times that each role was started."""
        self._past: list[list[Any]] = []
        self._changing = asyncio.Lock()
        """Held while a config is applied or the workers are replaced."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._stops = False
        self.failed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """Gets the exit code of a worker that ended before it had ever served."""
        self.config_complaints: tuple[str, ...] = ()
        self.store_complaint: str | None = None
        self.keeps_usage = False
        self.began = time.time()
        self.metrics = ReloadCount(self.spread_state)

    # ---- what a Reloader needs ---------------------------------------------------------------------------------------

    def now(self) -> float:
        return time.monotonic()

    async def apply_config(self, config: Config) -> None:
        """Lets all workers serve by this config, or none of them; raises ConfigError where one cannot."""
        async with self._changing:
            members = [each for each in self._every() if not each.is_retiring]
            data = pickle.dumps(config)
            ready = [each for each in members if each.is_serving]
            wrong = [why for why in await asyncio.gather(*(self._prepare(each, data) for each in ready)) if why]
            if wrong:
                raise ConfigError(wrong)
            self.config, self.config_complaints = config, ()
            self._taken()
            for each in ready:
                each.config = config
                if each.channel is not None:
                    each.channel.tell("apply")
            await self._need_models()
            self.spread_state()

    async def _prepare(self, member: Member, data: bytes) -> str | None:
        """Lets a worker try the config; returns the reason why it cannot serve by it, None where it can, or is gone."""
        assert member.channel is not None  # noqa: S101 - the caller looked
        try:
            await member.channel.ask("prepare", data, limit_s=APPLY_S)
        except ChannelError as fault:
            return f"worker {member.role}: {fault}" if member.channel.is_open else None
        return None

    # ---- starting ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Starts all processes, and returns once every worker listens; `failed` has the code of one that cannot."""
        await self._need_models()
        members = [await self._begin(role) for role in self.roles]
        waits = [asyncio.ensure_future(member.serves.wait()) for member in members]
        until = asyncio.get_running_loop().time() + START_S
        for wait in waits:
            left = until - asyncio.get_running_loop().time()
            await asyncio.wait((wait, self.failed), return_when=asyncio.FIRST_COMPLETED, timeout=left)
        for wait in waits:
            wait.cancel()
        if not self.failed.done() and not all(member.serves.is_set() for member in members):
            self.failed.set_result(1)

    async def _need_models(self) -> None:
        """Starts the process of the local models where the config has one."""
        needs = any(backend.protocol not in PROTOCOLS for backend in self.config.plan.backends)
        if needs and self._models is not None and POOL not in self._members:
            await self._begin(POOL)

    async def _begin(self, role: str, *, is_trial: bool = False) -> Member:
        """Starts a process of this role, which then is the one that serves."""
        member = Member(role, LimitDesk(self._limits))
        member.is_trial = is_trial
        spec = self._spec_of(role)
        own = [each.fileno() for slot in self._listeners for each in slot]
        if role == POOL and self._models is not None:
            own = [self._models.fileno()]
        self.starts[role] = self.starts.get(role, 0) + 1
        member.process = await asyncio.create_subprocess_exec(
            *self.command(spec),
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=own,
            start_new_session=True,  # a terminal's signals are for the supervisor
        )
        self._members[role] = member
        self._keep(self._watch(member))
        return member

    def _spec_of(self, role: str) -> WorkerSpec:
        slots = () if role == POOL else tuple(tuple(each.fileno() for each in slot) for slot in self._listeners)
        models = () if self._models is None else ((self._models.fileno(),),)
        return WorkerSpec(
            role=role,
            socket=self._spec.socket,
            version=self._spec.version,
            instance=self._spec.instance,
            models=self._spec.models,
            listeners=models if role == POOL else slots,
        )

    async def _watch(self, member: Member) -> None:
        """Waits for the end of a process, and starts its successor where it was to serve on."""
        assert member.process is not None  # noqa: S101 - set before
        code = await member.process.wait()
        member.desk.close()
        self._past = metrics_sum.add_up((self._past, metrics_sum.add_up((member.families,), past=True)))
        member.families = ()
        self._retiring.discard(member)
        role = member.role
        if self._members.get(role) is not member or self._stops or member.is_trial:
            return
        if not member.serves.is_set() and self.starts[role] == 1 and not self.failed.done() and role != POOL:
            self.failed.set_result(code)
            return
        times = self._times
        if time.monotonic() - member.began >= times.good_s and member.serves.is_set():
            self._deaths[role] = 0
        deaths = self._deaths[role] = self._deaths.get(role, 0) + 1
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        log.error("%s ended (%s) and is started again", self._title(role), how)
        self.assign()
        self.spread_state()
        if deaths > 1:
            await asyncio.sleep(min(times.most_wait_s, times.first_wait_s * 2 ** (deaths - 2)))
        async with self._changing:
            if not self._stops and self._members.get(role) is member:
                await self._begin(role)

    def _title(self, role: str) -> str:
        return "the process of the local models" if role == POOL else f"worker {role}"

    # ---- the channels ------------------------------------------------------------------------------------------------

    def connect(self) -> Channel:
        """The supervisor's end of a new connection; a worker says who it is first."""
        channel = Channel({})
        channel.handlers = {
            "hello": lambda role, version: self._greet(channel, role, version),
            "restart": self.restart,
        }
        return channel

    def _greet(self, channel: Channel, role: str, version: str) -> dict[str, Any]:
        member = self._members.get(role)
        if version != self._spec.version:
            raise Refusal(f"it is version {version}, and the supervisor {self._spec.version}: restart the whole proxy")
        if member is None or member.channel is not None:
            raise Refusal("no such worker was started")
        member.channel, member.config = channel, self.config
        channel.handlers = {
            **self._extra,
            **member.desk.handlers,
            "listening": lambda: self._serves(member),
            "ended": lambda families: setattr(member, "families", families),
            "all metrics": self._all_metrics,
            "any": lambda kind, values: self._ask_others(member, kind, values),
            "spread": lambda kind, values: self._tell_others(member, kind, values),
        }
        return {
            "config": pickle.dumps(self.config),
            "state": self.state(),
            "listen": [0] if role == POOL or len(self._listeners) == 1 else [int(role) - 1],
            "began": self.began,
        }

    def _serves(self, member: Member) -> None:
        member.serves.set()
        if member.config is not self.config:
            self._keep(self._catch_up(member))
        self.assign()
        self.spread_state()

    async def _catch_up(self, member: Member) -> None:
        """Brings a worker that began with an older config to the one that serves; one that cannot is ended."""
        while member.config is not (config := self.config):
            if await self._prepare(member, pickle.dumps(config)) is not None:
                _end(member, signal.SIGKILL)
                return
            member.config = config
            if member.channel is not None:
                member.channel.tell("apply")

    def _every(self) -> Iterator[Member]:
        yield from self._members.values()
        yield from self._retiring

    def workers(self) -> list[Member]:
        """All workers with a channel, those that retire among them."""
        return [
            each for each in self._every() if each.role != POOL and each.channel is not None and each.channel.is_open
        ]

    def state(self) -> dict[str, Any]:
        """The words about the config, the store and the workers that `/readyz` of any worker says."""
        serving = {each.role for each in self._every() if each.is_serving}
        missing = [f"{self._title(role)} is being started" for role in self._members if role not in serving]
        return {
            "config": self.config_complaints,
            "store": self.store_complaint,
            "workers": missing,
            "usage": self.keeps_usage,
        }

    def spread_state(self) -> None:
        """Tells all workers what has changed."""
        for each in self.workers():
            if each.channel is not None and each.serves.is_set():
                each.channel.tell("state", self.state())

    def assign(self) -> None:
        """Lets each worker accept from its own socket, and the first of them from those whose worker is gone."""
        serving = [each for each in self._members.values() if each.is_serving and each.role != POOL]
        if len(self._listeners) == 1 or not serving:
            return
        orphans = [number for number, role in enumerate(self.roles) if not self._members[role].is_serving]
        for each in serving:
            own = [int(each.role) - 1]
            assert each.channel is not None  # noqa: S101 - it serves
            each.channel.tell("listen", [*own, *orphans] if each is serving[0] else own)

    # ---- what workers ask of each other ------------------------------------------------------------------------------

    async def _ask_others(self, asker: Member, kind: str, values: Sequence[Any]) -> list[Any]:
        """The answers of all other workers; one that has none is left out."""
        others = [each for each in self.workers() if each is not asker]
        found = await asyncio.gather(*(self._ask(each, kind, *values) for each in others))
        return [each for each in found if each is not None]

    async def _ask(self, member: Member, kind: str, *values: Any) -> Any:
        assert member.channel is not None  # noqa: S101 - workers() have one
        try:
            return await member.channel.ask(kind, *values, limit_s=ANSWER_S / 2)
        except ChannelError:
            return None

    def _tell_others(self, asker: Member, kind: str, values: Sequence[Any]) -> None:
        for each in self.workers():
            if each is not asker and each.channel is not None:
                each.channel.tell(kind, *values)

    def _tell_places(self, *change: Any) -> None:
        for each in self.workers():
            if each.channel is not None:
                each.channel.tell("places", *change)

    async def _all_metrics(self) -> list[Any]:
        """The metrics of each worker, of those that have ended, and how often each was started."""

        async def learn(member: Member) -> None:
            if (found := await self._ask(member, "metrics")) is not None:
                member.families = found

        await asyncio.gather(*(learn(each) for each in self.workers()))
        now = {role: self._members[role].families for role in self.roles if self._members[role].families}
        retiring = [each.families for each in self._retiring if each.role != POOL]
        past = metrics_sum.add_up((self._past, *(metrics_sum.add_up((each,), past=True) for each in retiring)))
        return [now, [*past, *self._own_metrics()], {role: self.starts.get(role, 0) for role in self.roles}]

    def _own_metrics(self) -> list[list[Any]]:
        """The metrics of the supervisor itself."""
        samples = [
            ["crosswire_config_reloads_total", {"outcome": name}, number]
            for name, number in self.metrics.counts.items()
        ]
        return [["crosswire_config_reloads", "New configs by how they ended", "counter", samples]] if samples else []

    # ---- replacing and ending ----------------------------------------------------------------------------------------

    async def restart(self) -> str:
        """Replaces the workers one after the other: each new one listens before the old one retires.

        Raises Refusal where a new one does not come up; then the old one, and those after it, serve on.
        """
        if self._changing.locked():
            raise Refusal("a restart or a new config is under way; try again")
        async with self._changing:
            for role in ([POOL] if POOL in self._members else []) + self.roles:
                old = self._members[role]
                self._retiring.add(old)
                new = await self._begin(role, is_trial=True)
                ended = asyncio.ensure_future(_process(new).wait())
                serves = asyncio.ensure_future(new.serves.wait())
                await asyncio.wait((ended, serves), timeout=START_S, return_when=asyncio.FIRST_COMPLETED)
                ended.cancel()
                serves.cancel()
                if not new.is_serving:
                    self._members[role] = old
                    self._retiring.discard(old)
                    _end(new, signal.SIGKILL)
                    if _process(old).returncode is not None:
                        self._keep(self._watch(old))  # it died meanwhile, and nobody took note
                    raise Refusal(f"{self._title(role)} does not come up, and the old one serves on; the log says why")
                new.is_trial = False
                old.is_retiring = True
                if old.channel is not None:
                    old.channel.tell("retire")
        return f"{len(self.roles)} workers were replaced"

    async def stop(self, cut: asyncio.Event) -> int:
        """Drains all workers, and returns the exit code once they have ended; `cut` ends what is under way at once."""
        self._stops = True
        settings = self.config.settings
        every = list(self._every())
        for each in every:
            if each.channel is not None and each.channel.is_open:
                each.channel.tell("drain")
            else:
                _end(each, signal.SIGTERM)
        ends = asyncio.gather(*(_process(each).wait() for each in every if each.process is not None))
        cutting = asyncio.ensure_future(cut.wait())
        limit = settings.drain_s + settings.exit_s + KILL_S
        await asyncio.wait((ends, cutting), timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if cutting.done():
            for each in every:
                _end(each, signal.SIGTERM)
            await asyncio.wait((ends,), timeout=settings.exit_s + KILL_S)
        cutting.cancel()
        for each in every:
            _end(each, signal.SIGKILL)
        codes = await ends
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=KILL_S)
        # one that had ended its work is not worse for a second signal
        return max((0 if code == -signal.SIGTERM else 1 if code < 0 else code for code in codes), default=0)

    def _keep(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._has_ended)

    def _has_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            log.error("the supervisor failed at a part of its work", exc_info=fault)


def _process(member: Member) -> asyncio.subprocess.Process:
    assert member.process is not None  # noqa: S101 - set where the member is made
    return member.process


def _end(member: Member, how: signal.Signals) -> None:
    """Signals a process that has not ended."""
    process = member.process
    if process is not None and process.returncode is None:
        try:
            process.send_signal(how)
        except ProcessLookupError:
            return


def worker_command(arguments: Sequence[str]) -> Command:
    """The command line of workers, with these arguments of `crosswire serve`."""
    own = (sys.executable, "-P", "-m", "crosswire.proxy", "serve")
    return lambda spec: (*own, "--worker", spec.as_argument(), *arguments)


def open_private_socket(path: Path) -> socket.socket:
    """Opens a listening socket that nobody but this user can connect to; its folder is this user's alone."""
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    opened.setblocking(False)
    opened.bind(str(path))
    path.chmod(0o600)
    opened.listen(128)
    return opened
