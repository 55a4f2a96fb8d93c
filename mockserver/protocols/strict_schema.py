"""OpenAI's strict subset of JSON Schema: finds violations and converts schemas to it.

https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

SchemaPath = tuple[str, ...]

BRANCHES: tuple[str, ...] = ("properties", "$defs", "definitions")
"""Keys whose values map names to schemas."""

UNIONS: tuple[str, ...] = ("oneOf", "anyOf", "allOf", "enum", "not")
"""Keywords that the root of the parameters of a function may not have, strict or not.

"schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level."
https://github.com/nspady/google-calendar-mcp/issues/39
"""

REFUSED: tuple[str, ...] = (
    *("oneOf", "allOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else", "default"),
    "patternProperties",
)
"""Keywords that a strict schema may not have at any depth.

"Composition: allOf, not, dependentRequired, dependentSchemas, if, then, else" are unsupported:
https://platform.openai.com/docs/guides/structured-outputs#supported-schemas. "'oneOf' is not permitted." and
"'default' is not permitted.": https://github.com/567-labs/instructor/issues/1074
"""


def strictness_errors(schema: Any, where: SchemaPath = ()) -> Iterator[str]:
    """Yields the service's message for each object that is not strict, outermost first."""
    if not isinstance(schema, dict):
        return
    for keyword in REFUSED:
        if keyword in schema:
            yield f"In context={where!r}, '{keyword}' is not permitted."
    if _is_object(schema):
        # "additionalProperties: false must always be set in objects", "all fields or function parameters must be
        # specified as required". https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
        if schema.get("additionalProperties") is not False:
            yield f"In context={where!r}, 'additionalProperties' is required to be supplied and to be false."
        missing = _optional_properties(schema)
        if missing:
            yield (
                f"In context={where!r}, 'required' is required to be supplied and to be an array including every key "
                f"in properties. Missing '{missing[0]}'."
            )
    for step, child in _children(schema):
        yield from strictness_errors(child, (*where, *step))


def schemas_without_items(schema: Any, where: SchemaPath = ()) -> Iterator[str]:
    """Yields the service's message for each array schema that does not describe its items, strict or not.

    https://github.com/streamnative/streamnative-mcp-server/issues/26
    """
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "array" and "items" not in schema and "prefixItems" not in schema:
        yield f"In context={where!r}, array schema missing items."
    for step, child in _children(schema):
        yield from schemas_without_items(child, (*where, *step))


def make_strict(schema: Any) -> Any:
    """Returns the schema as the service rewrites it if `strict` is omitted: closed, every property required."""
    if not isinstance(schema, dict):
        return schema
    out = dict(schema)
    for branch in BRANCHES:
        if isinstance(out.get(branch), dict):
            out[branch] = {name: make_strict(child) for name, child in out[branch].items()}
    if isinstance(out.get("items"), dict):
        out["items"] = make_strict(out["items"])
    if isinstance(out.get("anyOf"), list):
        out["anyOf"] = [make_strict(child) for child in out["anyOf"]]
    if _is_object(out):
        out["additionalProperties"] = False
        out["required"] = list(properties) if isinstance(properties := out.get("properties"), dict) else []
    return out


def is_strict_compatible(schema: Any) -> bool:
    """Returns whether `make_strict` keeps the meaning of a schema: it has no optional properties and no open objects.

    "If omitted, Responses attempts to use strict validation when the schema is compatible, and falls back to
    non-strict validation otherwise." https://github.com/openai/openai-openapi (FunctionToolParam)
    """
    if not isinstance(schema, dict):
        return True
    if any(keyword in schema for keyword in REFUSED):
        return False
    if _is_object(schema) and (schema.get("additionalProperties") not in (None, False) or _optional_properties(schema)):
        return False
    return all(is_strict_compatible(child) for _, child in _children(schema))


def _is_object(schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


def _optional_properties(schema: dict[str, Any]) -> list[str]:
    """Returns the names of the optional properties."""
    properties, required = schema.get("properties"), schema.get("required")
    listed = required if isinstance(required, list) else []
    return [name for name in properties if name not in listed] if isinstance(properties, dict) else []


def _children(schema: dict[str, Any]) -> Iterator[tuple[SchemaPath, Any]]:
    for branch in BRANCHES:
        children = schema.get(branch)
        for name, child in children.items() if isinstance(children, dict) else ():
            yield (branch, name), child
    if isinstance(schema.get("items"), dict):
        yield ("items",), schema["items"]
    options = schema.get("anyOf")
    for at, child in enumerate(options if isinstance(options, list) else ()):
        yield ("anyOf", str(at)), child
