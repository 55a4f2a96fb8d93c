"""A JSON Schema as Anthropic's structured outputs take it: closed objects, and no bounds that they refuse.

It knows the vendor's published subset of JSON Schema and nothing of requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# "Not supported: […] Numerical constraints (such as minimum, maximum, multipleOf); String constraints (minLength,
# maxLength); Array constraints beyond minItems of 0 or 1; additionalProperties set to anything other than false."
# https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
REFUSED = frozenset(
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
NAMED = ("properties", "$defs", "definitions")
"""Keywords whose value maps names to schemas."""
LISTED = ("anyOf", "allOf", "oneOf", "prefixItems")
"""Keywords whose value is a list of schemas."""


def closed(schema: dict[str, Any], changed: list[str], path: str = "") -> dict[str, Any]:
    """The schema within the subset; `changed` gains the path of whatever had to give way."""
    out: dict[str, Any] = {}
    for key, value in schema.items():
        where = f"{path}.{key}"
        if key in REFUSED or (key == "minItems" and value not in (0, 1)):
            changed.append(where)
        elif key in NAMED and type(value) is dict:
            out[key] = {name: _inner(inner, changed, f"{where}.{name}") for name, inner in value.items()}
        elif key in LISTED and type(value) is list:
            out[key] = [_inner(inner, changed, f"{where}[{i}]") for i, inner in enumerate(value)]
        elif key == "items":
            out[key] = _inner(value, changed, where)
        else:
            out[key] = value
    if _is_object(out) and out.get("additionalProperties") is not False:
        if "additionalProperties" in out:
            changed.append(f"{path}.additionalProperties")
        out["additionalProperties"] = False
    return out


def is_recursive(schema: dict[str, Any]) -> bool:
    """Whether a definition comes back to itself: "Not supported: Recursive schemas", at the same address."""
    names = {
        f"#/{key}/{name}": inner for key in ("$defs", "definitions") for name, inner in (schema.get(key) or {}).items()
    }
    rest = {key: value for key, value in schema.items() if key not in ("$defs", "definitions")}
    links = {name: set(_references(inner)) for name, inner in {**names, "#": rest}.items()}
    return any(_leads(name, name, links, set()) for name in links)


def _references(value: Any) -> Iterator[str]:
    if type(value) is dict:
        if type(value.get("$ref")) is str:
            yield value["$ref"]
        for inner in value.values():
            yield from _references(inner)
    elif type(value) is list:
        for inner in value:
            yield from _references(inner)


def _leads(here: str, there: str, links: dict[str, set[str]], seen: set[str]) -> bool:
    for name in links.get(here, set()) - seen:
        seen.add(name)
        if name == there or _leads(name, there, links, seen):
            return True
    return False


def _is_object(schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    return kind == "object" or (type(kind) is list and "object" in kind) or (kind is None and "properties" in schema)


def _inner(schema: Any, changed: list[str], path: str) -> Any:
    return closed(schema, changed, path) if type(schema) is dict else schema
