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
from .rules import OPENROUTER_VENDORS, RULES, Rules, bound_prefixes, provider_names, read_rules, settled
from .settings import SETTINGS, Settings, read_settings

__all__ = ["KEYS", "SETTINGS", "Config", "Settings", "from_environment", "load", "load_file"]

KEYS = ("backends", *RULES, *LLM, *SETTINGS)
"""The top-level keys of a config."""


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
    protocols: Mapping[str, Speech] = PROTOCOLS,
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
    given = reader.mapping(root, "", KEYS) if root is not None else {}
    found = overlaid(reader, given, stored.settings, KEYS)
    settings = read_settings(reader, found)
    rows = index(read_rows(reader, found, protocols))
    backends: tuple[Backend, ...] = ()
    if "backends" in found:
        backends = read_backends(reader, found["backends"], protocols, settings, rows, settled(found))
    elif isinstance(root, yaml.MappingNode):
        reader.complain(root, "backends", "is missing; name at least one backend under it")
    backends = with_credentials(reader, backends, stored.credentials, rows, protocols)
    rules = read_rules(reader, found, backends)
    resolver = Resolver(reader, backends, rows, protocols)
    return _finish(reader, found, settings, (), port, backend, rules, stored, resolver, rows)


def from_environment(
    env: Mapping[str, str],
    protocols: Mapping[str, Speech] = PROTOCOLS,
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
    found = overlaid(reader, {}, stored.settings, KEYS)
    settings = read_settings(reader, found)
    rows = index(read_rows(reader, found, protocols))
    own = with_credentials(reader, read_environment(reader, protocols), stored.credentials, rows, protocols)
    backends, families = with_families(own)
    if not backends:
        nothing_set(reader)
    rules = read_rules(reader, found, backends)
    # a vendor's name at OpenRouter is whole, although the vendor itself may be here too
    whole = dict.fromkeys(OPENROUTER_VENDORS if any(entry.name == "openrouter" for entry in backends) else ())
    rules = replace(rules, prefixes={**whole, **rules.prefixes})
    resolver = Resolver(reader, backends, rows, protocols)
    return _finish(reader, found, settings, families, port, backend, rules, stored, resolver, rows)


def _finish(
    reader: Reader,
    found: Mapping[str, yaml.Node],
    settings: Settings,
    families: tuple[Family, ...],
    port: int | None,
    backend: str | None,
    rules: Rules,
    stored: Snapshot,
    resolver: Resolver,
    rows: Mapping[str, Row],
) -> Config:
    """What both ways of loading end with: the flags, what only the whole shows, and all complaints at once."""
    if port is not None:
        if not 0 <= port <= 65535:
            reader.flag_complaints.append(f"--port: {port} is no port; give one from 0 to 65535")
        settings = replace(settings, port=port)
    names = [entry.name for entry in resolver.backends]
    if backend is not None and names and backend not in names:
        reader.flag_complaints.append(f"--backend: no backend is called {shown(backend)}; {meant(backend, names)}")
    prefixes = bound_prefixes(reader, rules.prefixes, resolver.backends)
    routes = (*rules.routes, *stored_routes(reader, stored.mappings, resolver))
    smart = [model for wish in read_wishes(reader, found, rules.wishes) if (model := resolve(reader, wish, resolver))]
    _refuse_loops(reader, resolver.backends, settings)
    _miss_keys(reader, resolver.backends, rows)
    reader.finish()
    providers, keys = provider_names(rows)

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
            places=rules.places,
        )

    try:
        whole = plan(smart)
    except ConfigError as fault:
        # the model of the `llm_…` keys may be another program's: it gives way to what the config says
        whole = plan(model for model in smart if model.place != UNWRITTEN)
        reader.warnings += fault.complaints
    return Config(whole, settings, (*reader.warnings, *stored.warnings, *whole.warnings))


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
