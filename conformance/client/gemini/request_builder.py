"""Builds Gemini API requests from a conversation: the story's `ask`, with earlier replies as history."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from mimetypes import guess_type
from typing import Any
from urllib.parse import quote

from crosswire.mockserver.protocols.gemini.tables import NAME, WITHOUT_LEVELS
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
    ToolCall,
    ToolResult,
    Turn,
    Video,
)

from ..conversation import Conversation, answered_call, call_names, merge_json, reply_before, settings_of
from ..protocol import HttpRequest
from .tables import BUDGETS, TOOL_CHOICE_MODES


def build_request(conversation: Conversation, *, model: str, stream: bool, key: str = "") -> HttpRequest:
    """Builds the request of the last exchange; earlier exchanges become the history."""
    now = settings_of(conversation)
    model = now.model or model
    body: dict[str, Any] = {"contents": _history(conversation)}
    if now.system:
        body["systemInstruction"] = {"parts": [{"text": text} for text in now.system]}
    body.update(_settings(now, model))
    # The official clients request server-sent events; without `alt=sse` the stream is one JSON array.
    # https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    headers = {"content-type": "application/json", "x-goog-api-key": key} | now.headers
    path = f"/v1beta/models/{quote(model, safe='/:@')}:{method}"
    return HttpRequest("POST", path, headers, merge_json(body, now.also.get(NAME, {})))


# ---- history ---------------------------------------------------------------------------------------------------------


def _history(conversation: Conversation) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for at, (ask, reply) in enumerate(conversation):
        names = call_names(ask.turns)
        for turn in ask.turns:
            out.extend(_turn_contents(turn, names))
        parts = []
        for result in ask.results:
            call = answered_call(result, reply_before(conversation, at))
            parts.append(_tool_result(result, call.id, call.name or result.name or ""))
        parts.extend(_part(block) for block in ask.user)
        if parts:
            out.append({"role": "user", "parts": parts})
        if reply is not None:
            out.extend(reply.echo)
    return out


def _turn_contents(turn: Turn, names: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    parts = []
    for block in turn.blocks:
        match block:
            case ToolResult(id, _, _, name):
                parts.append(_tool_result(block, id, name or names.get(id, "")))
            case ToolCall():
                parts.append(_tool_call(block))
            case _:
                parts.append(_part(block))
    # there is no system role in the history, so such a turn is sent as the user's
    if parts:
        yield {"role": "model" if turn.role == "assistant" else "user", "parts": parts}


# ---- blocks ----------------------------------------------------------------------------------------------------------


def _part(block: Block) -> dict[str, Any]:
    match block:
        case Text(text) | Refusal(text):
            return {"text": text}
        case Thinking(text, signature):
            return {"text": text, "thought": True} | ({"thoughtSignature": signature} if signature else {})
        case Image(mime, data, url):
            return _media_part(mime, data, url)
        case Document(mime, data, url, text):
            return {"text": text} if text is not None else _media_part(mime, data, url)
        case Audio(mime, data, url) | Video(mime, data, url):
            return _media_part(mime, data, url)
        case ToolCall() | ToolResult():
            raise ValueError(f"a user turn cannot hold {block}")


def _media_part(mime: str | None, data: str | None, url: str | None) -> dict[str, Any]:
    """Returns inline data or a file reference. https://ai.google.dev/api/caching#Blob and #FileData

    Like the official SDKs it names the type that the end of an address tells.
    """
    mime = mime or (guess_type(url)[0] if url else None)
    kind = {"mimeType": mime} if mime else {}
    return {"fileData": kind | {"fileUri": url}} if url else {"inlineData": kind | {"data": data}}


def _tool_call(call: ToolCall) -> dict[str, Any]:
    function: dict[str, Any] = {"name": call.name, "args": json.loads(call.arguments or "{}")}
    if call.id:
        function["id"] = call.id
    return {"functionCall": function} | ({"thoughtSignature": call.signature} if call.signature else {})


def _tool_result(result: ToolResult, id: str, name: str) -> dict[str, Any]:
    """Returns a function response.

    `response`: "Callers can use any keys of their choice …, e.g. "output", "result", etc. In particular, if the
    function call failed to execute, the response can have an "error" key to return error details to the model."

    https://ai.google.dev/api/caching#FunctionResponse
    """
    response: dict[str, Any] = {"name": name, "response": {"error" if result.error else "result": result.text}}
    if id:
        response["id"] = id
    media = [_part(block) for block in result.blocks if not isinstance(block, Text)]
    if media:
        response["parts"] = media
    return {"functionResponse": response}


# ---- settings --------------------------------------------------------------------------------------------------------


def _settings(now: Ask, model: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if now.tools:
        declarations = [
            {k: v for k, v in fields.items() if v is not None}
            for tool in now.tools
            for fields in [
                {"name": tool.name, "description": tool.description, "parametersJsonSchema": tool.parameters}
            ]
        ]
        out["tools"] = [{"functionDeclarations": declarations}]
    match now.tool_choice:
        case NamedTool(name):
            out["toolConfig"] = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": [name]}}
        case AllowedTools(names, mode):
            # "allowedFunctionNames: … This should only be set when the Mode is ANY or VALIDATED."
            # https://ai.google.dev/api/caching#FunctionCallingConfig
            choice = "ANY" if mode == "required" else "VALIDATED"
            out["toolConfig"] = {"functionCallingConfig": {"mode": choice, "allowedFunctionNames": list(names)}}
        case str(choice):
            out["toolConfig"] = {"functionCallingConfig": {"mode": TOOL_CHOICE_MODES[choice]}}
        case None:
            pass
    calling = out.get("toolConfig", {}).get("functionCallingConfig", {"mode": "AUTO"})
    if now.tools and all(tool.strict for tool in now.tools) and calling["mode"] == "AUTO":
        # "VALIDATED: … ensures function schema adherence", of every function
        # https://ai.google.dev/gemini-api/docs/function-calling#function-calling-modes
        out["toolConfig"] = {"functionCallingConfig": {"mode": "VALIDATED"}}
    plain = {
        "temperature": now.temperature,
        "topP": now.top_p,
        "topK": now.top_k,
        "presencePenalty": now.presence_penalty,
        "frequencyPenalty": now.frequency_penalty,
        "seed": now.seed,
        "maxOutputTokens": now.max_tokens,
        "stopSequences": list(now.stop) or None,
        "thinkingConfig": _thinking_config(now.reasoning, model),
    }
    config: dict[str, Any] = {key: value for key, value in plain.items() if value is not None}
    if now.format is not None:
        config["responseMimeType"] = "application/json"
        if now.format.schema is not None:
            config["responseJsonSchema"] = now.format.schema
    if config:
        out["generationConfig"] = config
    return out


def _thinking_config(reasoning: str | int | None, model: str) -> dict[str, Any] | None:
    """Returns `thinkingConfig`; thought summaries are sent only on request. https://ai.google.dev/gemini-api/docs/thinking#summaries"""
    if reasoning is None:
        return None
    if isinstance(reasoning, int):
        return {"includeThoughts": True, "thinkingBudget": reasoning}
    if WITHOUT_LEVELS.match(model) or reasoning == "none":
        return {"includeThoughts": reasoning != "none", "thinkingBudget": BUDGETS[reasoning]}
    return {"includeThoughts": True, "thinkingLevel": reasoning}
