"""Remembers which backend keeps a stored response, so that a request that goes on with it returns there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from ..ir import Block, Request, ToolResult
from ..protocols.protocol import Protocol

KEPT = 10_000
"""Responses that are remembered; the oldest are forgotten."""

ID_LENGTH = 200
"""Characters of an id; no provider's are as long."""


class StateOwners:
    """The backend of each stored response that this process relayed."""

    def __init__(self) -> None:
        self._owners: OrderedDict[str, str] = OrderedDict()

    def remember(self, id_: str | None, backend: str) -> None:
        """The client got a response with this id from this backend."""
        if id_ is None or len(id_) > ID_LENGTH:
            return
        self._owners[id_] = backend
        self._owners.move_to_end(id_)
        if len(self._owners) > KEPT:
            self._owners.popitem(last=False)

    def owner(self, ids: Iterable[str]) -> str | None:
        """The backend that keeps the first of these that is known; None where none is."""
        return next((self._owners[id_] for id_ in ids if id_ in self._owners), None)


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
