"""Orders tool calls and results as a chat history requires: each result directly after its call, and no orphans.

It works on the neutral form alone.
"""

from __future__ import annotations

from collections.abc import Container
from typing import TypeAlias

from ...ir import Block, ToolCall, ToolResult, Turn

LocatedBlock: TypeAlias = tuple[str, Block]
"""A block behind its path in the neutral form."""


def pair_tool_results(
    turns: tuple[Turn, ...], located: list[list[LocatedBlock]]
) -> tuple[list[list[LocatedBlock]], list[str]]:
    """Returns each turn's blocks in order, and the paths of removed calls without a result and results without a call.

    "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'":
    results that come later, before the next assistant turn, are moved up to the turn directly after the calls.
    https://platform.openai.com/docs/guides/function-calling
    """
    if not any(isinstance(block, ToolCall | ToolResult) for turn in turns for block in turn.blocks):
        return located, []
    orphans: list[str] = []
    out = _joined_calls(turns, located)
    t = 0
    while t < len(turns):
        end = t + 1
        while end < len(turns) and (turns[end].role != "assistant" or (turns[end].blocks and not out[end])):
            end += 1
        first = t if turns[t].role != "assistant" else t + 1
        following = [at for at in range(first, end) if turns[at].role != "assistant"]
        calls = [] if first == t else [block.id for _, block in out[t] if isinstance(block, ToolCall)]
        results = [entry for at in following for entry in out[at] if isinstance(entry[1], ToolResult)]
        kept: dict[str, LocatedBlock] = {}
        for path, block in results:
            if isinstance(block, ToolResult) and block.id in calls and block.id not in kept:
                kept[block.id] = (path, block)
            else:
                orphans.append(path)
        for at in following:
            out[at] = [entry for entry in out[at] if not isinstance(entry[1], ToolResult)]
        if kept:
            out[following[0]] = [*kept.values(), *out[following[0]]]
        if first != t:
            alone = [entry for entry in out[t] if _is_orphan(entry[1], kept)]
            orphans += [path for path, _ in alone]
            out[t] = [entry for entry in out[t] if entry not in alone]
        t = end
    return out, orphans


def _is_orphan(block: Block, answered: Container[str]) -> bool:
    """Tells whether a block of an assistant turn is a call without a result, or a result, which has no place there."""
    return isinstance(block, ToolResult) or (isinstance(block, ToolCall) and block.id not in answered)


def _joined_calls(turns: tuple[Turn, ...], located: list[list[LocatedBlock]]) -> list[list[LocatedBlock]]:
    """Returns each turn's blocks, those of adjacent assistant turns in the first of them where one makes a call.

    "Consecutive user or assistant turns in your request will be combined into a single turn", so that one user turn
    may answer the calls of both. https://platform.claude.com/docs/en/api/messages/create
    """
    out = [list(blocks) for blocks in located]
    first: int | None = None
    for t, turn in enumerate(turns):
        if turn.role != "assistant":
            first = None if out[t] else first
        elif first is not None and any(isinstance(block, ToolCall) for _, block in out[first]):
            out[first] += out[t]
            out[t] = []
        else:
            first = t
    return out
