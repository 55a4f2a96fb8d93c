"""Mapping of tool names that the target protocol forbids to valid ones, and back.

The mapped names are free of collisions and the same in every turn of a conversation. A protocol passes the pattern of
the names it allows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Literal

from msgspec import Struct

from .model import Request, Tool, ToolCall, ToolResult

_FORBIDDEN = re.compile(r"[^a-zA-Z0-9_-]")


class Alias(Struct, frozen=True):
    """A tool's name, namespace and kind as the client knows them, where the wire name alone does not give them."""

    name: str
    namespace: str | None = None
    kind: Literal["function", "custom"] = "function"


class ToolNameMap:
    """Two-way tool name mapping of one request: `wire(name)` for the request, `aliases` (by wire name) for the reply.

    `aliases` holds only the names that differ.
    """

    def __init__(self, request: Request, fits: re.Pattern[str], limit: int = 64, *, custom: bool = False) -> None:
        """Maps the names of the request's tools, calls and results.

        `fits` matches an allowed name of at most `limit` characters; `custom` is true if the target has custom tools.
        """
        self.aliases: dict[str, Alias] = {}
        self._wire: dict[tuple[str, str | None], str] = {}
        if not request.tools and not any(True for _ in _names_in_history(request)):
            return
        tools = [tool for tool in request.tools if isinstance(tool, Tool)]
        taken = {tool.name for tool in tools if tool.namespace is None and fits.fullmatch(tool.name)}
        for tool in tools:
            plain = tool.namespace is None and (tool.kind == "function" or custom)
            if plain and tool.name in taken:
                continue
            self._add(Alias(tool.name, tool.namespace, "function" if custom else tool.kind), fits, limit, taken)
        for name, namespace in _names_in_history(request):
            if (name, namespace) not in self._wire and not (namespace is None and fits.fullmatch(name)):
                self._add(Alias(name, namespace), fits, limit, taken)

    def _add(self, alias: Alias, fits: re.Pattern[str], limit: int, taken: set[str]) -> None:
        full = f"{alias.namespace}__{alias.name}" if alias.namespace else alias.name
        wire = full if fits.fullmatch(full) else _FORBIDDEN.sub("_", full)[:limit]
        if not fits.fullmatch(wire):
            wire = f"t_{wire}"[:limit]
        if wire in taken and not (wire == alias.name and alias.namespace is None):
            # the digest depends only on the client's name, so that it is the same in every turn of a conversation
            digest = sha256(full.encode()).hexdigest()[:8]
            wire = f"{wire[: limit - 9]}_{digest}"
        taken.add(wire)
        self.aliases[wire] = alias
        self._wire[alias.name, alias.namespace] = wire

    def wire(self, name: str, namespace: str | None = None) -> str:
        """Returns the name to send to the target."""
        return self._wire.get((name, namespace), name) if self._wire else name


def _names_in_history(request: Request) -> Iterator[tuple[str, str | None]]:
    """Yields the name and namespace of every tool that a call, a result or the tool choice names, defined or not."""
    for turn in request.turns:
        for block in turn.blocks:
            if type(block) is ToolCall:
                yield block.name, block.namespace
            elif type(block) is ToolResult and block.name:
                yield block.name, None
    if request.tool_choice:
        for name in request.tool_choice.names:
            yield name, None
