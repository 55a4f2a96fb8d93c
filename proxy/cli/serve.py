"""`crosswire serve`: runs the proxy."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from ..config import Config, configured_store
from ..config.source import config_file, missing_library
from ..errors import StoreError
from ..gateway.gateway import Gateway
from ..protocols import DEFAULT, PROTOCOLS
from ..routing import Plan, Route
from ..server.app import gateway_of, make_app
from ..server.lifecycle import serve
from ..server.reload import Reloader
from .config_source import add_config_arguments, config_of
from .exit_codes import ENVIRONMENT, OK

log = logging.getLogger("crosswire")


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
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    level = logging.INFO if args.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", stream=sys.stderr)
    if args.verbose > 1:
        logging.getLogger("crosswire").setLevel(logging.DEBUG)  # the libraries' own debug lines are left out
    config = config_of(args)
    for warning in config.warnings:
        print(f"warning: {warning}", file=sys.stderr)

    async def run_proxy() -> int:
        try:
            app = make_app(config, stage_log=args.log_file, records=args.records)
        except OSError as fault:
            print(f"--log-file, --records: {fault.filename} cannot be written: {fault.strerror}", file=sys.stderr)
            return ENVIRONMENT
        app.cleanup_ctx.append(lambda app: _store_watch(gateway_of(app), args))
        host, port = config.settings.host, config.settings.port
        try:
            await serve(
                app,
                host,
                port,
                started=lambda port: print(_welcome(config, port), flush=True),
                load=lambda: config_of(args),
                file=config_file(args.config),
            )
        except OSError as fault:
            print(f"cannot listen on {host}:{port}: {fault.strerror}; choose another with --port", file=sys.stderr)
            return ENVIRONMENT
        return OK

    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(run_proxy())
    except KeyboardInterrupt:
        return OK


async def _store_watch(gateway: Gateway, args: argparse.Namespace) -> AsyncIterator[None]:
    """Applies changes of the store while the proxy runs, as those of the config file are."""
    task = asyncio.ensure_future(_watch_store(gateway, args))
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _watch_store(gateway: Gateway, args: argparse.Namespace) -> None:
    settings = gateway.config.settings
    while configured_store(gateway.config.settings) is None:  # noqa: ASYNC110 - nothing notifies of a file that appears
        await asyncio.sleep(settings.store_poll_s or 1.0)
    try:
        from ..store.watch import Watcher
    except ModuleNotFoundError as missing:
        log.warning("%s", missing_library(missing))
        return
    try:
        watcher = Watcher(
            where=lambda: configured_store(gateway.config.settings),
            env=os.environ,
            interval=lambda: gateway.config.settings.store_poll_s,
            serving=lambda: gateway.config.revision,
            changed=Reloader(gateway, lambda: config_of(args), None).reload,
        )
    except StoreError as fault:
        log.warning("%s", fault)
    else:
        await watcher.watch()


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
    return "\n".join([*lines, "", "Try it:", _curl(base, config), ""])


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
    return f"  curl {base}/v1/chat/completions -H 'content-type: application/json' -d '{quoted}'"
