"""Losses of the tools that a provider runs: those that a target lacks, and settings that it has no field for."""

from __future__ import annotations

from collections.abc import Mapping

from .losses import declare_loss, feature_of
from .model import HostedTool, Loss, Opaque, Request

SETTINGS = ("allowed_domains", "blocked_domains", "max_uses", "context_size", "location")
"""The settings of a hosted tool that a target may lack; those of an MCP server are under `server`."""


def foreign_hosted_tools(request: Request, protocol: str) -> list[tuple[int, HostedTool]]:
    """Returns the hosted tools of another protocol, each with its position among the request's tools."""
    return [
        (i, tool.hosted)
        for i, tool in enumerate(request.tools)
        if isinstance(tool, Opaque) and tool.hosted is not None and tool.protocol != protocol
    ]


def hosted_losses(position: int, tool: HostedTool, takes: Mapping[str, frozenset[str]]) -> list[Loss]:
    """Returns the losses of a hosted tool at a target that takes these kinds, each with these settings."""
    path, fields = f"tools[{position}]", takes.get(tool.kind)
    if fields is None:
        return [declare_loss(f"{path}.{tool.kind}", "hosted_tools")]
    lost = [field for field in SETTINGS if getattr(tool, field) and field not in fields]
    lost += [f"server.{key}" for key in tool.server or {} if f"server.{key}" not in fields and key != "name"]
    found = [declare_loss(f"{path}.{field}", "hosted_tools") for field in lost]
    for field in tool.losses:
        feature = feature_of(field)
        found.append(declare_loss(f"{path}.{field}", "hosted_tools" if feature == "unknown_field" else feature))
    return found


def hosted_choice_losses(request: Request, kinds: frozenset[str] = frozenset()) -> list[Loss]:
    """Returns the loss of a choice that forces a hosted tool, where the target can force none of these kinds."""
    choice = request.tool_choice
    if choice is None or choice.hosted is None or choice.hosted in kinds:
        return []
    return [declare_loss("tool_choice", "forced_hosted_tool")]
