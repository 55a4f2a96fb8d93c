"""Builds Chat Completions requests from a conversation: the story's `ask`, with earlier replies as history."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from crosswire.mockserver.protocols.openai_chat.tables import NAME, PATH
from crosswire.mockserver.scenarios.model import (
    AllowedTools,
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
    Turn,
    Video,
    text_of,
)

from ..conversation import Conversation, answered_call, merge_json, reply_before, settings_of, text_or_parts
from ..protocol import HttpRequest


def build_request(conversation: Conversation, *, model: str, stream: bool, key: str = "") -> HttpRequest:
    """Builds the request of the last exchange; earlier exchanges become the history."""
    now = settings_of(conversation)
    body: dict[str, Any] = {"model": now.model or model, "messages": _history(conversation)}
    body.update(_settings(now))
    if stream:
        # "include_usage: If set, an additional chunk will be streamed before the data: [DONE] message."
        # https://platform.openai.com/docs/api-reference/chat/create
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"} | now.headers
    return HttpRequest("POST", f"/v1{PATH}", headers, merge_json(body, now.also.get(NAME, {})))


# ---- history ---------------------------------------------------------------------------------------------------------


def _history(conversation: Conversation) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for at, (ask, reply) in enumerate(conversation):
        if at == 0:
            out.extend({"role": "system", "content": text} for text in ask.system)
        for turn in ask.turns:
            out.extend(_turn_messages(turn))
        out.extend(
            {
                "role": "tool",
                "tool_call_id": answered_call(result, reply_before(conversation, at)).id,
                "content": result.text,
            }
            for result in ask.results
        )
        user = (*_result_media(ask.results), *ask.user)
        if user:
            out.append({"role": "user", "content": text_or_parts(user, _part)})
        if reply is not None:
            out.extend(reply.echo)
    return out


def _turn_messages(turn: Turn) -> Iterable[dict[str, Any]]:
    """Yields the messages of one turn of a literal history: tool results first."""
    results = [block for block in turn.blocks if isinstance(block, ToolResult)]
    rest: tuple[Block, ...] = tuple(block for block in turn.blocks if not isinstance(block, ToolResult))
    for result in results:
        yield {"role": "tool", "tool_call_id": result.id, "content": result.text}
    rest = (*_result_media(results), *rest)
    if not rest:
        return
    if turn.role != "assistant":
        yield {"role": turn.role, "content": text_or_parts(rest, _part)}
        return
    message: dict[str, Any] = {"role": "assistant", "content": text_of(rest) or None}
    refusal = "".join(block.text for block in rest if isinstance(block, Refusal))
    calls = [_tool_call(block) for block in rest if isinstance(block, ToolCall)]
    yield message | ({"refusal": refusal} if refusal else {}) | ({"tool_calls": calls} if calls else {})


# ---- blocks ----------------------------------------------------------------------------------------------------------


def _part(block: Block) -> dict[str, Any]:
    match block:
        case Text(text):
            return {"type": "text", "text": text}
        case Image(mime, data, url):
            return {"type": "image_url", "image_url": {"url": url or f"data:{mime};base64,{data}"}}
        case Document(mime, data, _, text, name):
            # https://platform.openai.com/docs/guides/pdf-files
            if text is not None:
                mime, data = mime or "text/plain", base64.b64encode(text.encode()).decode()
            file = {"filename": name or "document.pdf", "file_data": f"data:{mime};base64,{data}"}
            return {"type": "file", "file": file}
        case Audio(mime, data):
            kind = (mime or "audio/wav").rpartition("/")[2]
            return {"type": "input_audio", "input_audio": {"data": data, "format": {"mpeg": "mp3"}.get(kind, kind)}}
        case Thinking() | Refusal() | ToolCall() | ToolResult() | Video():
            raise ValueError(f"a user turn cannot hold {block}")


def _tool_call(call: ToolCall) -> dict[str, Any]:
    if call.kind == "custom":
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _result_media(results: Iterable[ToolResult]) -> tuple[Block, ...]:
    """Returns the media of tool results, which follow in a user message, as a tool message holds only text.

    "content: … For tool messages, only type `text` is supported."
    https://platform.openai.com/docs/api-reference/chat/create#chat_create-messages-tool_message
    """
    return tuple(block for result in results for block in result.blocks if not isinstance(block, Text))


# ---- settings --------------------------------------------------------------------------------------------------------


def _settings(now: Ask) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if now.tools:
        out["tools"] = [_tool(tool) for tool in now.tools]
    kinds = {tool.name: tool.kind for tool in now.tools}
    match now.tool_choice:
        case NamedTool(name):
            out["tool_choice"] = _tool_reference(name, kinds)
        case AllowedTools(names, mode):
            # https://platform.openai.com/docs/api-reference/chat/create#chat_create-tool_choice
            allowed = {"mode": mode, "tools": [_tool_reference(name, kinds) for name in names]}
            out["tool_choice"] = {"type": "allowed_tools", "allowed_tools": allowed}
        case str(choice):
            out["tool_choice"] = choice
        case None:
            pass
    fields = {
        "parallel_tool_calls": now.parallel,
        "temperature": now.temperature,
        "top_p": now.top_p,
        "presence_penalty": now.presence_penalty,
        "frequency_penalty": now.frequency_penalty,
        "seed": now.seed,
        "max_completion_tokens": now.max_tokens,
        "stop": list(now.stop) or None,
        "reasoning_effort": now.reasoning if isinstance(now.reasoning, str) else None,
    }
    out.update({key: value for key, value in fields.items() if value is not None})
    if now.format is not None:
        if now.format.schema is None:
            out["response_format"] = {"type": "json_object"}
        else:
            schema: dict[str, Any] = {"name": now.format.name, "schema": now.format.schema}
            if now.format.strict is not None:
                schema["strict"] = now.format.strict
            out["response_format"] = {"type": "json_schema", "json_schema": schema}
    return out


def _tool(tool: Tool) -> dict[str, Any]:
    if tool.kind == "custom":
        # https://platform.openai.com/docs/guides/function-calling#custom-tools
        custom: dict[str, Any] = {"name": tool.name, "description": tool.description}
        if tool.grammar is not None:
            grammar = {"syntax": tool.grammar.syntax, "definition": tool.grammar.definition}
            custom["format"] = {"type": "grammar", "grammar": grammar}
        return {"type": "custom", "custom": {key: value for key, value in custom.items() if value is not None}}
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }
    return {"type": "function", "function": {key: value for key, value in function.items() if value is not None}}


def _tool_reference(name: str, kinds: Mapping[str, str]) -> dict[str, Any]:
    kind = kinds.get(name, "function")
    return {"type": kind, kind: {"name": name}}
