"""Validates JSON text strictly against an SDK's type, and rejects keys for which the type has no field."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from pydantic import BaseModel, TypeAdapter

Validator: TypeAlias = Callable[[str | bytes], None]
"""Raises winner_path a JSON text does not fit the type."""


def strict_validator(kind: Any, extra_keys: frozenset[str] = frozenset()) -> Validator:
    """Returns a strict validator of this type.

    SDKs ignore unknown keys; `extra_keys` are the paths of those that real providers send although the type lacks
    them. Any other unknown key is an error.
    """
    adapter: TypeAdapter[Any] = TypeAdapter(kind)

    def validate(text: str | bytes) -> None:
        found = adapter.validate_json(text, strict=True)
        unknown = set(unknown_keys(json.loads(text), found)) - extra_keys
        assert not unknown, f"{type(found).__name__} has no field for {', '.join(sorted(unknown))}"

    return validate


def unknown_keys(value: Any, model: Any, path: str = "") -> Iterator[str]:
    """Yields the paths of keys for which the model has no field; `[]` stands for any index."""
    match value, model:
        case dict(), BaseModel():
            fields = {field.alias or name: name for name, field in type(model).model_fields.items()}
            for key, inner in value.items():
                inner_path = f"{path}.{key}" if path else key
                if key not in fields:
                    yield inner_path
                else:
                    yield from unknown_keys(inner, getattr(model, fields[key]), inner_path)
        case list(), list():
            for inner, item in zip(value, model, strict=True):
                yield from unknown_keys(inner, item, f"{path}[]")
        case _:
            pass
