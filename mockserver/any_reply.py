"""Replies to requests that fit no story: text, a call of an offered tool, or JSON that fits the schema."""

from __future__ import annotations

import json
import re

from .example_value import example_value
from .protocols.protocol import ParsedRequest
from .scenarios.model import AllowedTools, Item, NamedTool, SayCall, SayText, Text, Tool, ToolResult

ECHO, CANNED, SCHEMA = "echo", "canned", "schema"
WAYS = {
    ECHO: "the user's own text",
    CANNED: "always the same text",
    SCHEMA: "a call of the first tool that is offered, and its result as text",
}
"""Ways to answer, and what is said where the request asks for nothing else."""

CANNED_TEXT = "This is an answer of the mock server. It is the same for every request."


def any_items(asked: ParsedRequest, way: str, number: int) -> tuple[Item, ...]:
    """Returns a reply that the request allows; `number` makes the ids of its calls.

    JSON is said where the request asks for JSON, and a call where it asks for one, whatever the way.
    """
    blocks = asked.turns[-1].blocks if asked.turns else ()
    has_result = any(isinstance(block, ToolResult) for block in blocks)
    tool = _forced_tool(asked)
    if tool is None and way == SCHEMA and not has_result and asked.tool_choice != "none":
        tool = next(iter(_allowed(asked)), None)
    if tool is not None:
        return (_call(tool, number),)
    if asked.format is not None:
        value = {"text": "text"} if asked.format.schema is None else example_value(asked.format.schema)
        return (SayText(_pieces(json.dumps(value, ensure_ascii=False))),)
    if way == CANNED:
        return (SayText(_pieces(CANNED_TEXT)),)
    said = [block.text for block in blocks if isinstance(block, Text | ToolResult) and block.text]
    return (SayText(_pieces("\n".join(said) or "(no text)")),)


def _allowed(asked: ParsedRequest) -> list[Tool]:
    choice = asked.tool_choice
    names = choice.names if isinstance(choice, AllowedTools) else None
    return [tool for tool in asked.tools if names is None or tool.name in names]


def _forced_tool(asked: ParsedRequest) -> Tool | None:
    match asked.tool_choice:
        case NamedTool(name):
            return next((tool for tool in asked.tools if tool.name == name), None)
        case "required" | AllowedTools(mode="required"):
            return next(iter(_allowed(asked)), None)
        case _:
            return None


def _call(tool: Tool, number: int) -> SayCall:
    if tool.kind == "custom":
        return SayCall(f"call_any_{number}", tool.name, ("text",), kind="custom", namespace=tool.namespace)
    value = example_value(tool.parameters) if tool.parameters else {}
    arguments = json.dumps(value if isinstance(value, dict) else {}, ensure_ascii=False)
    return SayCall(f"call_any_{number}", tool.name, _pieces(arguments), namespace=tool.namespace)


def _pieces(text: str) -> tuple[str, ...]:
    """Returns a text in the pieces of a stream: words with the space before them."""
    return tuple(re.findall(r"\s*\S+\s*$|\s*\S+|\s+$", text)) or (text,)
