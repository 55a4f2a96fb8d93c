"""The strict subset of JSON Schema: what breaks its rules, and a schema made to obey them. It knows no request.

https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Where = tuple[str, ...]

BRANCHES: tuple[str, ...] = ("properties", "$defs", "definitions")
"""Keys whose values are schemas by name."""


def flaws(schema: Any, where: Where = ()) -> Iterator[str]:
    """What the service says of each object that is not strict, outermost first."""
    if not isinstance(schema, dict):
        return
    if _is_object(schema):
        # "additionalProperties: false must always be set in objects", "all fields or function parameters must be
        # specified as required". https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
        if schema.get("additionalProperties") is not False:
            yield f"In context={where!r}, 'additionalProperties' is required to be supplied and to be false."
        missing = _optional(schema)
        if missing:
            yield (
                f"In context={where!r}, 'required' is required to be supplied and to be an array including every key "
                f"in properties. Missing '{missing[0]}'."
            )
    for step, child in _children(schema):
        yield from flaws(child, (*where, *step))


def strict(schema: Any) -> Any:
    """The schema as the service rewrites one whose `strict` was left out: closed, and everything required."""
    if not isinstance(schema, dict):
        return schema
    out = dict(schema)
    for branch in BRANCHES:
        if isinstance(out.get(branch), dict):
            out[branch] = {name: strict(child) for name, child in out[branch].items()}
    if isinstance(out.get("items"), dict):
        out["items"] = strict(out["items"])
    if isinstance(out.get("anyOf"), list):
        out["anyOf"] = [strict(child) for child in out["anyOf"]]
    if _is_object(out):
        out["additionalProperties"] = False
        out["required"] = list(properties) if isinstance(properties := out.get("properties"), dict) else []
    return out


def compatible(schema: Any) -> bool:
    """Whether the service would take it as strict: nothing that was optional, or open, would change its meaning.

    "If omitted, Responses attempts to use strict validation when the schema is compatible, and falls back to
    non-strict validation otherwise." https://github.com/openai/openai-openapi (FunctionToolParam)
    """
    if not isinstance(schema, dict):
        return True
    if _is_object(schema) and (schema.get("additionalProperties") not in (None, False) or _optional(schema)):
        return False
    return all(compatible(child) for _, child in _children(schema))


def _is_object(schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


def _optional(schema: dict[str, Any]) -> list[str]:
    """The properties that need not be there."""
    properties, required = schema.get("properties"), schema.get("required")
    listed = required if isinstance(required, list) else []
    return [name for name in properties if name not in listed] if isinstance(properties, dict) else []


def _children(schema: dict[str, Any]) -> Iterator[tuple[Where, Any]]:
    for branch in BRANCHES:
        children = schema.get(branch)
        for name, child in children.items() if isinstance(children, dict) else ():
            yield (branch, name), child
    if isinstance(schema.get("items"), dict):
        yield ("items",), schema["items"]
    options = schema.get("anyOf")
    for at, child in enumerate(options if isinstance(options, list) else ()):
        yield ("anyOf", str(at)), child
