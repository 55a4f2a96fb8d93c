"""`crosswire serve`: runs the proxy."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import select
import sys
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

from ..config import Config
from ..config.source import ConfigLoader, config_file
from ..gateway.gateway import Gateway
from ..known_clients import KEY_VARIABLE
from ..observability.log_output import LogOutput
from ..protocols import DEFAULT, PROTOCOLS
from ..routing import Plan, Route
from ..server.app import gateway_of, make_app
from ..server.lifecycle import serve
from ..server.reload import Reloader
from ..workers.listeners import DEFAULT_SHARING
from .config_source import add_config_arguments
from .exit_codes import ENVIRONMENT, FAILED, OK
from .store_watch import watch_store
from .usage_writer import keep_usage

log = logging.getLogger("crosswire")

MOST_WORKERS = 1024

STDERR = 2
"""Standard error as a file descriptor: what Python keeps for it is not used, for a thread may be stuck in it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(parser)
    parser.add_argument("--port", type=int, help="listen here instead of the config's port (9001)")
    parser.add_argument(
        "--log-file",
        type=Path,
        metavar="FILE",
        help="write the request and response of client and backend as JSON lines",
    )
    parser.add_argument("--records", type=Path, metavar="DIR", help="write the record of each request as a JSON file")
    parser.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0,
        help="log for each request which backend serves it and why; -vv also logs how the plan was made",
    )
    parser.add_argument(
        "--workers",
        type=_workers,
        default=1,
        metavar="N",
        help="run so many processes on the port, or `auto` for one on each core (default: 1)",
    )
    parser.add_argument(
        "--sockets",
        choices=("each", "one"),
        default=DEFAULT_SHARING,
        help="whether each worker has a listening socket of its own, as is usual on Linux, or all share one",
    )
    parser.add_argument("--worker", help=argparse.SUPPRESS)  # the supervisor's, for the processes that it starts
    parser.set_defaults(run=run)


def _workers(text: str) -> int:
    """A number of processes; `auto` is that of the cores that this process may use."""
    if text == "auto":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"must be auto, or a number from 1 to {MOST_WORKERS}, is {text!r}")
    return int(text)


def run(args: argparse.Namespace) -> int:
    output = LogOutput(STDERR)
    logging.basicConfig(level=logging.INFO if args.verbose else logging.WARNING, handlers=[output])
    if args.verbose > 1:
        logging.getLogger("crosswire").setLevel(logging.DEBUG)  # the libraries' own debug lines are left out
    if args.worker is not None:
        from .worker import run_worker  # one process needs nothing of it

        return run_worker(args, output, _loop_factory(), _end_after)
    loader = ConfigLoader(config_file(args.config), port=args.port, backend=args.backend)
    config = loader.load()
    settings = config.settings
    output.set_limits(settings.log_buffer, settings.log_end_s)
    for warning in config.warnings:
        print(f"warning: {warning}", file=sys.stderr)

    async def run_proxy() -> int:
        try:
            app = make_app(config, stage_log=args.log_file, records=args.records)
        except OSError as fault:
            print(
                f"--log-file, --records, access_log: {fault.filename} cannot be written: {fault.strerror}",
                file=sys.stderr,
            )
            return ENVIRONMENT
        gateway = gateway_of(app)
        loader.report = partial(_report_store, gateway)
        reloader = Reloader(gateway, loader.load, config_file(args.config))
        app.cleanup_ctx.append(lambda app: _store_watch(gateway, reloader))
        app.cleanup_ctx.append(lambda app: keep_usage(gateway))
        listening = asyncio.Event()
        app.cleanup_ctx.append(lambda app: _model_watch(gateway, listening))
        host, port = settings.host, settings.port

        def started(port: int) -> None:
            listening.set()
            print(_welcome(config, port), flush=True)

        try:
            await serve(
                app,
                host,
                port,
                started=started,
                reloader=reloader,
                stopping=lambda: _end_after(gateway.config.settings.drain_s + gateway.config.settings.exit_s),
            )
        except OSError as fault:
            print(f"cannot listen on {host}:{port}: {fault.strerror}; choose another with --port", file=sys.stderr)
            return ENVIRONMENT
        return OK

    async def run_all() -> int:
        if args.workers == 1:
            return await run_proxy()
        from .supervisor import supervise  # with what only several processes need

        return await supervise(args, args.workers, loader, config, _welcome)

    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(run_all())
    except KeyboardInterrupt:
        return OK


