"""Parses Anthropic Messages requests into protocol-neutral form; fields without a neutral counterpart go to `extra`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from ...scenarios.model import (
    Block,
    Document,
    Image,
    NamedTool,
    ResponseFormat,
    Role,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from ..json_object import JsonObject
from ..message_content import parse_content
from ..protocol import MalformedRequest, ParsedRequest

ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}

TOOL_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
"""`tool_choice.type` -> neutral tool choice."""


def parse_request(path: str, headers: Mapping[str, str], body: Any) -> ParsedRequest:
    """Parses a request; raises `MalformedRequest` if the body has the wrong shape."""
    extra: dict[str, Any] = {}
    top = JsonObject(body, "$", extra)
    top.drop("service_tier", "auto")
    choice, parallel = _parse_tool_choice(top)
    shown = _parse_show_reasoning(top)
    reasoning, format_ = _parse_reasoning_and_format(top)
    sampling = {name: value for name in ("temperature", "top_p", "top_k") if (value := top.number(name)) is not None}
    parsed = ParsedRequest(
        model=top.string("model"),
        stream=top.boolean("stream") or False,
        system=tuple(block.text for block in parse_content(top, "system", _parse_block) if isinstance(block, Text)),
        turns=tuple(_parse_turn(message) for message in top.require("messages").objects("messages")),
        tools=tuple(tool for tool in map(_parse_tool, top.objects("tools")) if tool is not None),
        tool_choice=choice,
        parallel=parallel,
        sampling=sampling,
        max_tokens=top.integer("max_tokens"),
        stop=_parse_stop(top),
        reasoning=reasoning,
        show_reasoning=shown,
        user=_parse_user(top),
        format=format_,
        extra=extra,
    )
    top.close()
    return replace(parsed, tools=(*parsed.tools, *_added_tools(extra)))


def _added_tools(extra: Mapping[str, Any]) -> Iterator[Tool]:
    """Yields the tools that `tool_addition` blocks define in full.

    https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages
    """
    for path, value in extra.items():
        tool = value.get("tool") if isinstance(value, dict) and value.get("type") == "tool_addition" else None
        definition = tool.get("definition") if isinstance(tool, dict) else None
        if isinstance(definition, dict):
            found = _parse_tool(JsonObject(definition, f"{path}.tool.definition", {}))
            if found is not None:
                yield found


# ---- messages --------------------------------------------------------------------------------------------------------


def _parse_turn(message: JsonObject) -> Turn:
    role = message.require("role").string("role") or ""
    if role not in ROLES:
        raise MalformedRequest(f"{message.path}.role", f"unknown role: {role!r}")
    turn = Turn(ROLES[role], parse_content(message, "content", _parse_block))
    message.close()
    return turn


def _parse_block(part: JsonObject) -> Block | None:
    block: Block | None = None
    match part.require("type").string("type"):
        case "text":
            block = Text(part.require("text").string("text") or "")
        case "thinking":
            block = Thinking(part.string("thinking") or "", part.string("signature"))
        case "redacted_thinking":
            block = Thinking("", part.string("data"), redacted=True)
        case "image":
            mime, data, url, _, file = _parse_source(part)
            block = Image(mime, data, url, file)
        case "document":
            mime, data, url, text, file = _parse_source(part)
            block = Document(mime, data, url, text, part.string("title"), file)
        case "tool_use":
            given = part.dict("input") or {}
            text = json.dumps(given, ensure_ascii=False, separators=(",", ":"))
            part.drop("caller", {"type": "direct"})
            block = ToolCall(part.require("id").string("id") or "", part.require("name").string("name") or "", text)
        case "tool_result":
            id = part.require("tool_use_id").string("tool_use_id") or ""
            block = ToolResult(id, parse_content(part, "content", _parse_block), part.boolean("is_error") or False)
        case other:
            # Blocks of hosted tools and of unknown types are kept whole.
            part.extra[part.path] = {"type": other, **{key: part.any(key) for key in part.keys}}
    part.close()
    return block


def _parse_source(part: JsonObject) -> tuple[str | None, str | None, str | None, str | None, str | None]:
    """Takes the source of a block; returns (MIME type, base64 data, URL, text, file id)."""
    source = part.require("source").object("source")
    if source is None:
        return None, None, None, None, None
    kind = source.string("type")
    mime, data, url = source.string("media_type"), None, source.string("url")
    text = None
    if kind == "text":
        text = source.string("data")
    elif kind == "content":
        text = "\n".join(
            block.text for block in parse_content(source, "content", _parse_block) if isinstance(block, Text)
        )
    else:
        data = source.string("data")
    file = source.string("file_id")
    source.close()
    return mime, data, url, text, file


def _parse_stop(top: JsonObject) -> tuple[str, ...]:
    found = top.list("stop_sequences") or []
    for at, item in enumerate(found):
        if not isinstance(item, str):
            raise MalformedRequest(f"{top.path}.stop_sequences[{at}]", "expected a string")
    return tuple(found)


# ---- settings --------------------------------------------------------------------------------------------------------


def _parse_tool(tool: JsonObject) -> Tool | None:
    kind = tool.peek("type")
    if kind not in (None, "custom"):
        tool.extra[tool.path] = {key: tool.any(key) for key in tool.keys}
        return None
    found = Tool(
        tool.require("name").string("name") or "",
        tool.string("description"),
        tool.dict("input_schema"),
        tool.boolean("strict"),
    )
    tool.any("type")
    tool.close()
    return found


def _parse_tool_choice(top: JsonObject) -> tuple[str | NamedTool | None, bool | None]:
    choice = top.object("tool_choice")
    if choice is None:
        return None, None
    kind = choice.require("type").string("type") or ""
    disabled = choice.boolean("disable_parallel_tool_use")
    found: str | NamedTool | None
    if kind == "tool":
        found = NamedTool(choice.require("name").string("name") or "")
    elif kind in TOOL_CHOICES:
        found = TOOL_CHOICES[kind]
    else:
        raise MalformedRequest(f"{choice.path}.type", f"unknown tool choice: {kind!r}")
    choice.close()
    return found, None if disabled is None else not disabled


def _parse_user(top: JsonObject) -> str | None:
    """Takes the id of the end user; `user_id` is the only field of `metadata`. https://platform.claude.com/docs/en/api/messages/create"""
    metadata = top.object("metadata")
    if metadata is None:
        return None
    user = metadata.string("user_id")
    metadata.close()
    return user


