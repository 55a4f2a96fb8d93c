"""Tasks of several steps: after the result of a call the model calls again."""

from __future__ import annotations

from random import Random
from typing import Any

from .dialog import Dialog
from .invented_words import KEYS, identifier, invented, phrase, proper, word
from .tool_tasks import NEAR, VERBS, finding, short_value, spoken, tool, tool_names, types_of


def steps(dialog: Dialog, dice: Random) -> None:
    """Adds a request of several calls, one after the other, with their results; it may end after any call."""
    dice.choices((one_by_one, passed_on, told_by_result, everywhere, by_half_names), (4, 3, 3, 1, 1))[0](dialog, dice)


Step = list[tuple[str, dict[str, Any]]]
"""Calls that are made at once, each a name and its arguments."""


def play(dialog: Dialog, dice: Random, calls: list[Step], found: list[str]) -> None:
    """Adds the calls with their results after each step, and the answer made from the last results.

    An error ends them. `found` are the results of the first steps, for those that are not random.
    """
    results: list[str] = []
    for at, step in enumerate(calls):
        dialog.call(step)
        if dice.random() < 0.12:
            return
        failed = dice.random() < 0.08
        results = [found[at] if at < len(found) else finding(dice, 4) for _ in step]
        if failed:
            results[-1] = "Error: " + phrase(dice, 3)
        dialog.messages += [{"role": "tool", "content": text} for text in results]
        if failed:
            break
    dialog.answer("The tool says: " + "; ".join(results), "The result.")


def small_tools(dice: Random, many: int) -> list[dict[str, Any]]:
    """Returns tool definitions that mostly have one key, so that a dialog of several steps stays short."""
    return [tool(name, dice, one_key=dice.random() < 0.85) for name in tool_names(dice, many)]


