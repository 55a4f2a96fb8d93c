"""Remembers which backend keeps a stored response, and which client asked for it.

A request that goes on with a response returns to its backend; to another client the response is not there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

from ..ir import Block, Request, ToolResult
from ..protocols.protocol import Protocol

KEPT = 10_000
"""Responses that are remembered; the oldest are forgotten."""

ID_LENGTH = 200
"""Characters of an id; no provider's are as long."""

MOST_NEW = 10_000
"""Responses that wait to be written to the store."""

Owner: TypeAlias = "tuple[str | None, str]"
"""The client and the backend of a stored response."""


class StateOwners:
    """The backend and the client of each stored response that this process relayed.

    `find` looks up in the store what is not remembered, where there is a store; `new` are those that it does not have.
    """

    def __init__(self) -> None:
        self._owners: OrderedDict[str, Owner] = OrderedDict()
        self.find: Callable[[str], Awaitable[Owner | None]] | None = None
        self.new: list[tuple[str, str | None, str]] = []

    def remember(self, id_: str | None, backend: str, client: str | None = None) -> None:
        """The client got a response with this id from this backend."""
        if id_ is None or len(id_) > ID_LENGTH:
            return
        self._keep(id_, (client, backend))
        if self.find is not None and client is not None and len(self.new) < MOST_NEW:
            self.new.append((id_, client, backend))

    def owner(self, ids: Iterable[str]) -> str | None:
        """The backend that keeps the first of these that is known; None where none is."""
        return next((self._owners[id_][1] for id_ in ids if id_ in self._owners), None)

    async def belongs(self, id_: str, client: str) -> bool:
        """Returns whether this client got the response with this id."""
        found = self._owners.get(id_)
        if found is None and self.find is not None and len(id_) <= ID_LENGTH:
            found = await self.find(id_)
            if found is not None:
                self._keep(id_, found)
        return found is not None and found[0] == client

    def _keep(self, id_: str, owner: Owner) -> None:
        self._owners[id_] = owner
        self._owners.move_to_end(id_)
        if len(self._owners) > KEPT:
            self._owners.popitem(last=False)


def reference_of(frontend: Protocol, request: Request) -> str | None:
    """The field by which the request refers to what one account of a provider keeps; None where it is whole."""
    if (state := frontend.stored_state(request)) is not None:
        return state.field
    return "file_id" if any(_is_uploaded(block) for turn in request.turns for block in turn.blocks) else None


def _is_uploaded(block: Block) -> bool:
    """Returns whether a block is a file that was uploaded to a provider."""
    if isinstance(block, ToolResult):
        return any(_is_uploaded(inner) for inner in block.blocks)
    media = getattr(block, "media", None)
    return media is not None and media.file_id is not None
