"""OpenAI's strict subset of JSON Schema: `strict` is removed from tools and formats whose schema is outside it.

"Structured Outputs supports a subset of the JSON Schema language": "all fields or function parameters must be
specified as required", "additionalProperties: false must always be set in objects".
https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from .json_schema import SchemaRules, fit_schema, is_convertible
from .losses import declare_loss
from .model import Loss, Opaque, Request, Tool

SCHEMA_MAPS = ("properties", "$defs", "definitions")
"""Keywords whose value maps names to schemas."""


def loosened(request: Request, rules: SchemaRules) -> tuple[Request, list[Loss]]:
    """Returns the request with every strict schema within the subset, and a loss for each place that had to change.

    `rules` are those of the subset. A schema that cannot be brought into it keeps its form, and `strict` is off there.
    """
    losses: list[Loss] = []
    tools: list[Tool | Opaque] = []
    form = request.format
    if not (form is not None and form.strict) and not any(
        isinstance(tool, Tool) and tool.strict for tool in request.tools
    ):
        return request, losses  # the common case
    for i, tool in enumerate(request.tools):
        if isinstance(tool, Tool) and tool.strict:
            schema, changed = _strict(tool.parameters, rules)
            if schema is None:
                losses.append(declare_loss(f"tools[{i}].strict", "tool_strict"))
                tool = replace(tool, strict=False)
            elif changed:
                losses += [declare_loss(f"tools[{i}].parameters{path}", "tool_schema") for path in changed]
                tool = replace(tool, parameters=schema)
        tools.append(tool)
    if form is not None and form.strict:
        schema, changed = _strict(form.schema, rules)
        if schema is None:
            losses.append(declare_loss("format.strict", "json_schema"))
            form = replace(form, strict=False)
        elif changed:
            losses += [declare_loss(f"format.schema{path}", "json_schema") for path in changed]
            form = replace(form, schema=schema)
    return (replace(request, tools=tuple(tools), format=form) if losses else request), losses


def _strict(schema: dict[str, Any] | None, rules: SchemaRules) -> tuple[dict[str, Any] | None, list[str]]:
    """Returns the schema within the subset and the paths that changed; None where it cannot be brought there."""
    if schema is None:
        return {}, []
    if not is_convertible(schema, rules):
        return None, []
    fitted, changed = fit_schema(schema, rules)
    return (fitted, changed) if is_strict(fitted) else (None, [])


def is_strict(schema: Any) -> bool:
    """Returns true if every object of the schema forbids additional properties and requires all its properties."""
    if type(schema) is not dict:
        return True
    if _is_object(schema):
        required, names = schema.get("required") or [], schema.get("properties") or {}
        if schema.get("additionalProperties") is not False or type(names) is not dict or type(required) is not list:
            return False
        if not names.keys() <= {name for name in required if type(name) is str}:
            return False
    inner = [one for key in SCHEMA_MAPS if type(schema.get(key)) is dict for one in schema[key].values()]
    options = schema.get("anyOf")
    return all(map(is_strict, (*inner, schema.get("items"), *(options if type(options) is list else ()))))


def _is_object(schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    return kind == "object" or (type(kind) is list and "object" in kind)
