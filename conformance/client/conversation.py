"""The conversation from which a client builds its next request, and the neutral request that should result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from crosswire.mockserver.protocols.protocol import ParsedRequest
from crosswire.mockserver.scenarios.model import (
    SAMPLING,
    Ask,
    Block,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    effective_settings,
)

from .protocol import ParsedReply

Conversation: TypeAlias = Sequence[tuple[Ask, ParsedReply | None]]
"""All exchanges so far; only the last one has no reply yet."""


def answered_call(result: ToolResult, reply: ParsedReply | None) -> ToolCall:
    """Returns the call that a result answers, as received, because its id may have been rewritten.

    A call that was never received gets the story's id, so that the error shows where it was caused.
    """
    if reply is not None and result.at is not None and result.at < len(reply.calls):
        return reply.calls[result.at]
    return ToolCall(result.id, result.name or "", "{}")


def reply_before(conversation: Conversation, at: int) -> ParsedReply | None:
    """Returns the reply just before exchange `at`."""
    return conversation[at - 1][1] if at else None


def settings_of(conversation: Conversation) -> Ask:
    """Returns the settings in force for the last exchange."""
    return effective_settings([ask for ask, _ in conversation])


def call_names(turns: Iterable[Turn]) -> dict[str, str]:
    """Returns call id -> tool name of a literal history, for protocols whose results carry the tool's name."""
    return {block.id: block.name for turn in turns for block in turn.blocks if isinstance(block, ToolCall)}


def text_or_parts(blocks: Sequence[Block], build_part: Callable[[Block], dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Returns a single text as a string, and any other content as a list of parts."""
    match blocks:
        case (Text(text),):
            return text
        case _:
            return [build_part(block) for block in blocks]


def merge_json(into: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Merges `more` into `into`: objects key by key, any other value replaces the old one."""
    result = dict(into)
    for key, value in more.items():
        old = result.get(key)
        result[key] = merge_json(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def expected_request(conversation: Conversation, *, model: str, stream: bool) -> ParsedRequest:
    """Returns the request that the mock's parser should find upstream, except for declared losses.

    Results have the call ids that the client received. Neighbouring turns of one role are kept; `merge_turns` joins
    them.
    """
    turns: list[Turn] = []
    for at, (ask, reply) in enumerate(conversation):
        turns.extend(ask.turns)
        results = tuple(
            ToolResult(call.id, r.blocks, r.error, call.name)
            for r in ask.results
            for call in [answered_call(r, reply_before(conversation, at))]
        )
        if results or ask.user:
            turns.append(Turn("user", (*results, *ask.user)))
        if reply is not None:
            turns.append(Turn("assistant", reply.blocks))
    first = conversation[0][0]
    now = settings_of(conversation)
    return ParsedRequest(
        model=now.model or model,
        stream=stream,
        system=first.system,
        turns=tuple(turns),
        tools=now.tools,
        tool_choice=now.tool_choice,
        parallel=now.parallel,
        sampling={name: value for name in SAMPLING if (value := getattr(now, name)) is not None},
        max_tokens=now.max_tokens,
        stop=now.stop,
        reasoning=now.reasoning,
        format=now.format,
    )
