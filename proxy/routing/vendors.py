"""Tells whose model a name is, and which backends are that vendor's own.

A misspelt name of a vendor that has a backend here is refused; another vendor would answer it with another model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

from ..providers import NAME_VENDORS, NameVendor, canonical
from .plan import BackendConfig

_NAMES = tuple((re.compile(vendor.names, re.DOTALL), vendor) for vendor in NAME_VENDORS)


@lru_cache(4096)
def vendor_of_name(model: str) -> NameVendor | None:
    """Returns the vendor whose model this name is, None for a name that anybody may serve."""
    if len(model) > 200:
        return None
    name = model.lower()
    return next((vendor for pattern, vendor in _NAMES if pattern.fullmatch(name)), None)


def is_own(vendor: NameVendor, backend: BackendConfig) -> bool:
    """Returns whether the backend is the vendor's, by its provider, which may be its name, or by its address."""
    if canonical(backend.provider) in vendor.providers:
        return True
    host = (urlsplit(backend.base_url).hostname or "").lower()
    return any(host.endswith(end) for end in vendor.hosts)


def own_backends(vendor: NameVendor, backends: Iterable[BackendConfig]) -> frozenset[str]:
    """Returns the names of the vendor's own backends.

    One that serves only rules that name it is none of them, and neither is one without a key.
    """
    return frozenset(
        backend.name
        for backend in backends
        if not backend.reserved and backend.missing_key is None and is_own(vendor, backend)
    )
