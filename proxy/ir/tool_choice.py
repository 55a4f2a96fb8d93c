"""Decides what is left of a request's tool choice once the target's tools are known."""

from __future__ import annotations

from collections.abc import Container, Sequence

from msgspec.structs import replace

from .losses import declare_loss
from .model import Loss, Opaque, Request, Tool, ToolChoice


def remaining_choice(request: Request, kept: Sequence[Tool | Opaque]) -> tuple[ToolChoice | None, list[Loss]]:
    """Returns the tool choice that may be sent beside the tools that are kept, and the loss where it says less.

    Without any tool there is no choice to send; a tool that is not offered can be neither forced nor allowed.
    """
    choice = request.tool_choice
    if choice is None:
        return None, []
    hosted = {_name_of(tool) for tool in request.tools if isinstance(tool, Opaque) and tool not in kept}
    if choice.mode == "named" and hosted.intersection(choice.names):
        return ToolChoice("auto") if kept else None, [declare_loss("tool_choice", "forced_hosted_tool")]
    if not kept:
        forced = choice.mode in ("required", "named")
        return None, [Loss("tool_choice", "tool_choice", "dropped")] if forced else []
    if not choice.names:
        return choice, []
    offered = {_name_of(tool) for tool in kept}
    names = tuple(name for name in choice.names if name in offered)
    if len(names) == len(choice.names):
        return choice, []
    if choice.extra:
        return choice, []  # it names tools of another kind too
    if names:
        return replace(choice, names=names), [Loss("tool_choice", "tool_choice", "approximated")]
    return ToolChoice("auto"), [Loss("tool_choice", "tool_choice", "dropped")]


def _name_of(tool: Tool | Opaque) -> str | None:
    """Returns the name by which a choice can name the tool."""
    if isinstance(tool, Tool):
        return tool.name
    name = tool.data.get("name")
    return name if isinstance(name, str) else None


def kept_tools(request: Request, protocol: str, hosted: Container[str] = ()) -> list[Tool | Opaque]:
    """Returns the tools that a target of this protocol gets: functions, its own hosted tools, and those of these kinds
    that it has too.
    """
    return [
        tool
        for tool in request.tools
        if isinstance(tool, Tool)
        or tool.protocol == protocol
        or (tool.hosted is not None and tool.hosted.kind in hosted)
    ]
