"""The secrets of a backend's config: how its key is sent, and what its answers may not repeat."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ..routing import BackendConfig

SECRET_LENGTH = 8
"""Characters from which a header of the config is masked as a secret; shorter ones are words that texts may hold."""


def bearer(key: str) -> dict[str, str]:
    """Returns the header of a host that takes its key as OpenAI does, in whichever protocol it is spoken to."""
    return {"authorization": f"Bearer {key}"}


def secrets_of(config: BackendConfig) -> re.Pattern[str]:
    """Matches the keys, the headers of the config, and the backend's address; a host that is a bare word is none."""
    url, way = urlsplit(config.base_url), urlsplit(config.proxy or "")
    host = url.hostname or ""
    words = [
        config.api_key,
        *config.spare_keys,
        way.password,
        way.netloc,
        url.netloc,
        host if "." in host or ":" in host else None,
    ]
    words += [value for value in config.headers.values() if len(value) >= SECRET_LENGTH]
    return re.compile("|".join(re.escape(word) for word in sorted(filter(None, words), key=len, reverse=True)))
