"""Keeps the decoded tools of recent requests by their bytes: a conversation sends the same ones with each request.

A model's vendor caches a prompt only while its tools stay the same to the byte, so clients keep them so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from msgspec import Struct

from ..errors import Malformed
from ..wire.byte_count import SPARSE, count
from ..wire.duplicate_keys import repeats_none
from ..wire.json_fields import LARGE, parse, raw_object, take
from .model import Opaque, Tool

Tools: TypeAlias = tuple[Tool | Opaque, ...]

FEWEST, MOST = 2048, 128 * 1024
"""Bytes of tools that are kept: fewer are decoded as quickly, more are rare."""

KEPT = 512 * 1024
"""Bytes of all tools of a protocol that are kept; decoded they take some ten times as much."""

SEEN = 1000
"""Texts of tools that are known to have come once."""


class _Kept(Struct, frozen=True):
    tools: Tools
    colons: int
    """The colons in their text."""


class KnownTools:
    """The tools of recent requests of one protocol; `decode` makes them of the list in a request's `tools`."""

    def __init__(self, decode: Callable[[list[Any]], Tools]) -> None:
        self.decode = decode
        self._kept: dict[bytes, _Kept] = {}
        self._seen: set[int] = set()
        """Hashes of the texts that came once."""

    def request_fields(self, body: bytes) -> dict[str, Any] | None:
        """The fields of a request, its tools decoded; None where they are new or few, or anything is out of order."""
        if not FEWEST <= len(body) <= LARGE or count(body, b"{") * SPARSE < len(body):
            return None  # prose and pictures are parsed but once
        try:
            raw = raw_object(body)
            text = bytes(raw.get("tools", b""))
            kept = self._kept.get(text) if FEWEST <= len(text) <= MOST else None
            if kept is None and (kept := self._decoded(text)) is None:
                return None
            fields = {key: parse(bytes(value)) for key, value in raw.items() if key != "tools"}
        except (Malformed, RecursionError):
            return None
        if not repeats_none(body, fields, kept.colons + 1):
            return None
        return {key: fields.get(key, kept.tools) for key in raw}

    def _decoded(self, text: bytes) -> _Kept | None:
        """Decodes tools that come again and keeps them; None for others, and where they are not as they should be."""
        if not FEWEST <= len(text) <= MOST or self._is_new(text):
            return None
        value = parse(text)
        if type(value) is not list or not repeats_none(text, value):
            return None
        kept = _Kept(self.decode(value), text.count(b":"))
        self._kept[text] = kept
        while sum(map(len, texts := list(self._kept))) > KEPT:  # the oldest go first
            self._kept.pop(texts[0], None)  # another thread may have done so
        return kept

    def _is_new(self, text: bytes) -> bool:
        if (mark := hash(text)) in self._seen:
            return False
        if len(self._seen) >= SEEN:
            self._seen.clear()
        self._seen.add(mark)
        return True


def take_tools(body: dict[str, Any], decode: Callable[[list[Any]], Tools]) -> Tools:
    """Takes the tools of a request, decoded already or not yet."""
    tools = body.pop("tools", None)
    if type(tools) is tuple:
        return tools
    return decode(take({"tools": tools}, "tools", list, []))