def clause(dice: Random, function: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Returns a part of a sentence that asks for a call, and the call's arguments."""
    given = {key: short_value(dice, type_) for key, type_ in types_of(function).items()}
    said = spoken(function["name"], dice)
    verb = dice.choice(VERBS).format(said)
    verb = verb[0].lower() + verb[1:]
    if not given:
        return verb, given
    if len(given) == 1:
        (what,) = given.values()
        near = dice.choice(NEAR)
        return dice.choice((f"{verb} {near} {what}", f"{said} {near} {what}", f"{verb} with {what}")), given
    parts = [f"{key} {what}" for key, what in given.items()]
    dice.shuffle(parts)
    return f"{verb} with {', '.join(parts[:-1])} and {parts[-1]}", given


def upper(text: str) -> str:
    return text[0].upper() + text[1:]


def one_by_one(dialog: Dialog, dice: Random) -> None:
    """Adds a request that says every call: use one tool, then another."""
    dialog.tools = small_tools(dice, dice.choice((2, 2, 2, 3)))
    chosen = dice.sample(dialog.tools, min(len(dialog.tools), dice.choice((2, 2, 2, 2, 3))))
    said, calls = [], []
    for each in chosen:
        function = each["function"]
        name, types = function["name"], types_of(function)
        if list(types.values()) == ["string"] and dice.random() < 0.2:  # for two things at once
            key, things = next(iter(types)), [proper(dice), proper(dice)]
            said.append(f"{spoken(name, dice)} {dice.choice(NEAR)} {' and '.join(things)}")
            calls.append([(name, {key: thing}) for thing in things])
            continue
        text, given = clause(dice, function)
        said.append(text)
        calls.append([(name, given)])
    joint = dice.choice((", then ", " and then ", "; then ", ". Then ", ", and then ", " and "))
    dialog.ask(upper(joint.join(said)) + dice.choice((".", "", ", please.")))
    play(dialog, dice, calls, [])


def passed_on(dialog: Dialog, dice: Random) -> None:
    """Adds a request whose second call takes its argument from the first one's result."""
    first, second = tool_names(dice, 2)
    tools = [tool(first, dice, one_key=True), tool(second, dice, one_key=True)]
    (key, type_), (taken, taken_type) = (next(iter(types_of(each["function"]).items())) for each in tools)
    what = short_value(dice, type_)
    loose = (
        f"Find {what}'s {word(dice)}",
        f"Find the {what}'s {phrase(dice, 2)}",
        f"Get {what}'s {phrase(dice, 2)}",
        f"Find the {taken.replace('_', ' ')} of {what}",
        f"Look up {what}",
        f"{invented(dice).capitalize()} {what}",
        f"Find out about {what}",
    )
    text = dice.choice(loose) if dice.random() < 0.6 else upper(clause_of(dice, first, what))
    again = spoken(second, dice)
    end = dice.choice(("{n} it", "use {n} for it", "call {n} with it", "{n} that", "use {n} with it", "then {n} it"))
    dialog.ask(text + dice.choice((" and ", ", and ", ", then ", " and then ")) + end.format(n=again) + ".")
    dialog.tools = sorted(tools, key=lambda _: dice.random())
    passed: Any = dice.randrange(10000) if taken_type == "integer" or dice.random() < 0.3 else word(dice)
    found = dice.choice(("the {k} is {v}", "The {k} is {v}", "{k}: {v}", "{v}", "it is {v}", "{w} is {v}")).format(
        k=taken.replace("_", " "), v=passed, w=phrase(dice, 3)
    )
    given = passed if taken_type == "integer" else str(passed)
    play(dialog, dice, [[(first, {key: what})], [(second, {taken: given})]], [found])


def clause_of(dice: Random, name: str, what: Any) -> str:
    """Returns a part of a sentence that asks for a call with one argument."""
    verb = dice.choice(VERBS).format(spoken(name, dice))
    return f"{verb} {dice.choice(NEAR)} {what}"


def everywhere(dialog: Dialog, dice: Random) -> None:
    """Adds a request to ask two tools the same; other tools are not about it."""
    kind = word(dice).lower()
    first, second = tool_names(dice, 2)
    key = identifier(dice, KEYS)
    tools = []
    for name in (first, second):
        about = dice.choice(("Search the {} {}.", "The {} {}.", "Look into the {} {}.")).format(word(dice), kind)
        made = tool(name, dice, one_key=True, about=about)
        made["function"]["parameters"]["properties"] = {key: {"type": "string"}}
        tools.append(made)
    for name in tool_names(dice, dice.choice((0, 0, 0, 1)), (first, second)):
        tools.insert(dice.randint(0, len(tools)), tool(name, dice))
    dialog.tools = tools
    what = phrase(dice, 2)
    form = dice.choice(
        ("Look for {} in both {}s.", "Look for the {} in both {}s.", "Find {} in both {}s.", "{} in both {}s?")
    )
    dialog.ask(form.format(what, kind))
    play(dialog, dice, [[(first, {key: what})], [(second, {key: what})]], [])


def by_half_names(dialog: Dialog, dice: Random) -> None:
    """Adds a request of two calls that names each tool by a part of its name."""
    one, two = invented(dice), invented(dice)
    if one == two:
        two += "y"
    words = (word(dice), word(dice))
    tools: list[dict[str, Any]] = []
    calls: list[Step] = []
    for part, what in zip((one, two), words, strict=True):
        made = tool(compound(dice, part), dice, one_key=True)
        keys = () if tools and dice.random() < 0.4 else tuple(types_of(made["function"]))
        made["function"]["parameters"]["properties"] = {key: {"type": "string"} for key in keys}
        tools.append(made)
        calls.append([(made["function"]["name"], dict.fromkeys(keys, what))])
    for name in tool_names(dice, dice.choice((0, 0, 0, 1)), [name for ((name, _),) in calls]):
        tools.append(tool(name, dice))
    dialog.tools = sorted(tools, key=lambda _: dice.random())
    near, again = dice.choice(("the ", "both ", "all ", "")), dice.choice(("the ", ""))
    dialog.ask(f"{upper(one)} {near}{words[0]} and {two} {again}{words[1]}.")
    play(dialog, dice, calls, [])


def compound(dice: Random, part: str) -> str:
    """Returns a tool's name that contains a word."""
    joint = dice.choice(("_", "_", ".", ":", "-", "__"))
    others = [invented(dice) for _ in range(dice.choice((1, 1, 1, 1, 2)))]
    if dice.random() < 0.1:
        return f"{dice.randrange(10)}{part}"
    others.insert(dice.randint(0, len(others)), part)
    return joint.join(others)


def told_by_result(dialog: Dialog, dice: Random) -> None:
    """Adds a request of one call, the result of which names another."""
    use_one(dialog, dice)
    pointer(dialog, dice)


def use_one(dialog: Dialog, dice: Random) -> None:
    """Adds a request and its call of one tool among several."""
    dialog.tools = small_tools(dice, dice.choice((2, 2, 3)))
    function = dice.choice(dialog.tools)["function"]
    text, given = clause(dice, function)
    dialog.ask(upper(text) + ".")
    dialog.call([(function["name"], given)])


def pointer(dialog: Dialog, dice: Random) -> None:
    """Adds a result that names the next call, that call, its result and the answer."""
    function = dice.choice(dialog.tools)["function"]
    text, given = clause(dice, function)
    text = dice.choice(("Now {}", "Next: {}", "First {}", "{}", "Please {}", "You must {}")).format(text)
    dialog.messages.append({"role": "tool", "content": upper(text) + dice.choice((".", ""))})
    play(dialog, dice, [[(function["name"], given)]], [])
