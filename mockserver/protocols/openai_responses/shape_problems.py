"""Problems in the shape of a Responses request, by the form of the service's message, and checks that share them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from ..rule import Breach
from .tables import MAX_NAME, TOOL_NAME

Problem: TypeAlias = tuple[str, Breach]
"""The form of a message (`missing`, `unknown`, `value`, `type`, `empty`, `long` or `pattern`) and its values."""


def missing(where: str) -> Problem:
    """Returns the problem of a missing required field."""
    return "missing", {"where": where}


def unknown(where: str) -> Problem:
    """Returns the problem of an unknown field."""
    return "unknown", {"where": where}


def wrong_value(found: Any, names: Iterable[str], where: str) -> Problem:
    """Returns the problem of a value that is not one of `names`."""
    return "value", {"where": where, "found": found if isinstance(found, str) else "", "names": join_words(names)}


def wrong_type(where: str, wanted: str, found: Any) -> Problem:
    """Returns the problem of a value of the wrong type."""
    return "type", {"where": where, "wanted": wanted, "found": describe_type(found)}


def join_words(names: Iterable[str]) -> str:
    """Joins names as the service lists them: `'a', 'b', and 'c'`."""
    *head, last = (f"'{name}'" for name in names)
    return f"{', '.join(head)}{',' if len(head) > 1 else ''} and {last}" if head else last


def describe_type(value: Any) -> str:
    """Returns the type of a value as the service names it."""
    names = {bool: "a boolean", int: "an integer", float: "a decimal number", str: "a string", list: "an array"}
    return "null" if value is None else names.get(type(value), "an object")


def has_type(value: Any, kinds: tuple[type, ...]) -> bool:
    """Returns whether a value has one of the types; a boolean does not count as an integer."""
    return isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds)


def length_problems(value: str, where: str, most: int) -> Iterator[Problem]:
    """Yields the problem of a string that is empty or has more than `most` characters."""
    if not value:
        yield "empty", {"where": where}
    elif len(value) > most:
        yield "long", {"where": where, "most": most, "length": len(value)}


def name_problems(value: str, where: str) -> Iterator[Problem]:
    """Yields the problems of a name: its length and its pattern."""
    yield from length_problems(value, where, MAX_NAME)
    if not re.fullmatch(TOOL_NAME, value):
        yield "pattern", {"where": where}
