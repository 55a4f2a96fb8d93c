"""What the store holds at one moment, as plain data. It knows no database."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from typing import Any

from msgspec import Struct


class Mapping(Struct, frozen=True, kw_only=True):
    """A rule for a model's name, as an entry of the config's `routes` says it.

    `fallback` is what is tried after `backend`: names of backends, or mappings of `backend` and `model`.
    """

    id: int
    match: str
    backend: str
    model: str | None = None
    priority: int = 0
    enabled: bool = True
    fallback: tuple[str | MappingOf[str, str], ...] = ()


class Setting(Struct, frozen=True, kw_only=True):
    """A top-level key of the config and its value, in YAML; it beats the environment and the file."""

    key: str
    value: str
    enabled: bool = True


class Credential(Struct, frozen=True, kw_only=True):
    """A provider's key, opened; `base_url` beats the registry's. Never shown: its repr has no key."""

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


class Snapshot(Struct, frozen=True, kw_only=True):
    """All that the store holds, and what was wrong with a row that is therefore not among it, ready to print."""

    revision: int = 0
    mappings: tuple[Mapping, ...] = ()
    settings: tuple[Setting, ...] = ()
    credentials: tuple[Credential, ...] = ()
    warnings: tuple[str, ...] = ()


NOTHING = Snapshot()
"""The store of a proxy that has none."""


def masked(key: str) -> str:
    """A key as a list may show it: enough of a long one to know it again, nothing of a short one."""
    return f"…{key[-4:]}" if len(key) >= 20 else "…"
