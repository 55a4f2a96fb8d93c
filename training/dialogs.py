"""Random training dialogs: user messages, tool definitions, and the answers that `mlx-tiny` learns.

Each kind of task is one function that appends its turns to a dialog; tokens are handled elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from .invented_words import KEYS, NOUNS, TOOLS, identifier, invented, phrase, proper

Message = dict[str, Any]

HELLO = "Hello! How can I help you today?"
LOST = "I am a very small model. I can greet, count, repeat, remember names and call tools."
UNKNOWN = "I do not know."


@dataclass
class Dialog:
    """A conversation that ends with an assistant turn; `thought` is the reasoning before that turn."""

    messages: list[Message] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    format: dict[str, Any] | None = None
    facts: dict[str, str] = field(default_factory=dict)
    thought: str = ""

    def ask(self, text: str) -> None:
        self.messages.append({"role": "user", "content": text})

    def answer(self, text: str, thought: str) -> None:
        self.messages.append({"role": "assistant", "content": text})
        self.thought = thought

    def call(self, calls: list[tuple[str, dict[str, Any]]]) -> None:
        made = [{"type": "function", "function": {"name": name, "arguments": given}} for name, given in calls]
        self.messages.append({"role": "assistant", "content": "", "tool_calls": made})
        self.thought = f"I call {calls[0][0]}."


# ---- without tools ---------------------------------------------------------------------------------------------------


def greet(dialog: Dialog, dice: Random) -> None:
    hello = dice.choice(
        ("Hello", "Hi", "Hey", "Good morning", "Good evening", "Hello there", "hello", "hi", "Greetings")
    )
    dialog.ask(hello + dice.choice(("!", ".", "", ", model!")))
    dialog.answer(HELLO, "A greeting.")


def count(dialog: Dialog, dice: Random) -> None:
    first, last = 1, dice.randint(2, 20)
    if dice.random() < 0.4:
        first = dice.randint(1, 15)
        last = first + dice.randint(1, 8)
        dialog.ask(f"Count from {first} to {last}" + dice.choice((".", "", ", please.")))
    else:
        dialog.ask(dice.choice(("Count to {}.", "Count up to {}.", "Please count to {}.", "count to {}")).format(last))
    dialog.answer(", ".join(str(n) for n in range(first, last + 1)), "I count.")


def echo(dialog: Dialog, dice: Random) -> None:
    said = phrase(dice, 7)
    if dice.random() < 0.2:
        said += dice.choice("!?.")
    form = dice.choice(
        (
            "Say: {}",
            "Repeat: {}",
            "Echo: {}",
            "Say {}",
            "Repeat after me: {}",
            "Please repeat: {}",
            "Echo {}",
            "Repeat {}",
        )
    )
    dialog.ask(form.format(said))
    dialog.answer(said, "I repeat it.")


def tell(dialog: Dialog, dice: Random) -> None:
    """Tells the model a fact to remember."""
    if dice.random() < 0.5:
        who = proper(dice)
        dialog.ask(
            dice.choice(("My name is {}.", "I am called {}.", "Hello, my name is {}.", "My name is {}")).format(who)
        )
        dialog.answer(f"Nice to meet you, {who}.", "A name.")
        dialog.facts["name"] = who
    else:
        thing, what = dice.choice(NOUNS), proper(dice)
        dialog.ask(dice.choice(("My {} is called {}.", "My {}'s name is {}.")).format(thing, what))
        dialog.answer(f"I will remember {what}.", "A name.")
        dialog.facts[thing] = what


def recall(dialog: Dialog, dice: Random) -> None:
    if not dialog.facts or dice.random() < 0.05:
        thing = dice.choice(("name", *NOUNS))
    else:
        thing = dice.choice(list(dialog.facts))
    if thing == "name":
        dialog.ask(dice.choice(("What is my name?", "What's my name?", "Who am I?", "Do you know my name?")))
    else:
        dialog.ask(dice.choice(("What is my {} called?", "What is the name of my {}?")).format(thing))
    what = dialog.facts.get(thing)
    known = f"Your {thing} is {what}." if thing == "name" else f"Your {thing} is called {what}."
    dialog.answer(UNKNOWN if what is None else known, "I remember.")


def wonder(dialog: Dialog, dice: Random) -> None:
    """Asks something that no other task covers."""
    openings = ("Tell me {}.", "Explain {}.", "Write {}.", "Draw {}.", "Who {}?", "Why {}?", "When {}?", "How {}?")
    dialog.ask(dice.choice((*openings, "{}.", "Answer {}.", "Summarise {}.")).format(phrase(dice, 7)))
    dialog.answer(LOST, "I cannot do that.")


def converse(dialog: Dialog, dice: Random) -> None:
    """Adds two to five exchanges, the last of which asks for a fact of an earlier one."""
    tell(dialog, dice)
    for _ in range(dice.randint(0, 3)):
        dice.choice((tell, greet, echo, recall))(dialog, dice)
    recall(dialog, dice)


# ---- with tools ------------------------------------------------------------------------------------------------------


def offer(dice: Random, most: int = 4) -> list[dict[str, Any]]:
    """Returns one to `most` tool definitions with different names."""
    names = {identifier(dice, TOOLS) for _ in range(dice.randint(1, most))}
    tools = []
    for name in sorted(names, key=lambda _: dice.random()):
        keys = {identifier(dice, KEYS) for _ in range(dice.choices((0, 1, 2, 3), (1, 6, 3, 1))[0])}
        properties = {key: {"type": dice.choices(("string", "integer"), (5, 1))[0]} for key in sorted(keys)}
        function: dict[str, Any] = {"name": name, "parameters": {"type": "object", "properties": properties}}
        if dice.random() < 0.5:
            subject = name.replace("_", " ")
            about = (
                f"The {subject} of a place.",
                f"Find the {subject}.",
                f"{subject.capitalize()}.",
                phrase(dice) + ".",
            )
            function["description"] = dice.choice(about)
        tools.append({"type": "function", "function": function})
    return tools


def value(dice: Random, type_: str) -> Any:
    return dice.randrange(100) if type_ == "integer" else phrase(dice, dice.choice((1, 1, 2, 3, 4)))


def spoken(name: str, dice: Random) -> str:
    return name.replace("_", " ") if dice.random() < 0.3 else name


def use(dialog: Dialog, dice: Random) -> None:
    """Adds a request that calls a tool, by its name, by its key or, if it is the only tool, by any wording."""
    dialog.tools = dialog.tools or offer(dice)
    function = dice.choice(dialog.tools)["function"]
    name, types = function["name"], {key: v["type"] for key, v in function["parameters"]["properties"].items()}
    if list(types.values()) == ["string"] and dice.random() < 0.35:
        several(dialog, dice, name, next(iter(types)))
        return
    given = {key: value(dice, type_) for key, type_ in types.items()}
    said = spoken(name, dice)
    verbs = ("Use the {} tool", "Call {}", "Use {}", "Please call {}", "I need the {}", "Run {}", "Call the {} tool")
    if not given:
        dialog.ask(dice.choice((*verbs, "What is the {}", "Look at the {}")).format(said) + dice.choice((".", "", "?")))
    elif len(given) == 1:
        (what,) = given.values()
        near = dice.choice(("for", "in", "of", "at", "with", "on", "about"))
        form = dice.choice(
            ("What is the {n} {p} {v}?", "{V} {p} {v}.", "{n} {p} {v}, please.", "The {n} {p} {v}?", "{N} for {v}.")
        ).format(n=said, N=said.capitalize(), p=near, v=what, V=dice.choice(verbs).format(said))
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
        dialog.ask(form)
    else:
        parts = [f"{key.replace('_', ' ') if dice.random() < 0.2 else key} {what}" for key, what in given.items()]
        dice.shuffle(parts)
        dialog.ask(dice.choice(verbs).format(said) + " with " + ", ".join(parts[:-1]) + " and " + parts[-1] + ".")
    dialog.call([(name, given)])
    if dice.random() < 0.4:
        result(dialog, dice, 1)


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
    if dice.random() < 0.4:
        result(dialog, dice, len(things))


def result(dialog: Dialog, dice: Random, many: int) -> None:
    """Adds the results of the calls, and the answer made from them."""
    found = []
    for _ in range(many):
        text = phrase(dice, 6)
        if dice.random() < 0.4:
            text = f"{dice.randrange(100)} {text}"
        if dice.random() < 0.1:
            text = json.dumps({identifier(dice, KEYS): text})
        if dice.random() < 0.1:
            text = f"Error: {text}"
        found.append(text)
        dialog.messages.append({"role": "tool", "content": text})
    dialog.answer("The tool says: " + "; ".join(found), "The result.")


def talk(dialog: Dialog, dice: Random) -> None:
    """Adds a request that needs none of the defined tools."""
    dialog.tools = offer(dice)
    dice.choice((greet, count, echo, tell))(dialog, dice)


# ---- with a response format ------------------------------------------------------------------------------------------


def form(dialog: Dialog, dice: Random) -> None:
    """Adds a request whose answer is a JSON object with given keys."""
    keys = list(dict.fromkeys(identifier(dice, KEYS) for _ in range(dice.choices((0, 1, 2, 3), (2, 4, 4, 2))[0])))
    kinds = ("string", "integer", "boolean")
    types = {key: dice.choices(kinds, (6, 3, 1))[0] for key in keys}
    dialog.format = {"schema": {"type": "object", "properties": {key: {"type": type_} for key, type_ in types.items()}}}
    given = {key: dice.random() < 0.5 if type_ == "boolean" else value(dice, type_) for key, type_ in types.items()}
    if not given:
        what = phrase(dice, 3)
        dialog.ask(
            dice.choice(("Answer in JSON: {}", "As JSON: {}", "Give me JSON about {}.", "{} as JSON.")).format(what)
        )
        given = {"answer": what}
    elif len(given) == 1 and types[keys[0]] == "string" and dice.random() < 0.5:
        what = given[keys[0]]
        dialog.ask(dice.choice(("Tell me about {}.", "Describe {}.", "Where is {}?", "{}.", "Who is {}?")).format(what))
    else:
        joint = dice.choice((" is ", ": ", " "))
        parts = [f"{key}{joint}{json.dumps(what) if isinstance(what, bool) else what}" for key, what in given.items()]
        dice.shuffle(parts)
        dialog.ask(dice.choice(("", "The ", "Take this: ")) + dice.choice((", ", " and ")).join(parts) + ".")
    dialog.answer(json.dumps(given, ensure_ascii=False), "I fill in the form.")


# ---- all of them -----------------------------------------------------------------------------------------------------

TASKS: dict[Callable[[Dialog, Random], None], int] = {
    greet: 3,
    count: 7,
    echo: 14,
    converse: 14,
    wonder: 4,
    use: 36,
    talk: 6,
    form: 12,
}
"""Task to its relative frequency."""

EASY: dict[Callable[[Dialog, Random], None], int] = {echo: 7, converse: 2, form: 1}
"""Tasks of the first steps: copying unseen words in short dialogs, the skill that all other tasks need."""

SYSTEM = ("You are a helpful assistant.", "Answer in few words.", "You are a {}.", "Be {} and {}.", "You keep {}.")


def dialog(dice: Random, tasks: dict[Callable[[Dialog, Random], None], int] = TASKS) -> Dialog:
    """Returns a dialog of one task, sometimes after another exchange, sometimes with a system message."""
    made = Dialog()
    if dice.random() < 0.3:
        text = dice.choice(SYSTEM)
        made.messages.append({"role": "system", "content": text.format(phrase(dice, 3), phrase(dice, 2))})
    task = dice.choices(list(tasks), list(tasks.values()))[0]
    if dice.random() < 0.15:
        before = use if task is use else dice.choice((greet, echo, count))
        before(made, dice)
    task(made, dice)
    return made
