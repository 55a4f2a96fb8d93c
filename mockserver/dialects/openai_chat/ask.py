"""The request of a Chat Completions client; it knows the ask and what was heard, no provider."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from ...speech import (
    Allowed,
    Ask,
    Audio,
    Block,
    Call,
    Document,
    Image,
    Named,
    Refuse,
    Result,
    Text,
    Think,
    Tool,
    Turn,
    Video,
    text_of,
)
from ..contract import Conversation, HttpAsk, before, call_of, merge, standing
from .words import NAME, PATH


def ask(conversation: Conversation, *, model: str, stream: bool, key: str = "") -> HttpAsk:
    """The request for the last exchange, with everything before it as history, echoed as it was heard."""
    now = standing(conversation)
    body: dict[str, Any] = {"model": now.model or model, "messages": _messages(conversation)}
    body.update(_settings(now))
    if stream:
        # "include_usage: If set, an additional chunk will be streamed before the data: [DONE] message."
        # https://platform.openai.com/docs/api-reference/chat/create
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"} | now.headers
    return HttpAsk("POST", f"/v1{PATH}", headers, merge(body, now.also.get(NAME, {})))


# ---- history ---------------------------------------------------------------------------------------------------------


def _messages(conversation: Conversation) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for at, (asked, heard) in enumerate(conversation):
        if at == 0:
            out.extend({"role": "system", "content": text} for text in asked.system)
        for turn in asked.turns:
            out.extend(_turn(turn))
        out.extend(
            {"role": "tool", "tool_call_id": call_of(result, before(conversation, at)).id, "content": result.text}
            for result in asked.results
        )
        user = (*_media(asked.results), *asked.user)
        if user:
            out.append({"role": "user", "content": _content(user)})
        if heard is not None:
            out.extend(heard.echo)
    return out


def _turn(turn: Turn) -> Iterable[dict[str, Any]]:
    results = [block for block in turn.blocks if isinstance(block, Result)]
    rest: tuple[Block, ...] = tuple(block for block in turn.blocks if not isinstance(block, Result))
    for result in results:
        yield {"role": "tool", "tool_call_id": result.id, "content": result.text}
    rest = (*_media(results), *rest)
    if not rest:
        return
    if turn.role != "assistant":
        yield {"role": turn.role, "content": _content(rest)}
        return
    message: dict[str, Any] = {"role": "assistant", "content": text_of(rest) or None}
    refusal = "".join(block.text for block in rest if isinstance(block, Refuse))
    calls = [_call(block) for block in rest if isinstance(block, Call)]
    yield message | ({"refusal": refusal} if refusal else {}) | ({"tool_calls": calls} if calls else {})


# ---- blocks ----------------------------------------------------------------------------------------------------------


def _content(blocks: tuple[Block, ...]) -> str | list[dict[str, Any]]:
    match blocks:
        case (Text(text),):
            return text
        case _:
            return [_part(block) for block in blocks]


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
        case Think() | Refuse() | Call() | Result() | Video():
            raise ValueError(f"a user turn cannot hold {block}")


def _call(call: Call) -> dict[str, Any]:
    if call.kind == "custom":
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _media(results: Iterable[Result]) -> tuple[Block, ...]:
    """What stands behind the results: a tool message has no slot for "this is an error", and none but for text.

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
        case Named(name):
            out["tool_choice"] = _named(name, kinds)
        case Allowed(names, mode):
            # https://platform.openai.com/docs/api-reference/chat/create#chat_create-tool_choice
            allowed = {"mode": mode, "tools": [_named(name, kinds) for name in names]}
            out["tool_choice"] = {"type": "allowed_tools", "allowed_tools": allowed}
        case str(word):
            out["tool_choice"] = word
        case None:
            pass
    plain = {
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
    out.update({key: value for key, value in plain.items() if value is not None})
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


def _named(name: str, kinds: Mapping[str, str]) -> dict[str, Any]:
    kind = kinds.get(name, "function")
    return {"type": kind, kind: {"name": name}}
