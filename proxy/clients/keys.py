"""Keys of clients: how they are made, found in a request, and kept, which is as a keyed hash alone."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from hashlib import blake2b

PREFIX = "cw-"
"""Beginning of every key that is made here, by which scanners for leaked secrets can know it."""

SECRET_BYTES = 32
"""Random bytes of a key that is made here."""

HASH_KEY_BYTES = 32
DIGEST_BYTES = 32

LONGEST = 8192
"""Characters of a credential that is looked at: tokens are long, keys are not."""

HEADERS = ("x-api-key", "x-goog-api-key", "api-key")
"""The headers in which clients send their key as it is: Anthropic's, Google's, Azure's."""

QUERY_FIELD = "key"
"""The query field in which Google's clients may send it.

"https://generativelanguage.googleapis.com/v1beta/models?key=$GEMINI_API_KEY" https://ai.google.dev/api
"""


def new_key() -> str:
    """Makes a random key."""
    return PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def new_hash_key() -> bytes:
    """Makes a random key for `digest`."""
    return secrets.token_bytes(HASH_KEY_BYTES)


def digest(key: str, hash_key: bytes) -> bytes:
    """The keyed hash of a client's key. BLAKE2 has a keyed mode: https://www.rfc-editor.org/rfc/rfc7693#section-2.9"""
    return blake2b(key.encode("utf-8", "surrogateescape"), key=hash_key, digest_size=DIGEST_BYTES).digest()


def credentials_in(headers: Mapping[str, str], query: Mapping[str, str]) -> Iterator[str]:
    """The credentials of a request, from every place in which the protocols' clients put one."""
    if (given := headers.get("authorization")) is not None:
        scheme, _, rest = given.partition(" ")
        if scheme.lower() == "bearer" and (rest := rest.strip()):
            yield rest[: LONGEST + 1]
    for name in HEADERS:
        if given := headers.get(name):
            yield given[: LONGEST + 1]
    if given := query.get(QUERY_FIELD):
        yield given[: LONGEST + 1]
