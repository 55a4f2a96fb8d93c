"""The command line: serve, check a config, explain a decision, convert a body."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from . import wire
from .config import Config, from_environment, load_file, store_of, where_stored
from .errors import ConfigError, Malformed, StoreError
from .explain import explain, table
from .gateway import Gateway
from .ir import CAPABILITIES
from .protocols import PROTOCOLS
from .protocols.contract import Target, Where
from .reload import Reloader
from .routing import Plan, Route
from .server import gateway_of, make_app, serve
from .store.snapshot import NOTHING, Snapshot

OK, FAILED, USAGE, ENVIRONMENT = 0, 1, 2, 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 0 is success, 1 a finding, 2 a wrong call or config, 3 the machine's fault."""
    args = _parser().parse_args(argv)
    try:
        return int(args.run(args))
    except ConfigError as fault:
        print(*fault.complaints, sep="\n", file=sys.stderr)
        return USAGE
    except BrokenPipeError:
        return OK  # whoever read the output has seen enough


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="crosswire", description="Any LLM client to any LLM backend, and no silent loss."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    one = commands.add_parser("serve", help="run the proxy")
    _config_arguments(one)
    one.add_argument("--port", type=int, help="listen here instead of the config's port (9001)")
    one.add_argument(
        "--log-file", type=Path, metavar="FILE", help="write the four stages of each request as JSON lines"
    )
    one.add_argument("--records", type=Path, metavar="DIR", help="write the record of each request as a JSON file")
    one.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0,
        help="say for each request where it goes and why; twice: also how the plan was made",
    )
    one.set_defaults(run=_serve)

    one = commands.add_parser("check", help="report every mistake of a config")
    one.add_argument("config", nargs="?", type=Path, default=Path("crosswire.yaml"))
    one.set_defaults(run=_check, backend=None, port=None)

    one = commands.add_parser("explain", help="show which backend a request would get, and why")
    _config_arguments(one)
    one.add_argument("--model", required=True, help="the model that the client asks for")
    one.add_argument("--tools", action="store_true", help="the request offers tools")
    one.add_argument(
        "--needs", nargs="*", default=[], choices=CAPABILITIES, metavar="CAPABILITY", help="what else it needs"
    )
    one.add_argument("--prompt", metavar="TEXT", help="what the client says, for a smart model's score")
    one.add_argument("--mode", help="what the client's header x-crosswire-mode says")
    one.add_argument("--pin", metavar="BACKEND", help="what the client's header x-crosswire-backend says")
    one.add_argument("--down", nargs="*", default=[], metavar="BACKEND", help="backends to think of as down")
    one.add_argument("--json", action="store_true", help="print the whole decision as JSON")
    one.set_defaults(run=_explain, port=None)

    one = commands.add_parser("convert", help="convert a request body from standard input, and name the losses")
    one.add_argument("--from", dest="source", required=True, choices=PROTOCOLS, help="the protocol of the body")
    one.add_argument("--to", dest="target", required=True, choices=PROTOCOLS, help="the protocol to convert to")
    one.add_argument("--model", help="the upstream's model (default: the body's own); for gemini also the asked one")
    one.add_argument("--stream", action="store_true", help="for gemini, whose address says it: the request streams")
    one.set_defaults(run=_convert)

    _store_arguments(commands.add_parser("mappings", **_PASSED_ON, help="rules for models' names in the store"))
    _store_arguments(commands.add_parser("credentials", **_PASSED_ON, help="the providers' keys, sealed in the store"))
    _store_arguments(commands.add_parser("settings", **_PASSED_ON, help="keys of the config in the store"))
    return parser


def _config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="default: crosswire.yaml if it is here, else the environment"
    )
    parser.add_argument("--backend", metavar="NAME", help="the last resort for requests that nothing else fits")


_PASSED_ON: dict[str, Any] = {"add_help": False, "prefix_chars": "\0"}
"""Of a command whose arguments are another parser's, imported with its libraries only where it is asked for."""


def _store_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rest", nargs="*")
    parser.set_defaults(run=_store, command=parser.prog.split()[-1])


def _config(args: argparse.Namespace, stored: Snapshot | None = None) -> Config:
    """The config of the file that was named or is here, else of the environment, under what the store holds."""
    file = _config_file(args)
    if stored is None:
        url = where_stored(file, os.environ)
        stored = NOTHING if url is None else _store_commands().read_store(url)
    if file is not None:
        return load_file(file, os.environ, port=args.port, backend=args.backend, stored=stored)
    return from_environment(os.environ, port=args.port, backend=args.backend, stored=stored)


def _store(args: argparse.Namespace) -> int:
    return int(_store_commands().main(args.command, args.rest, _config))


def _store_commands() -> ModuleType:
    """The store's commands; its libraries are an extra, and nobody without a store needs them."""
    try:
        from . import store_commands
    except ModuleNotFoundError as missing:
        raise StoreError(f"the store needs {missing.name}; install it with: pip install 'crosswire[store]'") from None
    return store_commands


def _config_file(args: argparse.Namespace) -> Path | None:
    here = Path("crosswire.yaml")
    file: Path | None = args.config
    return file if file is not None else here if here.is_file() else None


# ---- serve -----------------------------------------------------------------------------------------------------------


