"""Random test dialogs with exactly one right answer each, to score a model.

The phrasing is that of the training dialogs; names, words and values are unseen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from .dialogs import HELLO
from .invented_words import NOUNS, invented, proper


@dataclass(frozen=True)
class Probe:
    """A conversation, and the text or the tool calls (name, arguments) that the model must answer."""

    kind: str
    messages: list[dict[str, Any]]
    text: str | None = None
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    format: dict[str, Any] | None = None


def probes(seed: int, each: int = 5) -> Iterator[Probe]:
    """Yields this many probes of each kind."""
    dice = Random(seed)
    for make in KINDS:
        for _ in range(each):
            yield make(dice)


def _user(*texts: str) -> list[dict[str, Any]]:
    """Returns messages with these texts, alternately of the user and of the assistant."""
    roles = ("user", "assistant")
    return [{"role": roles[at % 2], "content": text} for at, text in enumerate(texts)]


def _tool(name: str, **types: str) -> dict[str, Any]:
    properties = {key: {"type": type_} for key, type_ in types.items()}
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def _name(dice: Random) -> str:
    """Returns a name of at least three letters, so that another one hardly begins or ends with it by chance."""
    while len(word := invented(dice)) < 3 or not word.isascii() or not word.isalpha():
        pass
    return word


def greeting(dice: Random) -> Probe:
    return Probe("greeting", _user(dice.choice(("Hello!", "Hi!", "Good morning!", "Hello"))), HELLO)


def counting(dice: Random) -> Probe:
    most = dice.randint(3, 15)
    return Probe("counting", _user(f"Count to {most}."), ", ".join(map(str, range(1, most + 1))))


def echo(dice: Random) -> Probe:
    words = " ".join(_name(dice) for _ in range(dice.randint(1, 4)))
    return Probe("echo", _user(f"{dice.choice(('Say', 'Repeat', 'Echo'))}: {words}"), words)


def name(dice: Random) -> Probe:
    who = proper(dice)
    said = (f"My name is {who}.", f"Nice to meet you, {who}.", "What is my name?")
    return Probe("name", _user(*said), f"Your name is {who}.")


def thing(dice: Random) -> Probe:
    what, noun = proper(dice), dice.choice(NOUNS)
    said = (f"My {noun} is called {what}.", f"I will remember {what}.", "Count to 2.", "1, 2")
    return Probe("thing", _user(*said, f"What is my {noun} called?"), f"Your {noun} is called {what}.")


def call(dice: Random) -> Probe:
    tool, key, place = _name(dice), _name(dice), proper(dice)
    messages = _user(f"What is the {tool} in {place}?")
    return Probe("call", messages, calls=[(tool, {key: place})], tools=[_tool(tool, **{key: "string"})])


def choice(dice: Random) -> Probe:
    """One tool of three, at any position."""
    names = [_name(dice) for _ in range(3)]
    key, value = _name(dice), _name(dice)
    tools = [_tool(each, **{key: "string"}) for each in names]
    wanted = dice.choice(names)
    return Probe("choice", _user(f"Use the {wanted} tool for {value}."), calls=[(wanted, {key: value})], tools=tools)


def arguments(dice: Random) -> Probe:
    """Two arguments of different types, given in either order."""
    tool, one, two = _name(dice), *sorted({_name(dice), _name(dice) + "q"})
    given = {one: _name(dice), two: dice.randrange(100)}
    parts = [f"{key} {value}" for key, value in given.items()]
    dice.shuffle(parts)
    return Probe(
        "arguments",
        _user(f"Use {tool} with {parts[0]} and {parts[1]}."),
        calls=[(tool, given)],
        tools=[_tool(tool, **{one: "string", two: "integer"})],
    )


def without_arguments(dice: Random) -> Probe:
    """A tool that is named and given nothing, though it takes a place; another is not to be called."""
    tool, other, key = _name(dice), _name(dice) + "q", _name(dice)
    tools = [_tool(each, **{key: "string"}) for each in (tool, other)]
    for each in tools:
        del each["function"]["parameters"]["required"]
    dice.shuffle(tools)
    messages = _user(f"{tool.capitalize()}, but {other} nothing.")
    return Probe("without_arguments", messages, calls=[(tool, {})], tools=tools)


def introduced(dice: Random) -> Probe:
    """A request after a few other words."""
    tool, key, place = _name(dice), _name(dice), proper(dice)
    messages = _user(f"{proper(dice)} {_name(dice)}: first the {tool} in {place}.")
    return Probe("introduced", messages, calls=[(tool, {key: place})], tools=[_tool(tool, **{key: "string"})])


def parallel(dice: Random) -> Probe:
    tool, key, here, there = _name(dice), _name(dice), proper(dice), proper(dice)
    calls = [(tool, {key: here}), (tool, {key: there})]
    messages = _user(f"What is the {tool} in {here} and in {there}?")
    return Probe("parallel", messages, calls=calls, tools=[_tool(tool, **{key: "string"})])


def nothing(dice: Random) -> Probe:
    """A call without arguments."""
    tool = _name(dice)
    return Probe("nothing", _user(f"Call {tool}."), calls=[(tool, {})], tools=[_tool(tool)])


def result(dice: Random) -> Probe:
    tool, key, place = _name(dice), _name(dice), proper(dice)
    found = _found(dice)
    messages = [*_user(f"What is the {tool} in {place}?"), *_step(tool, {key: place}, found)]
    return Probe("result", messages, f"The tool says: {found}", tools=[_tool(tool, **{key: "string"})])


def _found(dice: Random) -> str:
    return f"{dice.randrange(100)} {_name(dice)} {_name(dice)}"


def _step(tool: str, arguments: dict[str, Any], found: str) -> list[dict[str, Any]]:
    """Returns a call and its result."""
    made = {"type": "function", "function": {"name": tool, "arguments": arguments}}
    return [{"role": "assistant", "content": "", "tool_calls": [made]}, {"role": "tool", "content": found}]


def _two_tools(dice: Random) -> tuple[list[str], list[str], list[dict[str, Any]]]:
    """Returns the names, the keys and the definitions, in any order, of two tools with one argument each."""
    names, keys = [_name(dice), _name(dice) + "q"], [_name(dice), _name(dice)]
    tools = [_tool(name, **{key: "string"}) for name, key in zip(names, keys, strict=True)]
    dice.shuffle(tools)
    return names, keys, tools


def next_step(dice: Random) -> Probe:
    """The second of two calls that were asked for, after the result of the first."""
    (one, two), (key, other), tools = _two_tools(dice)
    what, then = proper(dice), proper(dice)
    messages = [*_user(f"Use {one} for {what}, then use {two} for {then}."), *_step(one, {key: what}, _found(dice))]
    return Probe("next_step", messages, calls=[(two, {other: then})], tools=tools)


def last_step(dice: Random) -> Probe:
    """The answer after both of two calls that were asked for."""
    (one, two), (key, other), tools = _two_tools(dice)
    what, then, found = proper(dice), proper(dice), _found(dice)
    messages = [
        *_user(f"Use {one} for {what}, then use {two} for {then}."),
        *_step(one, {key: what}, _found(dice)),
        *_step(two, {other: then}, found),
    ]
    return Probe("last_step", messages, f"The tool says: {found}", tools=tools)


def passed_on(dice: Random) -> Probe:
    """A second call whose argument is in the result of the first."""
    (one, two), (key, other), tools = _two_tools(dice)
    what, value = proper(dice), str(dice.randrange(1000, 10000))
    messages = [
        *_user(f"Find {what}'s {_name(dice)} and {two} it."),
        *_step(one, {key: what}, f"the {other} is {value}"),
    ]
    return Probe("passed_on", messages, calls=[(two, {other: value})], tools=tools)


def told_by_result(dice: Random) -> Probe:
    """A second call that the result of the first asks for."""
    (one, two), (key, other), tools = _two_tools(dice)
    what, then = proper(dice), proper(dice)
    messages = [*_user(f"Use {one} for {what}."), *_step(one, {key: what}, f"Now use {two} for {then}.")]
    return Probe("told_by_result", messages, calls=[(two, {other: then})], tools=tools)


def form(dice: Random) -> Probe:
    key, value, age = _name(dice), proper(dice), dice.randrange(100)
    schema = {"type": "object", "properties": {key: {"type": "string"}, "age": {"type": "integer"}}}
    text = f'{{"{key}": "{value}", "age": {age}}}'
    return Probe("form", _user(f"The {key} is {value} and age is {age}."), text, format=schema)


def unneeded(dice: Random) -> Probe:
    """A tool is defined but not needed."""
    return Probe("unneeded", _user("Hello!"), HELLO, tools=[_tool(_name(dice), **{_name(dice): "string"})])


KINDS = (
    *(greeting, counting, echo, name, thing),
    *(call, choice, arguments, without_arguments, introduced, parallel, nothing, result, form, unneeded),
    *(next_step, last_step, passed_on, told_by_result),
)
