"""The config: YAML or the environment in, a plan and settings out, or every mistake at once with file, line and path.

It knows no dialect beyond the registry's names and tables, opens no socket, and repeats no secret in a complaint.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from msgspec import Struct
from msgspec.structs import replace

from ..errors import ConfigError
from ..protocols import PROTOCOLS
from ..routing import Backend, Family, Plan
from .address import is_own
from .backend import Speech, read_backends
from .environment import ENVIRONMENT, read_environment
from .nodes import Reader, meant, shown
from .settings import SETTINGS, Settings, read_settings

__all__ = ["ENVIRONMENT", "SETTINGS", "Config", "Settings", "from_environment", "load", "load_file"]


class Config(Struct, frozen=True):
    """A plan, the settings, and what is allowed but should be read, each warning ready to print."""

    plan: Plan
    settings: Settings
    warnings: tuple[str, ...] = ()


def load_file(
    path: Path,
    env: Mapping[str, str],
    protocols: Mapping[str, Speech] = PROTOCOLS,
    *,
    port: int | None = None,
    backend: str | None = None,
) -> Config:
    """The config in this file; see `load`."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}; give the path of a config file"]) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}:{line}: is not UTF-8; save it as UTF-8"]) from error
    return load(text, str(path), env, protocols, port=port, backend=backend)


def load(
    text: str,
    file: str,
    env: Mapping[str, str],
    protocols: Mapping[str, Speech] = PROTOCOLS,
    *,
    port: int | None = None,
    backend: str | None = None,
) -> Config:
    """The config that this YAML says; `port` and `backend` are the flags, which override the port and the last resort.

    Raises ConfigError with all complaints in the order of the lines.
    """
    reader = Reader(file, env)
    root = reader.compose(text)
    settings = Settings()
    backends: tuple[Backend, ...] = ()
    if root is not None:
        found = reader.mapping(root, "", ("backends", *SETTINGS))
        settings = read_settings(reader, found)
        if "backends" in found:
            backends = read_backends(reader, found["backends"], protocols, settings)
        elif isinstance(root, yaml.MappingNode):
            reader.complain(root, "backends", "is missing; name at least one backend under it")
    return _finish(reader, settings, backends, (), port, backend)


def from_environment(
    env: Mapping[str, str],
    protocols: Mapping[str, Speech] = PROTOCOLS,
    *,
    port: int | None = None,
    backend: str | None = None,
) -> Config:
    """The config where there is no file: a backend for each provider whose variable is set, by name families.

    Raises ConfigError where none is set, and names them.
    """
    reader = Reader("environment", env)
    backends, families = read_environment(reader, protocols)
    return _finish(reader, Settings(), backends, families, port, backend)


def _finish(
    reader: Reader,
    settings: Settings,
    backends: tuple[Backend, ...],
    families: tuple[Family, ...],
    port: int | None,
    backend: str | None,
) -> Config:
    """What both ways of loading end with: the flags, what only the whole shows, and all complaints at once."""
    if port is not None:
        if not 0 <= port <= 65535:
            reader.flag_complaints.append(f"--port: {port} is no port; give one from 0 to 65535")
        settings = replace(settings, port=port)
    names = [entry.name for entry in backends]
    if backend is not None and names and backend not in names:
        reader.flag_complaints.append(f"--backend: no backend is called {shown(backend)}; {meant(backend, names)}")
    _refuse_loops(reader, backends, settings)
    reader.finish()
    return Config(Plan(backends, families, backend), settings, tuple(reader.warnings))


def _refuse_loops(reader: Reader, backends: Iterable[Backend], settings: Settings) -> None:
    """A base URL that is the proxy's own address, as clients are told to set it, would send it to itself for ever."""
    for backend in backends:
        parts = urlsplit(backend.base_url)
        if not parts.hostname:
            continue
        port = parts.port or (443 if parts.scheme == "https" else 80)
        here = parts.hostname == settings.host or (is_own(parts.hostname) and is_own(settings.host))
        if here and port == settings.port:
            line, path = reader.places[backend.name]
            reader.complain(line, path, "is the proxy's own address; give the provider's, or listen on another port")
