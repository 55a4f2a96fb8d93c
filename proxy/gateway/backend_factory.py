"""Makes a backend from its config: over HTTP for a wire protocol, in this process for a folder with a model."""

from __future__ import annotations

from collections.abc import Callable

from ..backends.aiohttp_transport import aiohttp_transport
from ..backends.backend import Backend
from ..backends.http import HttpBackend
from ..backends.mlx.model_folder import folder_of, read_folder
from ..backends.transport import DIRECT, Timeouts, Transport, WayOut
from ..config import Config
from ..protocols import PROTOCOLS
from ..routing import BackendConfig
from .protocol_choice import other_protocols


def make_backend(backend: BackendConfig, config: Config) -> Backend:
    """The backend, without a connection yet."""
    settings = config.settings
    if backend.protocol not in PROTOCOLS:
        from ..backends.mlx.backend import MlxBackend  # with what only a local model needs

        return MlxBackend(backend, read_folder(folder_of(backend.folder)), first_s=settings.read_timeout_s)
    timeouts = Timeouts(settings.connect_timeout_s, settings.read_timeout_s, settings.limits.response_header)
    way, transport = way_out(backend), _transport()
    connect = transport(timeouts, settings.dns) if way == DIRECT else transport(timeouts, settings.dns, way)

    def make(each: BackendConfig, others: tuple[HttpBackend, ...] = ()) -> HttpBackend:
        return HttpBackend(
            each,
            PROTOCOLS[each.protocol],
            connect,
            frame_limit=settings.max_frame,
            linger=settings.linger_s,
            max_retry_after=settings.retry.max_retry_after_s,
            response_limit=settings.limits.response,
            others=others,
        )

    return make(backend, tuple(make(each) for each in other_protocols(backend)))


def way_out(backend: BackendConfig) -> WayOut:
    """The way of connections to this backend."""
    return WayOut(
        proxy=backend.proxy,
        ca_file=backend.ca_file,
        client_cert=backend.client_cert,
        client_key=backend.client_key,
    )


def _transport() -> Callable[..., Callable[[], Transport]]:
    """The faster transport where its parser is installed (the extra `speed`), else aiohttp's client."""
    try:
        from ..backends.httptools_transport import httptools_transport
    except ImportError:
        return aiohttp_transport
    return httptools_transport
