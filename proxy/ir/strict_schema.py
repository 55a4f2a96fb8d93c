"""OpenAI's strict subset of JSON Schema: `strict` is removed from tools and formats whose schema is outside it.

"Structured Outputs supports a subset of the JSON Schema language": "all fields or function parameters must be
specified as required", "additionalProperties: false must always be set in objects".
https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from .losses import declare_loss
from .model import Loss, Opaque, Request, Tool

SCHEMA_MAPS = ("properties", "$defs", "definitions")
"""Keywords whose value maps names to schemas."""


def loosened(request: Request) -> tuple[Request, list[Loss]]:
    """Returns the request with `strict` off wherever the schema is outside the subset, and a loss for each place."""
    losses: list[Loss] = []
    tools: list[Tool | Opaque] = []
    form = request.format
    if not (form is not None and form.strict) and not any(
        isinstance(tool, Tool) and tool.strict for tool in request.tools
    ):
        return request, losses  # the common case
    for i, tool in enumerate(request.tools):
        if isinstance(tool, Tool) and tool.strict and not is_strict(tool.parameters):
            losses.append(declare_loss(f"tools[{i}].strict", "tool_strict"))
            tool = replace(tool, strict=False)
        tools.append(tool)
    if form is not None and form.strict and not is_strict(form.schema):
        losses.append(declare_loss("format.strict", "json_schema"))
        form = replace(form, strict=False)
    return (replace(request, tools=tuple(tools), format=form) if losses else request), losses


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
