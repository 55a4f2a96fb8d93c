"""Adds the store's credentials to the backends that they belong to, or makes backends of their providers.

A key is sent only to the address stored with it, or to its provider's own address: never to an address that a config
file gives to something else of that name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from ..providers import Provider
from ..routing import BackendConfig
from ..store.snapshot import Credential
from .provider import ProtocolSpec, backend_from_provider
from .urls import parse_base_url
from .yaml_reader import INVALID_KEY, ConfigReader, is_valid_key


class Keys(Struct, frozen=True):
    """A provider's keys, the first in use, and the address they belong to; None is the provider's own address."""

    keys: tuple[str, ...]
    base_url: str | None


def with_credentials(
    reader: ConfigReader,
    backends: Sequence[BackendConfig],
    credentials: Sequence[Credential],
    providers: Mapping[str, Provider],
    protocols: Mapping[str, ProtocolSpec],
) -> tuple[BackendConfig, ...]:
    """Returns the backends with their keys from the store, and a new backend for each provider without one."""
    found = list(backends)
    for name, keys in _by_provider(reader, credentials, providers).items():
        provider = providers.get(name.lower())
        receivers = [
            index for index, backend in enumerate(found) if _accepts_keys(reader, backend, name, keys, provider)
        ]
        for index in receivers:
            found[index] = _with_keys(found[index], keys)
        if receivers or (new := _new_backend(reader, name, keys, provider, protocols, found)) is None:
            continue
        found.append(new)
    return tuple(found)


def _by_provider(
    reader: ConfigReader, credentials: Sequence[Credential], providers: Mapping[str, Provider]
) -> dict[str, Keys]:
    """Groups the enabled credentials by the provider's main name; the one named `default` comes first."""
    groups: dict[str, list[Credential]] = {}
    for credential in sorted(credentials, key=lambda entry: (entry.name != "default", entry.name)):
        label = f"credential {credential.provider}/{credential.name}"
        if not credential.enabled:
            continue
        if not is_valid_key(credential.key):
            _warn(reader, f"{label}: {INVALID_KEY}")
            continue
        if credential.base_url is not None and (wrong := parse_base_url(credential.base_url)[1]):
            _warn(reader, f"{label}: its base_url {wrong}")
            continue
        provider = providers.get(credential.provider.lower())
        group = groups.setdefault(credential.provider if provider is None else provider.name, [])
        if group and group[0].base_url != credential.base_url:
            _warn(
                reader, f"{label}: is ignored: its base_url differs from that of {group[0].name}; disable one of them"
            )
            continue
        group.append(credential)
    return {name: _group_keys(group) for name, group in groups.items()}


def _group_keys(group: Sequence[Credential]) -> Keys:
    base_url = group[0].base_url
    return Keys(tuple(dict.fromkeys(entry.key for entry in group)), base_url and base_url.rstrip("/"))


def _accepts_keys(
    reader: ConfigReader, backend: BackendConfig, name: str, keys: Keys, provider: Provider | None
) -> bool:
    """Returns true if the keys are for this backend: by its name, or by its provider at the provider's own address."""
    named = backend.name.lower() == name.lower()
    if provider is None:
        return named
    if not named and backend.provider != provider.name:
        return False
    if provider.is_own_address(backend.base_url, reader.env) or (named and keys.base_url is not None):
        return True
    if named:
        what = f"is not sent to backends.{backend.name}, whose address is not that of {provider.name}"
        _warn(reader, f"credential {name}: {what}; add it with --base-url if it belongs there")
    return False


def _with_keys(backend: BackendConfig, keys: Keys) -> BackendConfig:
    """Returns the backend with these keys; its previous keys become spares, unless the keys change its address."""
    base_url = keys.base_url or backend.base_url
    previous = (backend.api_key, *backend.spare_keys) if base_url == backend.base_url else ()
    spares = dict.fromkeys(key for key in (*keys.keys[1:], *previous) if key is not None and key != keys.keys[0])
    return replace(backend, api_key=keys.keys[0], spare_keys=tuple(spares), base_url=base_url)


def _new_backend(
    reader: ConfigReader,
    name: str,
    keys: Keys,
    provider: Provider | None,
    protocols: Mapping[str, ProtocolSpec],
    backends: Sequence[BackendConfig],
) -> BackendConfig | None:
    """Builds the reserved backend of a credential's provider; returns None, with a warning, if that is impossible."""
    if provider is None:
        _warn(reader, f"credential {name}: no backend or provider has this name; add it under backends")
        return None
    if provider.base_url is None and keys.base_url is None:
        _warn(reader, f"credential {name}: has no address; add it again with --base-url")
        return None
    if any(backend.name == provider.name for backend in backends):
        return None  # `_accepts_keys` has warned already
    if keys.base_url is not None:
        provider = replace(provider, base_url=keys.base_url, base_url_variable=None)
    backend = backend_from_provider(reader, replace(provider, key_variable=None, own_key=keys.keys[0]), protocols)
    return replace(backend, spare_keys=keys.keys[1:])


def _warn(reader: ConfigReader, what: str) -> None:
    reader.warnings.append(f"store: {what}")
