"""Content of a message: a string, or an array of parts that the protocol parses one by one."""

from __future__ import annotations

from collections.abc import Callable

from ..scenarios.model import Block, Text
from .json_object import JsonObject, describe_json
from .protocol import MalformedRequest


def parse_content(message: JsonObject, key: str, parse_part: Callable[[JsonObject], Block | None]) -> tuple[Block, ...]:
    """Takes the content under a key; null and an empty string are no blocks, and a part may be none."""
    value = message.any(key)
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return (Text(value),)
    if not isinstance(value, list):
        raise MalformedRequest(
            f"{message.path}.{key}", f"expected a string or an array of parts, found {describe_json(value)}"
        )
    return tuple(
        block
        for at, part in enumerate(value)
        if (block := parse_part(JsonObject(part, f"{message.path}.{key}[{at}]", message.extra))) is not None
    )
