"""Compares tools, tool choice and response format of two requests."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from crosswire.mockserver.protocols.protocol import ParsedRequest
from crosswire.mockserver.scenarios.model import AllowedTools, NamedTool, ResponseFormat, Tool
from crosswire.mockserver.tool_aliases import INPUT_ARGUMENT

from .blocks import parse_arguments
from .difference import WRONG, Difference
from .json_schema import normalize_schema, without_added_closing


def tool_differences(sent: ParsedRequest, received: ParsedRequest) -> list[Difference]:
    """Compares the declared tools: names, descriptions, kinds, schemas and strictness."""
    names = [tool.full_name for tool in sent.tools], [tool.full_name for tool in received.tools]
    found: list[Difference] = []
    groups = [str(value) for path, value in sent.extra.items() if path.endswith(".namespace")]
    offered = sent.tools
    if names[0] != names[1]:
        # a tool choice may be approximated by sending only the named tools
        match sent.tool_choice:
            case NamedTool(name) if names[1] == [(None, name)]:
                feature, offered = "tool_choice", tuple(tool for tool in sent.tools if tool.name == name)
            case AllowedTools(some) if names[1] == [full for full in names[0] if full[1] in some]:
                feature, offered = "allowed_tools", tuple(tool for tool in sent.tools if tool.name in some)
            case _:
                return [Difference(WRONG, "tools", *names)]
        found.append(Difference(feature, "tools", *names))
    for one, other in zip(offered, received.tools, strict=True):
        path = f"tools.{one.name}"
        if (one.description or None) != (other.description or None) and not _tells_more(one, other, groups):
            found.append(Difference(WRONG, f"{path}.description", one.description, other.description))
        if one.kind == "custom" and other.kind == "function" and _wraps_custom_tool(other):
            found.append(Difference("custom_tool", path, one, other))
            continue
        if (one.kind, one.grammar) != (other.kind, other.grammar):
            found.append(Difference(WRONG, path, one, other))
        # where all calls are held to their schemas, one tool's strictness is that of all
        is_strict = bool(one.strict) or sent.validates == "asked"
        if _full_schema(one.parameters) != _full_schema(other.parameters):
            opened = without_added_closing(one.parameters, other.parameters)
            is_closed = is_strict and other.strict and _full_schema(one.parameters) == _full_schema(opened)
            feature = "tool_strict" if is_closed else "json_schema"  # strict tools of some targets have closed objects
            found.append(Difference(feature, f"{path}.parameters", one.parameters, other.parameters))
        if is_strict != bool(other.strict) and not (is_strict and received.validates):
            found.append(Difference("tool_strict", f"{path}.strict", one.strict, other.strict))
    return found


def _tells_more(one: Tool, other: Tool, groups: list[str]) -> bool:
    """Returns True if a description is followed by the grammar of a free-text tool, or by what its group is for."""
    text, before = other.description or "", one.description or ""
    more = [one.grammar.definition] if one.grammar is not None and other.kind == "function" else []
    return text.startswith(before) and any(told in text[len(before) :] for told in (*more, *groups))


def _wraps_custom_tool(tool: Tool) -> bool:
    """Returns True if a function has one required string parameter, named `input`, and no other."""
    schema = _full_schema(tool.parameters)
    properties = schema["properties"]
    return bool(
        properties.keys() == {INPUT_ARGUMENT}
        and properties[INPUT_ARGUMENT].get("type") == "string"
        and schema.get("required") == [INPUT_ARGUMENT]
    )


def choice_differences(sent: ParsedRequest, received: ParsedRequest) -> list[Difference]:
    """Compares tool choices: `auto` is the default, and allowed tools that are the only ones need not be named."""
    one, other = sent.tool_choice or "auto", received.tool_choice or "auto"
    fewer = len(received.tools) < len(sent.tools)
    every = isinstance(one, AllowedTools) and {tool.name for tool in sent.tools} <= set(one.names)
    if isinstance(one, AllowedTools) and (fewer or every) and not isinstance(other, AllowedTools):
        one = one.mode
    return [] if one == other else [Difference("tool_choice", "tool_choice", one, other)]


def _full_schema(schema: dict[str, Any] | None) -> dict[str, Any]:
    """Returns the normalized schema, where an absent one means an object without properties."""
    full_schema: dict[str, Any] = normalize_schema({"type": "object", "properties": {}} | (schema or {}))
    return full_schema


def format_differences(sent: ResponseFormat | None, received: ResponseFormat | None) -> list[Difference]:
    """Compares response formats: presence, description and schema."""
    feature = "json_schema" if sent is not None and sent.schema is not None else "json_object"
    if sent is None or received is None:
        return [] if sent is received else [Difference(feature, "format", sent, received)]
    found: list[Difference] = []
    one, other = normalize_schema(sent.schema), normalize_schema(received.schema)
    if sent.description and received.description != sent.description:
        # a protocol whose format has no description may carry it in the schema
        if one is not None and other is not None and other.get("description") == sent.description:
            one = {**one, "description": sent.description}
        else:
            found.append(Difference(feature, "format.description", sent.description, received.description))
    if one != without_added_closing(one, other):
        found.append(Difference(feature, "format", sent, received))
    return found


def without_format_hint(sent: ParsedRequest, received: ParsedRequest) -> ParsedRequest:
    """Returns the received request without its last system text, if that text asks for the response format.

    A proxy adds it for a protocol without a format field, and for one that requires the word JSON in the messages.
    """
    wanted = sent.format
    if wanted is None or len(received.system) != len(sent.system) + 1:
        return received
    if received.format is not None and wanted.schema is not None:
        return received
    hint = received.system[-1]
    schema = parse_arguments(hint[hint.find("{") :]) if "{" in hint else None
    asks = "JSON" in hint and (wanted.schema is None or normalize_schema(schema) == normalize_schema(wanted.schema))
    return replace(received, system=received.system[:-1]) if asks else received
