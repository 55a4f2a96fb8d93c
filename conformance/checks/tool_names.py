"""Matches a client's tools with the tools that reached the provider, and renames requests and replies accordingly.

It works on neutral tools and calls; the comparison decides which differences are allowed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TypeAlias

from msgspec.structs import replace

from crosswire.mockserver.protocols.protocol import ParsedRequest
from crosswire.mockserver.scenarios.model import (
    AllowedTools,
    Block,
    NamedTool,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from crosswire.mockserver.tool_aliases import INPUT_ARGUMENT, pair_tools

from ..client.protocol import ClientProtocol, ParsedReply

FullName: TypeAlias = tuple[str | None, str]
"""(namespace, name)"""

ToolMatches: TypeAlias = dict[FullName, Tool]
"""Full name of a tool at the client -> the tool as the provider received it."""


def match_tools(sent: ParsedRequest, received: ParsedRequest) -> ToolMatches:
    """Matches the tools of both requests by equal name, the rest by order.

    If their number differs, only the tools that the tool choice names are matched.
    """
    tools = sent.tools
    if len(received.tools) != len(tools):
        names = _chosen_names(sent.tool_choice)
        tools = tuple(tool for tool in tools if tool.name in names)
    return pair_tools(tools, received.tools)


def _chosen_names(choice: ToolChoice | None) -> tuple[str, ...]:
    match choice:
        case NamedTool(name):
            return (name,)
        case AllowedTools(names):
            return names
        case _:
            return ()


def needless_renames(matches: ToolMatches, sent: Iterable[Tool], upstream: ClientProtocol) -> list[str]:
    """Returns errors for tool names that are duplicate, not allowed, or changed although the protocol allows them."""
    found = []
    offered = [match.full_name for match in matches.values()]
    for full in dict.fromkeys(one for one in offered if offered.count(one) > 1):
        found.append(f"two tools are offered as {full[1]!r}")
    own = [tool.full_name for tool in sent]
    for tool in sent:
        match = matches.get(tool.full_name)
        if match is None:
            continue
        group = tool.namespace if upstream.namespaces else None
        flat = f"{tool.namespace}__{tool.name}" if tool.namespace and not upstream.namespaces else tool.name
        if not is_allowed_name(match.name, upstream):
            found.append(f"{match.name!r} is not a tool name that {upstream.name} allows")
        # a flattened name may be taken by another tool
        elif (
            is_allowed_name(flat, upstream)
            and (tool.namespace is None or (None, flat) not in own)
            and match.full_name != (group, flat)
        ):
            found.append(f"{tool.full_name} could be offered as {(group, flat)}, but is offered as {match.full_name}")
    return found


def is_allowed_name(name: str, upstream: ClientProtocol) -> bool:
    """Returns True if the protocol allows this tool name."""
    return re.fullmatch(upstream.tool_names, name) is not None


# ---- renaming --------------------------------------------------------------------------------------------------------


def rename_for_upstream(request: ParsedRequest, matches: ToolMatches) -> ParsedRequest:
    """Returns the client's request with its tools renamed to the provider's names."""
    return replace(
        request,
        turns=tuple(
            Turn(turn.role, tuple(_rename_block(block, matches) for block in turn.blocks)) for turn in request.turns
        ),
        tools=tuple(
            tool if match is None else replace(tool, name=match.name, namespace=match.namespace)
            for tool in request.tools
            for match in [matches.get(tool.full_name)]
        ),
        tool_choice=_rename_choice(request.tool_choice, matches),
    )


def _rename_block(block: Block, matches: ToolMatches) -> Block:
    match block:
        case ToolCall():
            match = matches.get((block.namespace, block.name))
            if match is None:
                return block
            wraps = block.kind == "custom" and match.kind == "function"
            arguments = json.dumps({INPUT_ARGUMENT: block.arguments}) if wraps else block.arguments
            return replace(block, name=match.name, namespace=match.namespace, kind=match.kind, arguments=arguments)
        case ToolResult(name=str(name)):
            match = next((match for full, match in matches.items() if full[1] == name), None)
            return block if match is None else replace(block, name=match.name)
        case _:
            return block


def _rename_choice(choice: ToolChoice | None, matches: ToolMatches) -> ToolChoice | None:
    def rename(name: str) -> str:
        return next((match.name for full, match in matches.items() if full[1] == name), name)

    match choice:
        case NamedTool(name):
            return NamedTool(rename(name))
        case AllowedTools(chosen, mode):
            return AllowedTools(tuple(map(rename, chosen)), mode)
        case _:
            return choice


def rename_for_client(reply: ParsedReply, matches: ToolMatches, tools: Iterable[Tool]) -> ParsedReply:
    """Returns the provider's reply with the called tools renamed to the client's names."""
    own = {tool.full_name: tool for tool in tools}
    upstream = {match.full_name: own[full] for full, match in matches.items() if full in own}

    def rename(block: Block) -> Block:
        if not isinstance(block, ToolCall):
            return block
        tool = upstream.get((block.namespace, block.name))
        if tool is None:
            return block
        arguments = block.arguments
        if tool.kind == "custom" and block.kind == "function":
            arguments = _unwrap_input(arguments)
        elif tool.kind == "function" and block.kind == "custom":
            arguments = json.dumps({INPUT_ARGUMENT: arguments})
        return replace(block, name=tool.name, namespace=tool.namespace, kind=tool.kind, arguments=arguments)

    return replace(reply, blocks=tuple(map(rename, reply.blocks)))


def _unwrap_input(arguments: str) -> str:
    """Returns the text in the only argument; arguments of another shape stay unchanged."""
    try:
        value = json.loads(arguments)
    except ValueError:
        return arguments
    if isinstance(value, dict) and value.keys() == {INPUT_ARGUMENT} and isinstance(value[INPUT_ARGUMENT], str):
        return str(value[INPUT_ARGUMENT])
    return arguments
