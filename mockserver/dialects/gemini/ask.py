"""The request of a Gemini client; it knows the ask and what was heard, no provider."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from ...speech import Allowed, Ask, Audio, Block, Call, Document, Image, Named, Refuse, Result, Text, Think, Turn, Video
from ..contract import Conversation, HttpAsk, before, call_of, merge, standing
from .words import BUDGETS, LEVELLESS, MODES, NAME


def ask(conversation: Conversation, *, model: str, stream: bool, key: str = "") -> HttpAsk:
    """The request for the last exchange, with everything before it as history, echoed as it was heard."""
    now = standing(conversation)
    wanted = now.model or model
    body: dict[str, Any] = {"contents": _contents(conversation)}
    if now.system:
        body["systemInstruction"] = {"parts": [{"text": text} for text in now.system]}
    body.update(_settings(now, wanted))
    # The official clients ask for server-sent events; without `alt=sse` the stream is one JSON array.
    # https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    headers = {"content-type": "application/json", "x-goog-api-key": key} | now.headers
    path = f"/v1beta/models/{quote(wanted, safe='/:@')}:{method}"
    return HttpAsk("POST", path, headers, merge(body, now.also.get(NAME, {})))


# ---- history ---------------------------------------------------------------------------------------------------------


def _contents(conversation: Conversation) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for at, (asked, heard) in enumerate(conversation):
        names = _names(asked.turns)
        for turn in asked.turns:
            out.extend(_turn(turn, names))
        parts = []
        for result in asked.results:
            call = call_of(result, before(conversation, at))
            parts.append(_result(result, call.id, call.name or result.name or ""))
        parts.extend(_part(block) for block in asked.user)
        if parts:
            out.append({"role": "user", "parts": parts})
        if heard is not None:
            out.extend(heard.echo)
    return out


def _names(turns: Iterable[Turn]) -> dict[str, str]:
    """The names of the calls of a literal history, by id: a response carries its function's name here."""
    return {block.id: block.name for turn in turns for block in turn.blocks if isinstance(block, Call)}


def _turn(turn: Turn, names: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    parts = []
    for block in turn.blocks:
        match block:
            case Result(id, _, _, name):
                parts.append(_result(block, id, name or names.get(id, "")))
            case Call():
                parts.append(_call(block))
            case _:
                parts.append(_part(block))
    # There is no system turn after the first: a client that has one can only say it as the user.
    if parts:
        yield {"role": "model" if turn.role == "assistant" else "user", "parts": parts}


# ---- blocks ----------------------------------------------------------------------------------------------------------


def _part(block: Block) -> dict[str, Any]:
    match block:
        case Text(text) | Refuse(text):
            return {"text": text}
        case Think(text, seal):
            return {"text": text, "thought": True} | ({"thoughtSignature": seal} if seal else {})
        case Image(mime, data, url):
            return _media(mime, data, url)
        case Document(mime, data, url, text):
            return {"text": text} if text is not None else _media(mime, data, url)
        case Audio(mime, data, url) | Video(mime, data, url):
            return _media(mime, data, url)
        case Call() | Result():
            raise ValueError(f"a user turn cannot hold {block}")


def _media(mime: str | None, data: str | None, url: str | None) -> dict[str, Any]:
    """https://ai.google.dev/api/caching#Blob and #FileData"""
    kind = {"mimeType": mime} if mime else {}
    return {"fileData": kind | {"fileUri": url}} if url else {"inlineData": kind | {"data": data}}


def _call(call: Call) -> dict[str, Any]:
    function: dict[str, Any] = {"name": call.name, "args": json.loads(call.arguments or "{}")}
    if call.id:
        function["id"] = call.id
    return {"functionCall": function} | ({"thoughtSignature": call.seal} if call.seal else {})


def _result(result: Result, id: str, name: str) -> dict[str, Any]:
    """`response`: "Callers can use any keys of their choice …, e.g. "output", "result", etc. In particular, if the
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
        case Named(name):
            out["toolConfig"] = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": [name]}}
        case Allowed(names, mode):
            # "allowedFunctionNames: … This should only be set when the Mode is ANY or VALIDATED."
            # https://ai.google.dev/api/caching#FunctionCallingConfig
            word = "ANY" if mode == "required" else "VALIDATED"
            out["toolConfig"] = {"functionCallingConfig": {"mode": word, "allowedFunctionNames": list(names)}}
        case str(word):
            out["toolConfig"] = {"functionCallingConfig": {"mode": MODES[word]}}
        case None:
            pass
    plain = {
        "temperature": now.temperature,
        "topP": now.top_p,
        "topK": now.top_k,
        "presencePenalty": now.presence_penalty,
        "frequencyPenalty": now.frequency_penalty,
        "seed": now.seed,
        "maxOutputTokens": now.max_tokens,
        "stopSequences": list(now.stop) or None,
        "thinkingConfig": _thinking(now.reasoning, model),
    }
    config: dict[str, Any] = {key: value for key, value in plain.items() if value is not None}
    if now.format is not None:
        config["responseMimeType"] = "application/json"
        if now.format.schema is not None:
            config["responseJsonSchema"] = now.format.schema
    if config:
        out["generationConfig"] = config
    return out


def _thinking(reasoning: str | int | None, model: str) -> dict[str, Any] | None:
    """Summaries of thoughts come only when asked for. https://ai.google.dev/gemini-api/docs/thinking#summaries"""
    if reasoning is None:
        return None
    if isinstance(reasoning, int):
        return {"includeThoughts": True, "thinkingBudget": reasoning}
    if LEVELLESS.match(model) or reasoning == "none":
        return {"includeThoughts": reasoning != "none", "thinkingBudget": BUDGETS[reasoning]}
    return {"includeThoughts": True, "thinkingLevel": reasoning}
