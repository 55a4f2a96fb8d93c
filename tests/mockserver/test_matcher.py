"""Matching of requests to a story and a step by their texts."""

from __future__ import annotations

from typing import Any

import pytest

from crosswire.mockserver.matcher import Match, NearMiss, first_difference, match_story
from crosswire.mockserver.scenarios.model import Ask, Text, ToolResult, Turn
from crosswire.mockserver.scenarios.story import Exchange, Story, new_texts
from tests.mockserver.in_process_mock import scenarios

EMPTY_RESULT = Turn("user", (ToolResult("c", (Text(""),)),))


def story(name: str, *words: str) -> Story:
    """Returns a story with one text for each step; a text that starts with `>` is a tool result."""
    steps = tuple(
        Exchange(Ask(results=(ToolResult("c", (Text(word[1:]),), at=0),)))
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
    ("second", {"m": ["Is it raining?", "rain since noon"]}, (EMPTY_RESULT,), "rain", 1),
    ("in-json", {"m": ["Is it raining?", '{"result":"rain since noon"}']}, (EMPTY_RESULT,), "rain", 1),
    ("third", {"m": ["Is it raining?", "rain since noon", "And tomorrow?"]}, (EMPTY_RESULT,), "rain", 2),
    ("skipped", {"m": ["Is it raining?", "And tomorrow?"]}, (), "rain", 0),
    ("no-result-block", {"m": ["Is it raining?", "rain since noon"]}, (), "rain", 0),
    ("short-in-answer", {"m": ["Is it raining?", "Hi! I look."]}, (), "rain", 0),
    ("empty-result-0", {"m": ["Call and say nothing."]}, (), "quiet", 0),
    ("empty-result-1", {"m": ["Call and say nothing."]}, (EMPTY_RESULT,), "quiet", 1),
]


@pytest.mark.parametrize(("body", "turns", "name", "step"), [pytest.param(*row[1:], id=row[0]) for row in CASES])
def test_request_matches_its_story_and_step(body: Any, turns: tuple[Turn, ...], name: str, step: int) -> None:
    found = match_story(body, turns, STORIES)
    assert isinstance(found, Match)
    assert (found.story.name, found.step) == (name, step)


JSON_RESULT = '{"hPa":1013,"by":null}'


@pytest.mark.parametrize(
    ("result", "step"),
    [
        ({"content": JSON_RESULT}, 1),
        ({"response": {"by": None, "hPa": 1013}}, 1),
        ({"response": {"result": JSON_RESULT}}, 1),
        ({"content": '{ "by": null, "hPa": 1013 }'}, 1),
        ({"content": '{ "by": null, "hPa": 1012 }'}, 0),
        ({"response": {"hPa": 1012, "by": None}}, 0),
        ({"response": {"hPa": 1013}}, 0),
    ],
)
def test_json_result_matches_as_an_object(result: Any, step: int) -> None:
    stories = {"held": story("held", "Read it.", f">{JSON_RESULT}")}
    found = match_story({"m": ["Read it.", result]}, (EMPTY_RESULT,), stories)
    assert isinstance(found, Match)
    assert found.step == step


def test_object_keys_do_not_match() -> None:
    assert isinstance(match_story({"Is it raining?": 1}, (), STORIES), NearMiss)


def test_near_miss_names_the_nearest_story_and_the_first_difference() -> None:
    found = match_story({"m": ["Is it snowing?"]}, (), STORIES)
    assert isinstance(found, NearMiss)
    assert found.nearest == "rain"
    assert "first difference at character 6: expected 'raining?', found 'snowing?'" in found.message


def test_near_miss_names_the_missing_text() -> None:
    two = {"two": Story("two", "", "", (), (Exchange(Ask(user=(Text("First part"), Text("second part")))),))}
    found = match_story({"m": ["First part"]}, (), two)
    assert isinstance(found, NearMiss)
    assert "'second part' does not occur" in found.message


@pytest.mark.parametrize(("body", "words"), [({}, "no text"), ({"m": 1}, "no text")])
def test_request_without_text_matches_nothing(body: Any, words: str) -> None:
    found = match_story(body, (), STORIES)
    assert isinstance(found, NearMiss)
    assert words in found.message


def test_no_match_without_stories() -> None:
    found = match_story({"m": ["x"]}, (), {})
    assert isinstance(found, NearMiss)
    assert "no stories" in found.message


@pytest.mark.parametrize(
    ("wanted", "found", "words"),
    [("abc", "abd", "character 2"), ("abc", "ab", "character 2: expected 'c', found ''"), ("", "x", "character 0")],
)
def test_first_difference(wanted: str, found: str, words: str) -> None:
    assert words in first_difference(wanted, found)


def test_every_shipped_story_matches_its_own_texts() -> None:
    for wanted in scenarios().stories.values():
        ask = wanted.exchanges[0].ask
        found = match_story({"m": list(new_texts(ask))}, ask.turns, scenarios().stories)
        assert isinstance(found, Match)
        assert found.story.name == wanted.name
