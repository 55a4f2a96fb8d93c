"""The secrets of a backend's config: how its key is sent, and what its answers may not repeat."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ..routing import BackendConfig

SECRET_LENGTH = 8
"""Characters from which a secret is masked wherever it stands. A shorter key may be a part of words: it is masked
where it stands alone. A shorter header of the config is no secret."""


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
    return re.compile("|".join(map(_pattern, sorted(filter(None, words), key=len, reverse=True))))


def _pattern(word: str) -> str:
    escaped = re.escape(word)
    return escaped if len(word) >= SECRET_LENGTH else rf"(?<![\w-]){escaped}(?![\w-])"
