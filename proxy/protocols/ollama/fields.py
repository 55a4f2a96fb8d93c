"""Reads integers of Ollama's JSON, and keeps and restores the extra fields of nested objects."""

from __future__ import annotations

from typing import Any

from ...ir import Extra
from ...wire.json_fields import take


def take_integer(fields: dict[str, Any], key: str) -> int | None:
    """Takes an integer, which clients that use floats write as 40.0."""
    value = fields.get(key)
    if type(value) is float and value.is_integer():
        fields[key] = int(value)
    return take(fields, key, int)


def merge_extra(outer: dict[str, Any], key: str, inner: dict[str, Any]) -> Extra:
    """Returns the extra fields of an object and of the one under `key`; those of the inner one get dotted keys."""
    outer.update((f"{key}.{name}", value) for name, value in inner.items())
    return outer or None


def restore_extra(target: dict[str, Any], key: str, extra: Extra) -> None:
    """Restores the extra fields of a decoder in `target`; those with a dotted key go into the object under `key`."""
    prefix = f"{key}."
    for path, value in (extra or {}).items():
        if path.startswith(prefix):
            target[key][path.removeprefix(prefix)] = value
        else:
            target[path] = value
