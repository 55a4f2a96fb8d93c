"""Rules of the Messages API about tools and the choice among them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..rule import TODAY, TOKENS, Asked, Breach, Rule
from .field_rules import schema_errors
from .tables import TOOL_NAME

CREATE = "https://platform.claude.com/docs/en/api/messages/create"
TOOL_USE = "https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use"


def _custom_tools(asked: Asked) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the path of each tool that the client runs, and the tool."""
    for at, tool in enumerate(asked.body.get("tools") or []):
        if tool.get("type") in (None, "custom"):
            yield f"tools.{at}.custom", tool


def _schemas(asked: Asked) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Yields path, schema and strictness of each tool with an input schema."""
    for where, tool in _custom_tools(asked):
        if isinstance(tool.get("input_schema"), dict):
            yield where, tool["input_schema"], tool.get("strict") is True


def _names(asked: Asked) -> list[Any]:
    return [tool.get("name") for tool in asked.body.get("tools") or []]


def _name_pattern(asked: Asked) -> Iterator[Breach]:
    for where, tool in _custom_tools(asked):
        if not re.fullmatch(TOOL_NAME, tool["name"]):
            yield {"where": where, "pattern": TOOL_NAME}


def _schema_missing(asked: Asked) -> Iterator[Breach]:
    for where, tool in _custom_tools(asked):
        if tool.get("input_schema") is None:
            yield {"where": where}


def _schema_type_missing(asked: Asked) -> Iterator[Breach]:
    for where, schema, _ in _schemas(asked):
        if "type" not in schema:
            yield {"where": where}


def _schema_not_an_object(asked: Asked) -> Iterator[Breach]:
    for where, schema, _ in _schemas(asked):
        if schema["type"] != "object":
            yield {"where": where}


def _union_at_the_top(asked: Asked) -> Iterator[Breach]:
    for where, schema, _ in _schemas(asked):
        if any(keyword in schema for keyword in ("oneOf", "allOf", "anyOf")):
            yield {"where": where}


def _not_strict(asked: Asked) -> Iterator[Breach]:
    for where, schema, strict in _schemas(asked):
        for error in schema_errors(schema) if strict else ():
            yield {"where": where, "error": error}


def _names_twice(asked: Asked) -> Iterator[Breach]:
    if len(set(_names(asked))) != len(_names(asked)):
        yield {}


def _choice(asked: Asked) -> dict[str, Any]:
    return asked.body.get("tool_choice") or {}


def _choice_without_tools(asked: Asked) -> Iterator[Breach]:
    if asked.body.get("tool_choice") is not None and not _names(asked):
        yield {}


def _none_with_parallel(asked: Asked) -> Iterator[Breach]:
    if _choice(asked).get("type") == "none" and "disable_parallel_tool_use" in _choice(asked):
        yield {}


def _choice_of_no_tool(asked: Asked) -> Iterator[Breach]:
    if _choice(asked).get("type") == "tool" and _choice(asked).get("name") not in _names(asked):
        yield {"name": _choice(asked).get("name")}


RULES: tuple[Rule, ...] = (
    Rule(
        id="tool-name",
        says="name: Must match the regex ^[a-zA-Z0-9_-]{1,64}$; the service itself allows 128.",
        source=TOOL_USE,
        check=_name_pattern,
        message="{where}.name: String should match pattern '{pattern}'",
        on=TOKENS,
    ),
    Rule(
        id="schema-missing",
        says="input_schema: Required.",
        source=CREATE,
        check=_schema_missing,
        message="{where}.input_schema: Field required",
        on=TOKENS,
    ),
    Rule(
        id="schema-type-missing",
        says="input_schema.type: Required, object.",
        source=CREATE,
        check=_schema_type_missing,
        message="{where}.input_schema.type: Field required",
        on=TOKENS,
    ),
    Rule(
        id="schema-type",
        says="input_schema.type: object.",
        source=CREATE,
        check=_schema_not_an_object,
        message="{where}.input_schema.type: Input should be 'object'",
        on=TOKENS,
    ),
    Rule(
        id="schema-union",
        says="The error of a schema with a union at the top.",
        source="https://github.com/anthropics/claude-code/issues/40075",
        checked=TODAY,
        check=_union_at_the_top,
        message="{where}.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level",
        on=TOKENS,
    ),
    Rule(
        id="schema-not-strict",
        says="Strict tools have the same limitations of JSON Schema as response formats.",
        source="https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations",
        checked=TODAY,
        check=_not_strict,
        message="{where}: {error}",
        on=TOKENS,
    ),
    Rule(
        id="tool-names-twice",
        says="Tool names must be unique.",
        source="https://github.com/danny-avila/LibreChat/issues/13162",
        check=_names_twice,
        message="tools: Tool names must be unique.",
        on=TOKENS,
    ),
    Rule(
        id="choice-without-tools",
        says="tool_choice: How the model should use the provided tools.",
        source=CREATE,
        check=_choice_without_tools,
        message="tool_choice: may only be specified while providing tools.",
        on=TOKENS,
    ),
    Rule(
        id="choice-none-parallel",
        says="ToolChoiceNone has `type` alone.",
        source=CREATE,
        check=_none_with_parallel,
        message="tool_choice.none.disable_parallel_tool_use: Extra inputs are not permitted",
        on=TOKENS,
    ),
    Rule(
        id="choice-of-no-tool",
        says="name: The name of the tool to use.",
        source=CREATE,
        check=_choice_of_no_tool,
        message="Tool '{name}' not found in provided tools",
        on=TOKENS,
    ),
)
"""Rules about tools, in the order in which the service checks them."""
