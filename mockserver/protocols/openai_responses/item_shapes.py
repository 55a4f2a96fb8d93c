"""Problems in the shape of the items of `input`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..rule import Asked
from .shape_problems import Problem, length_problems, missing, name_problems, unknown, wrong_type, wrong_value
from .tables import HOSTED_ITEMS, ID_PREFIXES, ITEMS, MAX_CALL_ID, OUTPUT_PARTS, PARTS, PARTS_BY_ROLE


def items(asked: Asked) -> list[Any]:
    """Returns the items of `input`, none for a text."""
    value = asked.body.get("input")
    return value if isinstance(value, list) else []


def item_problems(asked: Asked) -> Iterator[Problem]:
    """Yields the problems of `input` and of each item in it."""
    value = asked.body.get("input")
    if "input" in asked.body and not isinstance(value, str | list):
        yield wrong_type("input", "a string", {} if value is None else value)
    for at, item in enumerate(items(asked)):
        where = f"input[{at}]"
        if not isinstance(item, dict):
            yield wrong_type(where, "an input item", item)
            return
        kind = item.get("type", "message" if "role" in item else None)
        if not isinstance(kind, str) or kind not in (*ITEMS, *HOSTED_ITEMS):
            yield wrong_value(kind, sorted((*ITEMS, *HOSTED_ITEMS)), where)
        elif kind in ITEMS:
            yield from _item_problems(kind, item, where)


def _item_problems(kind: str, item: dict[str, Any], where: str) -> Iterator[Problem]:
    role = item.get("role")
    if kind == "message" and role not in tuple(PARTS_BY_ROLE):
        yield wrong_value(role, ("assistant", "system", "developer", "user"), where)
        return
    needed, known = ITEMS[kind]
    absent = [key for key in needed if key not in item]
    for key in absent:
        yield missing(f"{where}.{key}")
    for key, value in item.items():
        # An item that a client fills with nulls is refused too: "The API rejects null unknown parameters."
        # https://github.com/openai/openai-python/issues/3008
        if (
            key not in (*needed, *known)
            or (key == "phase" and role != "assistant")
            or (key == "status" and kind == "reasoning" and value is None)
        ):
            yield unknown(f"{where}.{key}")
    if absent:
        return
    id, prefix = item.get("id"), ID_PREFIXES.get(kind)
    if prefix is not None and id is not None and not str(id).startswith(prefix):
        yield "id", {"where": f"{where}.id", "id": id, "prefix": prefix}
    for key in ("call_id", "name", "arguments", "input"):
        if key in needed and not isinstance(item[key], str):
            yield wrong_type(f"{where}.{key}", "a string", item[key])
            return
    if "call_id" in needed:
        yield from length_problems(item["call_id"], f"{where}.call_id", MAX_CALL_ID)
    if "name" in needed:
        yield from name_problems(item["name"], f"{where}.name")
    if kind == "message":
        yield from _content_problems(item["content"], f"{where}.content", PARTS_BY_ROLE[str(role)])
    elif "output" in needed:
        yield from _content_problems(item["output"], f"{where}.output", OUTPUT_PARTS)
    elif kind == "reasoning":
        for key, part in (("summary", "summary_text"), ("content", "reasoning_text")):
            yield from _reasoning_problems(item.get(key, []), f"{where}.{key}", part)


def _content_problems(value: Any, where: str, allowed: tuple[str, ...]) -> Iterator[Problem]:
    if isinstance(value, str):
        return
    if not isinstance(value, list):
        yield wrong_type(where, "one of an array of objects or string", value)
        return
    for at, part in enumerate(value):
        here = f"{where}[{at}]"
        if not isinstance(part, dict):
            yield wrong_type(here, "an object", part)
            return
        kind = part.get("type")
        if kind is None:
            yield missing(f"{here}.type")
        elif not isinstance(kind, str) or kind not in PARTS:
            yield wrong_value(kind, PARTS, f"{here}.type")
        elif kind not in allowed:
            # https://github.com/google/adk-go/issues/1197
            yield wrong_value(kind, allowed, here)
        else:
            yield from _part_problems(part, *PARTS[kind], here)


def _part_problems(
    part: dict[str, Any], needed: tuple[str, ...], known: tuple[str, ...], where: str
) -> Iterator[Problem]:
    for key in needed:
        if key not in part:
            yield missing(f"{where}.{key}")
        elif not isinstance(part[key], str):
            yield wrong_type(f"{where}.{key}", "a string", part[key])
    for key in part:
        if key not in (*needed, *known):
            yield unknown(f"{where}.{key}")
    url = part.get("image_url")
    if url is not None and not re.match(r"(https?://|data:)", str(url)):
        yield "url", {"where": f"{where}.image_url"}


def _reasoning_problems(value: Any, where: str, kind: str) -> Iterator[Problem]:
    if value is None and kind == "reasoning_text":
        return
    if not isinstance(value, list):
        yield wrong_type(where, "an array of objects", value)
        return
    for at, part in enumerate(value):
        if not isinstance(part, dict) or part.get("type") != kind:
            yield wrong_value(part.get("type") if isinstance(part, dict) else None, (kind,), f"{where}[{at}]")
        elif not isinstance(part.get("text"), str):
            yield missing(f"{where}[{at}].text")
