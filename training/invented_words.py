"""Random words for the dialogs: some common ones, and mostly invented ones."""

from __future__ import annotations

from random import Random

NOUNS = (
    *("boat", "dog", "house", "street", "ship", "cat", "horse", "garden", "river", "team", "sister", "brother", "town"),
    *("school", "hotel", "robot", "project", "island", "teacher", "car", "song", "farm", "shop", "band", "friend"),
)
PLAIN = (
    *("the", "a", "of", "in", "latest", "news", "about", "water", "green", "small", "red"),
    *("old", "new", "cold", "wind", "light", "north", "south", "sea", "rain", "sun", "stone"),
    *("bread", "paper", "time", "day", "night", "hand", "road", "door", "tree", "fish", "bird"),
    *("moon", "star", "snow", "fire", "iron", "gold", "blue", "tall", "deep", "far"),
)
TOOLS = (
    *("weather", "search", "clock", "alarm", "lookup", "tide", "map", "price", "email", "note", "ring", "convert"),
    *("depth", "calendar", "translate", "status", "route", "height", "distance", "balance", "forecast", "news"),
)
KEYS = (
    *("city", "place", "query", "name", "date", "unit", "id", "path", "text", "count", "amount", "title", "street"),
    *("port", "days", "language", "color", "size", "age", "email", "country", "host", "time", "limit", "topic"),
)
PLACES = ("Oslo", "Rome", "Paris", "Lima", "Cork", "Bergen", "Berlin", "Tokyo", "Quito", "Perth", "Porto", "Delhi")

_HEADS = ("b", "c", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z", "br", "st", "tr")
_HEARTS = ("a", "e", "i", "o", "u", "y", "ai", "ou", "ee")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ACCENTED = "äöåéèüñçøß"


def invented(dice: Random) -> str:
    """Returns an invented word of two to nine letters, sometimes with an accent or a digit."""
    if dice.random() < 0.55:
        word = "".join(dice.choice(_HEADS) + dice.choice(_HEARTS) for _ in range(dice.randint(1, 3)))
        word += dice.choice(("", "", "n", "r", "s", "l", "x"))
    else:
        word = "".join(dice.choice(_LETTERS) for _ in range(dice.randint(2, 8)))
    if dice.random() < 0.06:
        at = dice.randrange(len(word))
        word = word[:at] + dice.choice(_ACCENTED) + word[at + 1 :]
    if dice.random() < 0.05:
        word += str(dice.randrange(100))
    return word


def proper(dice: Random) -> str:
    """Returns a capitalized name of a person or place."""
    return dice.choice(PLACES) if dice.random() < 0.1 else invented(dice).capitalize()


def word(dice: Random) -> str:
    """Returns a random word."""
    roll = dice.random()
    if roll < 0.3:
        return dice.choice(PLAIN)
    return proper(dice) if roll < 0.6 else invented(dice)


def phrase(dice: Random, most: int = 5) -> str:
    """Returns one to `most` random words."""
    return " ".join(word(dice) for _ in range(dice.randint(1, most)))


def identifier(dice: Random, known: tuple[str, ...]) -> str:
    """Returns a name of a tool or a key; about a third are from `known`."""
    roll = dice.random()
    if roll < 0.35:
        return dice.choice(known)
    if roll < 0.65:
        return invented(dice)
    one, two = (dice.choice(known) if dice.random() < 0.4 else invented(dice) for _ in range(2))
    return f"{one}_{two}"


def tool_name(dice: Random) -> str:
    """Returns a name of a tool; a few have a digit in front, or several parts."""
    roll = dice.random()
    if roll < 0.93:
        return identifier(dice, TOOLS)
    if roll < 0.95:
        return f"{dice.randrange(10)}{invented(dice)}"
    joint = dice.choice(("__", ".", ":", "-", "_"))
    return joint.join(
        dice.choice(TOOLS) if dice.random() < 0.3 else invented(dice) for _ in range(dice.choice((2, 2, 2, 3)))
    )
