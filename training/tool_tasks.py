"""Tasks with tools: a request, the calls that it asks for, and the answer made from their results."""

from __future__ import annotations

import json
from collections.abc import Collection
from random import Random
from typing import Any

from .dialog import Dialog
from .invented_words import KEYS, identifier, invented, phrase, proper, tool_name, word


def offer(dice: Random, most: int = 4) -> list[dict[str, Any]]:
    """Returns one to `most` tool definitions with different names."""
    return [tool(name, dice) for name in tool_names(dice, dice.randint(1, most))]


def tool_names(dice: Random, many: int, without: Collection[str] = ()) -> list[str]:
    """Returns this many different names of tools, none of them of `without`."""
    names: list[str] = []
    while len(names) < many:
        name = tool_name(dice)
        if name not in names and name not in without:
            names.append(name)
    return names


def tool(name: str, dice: Random, *, one_key: bool = False, about: str = "") -> dict[str, Any]:
    """Returns a tool definition with random keys, sometimes with a description; `about` is a given one."""
    many = 1 if one_key else dice.choices((0, 1, 2, 3), (1, 6, 3, 1))[0]
    keys = {identifier(dice, KEYS) for _ in range(many)}
    properties = {key: {"type": dice.choices(("string", "integer"), (5, 1))[0]} for key in sorted(keys)}
    function: dict[str, Any] = {"name": name, "parameters": {"type": "object", "properties": properties}}
    if about:
        function["description"] = about
    elif dice.random() < 0.5:
        subject = name.replace("_", " ")
        told = (f"The {subject} of a place.", f"Find the {subject}.", f"{subject.capitalize()}.", phrase(dice) + ".")
        function["description"] = dice.choice(told)
    return {"type": "function", "function": function}


VERBS = ("Use the {} tool", "Call {}", "Use {}", "Please call {}", "I need the {}", "Run {}", "Call the {} tool")
NEAR = ("for", "in", "of", "at", "with", "on", "about")


def types_of(function: dict[str, Any]) -> dict[str, str]:
    """Returns the types of a function's parameters by key."""
    return {key: schema["type"] for key, schema in function["parameters"]["properties"].items()}


def value(dice: Random, type_: str) -> Any:
    return dice.randrange(100) if type_ == "integer" else phrase(dice, dice.choice((1, 1, 2, 3, 4)))


def short_value(dice: Random, type_: str) -> Any:
    return dice.randrange(100) if type_ == "integer" else phrase(dice, dice.choice((1, 1, 1, 2)))


def spoken(name: str, dice: Random) -> str:
    return name.replace("_", " ") if dice.random() < 0.3 else name


def use(dialog: Dialog, dice: Random) -> None:
    """Adds a request that calls a tool, by its name, by its key or, if it is the only tool, by any wording."""
    dialog.tools = dialog.tools or offer(dice)
    function = dice.choice(dialog.tools)["function"]
    name, types = function["name"], types_of(function)
    if list(types.values()) == ["string"] and dice.random() < 0.35:
        several(dialog, dice, name, next(iter(types)))
        return
    said = spoken(name, dice)
    if types and dice.random() < 0.1:
        dialog.ask(without_arguments(dialog, dice, said))
        dialog.call([(name, {})])
        return
    given = {key: value(dice, type_) for key, type_ in types.items()}
    if not given:
        dialog.ask(dice.choice((*VERBS, "What is the {}", "Look at the {}")).format(said) + dice.choice((".", "", "?")))
    elif len(given) == 1:
        (what,) = given.values()
        near = dice.choice(NEAR)
        form = dice.choice(
            ("What is the {n} {p} {v}?", "{V} {p} {v}.", "{n} {p} {v}, please.", "The {n} {p} {v}?", "{N} for {v}.")
        ).format(n=said, N=said.capitalize(), p=near, v=what, V=dice.choice(VERBS).format(said))
        if len(dialog.tools) == 1 and dice.random() < 0.5:
            loose = (
                "Is it {w} in {v}?",
                "How {w} is it at {v} now?",
                "What does {v} {w}?",
                "Check {v}.",
                "{W} {v} for me.",
            )
            form = dice.choice((*loose, "How {w} is {v}?", "Find {v}.", "Get me {v}.", "What about {v}?")).format(
                w=invented(dice), W=invented(dice).capitalize(), v=what
            )
        dialog.ask(introduced(form, dice) if dice.random() < 0.1 else form)
    else:
        parts = [f"{key.replace('_', ' ') if dice.random() < 0.2 else key} {what}" for key, what in given.items()]
        dice.shuffle(parts)
        dialog.ask(dice.choice(VERBS).format(said) + " with " + ", ".join(parts[:-1]) + " and " + parts[-1] + ".")
    dialog.call([(name, given)])
    if dice.random() < 0.4:
        result(dialog, dice, 1)


def without_arguments(dialog: Dialog, dice: Random, said: str) -> str:
    """Returns a request that names a tool and gives it nothing, sometimes with one that is not to be called."""
    others = [each["function"]["name"] for each in dialog.tools if each["function"]["name"] != said]
    other = dice.choice(others) if others and dice.random() < 0.4 else word(dice).lower()
    forms = ("{N}, but {o} {w}.", "{N}, but {o} nothing.", "{N} but do not {o}.", "{N} {w}, not {o}.", "{N}.")
    form = dice.choice((*forms, *forms[:2]))
    return form.format(N=said[0].upper() + said[1:], o=other, w=phrase(dice, 3))


def introduced(request: str, dice: Random) -> str:
    """Returns a request with a few words before it."""
    words = phrase(dice, dice.randint(1, 4))
    start = dice.choice(("", "first ", "now ", "then ", f"{invented(dice)} "))
    return f"{words[0].upper()}{words[1:]}: {start}{request[0].lower()}{request[1:]}"


def several(dialog: Dialog, dice: Random, name: str, key: str) -> None:
    """Adds a request that calls one tool for two or three things in parallel."""
    things = [proper(dice) if dice.random() < 0.7 else invented(dice) for _ in range(dice.choice((2, 2, 3)))]
    near = dice.choice(("in ", "for ", "of ", "at "))
    again = near if dice.random() < 0.4 else ""
    listed = ", ".join([things[0], *(again + thing for thing in things[1:-1])]) + f" and {again}{things[-1]}"
    form = dice.choice(
        ("What is the {n} {p}{v}?", "Compare the {n} {p}{v}.", "{n} {p}{v}, please.", "Use {n} for {v}.")
    )
    dialog.ask(form.format(n=spoken(name, dice), p=near, v=listed))
    dialog.call([(name, {key: thing}) for thing in things])
    if dice.random() < 0.6:
        result(dialog, dice, len(things))


def result(dialog: Dialog, dice: Random, many: int) -> None:
    """Adds the results of the calls, and the answer made from them."""
    found = []
    for _ in range(many):
        text = finding(dice)
        if dice.random() < 0.1:
            text = f"Error: {text}"
        found.append(text)
        dialog.messages.append({"role": "tool", "content": text})
    dialog.answer("The tool says: " + "; ".join(found), "The result.")


def finding(dice: Random, most: int = 6) -> str:
    """Returns the text of a result, of one to `most` words or a few more."""
    text = phrase(dice, most)
    if dice.random() < 0.4:
        text = f"{dice.randrange(100)} {text}"
    if dice.random() < 0.1:
        text = json.dumps({identifier(dice, KEYS): text})
    return text
