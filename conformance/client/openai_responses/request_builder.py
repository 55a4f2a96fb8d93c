"""Builds Responses requests from a conversation: the story's `ask`, with earlier replies as history."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from crosswire.mockserver.protocols.openai_responses.tables import NAME, PATH, SIGNATURE_FIELD
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
)

from ..conversation import Conversation, answered_call, merge_json, reply_before, settings_of, text_or_parts
from ..protocol import HttpRequest


def build_request(conversation: Conversation, *, model: str, stream: bool, key: str = "") -> HttpRequest:
    """Builds the request of the last exchange; earlier exchanges become the history.

    A single system text is sent as `instructions`, several ones as messages.
    """
    now = settings_of(conversation)
    system = conversation[0][0].system
    body: dict[str, Any] = {"model": conversation[-1][0].model or model}
    if len(system) == 1:
        body["instructions"] = system[0]
    body["input"] = [*_additional_tools(now.tools), *_history(conversation, () if len(system) == 1 else system)]
    body.update(_settings(now))
    if stream:
        body["stream"] = True
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"} | now.headers
    return HttpRequest("POST", f"/v1{PATH}", headers, merge_json(body, now.also.get(NAME, {})))


# ---- history ---------------------------------------------------------------------------------------------------------


def _history(conversation: Conversation, system: tuple[str, ...]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = [{"role": "system", "content": text} for text in system]
    for at, (ask, reply) in enumerate(conversation):
        calls = {b.id: b for turn in ask.turns for b in turn.blocks if isinstance(b, ToolCall)}
        for turn in ask.turns:
            out.extend(_turn_items(turn, calls))
        out.extend(
            _tool_result(result, answered_call(result, reply_before(conversation, at))) for result in ask.results
        )
        if ask.user:
            out.append({"role": "user", "content": text_or_parts(ask.user, _part)})
        if reply is not None:
            out.extend(reply.echo)
    return out


def _turn_items(turn: Turn, calls: Mapping[str, ToolCall]) -> Iterable[dict[str, Any]]:
    """Yields the items of one turn, with consecutive parts in one message, so that the order is kept."""
    if turn.role == "assistant":
        for block in turn.blocks:
            yield _assistant_item(block)
        return
    run: list[Block] = []
    for block in turn.blocks:
        if isinstance(block, ToolResult):
            if run:
                yield {"role": turn.role, "content": text_or_parts(run, _part)}
                run = []
            yield _tool_result(block, calls.get(block.id) or ToolCall(block.id, "", "{}"))
        else:
            run.append(block)
    if run:
        yield {"role": turn.role, "content": text_or_parts(run, _part)}


def _assistant_item(block: Block) -> dict[str, Any]:
    match block:
        case Text(text):
            return _message({"type": "output_text", "text": text, "annotations": []})
        case Refusal(text):
            return _message({"type": "refusal", "refusal": text})
        case ToolCall(id, name, arguments, _, kind, namespace):
            group = {"namespace": namespace} if namespace else {}
            if kind == "custom":
                return {"type": "custom_tool_call", "call_id": id, "name": name, **group, "input": arguments}
            return {"type": "function_call", "call_id": id, "name": name, **group, "arguments": arguments}
        case Thinking(text, signature):
            summary = [{"type": "summary_text", "text": text}] if text else []
            return {"type": "reasoning", "summary": summary} | ({"encrypted_content": signature} if signature else {})
        case Image() | Document() | Audio() | Video() | ToolResult():
            raise ValueError(f"an assistant turn cannot hold {block}")


def _message(part: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [part]}


# ---- blocks ----------------------------------------------------------------------------------------------------------


def _part(block: Block) -> dict[str, Any]:
    match block:
        case Text(text):
            return {"type": "input_text", "text": text}
        case Image(mime, data, url):
            return {"type": "input_image", "image_url": url or f"data:{mime};base64,{data}", "detail": "auto"}
        case Document(url=str() as url):
            return {"type": "input_file", "file_url": url}
        case Document(mime, data, _, text, name):
            # https://platform.openai.com/docs/guides/pdf-files?api-mode=responses
            if data is None:
                mime, data = mime or "text/plain", base64.b64encode((text or "").encode()).decode()
            filename = name or ("document.pdf" if mime == "application/pdf" else "document.txt")
            return {"type": "input_file", "filename": filename, "file_data": f"data:{mime};base64,{data}"}
        case Audio(mime, data):
            kind = (mime or "audio/wav").rpartition("/")[2]
            return {"type": "input_audio", "input_audio": {"data": data, "format": {"mpeg": "mp3"}.get(kind, kind)}}
        case Thinking() | Refusal() | ToolCall() | ToolResult() | Video():
            raise ValueError(f"a user turn cannot hold {block}")


def _tool_result(result: ToolResult, call: ToolCall) -> dict[str, Any]:
    """Returns the output item of a call; it has no field that marks an error."""
    output = text_or_parts(result.blocks, _part) if result.blocks else ""
    kind = "custom_tool_call_output" if call.kind == "custom" else "function_call_output"
    return {"type": kind, "call_id": call.id, "output": output}


# ---- settings --------------------------------------------------------------------------------------------------------


def _settings(now: Ask) -> dict[str, Any]:
    """Returns the settings; the protocol has no stop sequences, seed, top_k or penalties."""
    out: dict[str, Any] = {}
    declared = [tool for tool in now.tools if not tool.among]
    if declared:
        out["tools"] = _tools(declared)
    kinds = {tool.name: tool.kind for tool in now.tools}
    match now.tool_choice:
        case NamedTool(name):
            out["tool_choice"] = {"type": kinds.get(name, "function"), "name": name}
        case AllowedTools(names, mode):
            # https://platform.openai.com/docs/api-reference/responses/create#responses-create-tool_choice
            allowed = [{"type": kinds.get(name, "function"), "name": name} for name in names]
            out["tool_choice"] = {"type": "allowed_tools", "mode": mode, "tools": allowed}
        case str(choice):
            out["tool_choice"] = choice
        case None:
            pass
    fields = {
        "parallel_tool_calls": now.parallel,
        "temperature": now.temperature,
        "top_p": now.top_p,
        "max_output_tokens": now.max_tokens,
    }
    out.update({key: value for key, value in fields.items() if value is not None})
    if isinstance(now.reasoning, str):
        # a client that keeps the history itself requests the reasoning in a form that it can send back
        # https://platform.openai.com/docs/guides/reasoning#encrypted-reasoning-items
        out |= {
            "reasoning": {"effort": now.reasoning, "summary": "auto"},
            "include": [SIGNATURE_FIELD],
            "store": False,
        }
    if now.format is not None:
        if now.format.schema is None:
            out["text"] = {"format": {"type": "json_object"}}
        else:
            schema: dict[str, Any] = {"type": "json_schema", "name": now.format.name, "schema": now.format.schema}
            if now.format.strict is not None:
                schema["strict"] = now.format.strict
            out["text"] = {"format": schema}
    return out


def _tools(tools: Iterable[Tool]) -> list[dict[str, Any]]:
    """Groups the tools of each namespace, at the position of its first tool.

    https://platform.openai.com/docs/api-reference/responses/create#responses-create-tools
    """
    out: list[dict[str, Any]] = []
    groups: dict[str, list[dict[str, Any]]] = {}
    for tool in tools:
        if tool.namespace is None:
            out.append(_tool(tool))
            continue
        if tool.namespace not in groups:
            groups[tool.namespace] = []
            # "description: A description of the namespace shown to the model." is required.
            group = {"type": "namespace", "name": tool.namespace, "description": f"Tools of {tool.namespace}."}
            out.append(group | {"tools": groups[tool.namespace]})
        groups[tool.namespace].append(_tool(tool))
    return out


def _tool(tool: Tool) -> dict[str, Any]:
    if tool.kind == "custom":
        # https://platform.openai.com/docs/guides/function-calling#custom-tools
        custom: dict[str, Any] = {"type": "custom", "name": tool.name, "description": tool.description}
        if tool.grammar is not None:
            grammar = {"syntax": tool.grammar.syntax, "definition": tool.grammar.definition}
            custom["format"] = {"type": "grammar"} | grammar
        return {key: value for key, value in custom.items() if value is not None}
    function = {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }
    return {key: value for key, value in function.items() if value is not None}


def _additional_tools(tools: Iterable[Tool]) -> Iterable[dict[str, Any]]:
    """Yields the input item that declares tools; its role: "Only `developer` is supported"."""
    additional = [tool for tool in tools if tool.among]
    if additional:
        yield {"type": "additional_tools", "role": "developer", "tools": _tools(additional)}
