"""The store's content as plain data, without a database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct


class StoredRoute(Struct, frozen=True, kw_only=True):
    """A mapping of the store, like an entry of the config's `routes`.

    `fallback` holds the targets after `backend`: backend names, or dicts with `backend` and `model`.
    """

    id: int
    match: str
    backend: str
    model: str | None = None
    priority: int = 0
    enabled: bool = True
    fallback: tuple[str | Mapping[str, str], ...] = ()


class Setting(Struct, frozen=True, kw_only=True):
    """A top-level key of the config and its value in YAML; it beats the environment and the file."""

    key: str
    value: str
    enabled: bool = True


class Credential(Struct, frozen=True, kw_only=True):
    """A provider's decrypted key; `base_url` beats the provider's own. The repr masks the key."""

    id: str
    provider: str
    name: str
    key: str
    base_url: str | None = None
    enabled: bool = True

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(field, "…" if field == "key" else getattr(self, field)) for field in self.__struct_fields__]

    def __repr__(self) -> str:
        return f"Credential({', '.join(f'{field}={value!r}' for field, value in self.__rich_repr__())})"


class StoredClient(Struct, frozen=True, kw_only=True):
    """A client of the store: the digest of its key, and in YAML what it may do.

    `former` is the digest of the key before it, which holds until `former_ends`, in unix seconds.
    """

    name: str
    digest: bytes
    grants: str = "{}"
    enabled: bool = True
    former: bytes | None = None
    former_ends: float | None = None


class Snapshot(Struct, frozen=True, kw_only=True):
    """The store's content; `warnings` and `errors` are printable messages about rows that are invalid and left out.

    With errors nothing is served: a key that cannot be decrypted is no key that is not there.
    """

    revision: int = 0
    mappings: tuple[StoredRoute, ...] = ()
    settings: tuple[Setting, ...] = ()
    credentials: tuple[Credential, ...] = ()
    clients: tuple[StoredClient, ...] = ()
    hash_key: bytes | None = None
    """The key of the clients' digests, decrypted; None without clients."""
    warnings: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


EMPTY_SNAPSHOT = Snapshot()
"""The snapshot of a proxy without a store."""


def mask_key(key: str) -> str:
    """Masks a key for display; of a long one the last four characters are kept."""
    return f"…{key[-4:]}" if len(key) >= 20 else "…"
