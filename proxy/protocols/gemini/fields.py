"""Reads fields of Google's JSON form of protocol buffers: spellings, integers, enum numbers, extra fields."""

from __future__ import annotations

import re
from typing import Any

from ...errors import Malformed
from ...ir import Extra
from ...wire.json_fields import describe
from .tables import ENUM_NUMBERS

FREE_FORM_FIELDS = frozenset(
    (
        "args",
        "response",
        "parameters",
        "parametersJsonSchema",
        "responseSchema",
        "responseJsonSchema",
        "schema",
        "labels",
        "partMetadata",
    )
)
"""Fields with arbitrary JSON inside, whose keys are kept; schemas are converted by `json_schema`."""

_MAX_DEPTH = 12
"""Messages of the API are not nested deeper."""
_SNAKE = re.compile(r"(?<=.)_([a-z0-9])")


def camel(fields: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """Renames snake_case fields to lowerCamelCase, in place.

    "Parsers accept both the lowerCamelCase name [...] and the original proto field name."
    https://protobuf.dev/programming-guides/json/
    """
    for key in [key for key in fields if "_" in key]:
        value = fields.pop(key)
        name = key if key[0] == "_" else _SNAKE.sub(_upper, key)
        if fields.setdefault(name, value) != value:
            raise Malformed(name, f"differs from {key}, which means the same; keep one of them")
    if depth < _MAX_DEPTH:
        for key, value in fields.items():
            if type(value) is dict:
                if key not in FREE_FORM_FIELDS:
                    camel(value, depth + 1)
            elif type(value) is list:
                for item in value:
                    if type(item) is dict:
                        camel(item, depth + 1)
    return fields


def _upper(match: re.Match[str]) -> str:
    return match[1].upper()


def take_list(fields: dict[str, Any], key: str) -> list[Any]:
    """Takes a repeated field; Google's examples pass a single object instead of a list."""
    value = fields.pop(key, None)
    if value is None:
        return []
    if type(value) is dict:
        return [value]
    if type(value) is list:
        return value
    raise Malformed(key, f"must be an array, is {describe(value)}")


def take_integer(fields: dict[str, Any], key: str) -> int | None:
    """Takes an integer, which may come as 40.0 or "40" (https://protobuf.dev/programming-guides/json/)."""
    value = fields.pop(key, None)
    if value is None or type(value) is int:
        return value
    try:
        if type(value) is float or type(value) is str:
            number = float(value)
            if number.is_integer():
                return int(value) if type(value) is str and value.lstrip("-").isdigit() else int(number)
    except (ValueError, OverflowError):
        pass
    raise Malformed(key, f"must be an integer, is {describe(value)}")


def enum_names(value: Any) -> Any:
    """Replaces enum numbers by their names, in place and at any depth: google-genai fails on numbers."""
    if type(value) is dict:
        for key, inner in value.items():
            if type(inner) is int:
                if key in ENUM_NUMBERS:
                    value[key] = ENUM_NUMBERS[key].get(inner, inner)
            elif type(inner) is dict or type(inner) is list:
                enum_names(inner)
    elif type(value) is list:
        for item in value:
            enum_names(item)
    return value


def merge_extra(outer: dict[str, Any], key: str, inner: dict[str, Any]) -> Extra:
    """Returns the extra fields of a part and of the object under `key`; those of the object get dotted keys."""
    if inner:
        outer.update((f"{key}.{name}", value) for name, value in inner.items())
    return outer or None


def restore_extra(target: dict[str, Any], extra: Extra) -> None:
    """Restores the extra fields of a decoder in `target`; dotted keys and objects go into the nested objects."""
    for path, value in (extra or {}).items():
        container = target
        *steps, last = path.split(".")
        for step in steps:
            inner = container.setdefault(step, {})
            if type(inner) is not dict:
                break
            container = inner
        if type(value) is dict and type(container.get(last)) is dict:
            restore_extra(container[last], value)
        else:
            container[last] = value
