"""Under which name, and as what, each tool of a client reached the provider, and the way back.

It knows neutral tools and calls and what a dialect allows of them; whether a difference may be is not its matter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TypeAlias

from msgspec.structs import replace

from mockserver.dialects.contract import Dialect, Heard, Understood
from mockserver.offer import paired
from mockserver.speech import Allowed, Block, Call, Choice, Named, Result, Tool, Turn

Named_: TypeAlias = tuple[str | None, str]
"""A namespace, and a name in it."""

Names: TypeAlias = dict[Named_, Tool]
"""A tool as the client calls it -> as the provider was offered it."""

INPUT = "input"
"""The one argument of a function that plays a tool that takes free text."""


def names_of(said: Understood, arrived: Understood) -> Names:
    """The tools of both sides: what has its own name is that one, the others are told apart by their order.

    Where their number differs, and no choice tells which are missing, those that are left are nobody's.
    """
    tools = said.tools
    if len(arrived.tools) != len(tools):
        offered = _chosen(said.tool_choice)
        tools = tuple(tool for tool in tools if tool.name in offered)
    return paired(tools, arrived.tools)


def _chosen(choice: Choice | None) -> tuple[str, ...]:
    match choice:
        case Named(name):
            return (name,)
        case Allowed(names):
            return names
        case _:
            return ()


def wrong_names(names: Names, said: Iterable[Tool], back: Dialect) -> list[str]:
    """Names that were changed without need, in words: only what the dialect forbids may be called otherwise."""
    found = []
    offered = [there.full for there in names.values()]
    for full in dict.fromkeys(one for one in offered if offered.count(one) > 1):
        found.append(f"two tools are offered as {full[1]!r}")
    own = [tool.full for tool in said]
    for tool in said:
        there = names.get(tool.full)
        if there is None:
            continue
        group = tool.namespace if back.namespaces else None
        flat = f"{tool.namespace}__{tool.name}" if tool.namespace and not back.namespaces else tool.name
        if not fits(there.name, back):
            found.append(f"{there.name!r} is no name that {back.name} allows")
        # a flat name may be another tool's own
        elif fits(flat, back) and (tool.namespace is None or (None, flat) not in own) and there.full != (group, flat):
            found.append(f"{tool.full} could be offered as {(group, flat)}, and is as {there.full}")
    return found


def fits(name: str, back: Dialect) -> bool:
    """Whether the dialect allows this name of a tool."""
    return re.fullmatch(back.tool_names, name) is not None


# ---- there and back --------------------------------------------------------------------------------------------------


def as_offered(understood: Understood, names: Names) -> Understood:
    """What a client said, with its tools called as the provider knows them."""
    return replace(
        understood,
        turns=tuple(
            Turn(turn.role, tuple(_offered(block, names) for block in turn.blocks)) for turn in understood.turns
        ),
        tools=tuple(
            tool if there is None else replace(tool, name=there.name, namespace=there.namespace)
            for tool in understood.tools
            for there in [names.get(tool.full)]
        ),
        tool_choice=_choice(understood.tool_choice, names),
    )


def _offered(block: Block, names: Names) -> Block:
    match block:
        case Call():
            there = names.get((block.namespace, block.name))
            if there is None:
                return block
            plays = block.kind == "custom" and there.kind == "function"
            arguments = json.dumps({INPUT: block.arguments}) if plays else block.arguments
            return replace(block, name=there.name, namespace=there.namespace, kind=there.kind, arguments=arguments)
        case Result(name=str(name)):
            there = next((there for full, there in names.items() if full[1] == name), None)
            return block if there is None else replace(block, name=there.name)
        case _:
            return block


def _choice(choice: Choice | None, names: Names) -> Choice | None:
    def one(name: str) -> str:
        return next((there.name for full, there in names.items() if full[1] == name), name)

    match choice:
        case Named(name):
            return Named(one(name))
        case Allowed(chosen, mode):
            return Allowed(tuple(map(one, chosen)), mode)
        case _:
            return choice


def as_known(heard: Heard, names: Names, tools: Iterable[Tool]) -> Heard:
    """What a provider said, with the tools called as the client knows them."""
    own = {tool.full: tool for tool in tools}
    back = {there.full: own[full] for full, there in names.items() if full in own}

    def known(block: Block) -> Block:
        if not isinstance(block, Call):
            return block
        tool = back.get((block.namespace, block.name))
        if tool is None:
            return block
        arguments = block.arguments
        if tool.kind == "custom" and block.kind == "function":
            arguments = _played(arguments)
        elif tool.kind == "function" and block.kind == "custom":
            arguments = json.dumps({INPUT: arguments})
        return replace(block, name=tool.name, namespace=tool.namespace, kind=tool.kind, arguments=arguments)

    return replace(heard, blocks=tuple(map(known, heard.blocks)))


def _played(arguments: str) -> str:
    """The free text in the one argument; whatever else was said stays as it is."""
    try:
        value = json.loads(arguments)
    except ValueError:
        return arguments
    if isinstance(value, dict) and value.keys() == {INPUT} and isinstance(value[INPUT], str):
        return str(value[INPUT])
    return arguments
