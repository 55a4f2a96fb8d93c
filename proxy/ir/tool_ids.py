"""Makes the ids of tool calls unique: some hosts give two calls of one answer the same id, and a result names only one.

The new id is derived from the old one, and both the call and its result carry it in the next turn. A conversation may
hold equal ids too: hosts count the calls of each answer anew, or leave the ids empty.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence

from msgspec.structs import replace

from .model import Block, Reply, Request, ToolCall, ToolResult
from .stream import BlockStart, Event


class UniqueIds:
    """Remembers the ids of one answer."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def of(self, call: ToolCall) -> ToolCall:
        """The call itself, or with another id where an earlier call has its id."""
        id_, number = call.id, 1
        while not id_ or id_ in self._seen:
            number += 1
            id_ = f"{call.id or 'call'}-{number}"
        self._seen.add(id_)
        return call if id_ == call.id else replace(call, id=id_)

    def events(self, events: Sequence[Event]) -> Sequence[Event]:
        """The events with unique ids."""
        if not any([type(event) is BlockStart and type(event.block) is ToolCall for event in events]):
            return events
        return [
            replace(event, block=self.of(event.block))
            if type(event) is BlockStart and type(event.block) is ToolCall
            else event
            for event in events
        ]


def with_unique_ids(reply: Reply) -> Reply:
    """The reply itself, or with other ids where two of its calls have the same."""
    if len(reply.blocks) < 2:
        return reply
    ids = [block.id for block in reply.blocks if type(block) is ToolCall]
    if len(ids) == len(set(ids)):
        return reply
    unique = UniqueIds()
    return replace(reply, blocks=tuple(unique.of(b) if type(b) is ToolCall else b for b in reply.blocks))


def with_unique_calls(request: Request) -> Request:
    """The request itself, or with other ids where two calls of the conversation have the same or one has none.

    "`tool_use` ids must be unique" is an error of Anthropic's API, and every provider matches a result by its id alone.
    """
    ids = [block.id for turn in request.turns for block in turn.blocks if type(block) is ToolCall]
    if "" not in ids and len(ids) == len(set(ids)):
        return request
    unique = UniqueIds()
    waiting: dict[str, deque[str]] = defaultdict(deque)
    is_answered = False
    turns = []
    for turn in request.turns:
        blocks: list[Block] = []
        for block in turn.blocks:
            if type(block) is ToolCall:
                if is_answered:
                    waiting.clear()
                    is_answered = False
                call = unique.of(block)
                waiting[block.id].append(call.id)
                blocks.append(call)
            elif type(block) is ToolResult:
                is_answered = True
                found = waiting.get(block.id)
                blocks.append(replace(block, id=found.popleft()) if found else block)
            else:
                blocks.append(block)
        is_answered |= turn.role != "assistant"
        turns.append(replace(turn, blocks=tuple(blocks)))
    return replace(request, turns=tuple(turns))
