"""The tools of two requests, which may be called, and the form that the answer must have, compared."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from mockserver.dialects.contract import Understood
from mockserver.speech import Allowed, Format, Named, Tool

from ..naming import INPUT
from ..schemas import as_open, plain_schema
from .blocks import json_of
from .difference import WRONG, Difference


def tool_differences(said: Understood, arrived: Understood) -> list[Difference]:
    names = [tool.full for tool in said.tools], [tool.full for tool in arrived.tools]
    found: list[Difference] = []
    offered = said.tools
    if names[0] != names[1]:
        # a choice may be approximated by offering the named tools alone
        match said.tool_choice:
            case Named(name) if names[1] == [(None, name)]:
                word, offered = "tool_choice", tuple(tool for tool in said.tools if tool.name == name)
            case Allowed(some) if names[1] == [full for full in names[0] if full[1] in some]:
                word, offered = "allowed_tools", tuple(tool for tool in said.tools if tool.name in some)
            case _:
                return [Difference(WRONG, "tools", *names)]
        found.append(Difference(word, "tools", *names))
    for one, other in zip(offered, arrived.tools, strict=True):
        path = f"tools.{one.name}"
        if (one.description or None) != (other.description or None):
            found.append(Difference(WRONG, f"{path}.description", one.description, other.description))
        if one.kind == "custom" and other.kind == "function" and _plays_custom(other):
            found.append(Difference("custom_tool", path, one, other))
            continue
        if (one.kind, one.grammar) != (other.kind, other.grammar):
            found.append(Difference(WRONG, path, one, other))
        if _schema(one.parameters) != _schema(other.parameters):
            found.append(Difference("json_schema", f"{path}.parameters", one.parameters, other.parameters))
        if bool(one.strict) != bool(other.strict):
            found.append(Difference("tool_strict", f"{path}.strict", one.strict, other.strict))
    return found


def _plays_custom(tool: Tool) -> bool:
    """Whether a function has one string and nothing else."""
    schema = _schema(tool.parameters)
    properties = schema["properties"]
    return bool(
        properties.keys() == {INPUT} and properties[INPUT].get("type") == "string" and schema.get("required") == [INPUT]
    )


def choice_differences(said: Understood, arrived: Understood) -> list[Difference]:
    """`auto` is what every provider does unasked; what is offered alone, or is all there is, need not be named."""
    one, other = said.tool_choice or "auto", arrived.tool_choice or "auto"
    fewer = len(arrived.tools) < len(said.tools)
    every = isinstance(one, Allowed) and {tool.name for tool in said.tools} <= set(one.names)
    if isinstance(one, Allowed) and (fewer or every) and not isinstance(other, Allowed):
        one = one.mode
    return [] if one == other else [Difference("tool_choice", "tool_choice", one, other)]


def _schema(schema: dict[str, Any] | None) -> dict[str, Any]:
    """A schema of no parameters may be left out or spelled out."""
    whole: dict[str, Any] = plain_schema({"type": "object", "properties": {}} | (schema or {}))
    return whole


def format_differences(said: Format | None, arrived: Format | None) -> list[Difference]:
    word = "json_schema" if said is not None and said.schema is not None else "json_object"
    if said is None or arrived is None:
        return [] if said is arrived else [Difference(word, "format", said, arrived)]
    found: list[Difference] = []
    one, other = plain_schema(said.schema), plain_schema(arrived.schema)
    if said.description and arrived.description != said.description:
        # where the format has no place for it, the schema has
        if one is not None and other is not None and other.get("description") == said.description:
            one = {**one, "description": said.description}
        else:
            found.append(Difference(word, "format.description", said.description, arrived.description))
    if one != as_open(one, other):
        found.append(Difference(word, "format", said, arrived))
    return found


def unhinted(said: Understood, arrived: Understood) -> Understood:
    """What arrived without the last of its instructions, if that asks in words for the format.

    So does who has no field for one, and who has a field for any JSON, and wants to hear the word beside it.
    """
    asked = said.format
    if asked is None or len(arrived.system) != len(said.system) + 1:
        return arrived
    if arrived.format is not None and asked.schema is not None:
        return arrived
    hint = arrived.system[-1]
    schema = json_of(hint[hint.find("{") :]) if "{" in hint else None
    asks = "JSON" in hint and (asked.schema is None or plain_schema(schema) == plain_schema(asked.schema))
    return replace(arrived, system=arrived.system[:-1]) if asks else arrived
