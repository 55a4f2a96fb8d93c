"""Builds the backend of a provider from the provider table and the environment.

A provider's key is only ever sent to the provider's own address.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping

from ..providers import Provider
from ..routing import BackendConfig
from .urls import parse_base_url
from .yaml_reader import INVALID_KEY, ConfigReader, is_valid_key


class ProtocolSpec(typing.Protocol):
    """The part of a protocol that the config reader uses."""

    @property
    def capabilities(self) -> frozenset[str]: ...
    @property
    def quirks(self) -> Mapping[str, str]: ...
    @property
    def limits(self) -> Mapping[str, float]: ...
    @property
    def local(self) -> bool: ...
    @property
    def base_url_suffixes(self) -> tuple[str, ...]: ...
    @property
    def usual_base_path(self) -> str: ...


def backend_from_provider(
    reader: ConfigReader, provider: Provider, protocols: Mapping[str, ProtocolSpec]
) -> BackendConfig:
    """Builds the provider's backend, under the provider's name and reserved for rules and prefixes that name it."""
    given, variable = provider.address(reader.env)
    where = variable or provider.enabling_variable or provider.name
    url, wrong = parse_base_url(given or "")
    if wrong:
        reader.complain(0, where, wrong)
    reader.locations[provider.name] = (0, where)
    return BackendConfig(
        name=provider.name,
        protocol=provider.protocol,
        speaks=provider.speaks,
        provider=provider.name,
        base_url=url,
        api_key=key_of(reader, provider),
        default_model=provider.default_model,
        capabilities=capabilities_of(provider, protocols),
        quirks=provider.quirks,
        host=provider.name if provider.host_traits else "",
        needs_key=provider.needs_key,
        reserved=True,
        local=provider.protocol in protocols and protocols[provider.protocol].local,
    )


def key_of(reader: ConfigReader, provider: Provider) -> str | None:
    """Returns the provider's key; reports an error if it cannot be sent in a header."""
    key = provider.key(reader.env)
    if key is not None and not is_valid_key(key):
        reader.complain(0, str(provider.key_variable), INVALID_KEY)
    return key


def capabilities_of(provider: Provider, protocols: Mapping[str, ProtocolSpec]) -> frozenset[str]:
    """Returns the provider's capabilities, else those of all its protocols together."""
    if provider.capabilities is not None:
        return provider.capabilities
    names = (provider.protocol, *(each.protocol for each in provider.speaks if not each.secondary))
    return frozenset[str]().union(*(protocols[name].capabilities for name in names if name in protocols))
