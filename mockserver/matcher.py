"""Matches a request to a story and step by its texts alone; stateless and independent of protocol."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from .scenarios.model import ToolResult, Turn
from .scenarios.story import Story, answering_results, new_texts, opening_text

COMPARED = 64
"""Strings of a request that are compared with each opening to find the nearest story; bounds the cost of the hint."""


class Match(Struct, frozen=True):
    """The story of a request and the index of its exchange."""

    story: Story
    step: int


class NearMiss(Struct, frozen=True):
    """No story matched; `message` names the nearest story and the first difference."""

    message: str
    nearest: str | None = None


def json_strings(value: Any) -> Iterator[str]:
    """Yields every string in a JSON value, except keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from json_strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from json_strings(item)


def json_objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yields every object in a JSON value, outermost first."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from json_objects(item)


def match_story(body: Any, turns: Iterable[Turn], stories: Mapping[str, Story]) -> Match | NearMiss:
    """Returns the story whose opening text occurs in the request, at the last step whose new texts all occur in it.

    `turns` are the parsed turns of the request; counting their tool results tells steps apart whose results are empty.
    """
    texts = list(json_strings(body))
    results = sum(isinstance(block, ToolResult) for turn in turns for block in turn.blocks)
    opened = sorted(
        (story for story in stories.values() if _contains(opening_text(story), texts)),
        # A short opening may occur in the replies of another story, which come back as history.
        key=lambda story: -len(opening_text(story)),
    )
    for story in opened:
        step = _last_matching_step(story, texts, results, body)
        if step is not None:
            return Match(story, step)
    if not opened:
        return _nearest_story(texts, stories)
    near = opened[0]
    missing = [wanted_text for wanted_text in new_texts(near.exchanges[0].ask) if not _contains(wanted_text, texts)]
    reason = f"{missing[0]!r} does not occur in the request" if missing else "its tool results are missing"
    return NearMiss(f"the opening text is that of story {near.name}, but {reason}", near.name)


def _last_matching_step(story: Story, texts: list[str], results: int, body: Any) -> int | None:
    wanted = 0
    found: int | None = None
    for at, exchange in enumerate(story.exchanges):
        wanted += len(answering_results(exchange.ask))
        if results < wanted or not all(
            _contains(wanted_text, texts) or _contains_object(wanted_text, texts, body)
            for wanted_text in new_texts(exchange.ask)
        ):
            return found
        found = at
    return found


def _contains(wanted_text: str, texts: list[str]) -> bool:
    """Returns whether a text occurs in a string, also JSON-escaped: a gateway may send a result as JSON text."""
    forms = {wanted_text, json.dumps(wanted_text)[1:-1], json.dumps(wanted_text, ensure_ascii=False)[1:-1]}
    return any(form in text for text in texts for form in forms)


def _contains_object(wanted_text: str, texts: list[str], body: Any) -> bool:
    """Returns whether a text is JSON for an object in the body: some protocols send a tool result as an object.

    A gateway may also write the same JSON with other blanks.
    """
    wanted = _json_object(wanted_text)
    if wanted is None:
        return False
    return wanted in json_objects(body) or wanted in map(_json_object, texts)


def _json_object(text: str) -> dict[str, Any] | None:
    """Returns the object that a text is JSON for; None for any other text."""
    try:
        value = json.loads(text) if text.startswith("{") else None
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _nearest_story(texts: list[str], stories: Mapping[str, Story]) -> NearMiss:
    best: tuple[float, str, str, str] | None = None
    for story in stories.values():
        opening = opening_text(story)
        for text in texts[:COMPARED]:
            # Comparing a whole document would take quadratic time, and an opening is short.
            ratio = difflib.SequenceMatcher(None, opening, text[: 2 * len(opening) + 40], autojunk=False).quick_ratio()
            if best is None or ratio > best[0]:
                best = (ratio, story.name, opening, text)
    if best is None:
        return NearMiss("the request contains no text" if stories else "no stories are loaded")
    _, name, opening, text = best
    nearest = f"nearest: {name}, which opens with {opening!r}; {first_difference(opening, text)}"
    return NearMiss(f"no story matches this request; {nearest}", name)


def first_difference(wanted: str, found: str) -> str:
    """Describes the first difference between two texts."""
    at = next((i for i, (a, b) in enumerate(zip(wanted, found, strict=False)) if a != b), min(len(wanted), len(found)))
    return f"first difference at character {at}: expected {wanted[at : at + 20]!r}, found {found[at : at + 20]!r}"
