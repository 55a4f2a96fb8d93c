"""Calls and their results as a chat history wants them: each result right behind its call, and none alone.

It knows turns and blocks of the neutral form, and no wire name.
"""

from __future__ import annotations

from collections.abc import Container
from typing import TypeAlias

from ...ir import Block, ToolCall, ToolResult, Turn

Place: TypeAlias = tuple[str, Block]
"""A block, and its path in the neutral form."""


def paired(turns: tuple[Turn, ...], placed: list[list[Place]]) -> tuple[list[list[Place]], list[str]]:
    """The blocks of each turn, and the paths of those that have no counterpart and are gone.

    "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'":
    results that come later, before the assistant speaks again, are moved up to the turn right behind the calls.
    https://platform.openai.com/docs/guides/function-calling
    """
    if not any(isinstance(block, ToolCall | ToolResult) for turn in turns for block in turn.blocks):
        return placed, []
    lost: list[str] = []
    out = [list(parts) for parts in placed]
    t = 0
    while t < len(turns):
        end = t + 1
        while end < len(turns) and turns[end].role != "assistant":
            end += 1
        first = t if turns[t].role != "assistant" else t + 1
        run = range(first, end)
        calls = [] if first == t else [block.id for _, block in out[t] if isinstance(block, ToolCall)]
        results = [place for at in run for place in out[at] if isinstance(place[1], ToolResult)]
        kept: dict[str, Place] = {}
        for path, block in results:
            if isinstance(block, ToolResult) and block.id in calls and block.id not in kept:
                kept[block.id] = (path, block)
            else:
                lost.append(path)
        for at in run:
            out[at] = [place for place in out[at] if not isinstance(place[1], ToolResult)]
        if kept:
            out[run[0]] = [*kept.values(), *out[run[0]]]
        if first != t:
            alone = [place for place in out[t] if _is_alone(place[1], kept)]
            lost += [path for path, _ in alone]
            out[t] = [place for place in out[t] if place not in alone]
        t = end
    return out, lost


def _is_alone(block: Block, answered: Container[str]) -> bool:
    """Of what an assistant said: a call that nobody answers, and any result, which is not an assistant's to give."""
    return isinstance(block, ToolResult) or (isinstance(block, ToolCall) and block.id not in answered)