def _end_after(seconds: float) -> None:
    """Ends the process after this time, whatever keeps it: a disk that stalls, a database that does not answer."""

    def end() -> None:
        try:
            if select.select((), (STDERR,), (), 0)[1]:  # a short line does not block then
                os.write(STDERR, b"the shutdown took too long; what was under way is cut\n")
        finally:
            os._exit(FAILED)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _report_store(gateway: Gateway, complaint: str | None) -> None:
    """Keeps why the store cannot be read, for /readyz and the metrics, and logs it once."""
    if complaint is not None and gateway.store_complaint is None:
        log.warning("%s; what was read from it before serves on", complaint)
    if complaint is None and gateway.store_complaint is not None:
        log.warning("the store can be used again")
    gateway.store_complaint = complaint


async def _store_watch(gateway: Gateway, reloader: Reloader) -> AsyncIterator[None]:
    """Applies changes of the store while the proxy runs, as those of the config file are."""
    task = asyncio.ensure_future(watch_store(gateway, reloader, partial(_report_store, gateway)))
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _model_watch(gateway: Gateway, listening: asyncio.Event) -> AsyncIterator[None]:
    """Asks the providers for their models while the proxy listens."""

    async def watch() -> None:
        await listening.wait()
        await gateway.model_lists.watch()

    task = asyncio.ensure_future(watch())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's loops where it is installed (the extra `speed`), else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    loops: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return loops


def _welcome(config: Config, port: int) -> str:
    """The start-up output: the addresses, the models, and a command to try it with."""
    # a client on this machine reaches every interface by loopback
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.settings.host, config.settings.host)  # noqa: S104
    base = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    lines = [f"Crosswire listens on {base}", ""]
    for protocol in PROTOCOLS.values():
        lines.append(f"  {protocol.title:26} {base}{protocol.paths[0].replace('{tail}', '{model}:generateContent')}")
    lines += ["", "  model -> backend (upstream model)"]
    plan = config.plan
    rows = [(route.match, route.targets[0].backend, _upstream_model(route, plan)) for route in plan.sorted_routes]
    models = [(name, b.name, upstream) for b in plan.backends for name, upstream in b.models.items()]
    rows += [row for row in models if row[0] not in plan.by_exact]
    rows += [(smart.name, f"{smart.cheap.backend} or {smart.primary.backend}", "by score") for smart in plan.smart]
    rows += [(family.pattern, family.backend, "the same") for family in plan.families]
    if not rows:
        rows = [("any", backend.name, backend.default_model or "the same") for backend in plan.ordered]
    width = max(len(row[0]) for row in rows)
    lines += [f"  {name:{width}} -> {backend} ({upstream})" for name, backend, upstream in rows]
    lines += ["", "Try it:", _curl(base, config)]
    if config.settings.admin_key:
        lines += ["", f"What happens is shown at {base}/ui, to whoever has the admin_key."]
    return "\n".join([*lines, ""])


def _upstream_model(route: Route, plan: Plan) -> str:
    """The upstream model of a route's first target."""
    target = route.targets[0]
    name = target.model or route.model or route.match
    name = plan.by_name[target.backend].models.get(name, name)
    return "the same" if name == route.match else name


def _curl(base: str, config: Config) -> str:
    model = next((name for backend in config.plan.backends for name in backend.models), None)
    if model is None:
        first = config.plan.ordered[0]
        model = first.default_model or PROTOCOLS.get(first.protocol, DEFAULT).example_model
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello!"}]})
    quoted = body.replace("'", "'\\''")
    key = "" if config.clients is None else f'-H "authorization: Bearer ${KEY_VARIABLE}" '
    return f"  curl {base}/v1/chat/completions {key}-H 'content-type: application/json' -d '{quoted}'"
