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

from ..backends.mlx.speech import NAME as LOCAL
from ..backends.mlx.speech import SPEECH
from ..errors import ConfigError
from ..protocols import PROTOCOLS
from ..registry import Row, index
from ..routing import Backend, Family, Plan, Smart
from ..store.snapshot import NOTHING, Snapshot
from .address import is_own
from .backend import read_backends
from .credential import with_credentials
from .environment import nothing_set, read_environment, with_families
from .llm import LLM, UNWRITTEN, Resolver, read_rows, read_wishes, resolve
from .mapping import stored_routes
from .nodes import Reader, meant, shown
from .overlay import overlaid
from .provider import Speech
from .rules import OPENROUTER_VENDORS, RULES, bound_prefixes, provider_names, read_rules, settled
from .settings import SETTINGS, Settings, read_settings

__all__ = [
    "DEFAULT_STORE",
    "KEYS",
    "SETTINGS",
    "Config",
    "Settings",
    "from_environment",
    "load",
    "load_file",
    "store_of",
    "where_stored",
]

KEYS = ("backends", *RULES, *LLM, *SETTINGS)
"""The top-level keys of a config."""


SPOKEN: Mapping[str, Speech] = {**PROTOCOLS, LOCAL: SPEECH}
"""What a backend may speak: a wire protocol, or nothing at all, being a model in this process."""


class Config(Struct, frozen=True):
    """A plan, the settings, and what is allowed but should be read, each warning ready to print.

    `revision` is the store's count of changes when it was read.
    """

    plan: Plan
    settings: Settings
    warnings: tuple[str, ...] = ()
    revision: int = 0


DEFAULT_STORE = Path("crosswire.db")
"""SQLite's file in the working folder: the store where nothing else is said, once it is there."""


def where_stored(path: Path | None, env: Mapping[str, str]) -> str | None:
    """The store's URL, by the environment, this file, or because the default is there.

    What is wrong with the file, loading it tells.
    """
    text = path.read_text("utf-8", "replace") if path is not None and path.is_file() else "{}"
    reader = Reader(str(path), env)
    root = reader.compose(text)
    found = overlaid(reader, reader.mapping(root, "", KEYS) if root is not None else {}, (), KEYS)
    settings = read_settings(reader, {"store": found["store"]} if "store" in found else {})
    return settings.store if "store" in found else store_of(settings)


def store_of(settings: Settings) -> str | None:
    """The store's URL of these settings, or because the default is there."""
    return f"sqlite:///{DEFAULT_STORE}" if settings.store is None and DEFAULT_STORE.is_file() else settings.store


