"""Error messages of OpenAI Responses, word for word as the service writes them, and the checks that share them.

The sources are errors quoted by users; each rule links its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from ..reply_context import Failure
from .tables import MAX_NAME, TOOL_NAME


def invalid_request(message: str, param: str | None, code: str | None = None) -> Failure:
    """Returns an error with status 400."""
    return Failure(400, "bad_request", message, code, param)


def missing_parameter(where: str) -> Failure:
    """Returns the error for a missing required field."""
    return invalid_request(f"Missing required parameter: '{where}'.", where, "missing_required_parameter")


def unknown_parameter(where: str) -> Failure:
    """Returns the error for an unknown field. https://github.com/openai/openai-python/issues/3008"""
    return invalid_request(f"Unknown parameter: '{where}'.", where, "unknown_parameter")


def unsupported_value(found: Any, names: Iterable[str], where: str) -> Failure:
    """Returns the error for a value that is not one of `names`."""
    shown = found if isinstance(found, str) else ""
    return invalid_request(
        f"Invalid value: '{shown}'. Supported values are: {join_words(names)}.", where, "invalid_value"
    )


def wrong_type(where: str, wanted: str, found: Any) -> Failure:
    """Returns the error for a value of the wrong type."""
    return invalid_request(
        f"Invalid type for '{where}': expected {wanted}, but got {describe_type(found)} instead.", where, "invalid_type"
    )


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


def check_length(value: str, where: str, most: int) -> Iterator[Failure]:
    """Checks that a string is not empty and has at most `most` characters."""
    if not value:
        yield invalid_request(
            f"Invalid '{where}': empty string. Expected a string with minimum length 1, but got an empty string "
            "instead.",
            where,
            "empty_string",
        )
    elif len(value) > most:
        # https://github.com/AnswerDotAI/fastllm/issues/45
        yield invalid_request(
            f"Invalid '{where}': string too long. Expected a string with maximum length {most}, but got a string with "
            f"length {len(value)} instead.",
            where,
            "string_above_max_length",
        )


def check_name(value: str, where: str) -> Iterator[Failure]:
    """Checks the length and the pattern of a name."""
    yield from check_length(value, where, MAX_NAME)
    if not re.fullmatch(TOOL_NAME, value):
        yield invalid_request(
            f"Invalid '{where}': string does not match pattern. Expected a string that matches the pattern "
            "'^[a-zA-Z0-9_-]+$'.",
            where,
            "invalid_value",
        )
