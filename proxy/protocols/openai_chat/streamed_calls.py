"""Tells apart the tool calls of a chat stream, whose pieces are matched by index, by id, or by their order."""

from __future__ import annotations

from typing import Any

from ...ir import Signature
from ...ir.repairs import Repairs
from ...wire import json_fields


class StreamedCall:
    """One call of a stream. It has no block before its name is known; until then its pieces are collected."""

    def __init__(self, id_: str | None) -> None:
        self.id = id_
        self.name: str | None = None
        self.block: int | None = None
        self.custom = False
        self.is_begun = False
        self.extra: dict[str, Any] = {}
        self.pieces: list[str] = []
        self.signature: Signature | None = None

    @property
    def is_whole(self) -> bool:
        """True if the arguments until now are one JSON object, so that nothing more of them can come."""
        return bool(self.pieces) and json_fields.is_object("".join(self.pieces))


class StreamedCalls:
    """The calls of one stream, in the order in which they began.

    "index" tells the calls apart. Compatible hosts leave it out, or give every call the same one: then an id or a name
    that is new begins another call. Others give every piece an id of its own, which begins none.
    """

    def __init__(self, repairs: Repairs) -> None:
        self.all: list[StreamedCall] = []
        self._by_index: dict[int | str, StreamedCall] = {}
        self._by_id: dict[str, StreamedCall] = {}
        self._last: StreamedCall | None = None
        self._repairs = repairs

    def of(self, index: int | str | None, id_: str | None, name: str | None, arguments: object) -> StreamedCall:
        """Returns the call to which a piece with these fields belongs, which may be a new one."""
        if index is None:
            self._repairs.add("index")
            call = self._without_index(id_, name, arguments)
        else:
            call = self._with_index(index, id_, name, arguments)
        if call is None:
            call = StreamedCall(id_)
            self.all.append(call)
        if index is not None:
            self._by_index[index] = call
        if id_ is not None:
            self._by_id.setdefault(id_, call)
        self._last = call
        return call

    def _with_index(
        self, index: int | str, id_: str | None, name: str | None, arguments: object
    ) -> StreamedCall | None:
        known = self._by_index.get(index)
        if known is None:
            return None if name or id_ is None else self._by_id.get(id_)
        if id_ is not None and id_ != known.id:
            same_id = self._by_id.get(id_)
            if same_id is None and known.id is None and not name:
                return known  # its id comes late
            if same_id is None and not name and not known.is_whole:
                return known  # a piece with an id of its own
            self._repairs.add("index")
            return same_id
        if name and id_ is None and known.name and (name != known.name or (known.is_whole and arguments)):
            self._repairs.add("index")
            return None
        return known

    def _without_index(self, id_: str | None, name: str | None, arguments: object) -> StreamedCall | None:
        last = self._last
        if id_ is not None:
            known = self._by_id.get(id_)
            if known is not None:
                return None if name and known.is_whole and arguments else known
            return last if last is not None and not name and arguments and not last.is_whole else None
        if last is None or (name and last.name):
            return None
        return last