def load_file(
    path: Path,
    env: Mapping[str, str],
    protocols: Mapping[str, Speech] = SPOKEN,
    *,
    port: int | None = None,
    backend: str | None = None,
    stored: Snapshot = NOTHING,
) -> Config:
    """The config in this file; see `load`."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}; give the path of a config file"]) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}:{line}: is not UTF-8; save it as UTF-8"]) from error
    return load(text, str(path), env, protocols, port=port, backend=backend, stored=stored)


def load(
    text: str,
    file: str,
    env: Mapping[str, str],
    protocols: Mapping[str, Speech] = SPOKEN,
    *,
    port: int | None = None,
    backend: str | None = None,
    stored: Snapshot = NOTHING,
) -> Config:
    """The config that this YAML says; `port` and `backend` are the flags, which override the port and the last resort.

    What is `stored` lies over the file: settings beat the environment, which beats the file. Raises ConfigError with
    all complaints in the order of the lines.
    """
    reader = Reader(file, env)
    root = reader.compose(text)
    said = _said(reader, reader.mapping(root, "", KEYS) if root is not None else {}, protocols, stored)
    backends: tuple[Backend, ...] = ()
    if "backends" in said.found:
        node = said.found["backends"]
        backends = read_backends(reader, node, protocols, said.settings, said.rows, settled(said.found))
    elif isinstance(root, yaml.MappingNode):
        reader.complain(root, "backends", "is missing; name at least one backend under it")
    backends = with_credentials(reader, backends, stored.credentials, said.rows, protocols)
    return _whole(said, backends, (), {}, port, backend)


def from_environment(
    env: Mapping[str, str],
    protocols: Mapping[str, Speech] = SPOKEN,
    *,
    port: int | None = None,
    backend: str | None = None,
    stored: Snapshot = NOTHING,
) -> Config:
    """The config where there is no file: a backend for each provider whose variable is set, by name families.

    A credential that is `stored` makes a backend as its variable would. Raises ConfigError where there is none, and
    names the variables.
    """
    reader = Reader("environment", env)
    said = _said(reader, {}, protocols, stored)
    own = with_credentials(reader, read_environment(reader, protocols), stored.credentials, said.rows, protocols)
    backends, families = with_families(own)
    if not backends:
        nothing_set(reader)
    # a vendor's name at OpenRouter is whole, although the vendor itself may be here too
    vendors = dict.fromkeys(OPENROUTER_VENDORS if any(entry.name == "openrouter" for entry in backends) else ())
    return _whole(said, backends, families, vendors, port, backend)


class _Said(Struct, frozen=True):
    """What a file, the environment and the store say beside the backends: nodes by key, and what was read first."""

    reader: Reader
    protocols: Mapping[str, Speech]
    stored: Snapshot
    found: Mapping[str, yaml.Node]
    settings: Settings
    rows: Mapping[str, Row]


def _said(reader: Reader, given: Mapping[str, yaml.Node], protocols: Mapping[str, Speech], stored: Snapshot) -> _Said:
    """What both ways of loading begin with: the keys, whoever said them, the settings, the providers."""
    found = overlaid(reader, given, stored.settings, KEYS)
    rows = index(read_rows(reader, found, protocols))
    return _Said(reader, protocols, stored, found, read_settings(reader, found), rows)


def _whole(
    said: _Said,
    backends: tuple[Backend, ...],
    families: tuple[Family, ...],
    vendors: Mapping[str, None],
    port: int | None,
    backend: str | None,
) -> Config:
    """What both ways of loading end with: the flags, what only the whole shows, and all complaints at once."""
    reader, settings, stored = said.reader, said.settings, said.stored
    rules = read_rules(reader, said.found, backends)
    resolver = Resolver(reader, backends, said.rows, said.protocols)
    if port is not None:
        if not 0 <= port <= 65535:
            reader.flag_complaints.append(f"--port: {port} is no port; give one from 0 to 65535")
        settings = replace(settings, port=port)
    names = [entry.name for entry in resolver.backends]
    if backend is not None and names and backend not in names:
        reader.flag_complaints.append(f"--backend: no backend is called {shown(backend)}; {meant(backend, names)}")
    prefixes = bound_prefixes(reader, {**vendors, **rules.prefixes}, resolver.backends)
    routes = (*rules.routes, *stored_routes(reader, stored.mappings, resolver))
    wishes = read_wishes(reader, said.found, rules.wishes)
    smart = [model for wish in wishes if (model := resolve(reader, wish, resolver)) is not None]
    _refuse_loops(reader, resolver.backends, settings)
    _miss_keys(reader, resolver.backends, said.rows)
    reader.finish()
    providers, keys = provider_names(said.rows)

    def plan(smart: Iterable[Smart]) -> Plan:
        return Plan(
            tuple(resolver.backends),
            families,
            backend,
            routes=routes,
            prefixes=prefixes,
            providers=providers,
            keys=keys,
            vendors=dict.fromkeys(OPENROUTER_VENDORS, "openrouter"),
            modes=rules.modes,
            mode=rules.mode,
            smart=tuple(smart),
            unmapped=rules.unmapped,
            pins=rules.pins,
            unlisted=rules.unlisted,
            places=rules.places,
        )

    try:
        made = plan(smart)
    except ConfigError as fault:
        # the model of the `llm_…` keys may be another program's: it gives way to what the config says
        made = plan(model for model in smart if model.place != UNWRITTEN)
        reader.warnings += fault.complaints
    return Config(made, settings, (*reader.warnings, *stored.warnings, *made.warnings), stored.revision)


def _miss_keys(reader: Reader, backends: Iterable[Backend], rows: Mapping[str, Row]) -> None:
    """Say which backends can serve nobody for want of a key."""
    for backend in backends:
        if backend.keyless is None:
            continue
        row = rows.get(backend.provider.lower())
        ways = "" if row is None or row.key_variable is None else f"set {row.key_variable}, "
        what = f"{backend.keyless}; {ways}give it an api_key, or: crosswire credentials add {backend.provider}"
        line, _ = reader.places[backend.name]
        reader.warnings.append(f"{reader.file}{f':{line}' if line else ''}: backends.{backend.name}: {what}")


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
