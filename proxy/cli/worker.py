"""`crosswire serve --worker`: one of the processes that a supervisor starts."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable

from ..backends.backend import Backend
from ..config import Config
from ..gateway.backend_factory import make_backend
from ..gateway.gateway import Gateway
from ..observability.log_output import LogOutput
from ..protocols import PROTOCOLS
from ..routing import BackendConfig
from ..server.app import make_app
from ..workers.channel import ChannelError
from ..workers.model_host import ModelHost
from ..workers.remote_models import ModelPool, remote_backend
from ..workers.remote_state import RemoteState
from ..workers.worker import POOL, App, Worker, WorkerSpec, read_spec
from .exit_codes import ENVIRONMENT, FAILED, OK


def run_worker(
    args: argparse.Namespace,
    output: LogOutput,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None,
    end_after: Callable[[float], None],
) -> int:
    """Runs the process that the argument describes, until its supervisor says otherwise, or is gone."""
    spec = read_spec(args.worker)
    output.set_name("models" if spec.role == POOL else spec.role)
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        try:
            if spec.role == POOL:
                runner.run(ModelHost(spec).run())
            else:
                runner.run(_make_worker(spec, args, output).run(lambda gateway: end_after(_end_s(gateway))))
        except ChannelError as fault:
            print(f"worker {spec.role}: {fault}", file=sys.stderr)
            return FAILED
        except OSError as fault:
            what = f"{fault.filename} cannot be written" if fault.filename else "it cannot begin"
            print(f"worker {spec.role}: {what}: {fault.strerror}", file=sys.stderr)
            return ENVIRONMENT
    return OK


def _make_worker(spec: WorkerSpec, args: argparse.Namespace, output: LogOutput) -> Worker:
    pool = ModelPool(spec.models)

    def make(backend: BackendConfig, config: Config) -> Backend:
        return make_backend(backend, config) if backend.protocol in PROTOCOLS else remote_backend(backend, config, pool)

    def app(config: Config, limits: RemoteState) -> App:
        output.set_limits(config.settings.log_buffer, config.settings.log_end_s)
        return make_app(
            config,
            stage_log=args.log_file,
            records=args.records,
            instance=spec.instance,
            state=limits if config.settings.state.url is None else None,
            make_backend=make,
        )

    return Worker(spec, app, make)


def _end_s(gateway: Gateway) -> float:
    return gateway.config.settings.drain_s + gateway.config.settings.exit_s