def _serve(args: argparse.Namespace) -> int:
    level = logging.INFO if args.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", stream=sys.stderr)
    if args.verbose > 1:
        logging.getLogger("crosswire").setLevel(logging.DEBUG)  # the libraries' own debugging helps nobody here
    config = _config(args)
    for warning in config.warnings:
        print(f"warning: {warning}", file=sys.stderr)

    async def run() -> int:
        try:
            app = make_app(config, stage_log=args.log_file, records=args.records)
        except OSError as fault:
            print(f"--log-file, --records: {fault.filename} cannot be written: {fault.strerror}", file=sys.stderr)
            return ENVIRONMENT
        app.cleanup_ctx.append(lambda app: _watching(gateway_of(app), args))
        host, port = config.settings.host, config.settings.port
        try:
            await serve(
                app,
                host,
                port,
                started=lambda port: print(_welcome(config, port), flush=True),
                load=lambda: _config(args),
                file=_config_file(args),
            )
        except OSError as fault:
            print(f"cannot listen on {host}:{port}: {fault.strerror}; choose another with --port", file=sys.stderr)
            return ENVIRONMENT
        return OK

    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(run())
    except KeyboardInterrupt:
        return OK


async def _watching(gateway: Gateway, args: argparse.Namespace) -> AsyncIterator[None]:
    """While the proxy runs, what changes in its store serves soon, as a changed file does."""
    task = asyncio.ensure_future(_watch(gateway, args))
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _watch(gateway: Gateway, args: argparse.Namespace) -> None:
    settings = gateway.config.settings
    while store_of(gateway.config.settings) is None:  # noqa: ASYNC110 - a file that appears tells nobody
        await asyncio.sleep(settings.store_poll_s or 1.0)
    try:
        watcher = _store_commands().Watcher(
            where=lambda: store_of(gateway.config.settings),
            env=os.environ,
            interval=lambda: gateway.config.settings.store_poll_s,
            serving=lambda: gateway.config.revision,
            changed=Reloader(gateway, lambda: _config(args), None).reload,
        )
    except StoreError as fault:
        logging.getLogger("crosswire").warning("%s", fault)
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
    """What a person needs to see first: the addresses, the models, and a line to try it with."""
    # what it is bound to is, for who calls it, this machine
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.settings.host, config.settings.host)  # noqa: S104
    base = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    lines = [f"Crosswire listens on {base}", ""]
    for protocol in PROTOCOLS.values():
        lines.append(f"  {protocol.title:26} {base}{protocol.paths[0].replace('{tail}', '{model}:generateContent')}")
    lines += ["", "  model -> backend (upstream model)"]
    plan = config.plan
    rows = [(route.match, route.targets[0].backend, _called(route, plan)) for route in plan.sorted_routes]
    models = [(name, b.name, upstream) for b in plan.backends for name, upstream in b.models.items()]
    rows += [row for row in models if row[0] not in plan.by_exact]
    rows += [(smart.name, f"{smart.cheap.backend} or {smart.primary.backend}", "by score") for smart in plan.smart]
    rows += [(family.pattern, family.backend, "the same") for family in plan.families]
    if not rows:
        rows = [("any", backend.name, backend.default_model or "the same") for backend in plan.ordered]
    width = max(len(row[0]) for row in rows)
    lines += [f"  {name:{width}} -> {backend} ({upstream})" for name, backend, upstream in rows]
    return "\n".join([*lines, "", "Try it:", _curl(base, config), ""])


def _called(route: Route, plan: Plan) -> str:
    """What the first target of a route is asked for."""
    target = route.targets[0]
    name = target.model or route.model or route.match
    name = plan.by_name[target.backend].models.get(name, name)
    return "the same" if name == route.match else name


def _curl(base: str, config: Config) -> str:
    model = next((name for backend in config.plan.backends for name in backend.models), None)
    if model is None:
        examples = {"openai": "gpt-5-nano", "anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-flash"}
        first = config.plan.ordered[0]
        model = first.default_model or examples.get(first.name, "llama3.2")
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello!"}]})
    quoted = body.replace("'", "'\\''")
    return f"  curl {base}/v1/chat/completions -H 'content-type: application/json' -d '{quoted}'"


# ---- check, explain, convert -----------------------------------------------------------------------------------------


def _check(args: argparse.Namespace) -> int:
    config = _config(args)
    for warning in config.warnings:
        print(f"warning: {warning}")
    models = sum(len(backend.models) for backend in config.plan.backends)
    print(f"{args.config}: no mistakes; {len(config.plan.backends)} backends, {models} models")
    return OK


def _explain(args: argparse.Namespace) -> int:
    body = {"model": args.model, "needs": args.needs, "tools": args.tools, "prompt": args.prompt, "down": args.down}
    try:
        found = explain(_config(args), {**body, "mode": args.mode, "pin": args.pin})
    except Malformed as fault:
        print(f"--{fault}", file=sys.stderr)
        return USAGE
    print(json.dumps(found, indent=2, ensure_ascii=False) if args.json else table(found))
    return OK if found["chosen"] is not None else FAILED


def _convert(args: argparse.Namespace) -> int:
    source, target = PROTOCOLS[args.source], PROTOCOLS[args.target]
    method = "streamGenerateContent" if args.stream else "generateContent"
    where = Where(args.model or "gemini-2.5-flash", method, "sse") if args.source == "gemini" else Where()
    try:
        request = source.decode_request(wire.parse_object(sys.stdin.buffer.read()), where)
    except Malformed as fault:
        print(f"not a {args.source} request: {fault}", file=sys.stderr)
        return USAGE
    sent = target.encode_request(request, Target(args.model or request.model, args.target))
    print(json.dumps(json.loads(wire.encode(sent.payload)), indent=2, ensure_ascii=False))
    for loss in sent.losses:
        print(f"loss: {loss.feature} {loss.how} at {loss.path}", file=sys.stderr)
    if not sent.losses:
        print("no losses", file=sys.stderr)
    return OK


if __name__ == "__main__":
    sys.exit(main())
