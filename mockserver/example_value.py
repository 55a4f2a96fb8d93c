"""Makes a value that fits a JSON Schema, the same each time."""

from __future__ import annotations

import math
from typing import Any

DEEPEST = 6
"""Levels below which only what must be there is there, so that a schema that refers to itself has an end."""

STRINGS: dict[str, str] = {
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
"""Format of a string to a string of it."""


def example_value(schema: Any) -> Any:
    """Returns a value that fits the schema; patterns of strings are beyond it."""
    return _example(schema, schema, 0)


def _example(schema: Any, root: Any, depth: int) -> Any:
    if not isinstance(schema, dict):
        return "text"
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for word in ("anyOf", "oneOf"):
        if schema.get(word):
            options = [_resolved(option, root) for option in schema[word] if isinstance(option, dict)]
            # deep within a schema that refers to itself, an option that ends it
            ends = [option for option in options if not _nests(option)] if depth >= DEEPEST else []
            rest = {key: value for key, value in schema.items() if key != word}
            return _example({**rest, **(ends or options or [{}])[0]}, root, depth)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    # Gemini writes the types in capitals
    kind = str(kind).lower() if kind is not None else _kind_of(schema)
    match kind:
        case "object":
            return _object(schema, root, depth)
        case "array":
            return _array(schema, root, depth)
        case "integer":
            return _number(schema, 1)
        case "number":
            return _number(schema, 0)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _string(schema)


def _resolved(schema: dict[str, Any], root: Any) -> dict[str, Any]:
    """Returns a schema with its reference and its `allOf` merged into it."""
    for _ in range(DEEPEST):
        target = schema.get("$ref")
        if not isinstance(target, str) or not target.startswith("#"):
            break
        found = root
        for step in target.removeprefix("#").split("/")[1:]:
            found = found.get(step.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, dict) else {}
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**(found if isinstance(found, dict) else {}), **rest}
    merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
    for part in schema.get("allOf") or ():
        inner = _resolved(part, root) if isinstance(part, dict) else {}
        properties = {**merged.get("properties", {}), **inner.get("properties", {})}
        required = [*merged.get("required", ()), *inner.get("required", ())]
        merged = {**merged, **inner} | ({"properties": properties} if properties else {})
        merged |= {"required": required} if required else {}
    return merged


def _nests(schema: dict[str, Any]) -> bool:
    return "$ref" in schema or schema.get("type") in ("object", "array", "OBJECT", "ARRAY") or "properties" in schema


def _kind_of(schema: dict[str, Any]) -> str:
    if "properties" in schema or "required" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    return "number" if {"minimum", "maximum", "multipleOf"} & schema.keys() else "string"


def _object(schema: dict[str, Any], root: Any, depth: int) -> dict[str, Any]:
    properties = schema.get("properties") or {}
    required = schema.get("required") or ()
    names = [name for name in properties if depth < DEEPEST or name in required]
    found = {name: _example(properties[name], root, depth + 1) for name in names}
    return found | {name: "text" for name in required if name not in found}


def _array(schema: dict[str, Any], root: Any, depth: int) -> list[Any]:
    first = [_example(each, root, depth + 1) for each in schema.get("prefixItems") or ()]
    least = int(schema.get("minItems") or 0)
    wanted = max(least, len(first), 1 if depth < DEEPEST else 0)
    wanted = min(wanted, int(schema.get("maxItems", wanted)))
    items = schema.get("items", {})
    if items is False:
        return first
    rest = [_example(items, root, depth + 1) for _ in range(max(0, wanted - len(first)))]
    if schema.get("uniqueItems") and len(rest) > 1:
        choices = _resolved(items, root).get("enum") if isinstance(items, dict) else None
        rest = list(choices[: len(rest)]) if choices else [_distinct(each, at) for at, each in enumerate(rest)]
    return first + rest


def _distinct(value: Any, at: int) -> Any:
    return f"{value}{at or ''}" if isinstance(value, str) else value + at if isinstance(value, int | float) else value


def _number(schema: dict[str, Any], step: int) -> float | int:
    low = schema.get("minimum")
    if (above := schema.get("exclusiveMinimum")) is not None and not isinstance(above, bool):
        low = above + (step or 0.5)
    value: float | int = 1 if low is None else math.ceil(low) if step else low
    high = schema.get("maximum")
    if (below := schema.get("exclusiveMaximum")) is not None and not isinstance(below, bool):
        high = below - (step or 0.5)
    if high is not None and value > high:
        value = math.floor(high) if step else high
    multiple = schema.get("multipleOf")
    return math.ceil(value / multiple) * multiple if multiple else value


def _string(schema: dict[str, Any]) -> str:
    text = STRINGS.get(str(schema.get("format")), "text")
    least = int(schema.get("minLength") or 0)
    text = text if len(text) >= least else (text * (least // len(text) + 1))[:least]
    most = schema.get("maxLength")
    return text if most is None else text[: int(most)]
