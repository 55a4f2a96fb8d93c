"""The local model's expectations cover every story, and its checks find wrong tool calls."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from crosswire.conformance.client.protocol import ParsedReply
from crosswire.conformance.local_model.checks import tool_call_errors
from crosswire.conformance.local_model.expectations import PLAYS, REFUSES, read_local_expectations
from crosswire.mockserver.protocols.protocol import ParsedRequest
from crosswire.mockserver.scenarios.loader import load_scenarios
from crosswire.mockserver.scenarios.model import NamedTool, Text, Tool, ToolCall

ROOT = Path(__file__).parents[3]
STORIES = load_scenarios(ROOT / "scenarios").stories
EXPECTATIONS = read_local_expectations()


@pytest.mark.parametrize("name", [name for name, story in STORIES.items() if story.proxy is None])
def test_every_story_is_played_or_has_one_reason(name: str) -> None:
    assert len(EXPECTATIONS.status_of(STORIES[name])) == 1


def test_every_glob_names_a_story_and_every_refusal_a_need() -> None:
    plays = [EXPECTATIONS.status_of(story) for story in STORIES.values()]
    assert [PLAYS] in plays
    assert [REFUSES] in plays
    for entry in (
        *EXPECTATIONS.cannot,
        *(replace(EXPECTATIONS.cannot[0], stories=(glob,)) for glob in EXPECTATIONS.plays),
    ):
        for glob in entry.stories:
            one = replace(EXPECTATIONS, plays=(), cannot=(replace(entry, stories=(glob,)),))
            assert any(one.status_of(story) == [entry.why] for story in STORIES.values()), glob


WEATHER = Tool(
    "weather", parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
)
REQUEST = ParsedRequest(tools=(WEATHER,))
CALL = ToolCall("call_1", "weather", '{"city": "Oslo"}')

ERRORS: dict[str, tuple[ParsedRequest, bool, tuple[ToolCall | Text, ...], str, str]] = {
    "text in place of a call": (REQUEST, True, (Text("Hello"),), "end", "expected a tool call"),
    "a call without tools": (ParsedRequest(), False, (CALL,), "tool", "no tool call is allowed"),
    "a call against the choice": (
        replace(REQUEST, tool_choice="none"),
        False,
        (CALL,),
        "tool",
        "no tool call is allowed",
    ),
    "another stop reason": (REQUEST, True, (CALL,), "end", "the stop reason end"),
    "a duplicate id": (REQUEST, True, (CALL, CALL), "tool", "two calls have the same id"),
    "two calls where one is allowed": (
        replace(REQUEST, parallel=False),
        True,
        (CALL, replace(CALL, id="call_2")),
        "tool",
        "2 calls, only one is allowed",
    ),
    "another tool": (replace(REQUEST, tool_choice=NamedTool("clock")), True, (CALL,), "tool", "expected clock"),
    "arguments that lack a key": (REQUEST, True, (replace(CALL, arguments="{}"),), "tool", "do not match its schema"),
    "arguments that are not JSON": (
        REQUEST,
        True,
        (replace(CALL, arguments='{"city'),),
        "tool",
        "do not match its schema",
    ),
}


@pytest.mark.parametrize(("sent", "call_expected", "blocks", "stop", "error"), ERRORS.values(), ids=list(ERRORS))
def test_wrong_calls_are_found(
    sent: ParsedRequest, call_expected: bool, blocks: tuple[ToolCall | Text, ...], stop: str, error: str
) -> None:
    calls = [block for block in blocks if isinstance(block, ToolCall)]
    assert any(
        error in found for found in tool_call_errors(calls, sent, call_expected, ParsedReply(blocks=blocks, stop=stop))
    )


def test_a_right_call_passes() -> None:
    assert list(tool_call_errors([CALL], REQUEST, True, ParsedReply(blocks=(CALL,), stop="tool"))) == []
