"""The sentences in which OpenAI refuses a request, as the service writes them; they know no rule.

Read off the errors that users quote; each rule names where.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from ..contract import Failure
from .words import MAX_NAME, TOOL_NAME


def bad(message: str, param: str | None, code: str | None = None) -> Failure:
    return Failure(400, "bad_request", message, code, param)


def missing(where: str) -> Failure:
    return bad(f"Missing required parameter: '{where}'.", where, "missing_required_parameter")


def unknown(where: str) -> Failure:
    """https://github.com/openai/openai-python/issues/3008"""
    return bad(f"Unknown parameter: '{where}'.", where, "unknown_parameter")


def unsupported(found: Any, words: Iterable[str], where: str) -> Failure:
    shown = found if isinstance(found, str) else ""
    return bad(f"Invalid value: '{shown}'. Supported values are: {listed(words)}.", where, "invalid_value")


def wrong_type(where: str, wanted: str, found: Any) -> Failure:
    return bad(f"Invalid type for '{where}': expected {wanted}, but got {named(found)} instead.", where, "invalid_type")


def listed(words: Iterable[str]) -> str:
    *head, last = (f"'{word}'" for word in words)
    return f"{', '.join(head)}{',' if len(head) > 1 else ''} and {last}" if head else last


def named(value: Any) -> str:
    words = {bool: "a boolean", int: "an integer", float: "a decimal number", str: "a string", list: "an array"}
    return "null" if value is None else words.get(type(value), "an object")


def is_a(value: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds)


def bad_length(value: str, where: str, most: int) -> Iterator[Failure]:
    if not value:
        yield bad(
            f"Invalid '{where}': empty string. Expected a string with minimum length 1, but got an empty string "
            "instead.",
            where,
            "empty_string",
        )
    elif len(value) > most:
        # https://github.com/AnswerDotAI/fastllm/issues/45
        yield bad(
            f"Invalid '{where}': string too long. Expected a string with maximum length {most}, but got a string with "
            f"length {len(value)} instead.",
            where,
            "string_above_max_length",
        )


def bad_name(value: str, where: str) -> Iterator[Failure]:
    yield from bad_length(value, where, MAX_NAME)
    if not re.fullmatch(TOOL_NAME, value):
        yield bad(
            f"Invalid '{where}': string does not match pattern. Expected a string that matches the pattern "
            "'^[a-zA-Z0-9_-]+$'.",
            where,
            "invalid_value",
        )
