"""Random training dialogs: user messages, tool definitions, and the answers that `mlx-tiny` learns.

Each kind of task is one function that appends its turns to a dialog; tokens are handled elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

from .dialog import Dialog
from .invented_words import KEYS, NOUNS, identifier, phrase, proper
from .step_tasks import steps
from .tool_tasks import offer, use, value

HELLO = "Hello! How can I help you today?"
LOST = "I am a very small model. I can greet, count, repeat, remember names and call tools."
UNKNOWN = "I do not know."


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
    count: 4,
    echo: 8,
    converse: 8,
    wonder: 4,
    use: 40,
    steps: 70,
    talk: 6,
    form: 9,
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
