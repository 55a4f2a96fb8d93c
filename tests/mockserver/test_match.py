"""The matcher: the words of a request tell its story and its step."""

from __future__ import annotations

from typing import Any

import pytest
from mock_stage import scenarios

from mockserver.match import Match, NearMiss, difference, match
from mockserver.scenario import Exchange, Story, new_words
from mockserver.speech import Ask, Result, Text, Turn

ZERO = Turn("user", (Result("c", (Text(""),)),))


def story(name: str, *words: str) -> Story:
    """A story whose steps bring one user text each; a word that starts with `>` is a result."""
    steps = tuple(
        Exchange(Ask(results=(Result("c", (Text(word[1:]),), at=0),)))
        if word.startswith(">")
        else Exchange(Ask(user=(Text(word),)))
        for word in words
    )
    return Story(name, "", "", (), steps)


STORIES = {
    s.name: s
    for s in (
        story("rain", "Is it raining?", ">rain since noon", "And tomorrow?"),
        story("hi", "Hi!"),
        story("quiet", "Call and say nothing.", ">"),
    )
}

CASES: list[tuple[str, Any, tuple[Turn, ...], str, int]] = [
    ("plain", {"messages": [{"content": "Is it raining?"}]}, (), "rain", 0),
    ("inside", {"x": [{"y": "Please: Is it raining? Thanks."}]}, (), "rain", 0),
    ("second", {"m": ["Is it raining?", "rain since noon"]}, (ZERO,), "rain", 1),
    ("in-json", {"m": ["Is it raining?", '{"result":"rain since noon"}']}, (ZERO,), "rain", 1),
    ("third", {"m": ["Is it raining?", "rain since noon", "And tomorrow?"]}, (ZERO,), "rain", 2),
    ("skipped", {"m": ["Is it raining?", "And tomorrow?"]}, (), "rain", 0),
    ("no-result-block", {"m": ["Is it raining?", "rain since noon"]}, (), "rain", 0),
    ("short-in-answer", {"m": ["Is it raining?", "Hi! I look."]}, (), "rain", 0),
    ("empty-result-0", {"m": ["Call and say nothing."]}, (), "quiet", 0),
    ("empty-result-1", {"m": ["Call and say nothing."]}, (ZERO,), "quiet", 1),
]


@pytest.mark.parametrize(("body", "turns", "name", "step"), [pytest.param(*row[1:], id=row[0]) for row in CASES])
def test_a_request_belongs_to_its_story_and_step(body: Any, turns: tuple[Turn, ...], name: str, step: int) -> None:
    found = match(body, turns, STORIES)
    assert isinstance(found, Match)
    assert (found.story.name, found.step) == (name, step)


HELD = '{"hPa":1013,"by":null}'


@pytest.mark.parametrize(
    ("result", "step"),
    [
        ({"content": HELD}, 1),
        ({"response": {"by": None, "hPa": 1013}}, 1),
        ({"response": {"result": HELD}}, 1),
        ({"response": {"hPa": 1012, "by": None}}, 0),
        ({"response": {"hPa": 1013}}, 0),
    ],
)
def test_a_result_that_is_json_may_be_an_object(result: Any, step: int) -> None:
    stories = {"held": story("held", "Read it.", f">{HELD}")}
    found = match({"m": ["Read it.", result]}, (ZERO,), stories)
    assert isinstance(found, Match)
    assert found.step == step


def test_keys_are_not_words() -> None:
    assert isinstance(match({"Is it raining?": 1}, (), STORIES), NearMiss)


def test_a_near_miss_names_the_nearest_story_and_the_first_difference() -> None:
    found = match({"m": ["Is it snowing?"]}, (), STORIES)
    assert isinstance(found, NearMiss)
    assert found.nearest == "rain"
    assert "the first difference is at character 6: 'raining?' wanted, 'snowing?' found" in found.message


def test_a_story_that_opens_so_but_lacks_words_says_which() -> None:
    two = {"two": Story("two", "", "", (), (Exchange(Ask(user=(Text("First part"), Text("second part")))),))}
    found = match({"m": ["First part"]}, (), two)
    assert isinstance(found, NearMiss)
    assert "'second part' does not occur" in found.message


@pytest.mark.parametrize(("body", "words"), [({}, "no text"), ({"m": 1}, "no text")])
def test_a_request_without_words_fits_nothing(body: Any, words: str) -> None:
    found = match(body, (), STORIES)
    assert isinstance(found, NearMiss)
    assert words in found.message


def test_without_stories_nothing_fits() -> None:
    found = match({"m": ["x"]}, (), {})
    assert isinstance(found, NearMiss)
    assert "no stories" in found.message


@pytest.mark.parametrize(
    ("wanted", "found", "words"),
    [("abc", "abd", "character 2"), ("abc", "ab", "character 2: 'c' wanted, '' found"), ("", "x", "character 0")],
)
def test_the_first_difference(wanted: str, found: str, words: str) -> None:
    assert words in difference(wanted, found)


def test_every_shipped_story_is_found_by_its_own_words() -> None:
    for wanted in scenarios().stories.values():
        ask = wanted.exchanges[0].ask
        found = match({"m": list(new_words(ask))}, ask.turns, scenarios().stories)
        assert isinstance(found, Match)
        assert found.story.name == wanted.name
