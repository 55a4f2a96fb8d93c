"""The request of an Ollama client; it knows the ask and what was heard, no provider."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ...speech import Ask, Block, Call, Document, Image, Refuse, Result, Text, Think, Turn
from ..contract import Conversation, HttpAsk, before, call_of, merge, standing
from .words import EFFORTS, NAME, OPTIONS, PATH


def ask(conversation: Conversation, *, model: str, stream: bool, key: str = "") -> HttpAsk:
    """The request for the last exchange, with everything before it as history, echoed as it was heard."""
    now = standing(conversation)
    # "stream: … default true", so that the official clients always say which one they want.
    # https://docs.ollama.com/api/chat
    body: dict[str, Any] = {"model": now.model or model, "messages": _messages(conversation), "stream": stream}
    body.update(_settings(now))
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {}) | now.headers
    return HttpAsk("POST", PATH, headers, merge(body, now.also.get(NAME, {})))


# ---- history ---------------------------------------------------------------------------------------------------------


def _messages(conversation: Conversation) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for at, (asked, heard) in enumerate(conversation):
        if at == 0:
            out.extend({"role": "system", "content": text} for text in asked.system)
        names = _names(asked.turns)
        for turn in asked.turns:
            out.extend(_turn(turn, names))
        for result in asked.results:
            call = call_of(result, before(conversation, at))
            out.append(_result(result, call.id, call.name or result.name or ""))
        if asked.user:
            out.append(_message("user", asked.user))
        if heard is not None:
            out.extend(heard.echo)
    return out


def _names(turns: Iterable[Turn]) -> dict[str, str]:
    """The names of the calls of a literal history, by id: a result carries its tool's name here."""
    return {block.id: block.name for turn in turns for block in turn.blocks if isinstance(block, Call)}


def _turn(turn: Turn, names: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    for block in turn.blocks:
        if isinstance(block, Result):
            yield _result(block, block.id, block.name or names.get(block.id, ""))
    rest = tuple(block for block in turn.blocks if not isinstance(block, Result))
    if rest:
        yield _message(turn.role, rest)


# ---- blocks ----------------------------------------------------------------------------------------------------------


def _message(role: str, blocks: tuple[Block, ...]) -> dict[str, Any]:
    """One text, and beside it images and calls: a message here does not say in which order they stand."""
    texts: list[str] = []
    images: list[str] = []
    thinking: list[str] = []
    calls: list[dict[str, Any]] = []
    for block in blocks:
        match block:
            case Text(text) | Refuse(text):
                texts.append(text)
            case Think(text):
                thinking.append(text)
            case Image(_, str(data)):
                images.append(data)
            case Document(text=str(text)):
                texts.append(text)
            case Call():
                calls.append(_call(block))
            case _:
                raise ValueError(f"an Ollama message has no place for {block}")
    message: dict[str, Any] = {"role": role, "content": "".join(texts)}
    found = {"thinking": "".join(thinking), "images": images, "tool_calls": calls}
    return message | {key: value for key, value in found.items() if value}


def _call(call: Call) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json.loads(call.arguments or "{}")}
    return ({"id": call.id} if call.id else {}) | {"function": function}


def _result(result: Result, id: str, name: str) -> dict[str, Any]:
    """A tool message names its tool, and its call where that has an id; it has no slot for "this is an error".

    https://docs.ollama.com/capabilities/tool-calling and
    https://github.com/ollama/ollama/blob/main/api/types.go (Message)
    """
    message = {"role": "tool", "content": result.text, "tool_name": name} | ({"tool_call_id": id} if id else {})
    images = [block.data for block in result.blocks if isinstance(block, Image) and block.data is not None]
    return message | ({"images": images} if images else {})


# ---- settings --------------------------------------------------------------------------------------------------------


def _settings(now: Ask) -> dict[str, Any]:
    """There is no slot for a choice of tools, for `parallel` and for `strict`."""
    out: dict[str, Any] = {}
    if now.tools:
        out["tools"] = [
            {"type": "function", "function": {k: v for k, v in fields.items() if v is not None}}
            for tool in now.tools
            for fields in [{"name": tool.name, "description": tool.description, "parameters": tool.parameters}]
        ]
    options: dict[str, Any] = {key: value for word, key in OPTIONS.items() if (value := getattr(now, word)) is not None}
    if now.max_tokens is not None:
        options["num_predict"] = now.max_tokens
    if now.stop:
        options["stop"] = list(now.stop)
    if options:
        out["options"] = options
    match now.reasoning:
        case str(word):
            out["think"] = EFFORTS.get(word, word)
        case int(budget):
            # A budget cannot be told, only that there shall be thinking.
            out["think"] = budget != 0
        case None:
            pass
    if now.format is not None:
        out["format"] = now.format.schema if now.format.schema is not None else "json"
    return out
