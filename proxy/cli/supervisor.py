"""`crosswire serve --workers N`: the supervisor of several processes on one port."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, closing
from importlib.metadata import version
from typing import Any

from ..config import Config
from ..config.source import ConfigLoader, config_file
from ..gateway.hops import new_instance_id
from ..server.reload import Reloader
from ..state.factory import make_state
from ..state.interface import State
from ..state.memory import ProcessState
from ..workers.accounts import Accounts
from ..workers.channel import Refusal
from ..workers.limit_desk import SharedLimits
from ..workers.listeners import close_all, open_listeners
from ..workers.private_folder import MODELS, SOCKET, FolderError, PrivateFolder
from ..workers.supervisor import Supervisor, open_private_socket, worker_command
from ..workers.worker import WorkerSpec
from .exit_codes import ENVIRONMENT
from .store_watch import watch_store
from .usage_writer import keep_usage

log = logging.getLogger("crosswire")


async def supervise(
    args: argparse.Namespace, workers: int, loader: ConfigLoader, config: Config, welcome: Callable[[Config, int], str]
) -> int:
    """Runs the workers until SIGINT or SIGTERM, and returns the exit code."""
    host, port = config.settings.host, config.settings.port
    try:
        listeners = await open_listeners(host, port, workers, args.sockets)
    except OSError as fault:
        print(f"cannot listen on {host}:{port}: {fault.strerror}; choose another with --port", file=sys.stderr)
        return ENVIRONMENT
    port = listeners[0][0].getsockname()[1]
    async with AsyncExitStack() as stack:
        stack.callback(close_all, listeners)
        try:
            folder = stack.enter_context(closing(PrivateFolder(port)))
        except FolderError as fault:
            print(fault, file=sys.stderr)
            return ENVIRONMENT
        models = stack.enter_context(closing(open_private_socket(folder.path / MODELS)))
        control = open_private_socket(folder.path / SOCKET)
        own = ProcessState(time.monotonic, time.time)
        shared = config.settings.state.url is not None
        state = make_state(config.settings.state, time.monotonic, time.time) if shared else own
        state.start()
        stack.push_async_callback(state.close)
        serving: list[Supervisor] = []
        accounts = Accounts(lambda: serving[0].config if serving else config, state, time.time)
        supervisor = Supervisor(
            config,
            workers,
            listeners,
            WorkerSpec(
                role="",
                socket=str(folder.path / SOCKET),
                version=version("crosswire"),
                instance=new_instance_id(),
                models=str(folder.path / MODELS),
            ),
            worker_command(_arguments(args)),
            SharedLimits(own),
            accounts.handlers,
            taken=lambda: _taken(accounts, state),
            models=models,
        )
        serving.append(supervisor)
        server = await asyncio.get_running_loop().create_unix_server(supervisor.connect, sock=control)
        stack.callback(server.close)
        # the budgets know what was spent before the first request comes
        await stack.enter_async_context(asynccontextmanager(keep_usage)(accounts))
        supervisor.keeps_usage = accounts.ledger is not None
        return await _run(supervisor, args, loader, accounts, lambda: print(welcome(config, port), flush=True))


async def _run(
    supervisor: Supervisor,
    args: argparse.Namespace,
    loader: ConfigLoader,
    accounts: Accounts,
    started: Callable[[], None],
) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    tasks: set[asyncio.Task[object]] = set()

    def begin(work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.ensure_future(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    for name in (signal.SIGHUP, signal.SIGUSR2):
        loop.add_signal_handler(name, lambda: None)
    starting = asyncio.ensure_future(supervisor.start())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    if supervisor.failed.done():
        stopping.cancel()
        await supervisor.stop(stop)
        return supervisor.failed.result()
    reloader = Reloader(supervisor, loader.load, config_file(args.config))
    loader.report = lambda complaint: _report_store(supervisor, loop, complaint)
    loop.add_signal_handler(signal.SIGHUP, lambda: begin(reloader.reload_settled()))
    loop.add_signal_handler(signal.SIGUSR2, lambda: begin(_restart(supervisor)))
    if not stop.is_set():
        started()
        begin(reloader.watch())
        begin(watch_store(supervisor, reloader, lambda complaint: _report_store(supervisor, loop, complaint)))
        begin(_follow_usage(supervisor, accounts))
    await stopping
    for task in list(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    stop.clear()
    return await supervisor.stop(stop)


async def _restart(supervisor: Supervisor) -> None:
    try:
        log.warning("%s", await supervisor.restart())
    except Refusal as fault:
        log.error("the workers were not replaced: %s", fault)


async def _follow_usage(supervisor: Supervisor, accounts: Accounts) -> None:
    """Tells the workers where a new config begins or ends the ledger."""
    while True:
        await asyncio.sleep(1.0)
        if supervisor.keeps_usage != (accounts.ledger is not None):
            supervisor.keeps_usage = accounts.ledger is not None
            supervisor.spread_state()


def _taken(accounts: Accounts, state: State) -> None:
    """A new config serves: its budgets count from now on."""
    accounts.begin()
    state.forget_unused()


def _report_store(supervisor: Supervisor, loop: asyncio.AbstractEventLoop, complaint: str | None) -> None:
    """Keeps why the store cannot be read, and logs it once; called from the thread that loads the config, too."""
    if complaint is not None and supervisor.store_complaint is None:
        log.warning("%s; what was read from it before serves on", complaint)
    if complaint is None and supervisor.store_complaint is not None:
        log.warning("the store can be used again")
    if complaint != supervisor.store_complaint:
        supervisor.store_complaint = complaint
        loop.call_soon_threadsafe(supervisor.spread_state)


def _arguments(args: argparse.Namespace) -> list[str]:
    """The arguments of `serve` that its workers get too."""
    found = ["-v"] * args.verbose
    for name, value in (("--log-file", args.log_file), ("--records", args.records)):
        found += [name, str(value)] if value is not None else []
    return found
