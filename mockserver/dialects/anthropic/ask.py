"""The request of an Anthropic Messages client; it knows the ask and what was heard, no provider."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ...speech import Ask, Audio, Block, Call, Document, Image, Named, Refuse, Result, Text, Think, Tool, Video
from ..contract import Conversation, HttpAsk, before, call_of, merge, standing
from .words import DEFAULT_MAX_TOKENS, NAME, PATH, VERSION


def ask(conversation: Conversation, *, model: str, stream: bool, key: str = "") -> HttpAsk:
    """The request for the last exchange, with everything before it as history, echoed as it was heard."""
    now = standing(conversation)
    system = conversation[0][0].system
    body: dict[str, Any] = {
        "model": now.model or model,
        # "max_tokens: The maximum number of tokens to generate before stopping." is required.
        # https://platform.claude.com/docs/en/api/messages/create
        "max_tokens": now.max_tokens or DEFAULT_MAX_TOKENS,
        "messages": _messages(conversation),
    }
    if system:
        body["system"] = system[0] if len(system) == 1 else [{"type": "text", "text": text} for text in system]
    body.update(_settings(now))
    if stream:
        body["stream"] = True
    headers = {"content-type": "application/json", "x-api-key": key, "anthropic-version": VERSION} | now.headers
    return HttpAsk("POST", f"/v1{PATH}", headers, merge(body, now.also.get(NAME, {})))


# ---- history ---------------------------------------------------------------------------------------------------------


def _messages(conversation: Conversation) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for at, (asked, heard) in enumerate(conversation):
        for turn in asked.turns:
            out.append({"role": turn.role, "content": _content(turn.blocks)})
        # "Tool result blocks must come first in the content array; any text must come after all tool results."
        # https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use
        results = [_result(result, call_of(result, before(conversation, at)).id) for result in asked.results]
        if results:
            out.append({"role": "user", "content": results + [_block(block) for block in asked.user]})
        elif asked.user:
            out.append({"role": "user", "content": _content(asked.user)})
        if heard is not None:
            out.extend(heard.echo)
    return out


def _content(blocks: tuple[Block, ...]) -> str | list[dict[str, Any]]:
    match blocks:
        case (Text(text),):
            return text
        case _:
            return [_block(block) for block in blocks]


# ---- blocks ----------------------------------------------------------------------------------------------------------


def _block(block: Block) -> dict[str, Any]:
    match block:
        case Text(text) | Refuse(text):
            return {"type": "text", "text": text}
        case Image(mime, data, url):
            return {"type": "image", "source": _source(mime, data, url)}
        case Document(mime, data, url, text, name):
            source = {"type": "text", "media_type": "text/plain", "data": text} if text else _source(mime, data, url)
            return {"type": "document", "source": source} | ({"title": name} if name else {})
        case Think(seal=seal, redacted=True):
            return {"type": "redacted_thinking", "data": seal or ""}
        case Think(text, seal):
            return {"type": "thinking", "thinking": text, "signature": seal or ""}
        case Call(id, name, arguments):
            return {"type": "tool_use", "id": id, "name": name, "input": json.loads(arguments)}
        case Result():
            return _result(block, block.id)
        case Audio() | Video():
            raise ValueError("this protocol has no audio and no video")


def _source(mime: str | None, data: str | None, url: str | None) -> dict[str, Any]:
    return {"type": "url", "url": url} if url else {"type": "base64", "media_type": mime, "data": data}


def _result(result: Result, id: str) -> dict[str, Any]:
    out: dict[str, Any] = {"type": "tool_result", "tool_use_id": id, "content": _content(result.blocks)}
    return out | ({"is_error": True} if result.error else {})


# ---- settings --------------------------------------------------------------------------------------------------------


def _settings(now: Ask) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if now.tools:
        out["tools"] = [dict(_tool(tool)) for tool in now.tools]
    choice: dict[str, Any] | None = None
    match now.tool_choice:
        case Named(name):
            choice = {"type": "tool", "name": name}
        case str(word):
            choice = {"type": {"required": "any"}.get(word, word)}
        case _:
            pass  # there is no choice among some of the tools
    if now.parallel is not None and choice != {"type": "none"}:
        choice = (choice or {"type": "auto"}) | {"disable_parallel_tool_use": not now.parallel}
    plain = {
        "tool_choice": choice,
        "temperature": now.temperature,
        "top_p": now.top_p,
        "top_k": now.top_k,
        "stop_sequences": list(now.stop) or None,
    }
    out.update({key: value for key, value in plain.items() if value is not None})
    output: dict[str, Any] = {}
    match now.reasoning:
        case int(budget):
            out["thinking"] = {"type": "enabled", "budget_tokens": budget}
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
    # `input_schema` is required and its type must be "object".
    yield "input_schema", tool.parameters if tool.parameters is not None else {"type": "object"}
    if tool.strict is not None:
        yield "strict", tool.strict
