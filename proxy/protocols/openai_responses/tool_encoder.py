"""Encodes tools and the choice among them, for requests and for the responses that repeat them."""

from __future__ import annotations

from typing import Any

from ...ir import Opaque, Tool, ToolChoice
from ...ir.tool_description import told_description
from ...ir.tool_names import ToolNameMap
from .client_tools import CLIENT_TOOLS
from .hosted_tools import TYPES, hosted_tool_in
from .tables import ADDITIONAL_TOOLS, NAME


def tools_out(tools: tuple[Tool | Opaque, ...], names: ToolNameMap | None, same: bool = False) -> list[dict[str, Any]]:
    """Encodes the tools, grouped by namespace; `names` is None where an answer repeats them.

    Tools of an `additional_tools` item are left out of a request, which has them in that item, but not of an answer.
    """
    out: list[dict[str, Any]] = []
    for tool in tools:
        if isinstance(tool, Opaque):
            if tool.protocol == NAME and (names is None or ADDITIONAL_TOOLS not in tool.data):
                out.append({key: value for key, value in tool.data.items() if key != ADDITIONAL_TOOLS})
            continue
        extra = dict(tool.extra or {}) if same else {}
        if same and tool.vendor is not None:
            if names is None or ADDITIONAL_TOOLS not in extra:
                out.append(tool.vendor.data)
            continue
        if ADDITIONAL_TOOLS in extra and names is not None:
            continue
        extra.pop(ADDITIONAL_TOOLS, None)
        inner = tool_out(tool, names, extra, same)
        if tool.namespace is None or not same:
            out.append(inner)
        elif out and out[-1]["type"] == "namespace" and out[-1]["name"] == tool.namespace:
            out[-1]["tools"].append(inner)
        else:
            group = {key[10:]: value for key, value in extra.items() if key.startswith("namespace.")}
            out.append({"type": "namespace", "name": tool.namespace, **group, "tools": [inner]})
    return out


def tool_out(tool: Tool, names: ToolNameMap | None, extra: dict[str, Any], same: bool) -> dict[str, Any]:
    out: dict[str, Any] = {"type": tool.kind, "name": names.wire(tool.name, tool.namespace) if names else tool.name}
    if (description := told_description(tool, same)) is not None:
        out["description"] = description
    if tool.kind == "custom":
        if tool.grammar is not None:
            out["format"] = _grammar_out(tool.grammar)
    else:
        # "parameters" is required, and of type object; in other protocols its absence means no parameters
        if not same:
            out["parameters"] = tool.parameters or {"type": "object", "properties": {}}
        elif tool.parameters is not None:
            out["parameters"] = tool.parameters
        # "If you omit strict, the default depends on the API: Responses requests will normalize your schema into strict
        # mode … while Chat Completions requests remain non-strict by default. To opt out of strict mode in Responses
        # and keep non-strict, best-effort function calling, explicitly set strict: false."
        # https://platform.openai.com/docs/guides/function-calling#strict-mode
        if tool.strict is not None or not same:
            out["strict"] = bool(tool.strict)
    return {**out, **{key: value for key, value in extra.items() if not key.startswith("namespace.")}}


def _grammar_out(grammar: dict[str, Any]) -> dict[str, Any]:
    inner = grammar.get("grammar")
    return {"type": "grammar", **inner} if type(inner) is dict else grammar


def tool_choice_out(choice: ToolChoice, tools: tuple[Tool | Opaque, ...], names: ToolNameMap | None) -> Any:
    custom = {tool.name for tool in tools if isinstance(tool, Tool) and tool.kind == "custom"}
    extra = choice.extra or {}

    vendors = {
        tool.name
        for tool in tools
        if isinstance(tool, Tool) and tool.vendor is not None and tool.vendor.protocol == NAME
    }

    def entry(name: str) -> dict[str, Any]:
        if name in vendors and name in CLIENT_TOOLS:
            return {"type": name}
        return {"type": "custom" if name in custom else "function", "name": names.wire(name) if names else name}

    forced = extra.get("forced_hosted_tool")
    if type(forced) is dict and choice.hosted in TYPES and hosted_tool_in(str(forced.get("type")), forced) is None:
        return {"type": TYPES[choice.hosted]}  # as another protocol says it
    if forced is not None:
        return forced
    if choice.mode == "named":
        return entry(choice.names[0])
    others = extra.get("allowed_tools", [])
    if choice.names or others:
        return {"type": "allowed_tools", "mode": choice.mode, "tools": [*map(entry, choice.names), *others]}
    return choice.mode
