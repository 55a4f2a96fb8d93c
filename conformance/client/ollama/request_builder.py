"""Builds Ollama requests from a conversation: the story's `ask`, with earlier replies as history."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from crosswire.mockserver.protocols.ollama.tables import NAME, OPTIONS, PATH
from crosswire.mockserver.scenarios.model import (
    Ask,
    Block,
    Document,
    Image,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)

from ..conversation import Conversation, answered_call, call_names, merge_json, reply_before, settings_of
from ..protocol import HttpRequest
from .tables import EFFORTS


def build_request(conversation: Conversation, *, model: str, stream: bool, key: str = "") -> HttpRequest:
    """Builds the request of the last exchange; earlier exchanges become the history."""
    now = settings_of(conversation)
    # "stream: … default true", so that the official clients always say which one they want.
    # https://docs.ollama.com/api/chat
    body: dict[str, Any] = {"model": now.model or model, "messages": _history(conversation), "stream": stream}
    body.update(_settings(now))
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {}) | now.headers
    return HttpRequest("POST", PATH, headers, merge_json(body, now.also.get(NAME, {})))


# ---- history ---------------------------------------------------------------------------------------------------------


def _history(conversation: Conversation) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for at, (ask, reply) in enumerate(conversation):
        if at == 0:
            out.extend({"role": "system", "content": text} for text in ask.system)
        names = call_names(ask.turns)
        for turn in ask.turns:
            out.extend(_turn_messages(turn, names))
        for result in ask.results:
            call = answered_call(result, reply_before(conversation, at))
            out.append(_tool_result(result, call.id, call.name or result.name or ""))
        if ask.user:
            out.append(_message("user", ask.user))
        if reply is not None:
            out.extend(reply.echo)
    return out


def _turn_messages(turn: Turn, names: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    for block in turn.blocks:
        if isinstance(block, ToolResult):
            yield _tool_result(block, block.id, block.name or names.get(block.id, ""))
    rest = tuple(block for block in turn.blocks if not isinstance(block, ToolResult))
    if rest:
        yield _message(turn.role, rest)


# ---- blocks ----------------------------------------------------------------------------------------------------------


def _message(role: str, blocks: tuple[Block, ...]) -> dict[str, Any]:
    """Builds a message of one text, images and calls, whose order cannot be expressed."""
    texts: list[str] = []
    images: list[str] = []
    thinking: list[str] = []
    calls: list[dict[str, Any]] = []
    for block in blocks:
        match block:
            case Text(text) | Refusal(text):
                texts.append(text)
            case Thinking(text):
                thinking.append(text)
            case Image(_, str(data)):
                images.append(data)
            case Document(text=str(text)):
                texts.append(text)
            case ToolCall():
                calls.append(_tool_call(block))
            case _:
                raise ValueError(f"an Ollama message has no place for {block}")
    message: dict[str, Any] = {"role": role, "content": "".join(texts)}
    found = {"thinking": "".join(thinking), "images": images, "tool_calls": calls}
    return message | {key: value for key, value in found.items() if value}


def _tool_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json.loads(call.arguments or "{}")}
    return ({"id": call.id} if call.id else {}) | {"function": function}


def _tool_result(result: ToolResult, id: str, name: str) -> dict[str, Any]:
    """Returns a tool message with the tool's name and the call's id, if any; it has no field that marks an error.

    https://docs.ollama.com/capabilities/tool-calling and
    https://github.com/ollama/ollama/blob/main/api/types.go (Message)
    """
    message = {"role": "tool", "content": result.text, "tool_name": name} | ({"tool_call_id": id} if id else {})
    images = [block.data for block in result.blocks if isinstance(block, Image) and block.data is not None]
    return message | ({"images": images} if images else {})


# ---- settings --------------------------------------------------------------------------------------------------------


def _settings(now: Ask) -> dict[str, Any]:
    """Returns the settings; the protocol has no tool choice, `parallel` or `strict`."""
    out: dict[str, Any] = {}
    if now.tools:
        out["tools"] = [
            {"type": "function", "function": {k: v for k, v in fields.items() if v is not None}}
            for tool in now.tools
            for fields in [{"name": tool.name, "description": tool.description, "parameters": tool.parameters}]
        ]
    options: dict[str, Any] = {key: value for name, key in OPTIONS.items() if (value := getattr(now, name)) is not None}
    if now.max_tokens is not None:
        options["num_predict"] = now.max_tokens
    if now.stop:
        options["stop"] = list(now.stop)
    if options:
        out["options"] = options
    match now.reasoning:
        case str(effort):
            out["think"] = EFFORTS.get(effort, effort)
        case int(budget):
            # a budget cannot be expressed, only that thinking is on or off
            out["think"] = budget != 0
        case None:
            pass
    if now.format is not None:
        out["format"] = now.format.schema if now.format.schema is not None else "json"
    return out
