"""Recognises requests that go round in a loop of proxies: two configs that name each other, or longer rings.

A request to a backend that may be a proxy carries the ids of the proxies that it came through. A proxy refuses a
request with its own id in it, and one that came through too many.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

from .. import headers
from ..config.urls import is_loopback
from ..errors import ClientError, failure
from ..protocols.protocol import Protocol
from ..providers import PROVIDERS
from ..routing import BackendConfig
from .forwarded_headers import forwarded_headers


def new_instance_id() -> str:
    """Makes the id of one running proxy, which its workers share."""
    return secrets.token_hex(6)


def check_hops(fields: Mapping[str, str], instance: str, limit: int) -> None:
    """Raises ClientError where the request came through this proxy before, or through `limit` proxies."""
    if headers.VIA not in fields:
        return
    hops = _hops(fields)
    if instance in hops:
        text = f"This request came through this proxy before, {len(hops)} hops ago: backends name proxies in a circle."
    elif len(hops) >= limit:
        text = f"This request came through {len(hops)} proxies already; raise hop_limit if that is meant."
    else:
        return
    raise ClientError(failure("loop", text))


def _hops(fields: Mapping[str, str]) -> list[str]:
    came = fields.get(headers.VIA)
    return [] if came is None else [hop.strip() for hop in came.split(",")]


def upstream_headers(
    frontend: Protocol, client: Mapping[str, str], backend: BackendConfig, instance: str | None
) -> Mapping[str, str]:
    """Returns the headers for a backend beside its own: those of a client of its protocol, and the hops.

    `instance` is None for a backend that is no proxy.
    """
    found = forwarded_headers(frontend, client, backend.betas) if backend.protocol == frontend.name and client else {}
    if instance is not None:
        hops = _hops(client)
        found[headers.VIA] = ", ".join((*map(headers.printable, hops), instance)) if hops else instance
    return found


def with_own_headers(forwarded: Mapping[str, str], own: Mapping[str, str], backend: BackendConfig) -> Mapping[str, str]:
    """Returns the headers with those that the encoded request needs; lists of the config's headers are continued."""
    found = dict(forwarded)
    for name, value in own.items():
        before = found.get(name) or backend.headers.get(name)
        found[name] = f"{before},{value}" if before else value
    return found


_PROVIDER_HOSTS = frozenset(
    host
    for provider in PROVIDERS
    if (host := urlsplit(provider.base_url or "").hostname) is not None and not is_loopback(host)
)
"""Hosts of the registry's providers; anything else may be another proxy."""


def may_be_proxy(backend: BackendConfig) -> bool:
    """Returns whether a backend's address is none of a provider in the registry."""
    return urlsplit(backend.base_url).hostname not in _PROVIDER_HOSTS
