"""Makes the ids of tool calls unique: some hosts give two calls of one answer the same id, and a result names only one.

The new id is derived from the old one, and both the call and its result carry it in the next turn.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from .model import Reply, ToolCall
from .stream import BlockStart, Event


class UniqueIds:
    """Remembers the ids of one answer."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def of(self, call: ToolCall) -> ToolCall:
        """The call itself, or with another id where an earlier call has its id."""
        id_, number = call.id, 1
        while id_ in self._seen:
            number += 1
            id_ = f"{call.id}-{number}"
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
    ids = [block.id for block in reply.blocks if type(block) is ToolCall]
    if len(ids) == len(set(ids)):
        return reply
    unique = UniqueIds()
    return replace(reply, blocks=tuple(unique.of(b) if type(b) is ToolCall else b for b in reply.blocks))
