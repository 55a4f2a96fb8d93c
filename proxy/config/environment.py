"""Backends from environment variables, for a proxy without a config file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from ..providers import PROVIDERS, Provider
from ..routing import BackendConfig, NameFamily
from .provider import ProtocolSpec, backend_from_provider
from .yaml_reader import ConfigReader


def read_environment(reader: ConfigReader, protocols: Mapping[str, ProtocolSpec]) -> tuple[BackendConfig, ...]:
    """Returns a backend for each provider whose variable is set; an empty variable counts as unset."""
    return tuple(
        backend_from_provider(reader, provider, protocols)
        for provider in enabled_by_variable()
        if reader.env.get(str(provider.enabling_variable))
    )


def with_families(backends: Iterable[BackendConfig]) -> tuple[tuple[BackendConfig, ...], tuple[NameFamily, ...]]:
    """Returns the backends, unreserved where their providers have name families, and those families."""
    with_patterns = {provider.name: provider for provider in PROVIDERS if provider.families}
    every = tuple(backends)
    # the only one serves every name: there is no other that could be meant
    found = tuple(replace(each, reserved=len(every) > 1 and each.name not in with_patterns) for each in every)
    here = {backend.name for backend in found}
    owners = [provider for provider in with_patterns.values() if provider.name in here]
    return found, tuple(NameFamily(pattern, provider.name) for provider in owners for pattern in provider.families)


def enabled_by_variable() -> tuple[Provider, ...]:
    """Returns the providers that a variable can enable; of two with the same variable only the first."""
    by_variable: dict[str, Provider] = {}
    for provider in PROVIDERS:
        if provider.enabling_variable is not None:
            by_variable.setdefault(provider.enabling_variable, provider)
    return tuple(by_variable.values())


def complain_of_no_backend(reader: ConfigReader) -> None:
    """Reports the error that no backend is configured, with the variables that would enable one."""
    variables = ", ".join(str(provider.enabling_variable) for provider in enabled_by_variable())
    reader.complain(
        0,
        "",
        f"no backend configured: none of the variables {variables} is set; set one of them, or give --config FILE",
    )
