"""Says for whom the proxy itself marks what a backend is to cache."""

from __future__ import annotations

from ..known_clients import client_of
from ..routing import BackendConfig


def marks_cache(config: BackendConfig, frontend: str, user_agent: str) -> bool:
    """Returns whether the proxy says what this backend is to cache, for a client whose protocol cannot say it."""
    if config.cache == "off" or config.protocol == frontend:
        return False
    if config.cache == "auto":
        return True
    client = client_of(user_agent)
    return client is not None and client.is_exempt("caches")
