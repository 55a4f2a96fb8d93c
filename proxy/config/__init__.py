"""Loads the config from YAML or the environment: a plan and settings, or all errors at once with file, line and path.

No socket is opened, and no error message repeats a secret.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import yaml
from msgspec import Struct
from msgspec.structs import replace

from ..backends.mlx.spec import MLX_SPEC
from ..backends.mlx.spec import NAME as LOCAL
from ..clients.registry import ClientRegistry
from ..errors import ConfigError
from ..protocols import PROTOCOLS
from ..providers import OPENROUTER_VENDORS, Provider, index
from ..routing import BackendConfig, NameFamily, Plan, SmartModel
from ..store.snapshot import EMPTY_SNAPSHOT, Snapshot
from ..traits import Trait
from .backends import read_backends
from .changed_defaults import note_changed_defaults
from .clients import read_clients
from .credentials import with_credentials
from .environment import complain_of_no_backend, read_environment, with_families
from .likely_mistakes import warn_of_likely_mistakes
from .precedence import merge_sources
from .provider import ProtocolSpec
from .routes import RULE_KEYS, bound_prefixes, provider_names, read_rules, routed_names
from .secret_sources import SecretSource
from .settings import SETTINGS, Settings, check_openness, read_settings
from .smart_models import (
    SMART_MODEL_KEYS,
    VARIABLES_LOCATION,
    Resolver,
    read_custom_providers,
    read_smart_models,
    resolve,
)
from .stored_routes import stored_routes
from .urls import is_this_host
from .yaml_reader import ConfigReader, did_you_mean, quote_safely

__all__ = [
    "DEFAULT_STORE_URL",
    "KEYS",
    "SETTINGS",
    "Config",
    "Settings",
    "StoreAddress",
    "configured_store",
    "from_environment",
    "load",
    "load_file",
    "store_address",
]

KEYS = ("backends", *RULE_KEYS, *SMART_MODEL_KEYS, "clients", "jwt", *SETTINGS)
"""The top-level keys of a config."""


PROTOCOL_SPECS: Mapping[str, ProtocolSpec] = ChainMap(cast("dict[str, ProtocolSpec]", PROTOCOLS), {LOCAL: MLX_SPEC})
"""The protocols that a backend can have: the wire protocols, and that of a model in this process."""


class Config(Struct, frozen=True):
    """A loaded config: the plan, the settings, and printable warnings.

    `revision` is the store's change counter at the time it was read. `notes` name the values that mean something else
    than in an earlier version. It may be from the environment alone, without a file.
    """

    plan: Plan
    settings: Settings
    warnings: tuple[str, ...] = ()
    revision: int = 0
    notes: tuple[str, ...] = ()
    clients: ClientRegistry | None = None
    """The clients that may use the proxy; None where nobody needs a key."""
    secret_sources: tuple[SecretSource, ...] = ()
    """The files and commands that secrets came from, which are read again."""
    is_from_environment: bool = False


DEFAULT_STORE = Path("crosswire.db")
"""SQLite file in the working folder that is the store if it exists and none is configured."""

DEFAULT_STORE_URL = f"sqlite:///{DEFAULT_STORE}"


class StoreAddress(Struct, frozen=True):
    """The URL of a store, and whether it may be missing."""

    url: str
    create: bool = False


def store_address(path: Path | None, env: Mapping[str, str]) -> StoreAddress | None:
    """Returns the store of the environment or of this config file, or the default store if its file exists.

    Errors in the file are ignored; loading it reports them.
    """
    text = path.read_text("utf-8", "replace") if path is not None and path.is_file() else "{}"
    reader = ConfigReader(str(path), env)
    root = reader.compose(text)
    found = merge_sources(reader, reader.mapping(root, "", KEYS) if root is not None else {}, (), KEYS)
    settings = read_settings(reader, {"store": found["store"]} if "store" in found else {})
    return None if "store" in found and settings.store is None else configured_store(settings)


def configured_store(settings: Settings) -> StoreAddress | None:
    """Returns the store of these settings, or the default store if its file exists."""
    if settings.store is not None:
        return StoreAddress(settings.store, settings.store_create)
    return StoreAddress(DEFAULT_STORE_URL, create=True) if DEFAULT_STORE.is_file() else None


def load_file(
    path: Path,
    env: Mapping[str, str],
    protocols: Mapping[str, ProtocolSpec] = PROTOCOL_SPECS,
    *,
    port: int | None = None,
    backend: str | None = None,
    stored: Snapshot = EMPTY_SNAPSHOT,
) -> Config:
    """Loads the config of this file; see `load`."""
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
    protocols: Mapping[str, ProtocolSpec] = PROTOCOL_SPECS,
    *,
    port: int | None = None,
    backend: str | None = None,
    stored: Snapshot = EMPTY_SNAPSHOT,
) -> Config:
    """Loads the config of this YAML text.

    `port` and `backend` are command line flags that override the port and the last resort. `stored` is the store's
    content: its settings beat the environment, which beats the file. Raises ConfigError with all errors in line order.
    """
    reader = ConfigReader(file, env)
    root = reader.compose(text)
    raw = _read_raw_config(reader, reader.mapping(root, "", KEYS) if root is not None else {}, protocols, stored)
    backends: tuple[BackendConfig, ...] = ()
    if "backends" in raw.nodes:
        node = raw.nodes["backends"]
        backends = read_backends(reader, node, protocols, raw.settings, raw.providers, routed_names(raw.nodes))
    elif isinstance(root, yaml.MappingNode):
        reader.complain(root, "backends", "is missing; name at least one backend under it")
    backends = with_credentials(reader, backends, stored.credentials, raw.providers, protocols)
    return _build_config(raw, backends, (), {}, port, backend)


def from_environment(
    env: Mapping[str, str],
    protocols: Mapping[str, ProtocolSpec] = PROTOCOL_SPECS,
    *,
    port: int | None = None,
    backend: str | None = None,
    stored: Snapshot = EMPTY_SNAPSHOT,
) -> Config:
    """Builds a config without a file: a backend for each provider whose variable is set, routed by name families.

    A stored credential creates a backend like a variable does. Raises ConfigError, naming the variables, if there is
    no backend.
    """
    reader = ConfigReader("environment", env)
    raw = _read_raw_config(reader, {}, protocols, stored)
    configured = with_credentials(
        reader, read_environment(reader, protocols), stored.credentials, raw.providers, protocols
    )
    backends, families = with_families(configured)
    if not backends:
        complain_of_no_backend(reader)
    # OpenRouter's model names begin with a vendor, which is no prefix then, even if the vendor has a backend here
    vendors = dict.fromkeys(OPENROUTER_VENDORS if any(entry.name == "openrouter" for entry in backends) else ())
    return replace(_build_config(raw, backends, families, vendors, port, backend), is_from_environment=True)


class _RawConfig(Struct, frozen=True):
    """The top-level nodes of a file, the environment and the store by key, with the settings and providers read."""

    reader: ConfigReader
    protocols: Mapping[str, ProtocolSpec]
    stored: Snapshot
    nodes: Mapping[str, yaml.Node]
    settings: Settings
    providers: Mapping[str, Provider]


def _read_raw_config(
    reader: ConfigReader, given: Mapping[str, yaml.Node], protocols: Mapping[str, ProtocolSpec], stored: Snapshot
) -> _RawConfig:
    """Merges the sources of the top-level keys, and reads the settings and the custom providers."""
    found = merge_sources(reader, given, stored.settings, KEYS)
    providers = index(read_custom_providers(reader, found, protocols))
    return _RawConfig(reader, protocols, stored, found, read_settings(reader, found), providers)


def _build_config(
    raw: _RawConfig,
    backends: tuple[BackendConfig, ...],
    families: tuple[NameFamily, ...],
    vendors: Mapping[str, None],
    port: int | None,
    backend: str | None,
) -> Config:
    """Builds the config: applies the flags, reads the rules, runs the checks across keys, and raises all errors."""
    reader, settings, stored = raw.reader, raw.settings, raw.stored
    reader.complaints += ((0, error) for error in stored.errors)
    rules = read_rules(reader, raw.nodes, backends)
    resolver = Resolver(reader, backends, raw.providers, raw.protocols)
    if port is not None:
        if not 0 <= port <= 65535:
            reader.flag_complaints.append(f"--port: {port} is not a port; give one from 0 to 65535")
        settings = replace(settings, port=port)
    names = [entry.name for entry in resolver.backends]
    if backend is not None and names and backend not in names:
        reader.flag_complaints.append(
            f"--backend: no backend is called {quote_safely(backend)}; {did_you_mean(backend, names)}"
        )
    prefixes = bound_prefixes(reader, {**vendors, **rules.prefixes}, resolver.backends)
    routes = (*rules.routes, *stored_routes(reader, stored.mappings, resolver))
    specs = read_smart_models(reader, raw.nodes, rules.smart_models)
    smart = [model for spec in specs if (model := resolve(reader, spec, resolver)) is not None]
    clients = read_clients(reader, raw.nodes, stored, settings)
    check_openness(reader, raw.nodes, settings, has_clients=clients is not None)
    _reject_own_address(reader, resolver.backends, settings)
    note_changed_defaults(reader, raw.nodes, settings, resolver.backends)
    _warn_of_missing_keys(reader, resolver.backends, raw.providers)
    warn_of_likely_mistakes(reader, resolver.backends, raw.providers, raw.protocols)
    reader.finish()
    providers, keys = provider_names(raw.providers)

    def make_plan(smart: Iterable[SmartModel]) -> Plan:
        return Plan(
            tuple(_with_traits(entry, settings.traits) for entry in resolver.backends),
            families,
            backend,
            routes=routes,
            prefixes=prefixes,
            providers=providers,
            key_variables=keys,
            vendors=dict.fromkeys(OPENROUTER_VENDORS, "openrouter"),
            modes=rules.modes,
            mode=rules.mode,
            smart=tuple(smart),
            unmapped=rules.unmapped,
            refuses_unmapped=rules.refuses_unmapped,
            aliases=rules.aliases,
            pins=rules.pins,
            unlisted=rules.unlisted,
            locations=rules.locations,
        )

    try:
        plan = make_plan(smart)
    except ConfigError as fault:
        # the `llm_…` variables may be meant for another program, so their model is dropped if it contradicts the config
        plan = make_plan(model for model in smart if model.location != VARIABLES_LOCATION)
        reader.warnings += fault.complaints
    warnings = (*reader.warnings, *stored.warnings, *plan.warnings)
    sources = tuple(reader.secret_sources)
    return Config(plan, settings, warnings, stored.revision, tuple(reader.notes), clients, sources)


def _warn_of_missing_keys(
    reader: ConfigReader, backends: Iterable[BackendConfig], providers: Mapping[str, Provider]
) -> None:
    """Adds a warning for each backend that cannot serve for lack of a key."""
    for backend in backends:
        if backend.missing_key is None:
            continue
        provider = providers.get(backend.provider.lower())
        hint = "" if provider is None or provider.key_variable is None else f"set {provider.key_variable}, "
        what = f"{backend.missing_key}; {hint}give it an api_key, or: crosswire credentials add {backend.provider}"
        line, _ = reader.locations[backend.name]
        reader.warnings.append(f"{reader.file}{f':{line}' if line else ''}: backends.{backend.name}: {what}")


def _with_traits(backend: BackendConfig, traits: tuple[Trait, ...]) -> BackendConfig:
    """Returns the backend with the traits of the whole config before its own, which win."""
    return replace(backend, traits=(*traits, *backend.traits)) if traits else backend


def _reject_own_address(reader: ConfigReader, backends: Iterable[BackendConfig], settings: Settings) -> None:
    """Reports backends whose base URL is the proxy's own address, which would forward requests to itself forever."""
    for backend in backends:
        parts = urlsplit(backend.base_url)
        if not parts.hostname:
            continue
        port = parts.port or (443 if parts.scheme == "https" else 80)
        here = parts.hostname == settings.host or (is_this_host(parts.hostname) and is_this_host(settings.host))
        if here and port == settings.port:
            line, path = reader.locations[backend.name]
            reader.complain(line, path, "is the proxy's own address; give the provider's, or listen on another port")
