"""Reduces a JSON Schema to the subset that Anthropic's structured outputs accept.

Objects are closed with `additionalProperties: false`, and unsupported constraints are removed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...wire.json_fields import maybe

# "Not supported: […] Numerical constraints (such as minimum, maximum, multipleOf); String constraints (minLength,
# maxLength); Array constraints beyond minItems of 0 or 1; additionalProperties set to anything other than false."
# https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
UNSUPPORTED_KEYWORDS = frozenset(
    (
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
    )
)
SCHEMA_MAP_KEYWORDS = ("properties", "$defs", "definitions")
"""Keywords whose value maps names to schemas."""
SCHEMA_LIST_KEYWORDS = ("anyOf", "allOf", "oneOf", "prefixItems")
"""Keywords whose value is a list of schemas."""


def close_schema(schema: dict[str, Any], changed: list[str], path: str = "") -> dict[str, Any]:
    """Returns the schema within the subset; appends the path of everything removed or replaced to `changed`."""
    out: dict[str, Any] = {}
    for key, value in schema.items():
        key_path = f"{path}.{key}"
        if key in UNSUPPORTED_KEYWORDS or (key == "minItems" and value not in (0, 1)):
            changed.append(key_path)
        elif key in SCHEMA_MAP_KEYWORDS and type(value) is dict:
            out[key] = {name: _close_inner(inner, changed, f"{key_path}.{name}") for name, inner in value.items()}
        elif key in SCHEMA_LIST_KEYWORDS and type(value) is list:
            out[key] = [_close_inner(inner, changed, f"{key_path}[{i}]") for i, inner in enumerate(value)]
        elif key == "items":
            out[key] = _close_inner(value, changed, key_path)
        else:
            out[key] = value
    if _is_object(out) and out.get("additionalProperties") is not False:
        if "additionalProperties" in out:
            changed.append(f"{path}.additionalProperties")
        out["additionalProperties"] = False
    return out


def is_recursive(schema: dict[str, Any]) -> bool:
    """Returns whether a definition refers to itself: "Not supported: Recursive schemas" (same page)."""
    names = {
        f"#/{key}/{name}": inner
        for key in ("$defs", "definitions")
        for name, inner in (maybe(schema, key, dict) or {}).items()
    }
    rest = {key: value for key, value in schema.items() if key not in ("$defs", "definitions")}
    references = {name: set(_references(inner)) for name, inner in {**names, "#": rest}.items()}
    return _has_cycle(references)


def _references(value: Any) -> Iterator[str]:
    if type(value) is dict:
        if type(value.get("$ref")) is str:
            yield value["$ref"]
        for inner in value.values():
            yield from _references(inner)
    elif type(value) is list:
        for inner in value:
            yield from _references(inner)


def _has_cycle(references: dict[str, set[str]]) -> bool:
    """Returns whether following references leads back to a name; each is followed once, however many there are."""
    done: set[str] = set()
    for start in references:
        path: dict[str, Iterator[str]] = {} if start in done else {start: iter(references[start])}
        while path:
            name = next(path[next(reversed(path))], None)
            if name is None:
                done.add(path.popitem()[0])
            elif name in path:
                return True
            elif name not in done:
                path[name] = iter(references.get(name, ()))
    return False


def _is_object(schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    return kind == "object" or (type(kind) is list and "object" in kind) or (kind is None and "properties" in schema)


def _close_inner(schema: Any, changed: list[str], path: str) -> Any:
    return close_schema(schema, changed, path) if type(schema) is dict else schema
