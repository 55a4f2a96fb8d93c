"""The requests that are sent: small ones and large ones, by the protocol of the client."""

from __future__ import annotations

import base64
import random
from typing import Any

Body = dict[str, Any]

ANTHROPIC = "anthropic"
CHAT = "chat"

Pairs = tuple[tuple[str, str], ...]
"""Protocols of a client and of a backend."""

SAME: Pairs = ((CHAT, CHAT), (ANTHROPIC, ANTHROPIC))
CROSS: Pairs = ((ANTHROPIC, CHAT), (CHAT, ANTHROPIC))

PATHS = {CHAT: "/v1/chat/completions", ANTHROPIC: "/v1/messages"}

SMALL: dict[str, Body] = {
    CHAT: {
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "Hello! Please say something nice about proxies."},
        ],
        "max_completion_tokens": 256,
        "temperature": 0.5,
    },
    ANTHROPIC: {
        "max_tokens": 256,
        "temperature": 0.5,
        "system": "You are a helpful assistant.",
        "messages": [{"role": "user", "content": "Hello! Please say something nice about proxies."}],
    },
}

IMAGE_BYTES = 1_000_000

HISTORY_TURNS = 100
HISTORY_TURN = 3_000
"""Turns of the long history, and the characters of each."""

TOOLS = 100

_WORDS = ("proxy", "gateway", "model", "answer", "token", "stream", "header", "backend", "tool", "schema", "reply")


def chat(*messages: Body, **more: Any) -> Body:
    return {"max_completion_tokens": 256, "messages": list(messages), **more}


def image(kind: str, size: int = IMAGE_BYTES) -> Body:
    """A question about an image of so many bytes."""
    data = base64.b64encode(random.Random(1).randbytes(size)).decode()
    text = {"type": "text", "text": "What is in this picture?"}
    if kind == CHAT:
        part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
        return chat({"role": "user", "content": [text, part]})
    source = {"type": "base64", "media_type": "image/png", "data": data}
    return {"max_tokens": 256, "messages": [{"role": "user", "content": [text, {"type": "image", "source": source}]}]}


def history(kind: str, turns: int = HISTORY_TURNS, characters: int = HISTORY_TURN) -> Body:
    """A conversation of so many turns, which ends with the user's."""
    dice = random.Random(2)
    roles = ("user", "assistant")
    messages = [
        {"role": roles[number % 2], "content": _text(dice, characters)} for number in range(turns - 1 + turns % 2)
    ]
    return chat(*messages) if kind == CHAT else {"max_tokens": 256, "messages": messages}


def _text(dice: random.Random, characters: int) -> str:
    words = dice.choices(_WORDS, k=characters // 5)
    return " ".join(words)[:characters]


def tools(kind: str, number: int = TOOLS) -> Body:
    """The small request with so many tools, each with a schema of three properties."""
    named = [(f"tool_{at}", f"Does the thing with the number {at}.", _schema(at)) for at in range(number)]
    listed: list[Body] = [
        {"type": "function", "function": {"name": name, "description": text, "parameters": schema}}
        if kind == CHAT
        else {"name": name, "description": text, "input_schema": schema}
        for name, text, schema in named
    ]
    return SMALL[kind] | ({"tools": listed} if listed else {})


def _schema(at: int) -> Body:
    properties = {
        "query": {"type": "string", "description": f"What to look for in the place {at}."},
        "limit": {"type": "integer", "description": "How many to return at most.", "minimum": 1},
        "order": {"type": "string", "enum": ["newest", "oldest", "best"]},
    }
    return {"type": "object", "properties": properties, "required": ["query"], "additionalProperties": False}
