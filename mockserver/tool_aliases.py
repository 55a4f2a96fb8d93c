"""Maps a story's tool names to the names in the request, which a gateway may have changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from .scenarios.model import Interleave, Item, SayCall, Tool

INPUT_ARGUMENT = "input"
"""The one argument of a function that replaces a custom tool."""


def rename_for_request(items: Sequence[Item], tools: Sequence[Tool], offered: Sequence[Tool]) -> tuple[Item, ...]:
    """Returns the items with their calls renamed to the tools of the request; `tools` are the story's own."""
    aliases = pair_tools(tools, offered)

    def rename_call(call: SayCall) -> SayCall:
        alias = aliases.get((call.namespace, call.name))
        if alias is None:
            return call
        fragments = call.fragments
        if call.kind == "custom" and alias.kind == "function":
            fragments = tuple(_as_json_argument(fragments))
        return replace(call, name=alias.name, namespace=alias.namespace, kind=alias.kind, fragments=fragments)

    def rename(item: Item) -> Item:
        match item:
            case SayCall():
                return rename_call(item)
            case Interleave(calls):
                return Interleave(tuple(map(rename_call, calls)))
            case _:
                return item

    return tuple(map(rename, items))


def pair_tools(tools: Sequence[Tool], offered: Sequence[Tool]) -> dict[tuple[str | None, str], Tool]:
    """Maps the namespace and name of each tool to the offered tool that replaced it.

    Tools with equal names match; the others match by their order. If the numbers of the others differ, they match
    nothing, and a call keeps its name.
    """
    by_name = {tool.full_name: tool for tool in offered}
    aliases = {tool.full_name: by_name[tool.full_name] for tool in tools if tool.full_name in by_name}
    rest = [tool for tool in tools if tool.full_name not in aliases]
    others = [tool for tool in offered if tool.full_name not in aliases]
    if len(rest) == len(others):
        aliases |= {tool.full_name: other for tool, other in zip(rest, others, strict=True)}
    return aliases


def _as_json_argument(fragments: Sequence[str]) -> Iterator[str]:
    """Yields the fragments of a free text as JSON with one argument: an opening and a closing fragment are added."""
    yield f'{{"{INPUT_ARGUMENT}":"'
    for fragment in fragments:
        yield json.dumps(fragment, ensure_ascii=False)[1:-1]
    yield '"}'
