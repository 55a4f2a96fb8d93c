"""Under which name, and as what, each tool of a story was offered: a model calls a tool as it was told of it.

It knows neutral tools on both sides, no dialect and no wire.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from .speech import Interleave, Item, SayCall, Tool

INPUT = "input"
"""The one argument of a function that plays a custom tool."""


def as_offered(items: Sequence[Item], tools: Sequence[Tool], offered: Sequence[Tool]) -> tuple[Item, ...]:
    """The items with their calls as `offered` has the tools; `tools` are the story's own.

    A tool that is offered under its own name is that one, the others are told apart by their order. Where another
    number of them is offered than the story has, nobody can tell which is which, and a call keeps its name.
    """
    known = paired(tools, offered)

    def call(said: SayCall) -> SayCall:
        there = known.get((said.namespace, said.name))
        if there is None:
            return said
        fragments = said.fragments
        if said.kind == "custom" and there.kind == "function":
            fragments = tuple(_wrapped(fragments))
        return replace(said, name=there.name, namespace=there.namespace, kind=there.kind, fragments=fragments)

    def one(item: Item) -> Item:
        match item:
            case SayCall():
                return call(item)
            case Interleave(calls):
                return Interleave(tuple(map(call, calls)))
            case _:
                return item

    return tuple(map(one, items))


def paired(tools: Sequence[Tool], offered: Sequence[Tool]) -> dict[tuple[str | None, str], Tool]:
    """Each tool, by its namespace and name, and what it was offered as."""
    there = {tool.full: tool for tool in offered}
    known = {tool.full: there[tool.full] for tool in tools if tool.full in there}
    rest = [tool for tool in tools if tool.full not in known]
    others = [tool for tool in offered if tool.full not in known]
    if len(rest) == len(others):
        known |= {tool.full: other for tool, other in zip(rest, others, strict=True)}
    return known


def _wrapped(fragments: Sequence[str]) -> Iterator[str]:
    """Free text as the JSON of the one argument, in as many pieces and two more."""
    yield f'{{"{INPUT}":"'
    for fragment in fragments:
        yield json.dumps(fragment, ensure_ascii=False)[1:-1]
    yield '"}'
