"""Tool names that a target forbids: made to fit, free of collisions, the same in every turn, and mapped back.

It knows no dialect: each says by a pattern what it allows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Literal

from msgspec import Struct

from .ir import Request, Tool, ToolCall, ToolResult

_FORBIDDEN = re.compile(r"[^a-zA-Z0-9_-]")


class Alias(Struct, frozen=True):
    """What a tool is called at the client's side, where the wire's name alone would not tell."""

    name: str
    namespace: str | None = None
    kind: Literal["function", "custom"] = "function"


class Names:
    """The two-way table of one request: `wire(name)` going out, `aliases` (only what differs) coming back."""

    def __init__(self, request: Request, fits: re.Pattern[str], limit: int = 64, *, custom: bool = False) -> None:
        """`fits` matches a whole allowed name, of at most `limit` characters; `custom`: the target has custom tools."""
        self.aliases: dict[str, Alias] = {}
        self._wire: dict[tuple[str, str | None], str] = {}
        if not request.tools and not any(True for _ in _called(request)):
            return
        tools = [tool for tool in request.tools if isinstance(tool, Tool)]
        taken = {tool.name for tool in tools if tool.namespace is None and fits.fullmatch(tool.name)}
        for tool in tools:
            plain = tool.namespace is None and (tool.kind == "function" or custom)
            if plain and tool.name in taken:
                continue
            self._add(Alias(tool.name, tool.namespace, "function" if custom else tool.kind), fits, limit, taken)
        for name, namespace in _called(request):
            if (name, namespace) not in self._wire and not (namespace is None and fits.fullmatch(name)):
                self._add(Alias(name, namespace), fits, limit, taken)

    def _add(self, alias: Alias, fits: re.Pattern[str], limit: int, taken: set[str]) -> None:
        full = f"{alias.namespace}__{alias.name}" if alias.namespace else alias.name
        wire = full if fits.fullmatch(full) else _FORBIDDEN.sub("_", full)[:limit]
        if not fits.fullmatch(wire):
            wire = f"t_{wire}"[:limit]
        if wire in taken and not (wire == alias.name and alias.namespace is None):
            # the digest is of the client's name alone, so that every turn of a conversation gets the same one
            digest = sha256(full.encode()).hexdigest()[:8]
            wire = f"{wire[: limit - 9]}_{digest}"
        taken.add(wire)
        self.aliases[wire] = alias
        self._wire[alias.name, alias.namespace] = wire

    def wire(self, name: str, namespace: str | None = None) -> str:
        """The name that the target gets."""
        return self._wire.get((name, namespace), name) if self._wire else name


def _called(request: Request) -> Iterator[tuple[str, str | None]]:
    """The tools that the history and the choice name, on offer or not."""
    for turn in request.turns:
        for block in turn.blocks:
            if type(block) is ToolCall:
                yield block.name, block.namespace
            elif type(block) is ToolResult and block.name:
                yield block.name, None
    if request.tool_choice:
        for name in request.tool_choice.names:
            yield name, None
