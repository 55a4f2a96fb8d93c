"""Reads what the local model's chat template was given, and compares it with what the client sent."""

from __future__ import annotations

import json
from typing import Any

from crosswire.mockserver.protocols.protocol import ParsedRequest
from crosswire.mockserver.scenarios.model import (
    SAMPLING,
    AllowedTools,
    Block,
    NamedTool,
    ResponseFormat,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)

from ..client.protocol import ClientProtocol
from ..comparison import Difference, request_differences
from .expectations import LOCAL_PROVIDER

ANY_OBJECT = {"type": "object"}
"""The schema that stands for any JSON object."""


def _has_no_wire(*_: Any, **__: Any) -> Any:
    raise NotImplementedError("a model in the proxy's process has no wire")


TEMPLATE = ClientProtocol(name=LOCAL_PROVIDER, build_request=_has_no_wire, parse_reply=_has_no_wire)
"""A chat template, in the terms of a protocol: there is nothing that it cannot name or order."""


def template_differences(sent: ParsedRequest, client: ClientProtocol, given: dict[str, Any]) -> list[Difference]:
    """Returns the differences between the client's request and the template's input."""
    return request_differences(sent, client, read_template_request(given, stream=sent.stream), TEMPLATE)


def read_template_request(given: dict[str, Any], *, stream: bool) -> ParsedRequest:
    """Returns the template's input in neutral form; every call is held to its schema, and thinking is always shown."""
    messages = list(given["messages"])
    system = []
    while messages and messages[0]["role"] == "system":
        system.append(messages.pop(0)["content"])
    schema = given.get("format")
    tools = tuple(_tool(each["function"]) for each in given.get("tools", []))
    return ParsedRequest(
        model=given["model"],
        stream=stream,
        system=tuple(system),
        turns=tuple(_turn(message) for message in messages),
        tools=tools,
        tool_choice=_choice(given, tools),
        validates="implied",
        parallel=given.get("parallel"),
        sampling={name: given[name] for name in SAMPLING if given.get(name) is not None},
        max_tokens=given.get("max_tokens"),
        stop=tuple(given.get("stop", ())),
        reasoning=given.get("thinking"),
        show_reasoning=True,
        format=None if schema is None else ResponseFormat(None if schema == ANY_OBJECT else schema),
    )


def _tool(function: dict[str, Any]) -> Tool:
    return Tool(function["name"], function.get("description"), function.get("parameters"))


def _choice(given: dict[str, Any], tools: tuple[Tool, ...]) -> ToolChoice | None:
    mode, callable_ = given.get("calls", "none"), tuple(given.get("callable", ()))
    if mode == "none" or not tools:
        return None
    if callable_ == tuple(tool.name for tool in tools):
        return str(mode)
    if mode == "required" and len(callable_) == 1:
        return NamedTool(callable_[0])
    return AllowedTools(callable_, mode)


def _turn(message: dict[str, Any]) -> Turn:
    if message["role"] == "tool":
        return Turn(
            "user", (ToolResult(message["tool_call_id"], (Text(message["content"]),), False, message.get("name")),)
        )
    blocks: list[Block] = []
    if message.get("reasoning_content"):
        blocks.append(Thinking(message["reasoning_content"]))
    if message["content"]:
        blocks.append(Text(message["content"]))
    for call in message.get("tool_calls", []):
        function = call["function"]
        blocks.append(ToolCall(call["id"], function["name"], json.dumps(function["arguments"], ensure_ascii=False)))
    return Turn(message["role"], tuple(blocks))