def _parse_show_reasoning(top: JsonObject) -> bool | None:
    """Returns whether summarized reasoning is requested; other values of `display` go to `extra`.

    https://platform.claude.com/docs/en/build-with-claude/extended-thinking
    """
    thinking = top.peek("thinking")
    return True if isinstance(thinking, dict) and thinking.get("display") == "summarized" else None


def _parse_reasoning_and_format(top: JsonObject) -> tuple[str | int | bool | None, ResponseFormat | None]:
    found: str | int | bool | None = None
    thinking = top.object("thinking")
    if thinking is not None:
        match thinking.string("type"):
            case "enabled":
                found = thinking.integer("budget_tokens")
            case "disabled":
                found = False
            case "adaptive":
                found = True
            case other:
                top.extra["$.thinking.type"] = other
        thinking.drop("display", "summarized")
        thinking.close()
    format_: ResponseFormat | None = None
    output = top.object("output_config")
    if output is not None:
        effort = output.string("effort")
        # A budget is more precise than an effort, and an effort more precise than `adaptive`.
        if effort is not None and (found is None or found is True):
            found = effort
        wanted = output.object("format")
        if wanted is not None:
            wanted.string("type")
            format_ = ResponseFormat(wanted.dict("schema"))
            wanted.close()
        output.close()
    # "output_format … has moved to output_config.format. … The old parameter will continue working for a transition
    # period." https://platform.claude.com/docs/en/build-with-claude/structured-outputs
    deprecated = top.object("output_format")
    if deprecated is not None:
        deprecated.string("type")
        format_ = format_ or ResponseFormat(deprecated.dict("schema"))
        deprecated.close()
    return found, format_
