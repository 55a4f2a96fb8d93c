"""Marks what Anthropic is to cache of a request whose client could not say it.

"Prompt caching references the full prompt - tools, system, and messages (in that order) up to and including the block
designated with cache_control." https://platform.claude.com/docs/en/build-with-claude/prompt-caching
"""

from __future__ import annotations

from typing import Any

from ...ir import Added
from ...wire import json_fields

MARK = {"type": "ephemeral"}
"""Five minutes, which every use renews."""

# "The minimum cacheable prompt length is: 4096 tokens for […], 1024 tokens for […]. Shorter prompts cannot be cached"
MIN_BYTES = 4 * 1024
"""Bytes below which no request has 1024 tokens, so that marks would be of no use."""

UNMARKED = ("thinking", "redacted_thinking")
""""Thinking blocks cannot be cached directly with cache_control": same page."""

MESSAGES = 2
"""The last message is marked, and the one of the user before it, "automatic prefix checking only looks back
approximately 20 content blocks", so that a turn with many calls still finds what the turn before it wrote."""

_WHY = "cache: auto"


def place_cache_marks(payload: dict[str, Any]) -> tuple[Added, ...]:
    """Marks the end of the tools, or of the system text behind them, and of the last two messages of the user.

    A request that has a mark already, or is too short, stays as it is. At most three of the four marks are used.
    """
    if _is_marked(payload) or len(json_fields.encode(payload)) < MIN_BYTES:
        return ()
    added: list[Added] = []
    if payload.get("system"):
        payload["system"] = _mark_last(payload["system"], "system", added)
    elif payload.get("tools"):
        payload["tools"] = _mark_last(payload["tools"], "tools", added)
    places = [i for i, message in enumerate(payload["messages"]) if message["role"] == "user"]
    for i in places[-MESSAGES:]:
        message = dict(payload["messages"][i])
        message["content"] = _mark_last(message["content"], f"messages[{i}].content", added)
        payload["messages"][i] = message
    return tuple(added)


def _mark_last(value: Any, path: str, added: list[Added]) -> Any:
    """Returns a list of blocks with a mark on the last one that takes it; text becomes such a list."""
    if type(value) is str:
        value = [{"type": "text", "text": value}]
    for i in range(len(value) - 1, -1, -1):
        block = value[i]
        is_empty = block.get("type") == "text" and not block.get("text")
        if block.get("type") not in UNMARKED and not is_empty and not block.get("defer_loading"):
            added.append(Added(f"{path}[{i}].cache_control", "ephemeral", _WHY))
            return [*value[:i], {**block, "cache_control": MARK}, *value[i + 1 :]]
    return value


def _is_marked(payload: dict[str, Any]) -> bool:
    """Returns whether anything in the request is marked."""
    if "cache_control" in payload:
        return True
    lists = [payload.get("system"), payload.get("tools"), *(message["content"] for message in payload["messages"])]
    blocks = [block for each in lists if type(each) is list for block in each]
    return any("cache_control" in block for block in blocks if type(block) is dict)
