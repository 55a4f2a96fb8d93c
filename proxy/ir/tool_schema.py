"""Fits the parameters of a request's functions to the target, and declares what that changes."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from .json_schema import SchemaRules, fit_schema
from .losses import declare_loss
from .model import Loss, Opaque, Request, Tool

EMPTY: dict[str, Any] = {"type": "object", "properties": {}}
"""The parameters of a function without any."""


def with_fitted_tools(request: Request, rules: SchemaRules) -> tuple[Request, list[Loss]]:
    """Returns the request with functions whose parameters the target takes; absent ones stay absent."""
    losses: list[Loss] = []
    tools: list[Tool | Opaque] = []
    for i, tool in enumerate(request.tools):
        if isinstance(tool, Tool) and tool.kind == "function" and tool.parameters is not None:
            schema, changed = fit_schema(tool.parameters, rules)
            losses += [declare_loss(f"tools[{i}].parameters{path}", "tool_schema") for path in changed]
            tool = replace(tool, parameters=schema)
        tools.append(tool)
    return (replace(request, tools=tuple(tools)) if tools else request), losses
