"""Builds Anthropic Messages requests from a conversation: the story's `ask`, with earlier replies as history."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from crosswire.mockserver.protocols.anthropic.tables import NAME, PATH
from crosswire.mockserver.scenarios.model import (
    Ask,
    Audio,
    Block,
    Document,
    Image,
    NamedTool,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Video,
)

from ..conversation import Conversation, answered_call, merge_json, reply_before, settings_of, text_or_parts
from ..protocol import HttpRequest
from .tables import DEFAULT_MAX_TOKENS, VERSION


def build_request(conversation: Conversation, *, model: str, stream: bool, key: str = "") -> HttpRequest:
    """Builds the request of the last exchange; earlier exchanges become the history."""
    now = settings_of(conversation)
    system = conversation[0][0].system
    body: dict[str, Any] = {
        "model": now.model or model,
        # "max_tokens: The maximum number of tokens to generate before stopping." is required.
        # https://platform.claude.com/docs/en/api/messages/create
        "max_tokens": now.max_tokens or DEFAULT_MAX_TOKENS,
        "messages": _history(conversation),
    }
    if system:
        body["system"] = system[0] if len(system) == 1 else [{"type": "text", "text": text} for text in system]
    body.update(_settings(now))
    if stream:
        body["stream"] = True
    headers = {"content-type": "application/json", "x-api-key": key, "anthropic-version": VERSION} | now.headers
    return HttpRequest("POST", f"/v1{PATH}", headers, merge_json(body, now.also.get(NAME, {})))


# ---- history ---------------------------------------------------------------------------------------------------------


def _history(conversation: Conversation) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for at, (ask, reply) in enumerate(conversation):
        for turn in ask.turns:
            out.append({"role": turn.role, "content": text_or_parts(turn.blocks, _part)})
        # "Tool result blocks must come first in the content array; any text must come after all tool results."
        # https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use
        results = [
            _tool_result(result, answered_call(result, reply_before(conversation, at)).id) for result in ask.results
        ]
        if results:
            out.append({"role": "user", "content": results + [_part(block) for block in ask.user]})
        elif ask.user:
            out.append({"role": "user", "content": text_or_parts(ask.user, _part)})
        if reply is not None:
            out.extend(reply.echo)
    return out


# ---- blocks ----------------------------------------------------------------------------------------------------------


def _part(block: Block) -> dict[str, Any]:
    match block:
        case Text(text) | Refusal(text):
            return {"type": "text", "text": text}
        case Image(mime, data, url):
            return {"type": "image", "source": _source(mime, data, url)}
        case Document(mime, data, url, text, name):
            source = {"type": "text", "media_type": "text/plain", "data": text} if text else _source(mime, data, url)
            return {"type": "document", "source": source} | ({"title": name} if name else {})
        case Thinking(signature=signature, redacted=True):
            return {"type": "redacted_thinking", "data": signature or ""}
        case Thinking(text, signature):
            return {"type": "thinking", "thinking": text, "signature": signature or ""}
        case ToolCall(id, name, arguments):
            return {"type": "tool_use", "id": id, "name": name, "input": json.loads(arguments)}
        case ToolResult():
            return _tool_result(block, block.id)
        case Audio() | Video():
            raise ValueError("this protocol has no audio and no video")


def _source(mime: str | None, data: str | None, url: str | None) -> dict[str, Any]:
    return {"type": "url", "url": url} if url else {"type": "base64", "media_type": mime, "data": data}


def _tool_result(result: ToolResult, id: str) -> dict[str, Any]:
    out: dict[str, Any] = {"type": "tool_result", "tool_use_id": id, "content": text_or_parts(result.blocks, _part)}
    return out | ({"is_error": True} if result.error else {})


# ---- settings --------------------------------------------------------------------------------------------------------


def _settings(now: Ask) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if now.tools:
        out["tools"] = [dict(_tool(tool)) for tool in now.tools]
    choice: dict[str, Any] | None = None
    match now.tool_choice:
        case NamedTool(name):
            choice = {"type": "tool", "name": name}
        case str(mode):
            choice = {"type": {"required": "any"}.get(mode, mode)}
        case _:
            pass  # allowed tools cannot be expressed
    if now.parallel is not None and choice != {"type": "none"}:
        choice = (choice or {"type": "auto"}) | {"disable_parallel_tool_use": not now.parallel}
    fields = {
        "tool_choice": choice,
        "temperature": now.temperature,
        "top_p": now.top_p,
        "top_k": now.top_k,
        "stop_sequences": list(now.stop) or None,
    }
    out.update({key: value for key, value in fields.items() if value is not None})
    output: dict[str, Any] = {}
    match now.reasoning:
        case int(budget):
            out["thinking"] = {"type": "enabled", "budget_tokens": budget}
        case "none":
            # "disabled": https://platform.claude.com/docs/en/api/messages/create
            out["thinking"] = {"type": "disabled"}
        case str(effort):
            # https://platform.claude.com/docs/en/build-with-claude/effort
            out["thinking"] = {"type": "adaptive"}
            output["effort"] = effort
        case None:
            pass
    if now.format is not None and now.format.schema is not None:
        # https://platform.claude.com/docs/en/build-with-claude/structured-outputs
        output["format"] = {"type": "json_schema", "schema": now.format.schema}
    return out | ({"output_config": output} if output else {})


def _tool(tool: Tool) -> Iterable[tuple[str, Any]]:
    yield "name", tool.name
    if tool.description is not None:
        yield "description", tool.description
    # `input_schema` is required and its type must be "object"
    yield "input_schema", tool.parameters if tool.parameters is not None else {"type": "object"}
    if tool.strict is not None:
        yield "strict", tool.strict
