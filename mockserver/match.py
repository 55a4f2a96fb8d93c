"""Which story and step a request belongs to, told by its words alone; it knows no dialect and keeps no counter."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from .scenario import Exchange, Story, answers, new_words, opening
from .speech import Result, Turn

COMPARED = 64
"""How many strings of a request are compared with each opening to find the nearest: a hint that must stay cheap."""


class Match(Struct, frozen=True):
    story: Story
    step: int


class NearMiss(Struct, frozen=True):
    """Nothing fitted; `message` names the nearest story and the first difference."""

    message: str
    nearest: str | None = None


def strings(value: Any) -> Iterator[str]:
    """Every string in a JSON value, keys left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a JSON value, from the outside in."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(item)


def match(body: Any, turns: Iterable[Turn], stories: Mapping[str, Story]) -> Match | NearMiss:
    """The story whose opening words occur in the request, at the newest step whose new words are all there.

    `turns` is the request as it was understood: they tell a step whose results are empty texts.
    """
    said = list(strings(body))
    results = sum(isinstance(block, Result) for turn in turns for block in turn.blocks)
    opened = sorted(
        (story for story in stories.values() if _occurs(opening(story), said)),
        # A short opening may occur in another story's answers, which come back as history.
        key=lambda story: -len(opening(story)),
    )
    for story in opened:
        step = _step(story, said, results, body)
        if step is not None:
            return Match(story, step)
    if not opened:
        return _nearest(said, stories)
    near = opened[0]
    missing = [word for word in new_words(near.exchanges[0].ask) if not _occurs(word, said)]
    what = f"{missing[0]!r} does not occur in the request" if missing else "its tool results are missing"
    return NearMiss(f"the story {near.name} opens so, but {what}", near.name)


def _step(story: Story, said: list[str], results: int, body: Any) -> int | None:
    wanted = 0
    found: int | None = None
    for at, exchange in enumerate(story.exchanges):
        wanted += _results(exchange)
        if results < wanted or not all(_occurs(word, said) or _is_held(word, body) for word in new_words(exchange.ask)):
            return found
        found = at
    return found


def _results(exchange: Exchange) -> int:
    return len(answers(exchange.ask))


def _occurs(word: str, said: list[str]) -> bool:
    """Also inside a string that holds JSON text, as a gateway may write a result."""
    forms = {word, json.dumps(word)[1:-1], json.dumps(word, ensure_ascii=False)[1:-1]}
    return any(form in text for text in said for form in forms)


def _is_held(word: str, body: Any) -> bool:
    """Whether a text that is a JSON object is one of the body's: on some wires a result is an object and no text."""
    if not word.startswith("{"):
        return False
    try:
        return json.loads(word) in objects(body)
    except ValueError:
        return False


def _nearest(said: list[str], stories: Mapping[str, Story]) -> NearMiss:
    best: tuple[float, str, str, str] | None = None
    for story in stories.values():
        words = opening(story)
        for text in said[:COMPARED]:
            # Whole documents are no openings, and comparing them costs their square.
            ratio = difflib.SequenceMatcher(None, words, text[: 2 * len(words) + 40], autojunk=False).quick_ratio()
            if best is None or ratio > best[0]:
                best = (ratio, story.name, words, text)
    if best is None:
        return NearMiss("the request holds no text" if stories else "there are no stories")
    _, name, words, text = best
    return NearMiss(
        f"no story opens with these words. Nearest is {name}, which opens with {words!r}; {difference(words, text)}",
        name,
    )


def difference(wanted: str, found: str) -> str:
    """Where two texts part for the first time."""
    at = next((i for i, (a, b) in enumerate(zip(wanted, found, strict=False)) if a != b), min(len(wanted), len(found)))
    return f"the first difference is at character {at}: {wanted[at : at + 20]!r} wanted, {found[at : at + 20]!r} found"
