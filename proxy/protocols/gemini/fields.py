"""The fields of Gemini's objects: one spelling, numbers and enums as JSON clients vary them, leftovers put back.

It knows how Google writes protocol buffers as JSON, and not what any field means.
"""

from __future__ import annotations

import re
from typing import Any

from ...errors import Malformed
from ...ir import Own
from ...wire import describe
from .words import ENUM_NUMBERS

FREE = frozenset(
    (
        "args",
        "response",
        "parameters",
        "parametersJsonSchema",
        "responseSchema",
        "responseJsonSchema",
        "labels",
        "partMetadata",
    )
)
"""Fields whose inside is the client's own JSON; schemas have a speller of their own."""

_DEPTH = 12
"""Messages of the API nest no deeper; what does is some tool's own business."""
_SNAKE = re.compile(r"(?<=.)_([a-z0-9])")


def camel(fields: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """Spell every field as the API's reference does, in place.

    "Parsers accept both the lowerCamelCase name [...] and the original proto field name."
    https://protobuf.dev/programming-guides/json/
    """
    for key in [key for key in fields if "_" in key]:
        value = fields.pop(key)
        fields.setdefault(key if key[0] == "_" else _SNAKE.sub(_upper, key), value)
    if depth < _DEPTH:
        for key, value in fields.items():
            if type(value) is dict:
                if key not in FREE:
                    camel(value, depth + 1)
            elif type(value) is list:
                for item in value:
                    if type(item) is dict:
                        camel(item, depth + 1)
    return fields


def _upper(match: re.Match[str]) -> str:
    return match[1].upper()


def several(fields: dict[str, Any], key: str) -> list[Any]:
    """Pop a repeated field; Google's own examples give a single object where the reference has a list."""
    value = fields.pop(key, None)
    if value is None:
        return []
    if type(value) is dict:
        return [value]
    if type(value) is list:
        return value
    raise Malformed(key, f"must be an array, is {describe(value)}")


def whole(fields: dict[str, Any], key: str) -> int | None:
    """Pop an integer, which may come as 40.0 or "40" (https://protobuf.dev/programming-guides/json/)."""
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


def named(value: Any) -> Any:
    """Enum numbers as their names, in place and however deep: google-genai breaks on numbers."""
    if type(value) is dict:
        for key, inner in value.items():
            if type(inner) is int:
                if key in ENUM_NUMBERS:
                    value[key] = ENUM_NUMBERS[key].get(inner, inner)
            elif type(inner) is dict or type(inner) is list:
                named(inner)
    elif type(value) is list:
        for item in value:
            named(item)
    return value


def rest(outer: dict[str, Any], key: str, inner: dict[str, Any]) -> Own:
    """What is left of a part and of the object in it; a dotted key says where it sat."""
    if inner:
        outer.update((f"{key}.{name}", value) for name, value in inner.items())
    return outer or None


def put_back(target: dict[str, Any], own: Own) -> None:
    """Add what a decoder left over; dotted keys and objects go into the object of that name."""
    for path, value in (own or {}).items():
        place = target
        *steps, last = path.split(".")
        for step in steps:
            inner = place.setdefault(step, {})
            if type(inner) is not dict:
                break
            place = inner
        if type(value) is dict and type(place.get(last)) is dict:
            put_back(place[last], value)
        else:
            place[last] = value
