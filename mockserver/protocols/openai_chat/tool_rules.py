"""Rules of Chat Completions about tools and the choice among them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..rule import TODAY, Asked, Breach, Rule
from ..strict_schema import UNIONS, schemas_without_items, strictness_errors
from .tables import TOOL_NAME

CREATE = "https://platform.openai.com/docs/api-reference/chat/create"
SUBSET = "https://platform.openai.com/docs/guides/structured-outputs#supported-schemas"
SCHEMA_ERROR = "Invalid schema for function '{name}': {error}"


def _tools(asked: Asked) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yields the kind, the path and the inner object of each function tool and custom tool."""
    for at, tool in enumerate(asked.body.get("tools") or []):
        kind = "custom" if tool.get("type") == "custom" else "function"
        if tool.get("type") in (None, kind):
            yield kind, f"tools[{at}].{kind}", tool.get(kind) or {}


def _parameters(asked: Asked) -> Iterator[tuple[Breach, dict[str, Any], bool]]:
    """Yields name and path, the schema, and the strictness of each function with parameters."""
    for kind, where, tool in _tools(asked):
        schema = tool.get("parameters")
        if kind == "function" and isinstance(schema, dict):
            yield {"name": tool.get("name"), "where": where}, schema, tool.get("strict") is True


def _tools_empty(asked: Asked) -> Iterator[Breach]:
    if asked.body.get("tools") == []:
        yield {}


def _without_tools(asked: Asked) -> Iterator[Breach]:
    for key in ("tool_choice", "parallel_tool_calls"):
        if asked.body.get(key) is not None and not asked.body.get("tools"):
            yield {"key": key}


def _name_pattern(asked: Asked) -> Iterator[Breach]:
    for _, where, tool in _tools(asked):
        if not re.fullmatch(TOOL_NAME, tool.get("name") or ""):
            yield {"where": where}


def _not_strict(asked: Asked) -> Iterator[Breach]:
    for breach, schema, strict in _parameters(asked):
        for error in strictness_errors(schema) if strict else ():
            yield breach | {"error": error}


def _not_an_object(asked: Asked) -> Iterator[Breach]:
    for breach, schema, _ in _parameters(asked):
        if schema.get("type", "object") != "object":
            yield breach | {"type": schema["type"]}


def _union_at_the_top(asked: Asked) -> Iterator[Breach]:
    for breach, schema, _ in _parameters(asked):
        if any(keyword in schema for keyword in UNIONS):
            yield breach


def _items_missing(asked: Asked) -> Iterator[Breach]:
    for breach, schema, _ in _parameters(asked):
        for error in schemas_without_items(schema):
            yield breach | {"error": error}


def _choice_unknown(asked: Asked) -> Iterator[Breach]:
    choice = asked.body.get("tool_choice")
    if isinstance(choice, str) and choice not in ("none", "auto", "required"):
        yield {"value": choice}


def _choice_of_no_tool(asked: Asked) -> Iterator[Breach]:
    choice = asked.body.get("tool_choice")
    names = [tool.get("name") for _, _, tool in _tools(asked)]
    if not isinstance(choice, dict):
        return
    # "allowed_tools … tools: A list of tool definitions that the model should be allowed to call." (same page)
    for one in (choice.get("allowed_tools") or {}).get("tools") or [choice]:
        kind = str(one.get("type"))
        wanted = (one.get(kind) or {}).get("name")
        if kind in ("function", "custom") and wanted not in names:
            yield {"kind": kind, "name": wanted}


RULES: tuple[Rule, ...] = (
    Rule(
        id="tools-empty",
        says="An empty list of tools is refused.",
        source=CREATE,
        check=_tools_empty,
        message="Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty array "
        "instead.",
        param="tools",
        code="empty_array",
    ),
    Rule(
        id="choice-without-tools",
        says="The error of a request with parallel_tool_calls or tool_choice and no tools.",
        source="https://github.com/Upsonic/Upsonic/issues/323",
        checked=TODAY,
        check=_without_tools,
        message="Invalid value for '{key}': '{key}' is only allowed when 'tools' are specified.",
        param="{key}",
    ),
    Rule(
        id="tool-name",
        says="Must be a-z, A-Z, 0-9, or contain underscores and dashes, with a maximum length of 64.",
        source=CREATE,
        check=_name_pattern,
        message="Invalid '{where}.name': string does not match pattern. Expected a string that matches the pattern "
        "'^[a-zA-Z0-9_-]+$'.",
        param="{where}.name",
        code="invalid_value",
    ),
    Rule(
        id="tool-not-strict",
        says="With strict: true, parameters must be in the subset of JSON Schema of Structured Outputs.",
        source=SUBSET,
        check=_not_strict,
        message=SCHEMA_ERROR,
        param="{where}.parameters",
        code="invalid_function_parameters",
        strict=True,
    ),
    Rule(
        id="parameters-type",
        says="parameters: … described as a JSON Schema object.",
        source=CREATE,
        check=_not_an_object,
        message="Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"', got 'type: "
        '"{type}"\'.',
        param="{where}.parameters",
        code="invalid_function_parameters",
    ),
    Rule(
        id="parameters-union",
        says="The error of a schema with a union at the top, strict or not.",
        source="https://github.com/nspady/google-calendar-mcp/issues/39",
        checked=TODAY,
        check=_union_at_the_top,
        message="Invalid schema for function '{name}': schema must have type 'object' and not have 'oneOf'/'anyOf'/"
        "'allOf'/'enum'/'not' at the top level.",
        param="{where}.parameters",
        code="invalid_function_parameters",
        strict=True,
    ),
    Rule(
        id="parameters-items",
        says="The error of an array without items, strict or not.",
        source="https://github.com/streamnative/streamnative-mcp-server/issues/26",
        checked=TODAY,
        check=_items_missing,
        message=SCHEMA_ERROR,
        param="{where}.parameters",
        code="invalid_function_parameters",
        strict=True,
    ),
    Rule(
        id="choice-unknown",
        says="none, auto and required are the words of tool_choice.",
        source=f"{CREATE}#chat_create-tool_choice",
        check=_choice_unknown,
        message="Invalid value: '{value}'. Supported values are: 'none', 'auto', and 'required'.",
        param="tool_choice",
        code="invalid_value",
    ),
    Rule(
        id="choice-of-no-tool",
        says="A choice must name one of the tools of the request.",
        source=f"{CREATE}#chat_create-tool_choice",
        check=_choice_of_no_tool,
        message="Tool choice '{kind}' not found in 'tools' parameter: no {kind} named '{name}'.",
        param="tool_choice",
        own_words=True,
    ),
)
"""Rules about tools, in the order in which the service checks them."""
