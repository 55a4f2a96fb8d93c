"""The list of what the local model plays is whole, and its judge finds what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from conformance.live import PLAYS, REFUSES, _call_faults, read_live
from mockserver.dialects.contract import Heard, Understood
from mockserver.scenario import load
from mockserver.speech import Call, Named, Text, Tool

ROOT = Path(__file__).parents[2]
STORIES = load(ROOT / "scenarios").stories
LIVE = read_live()


@pytest.mark.parametrize("name", [name for name, story in STORIES.items() if story.proxy is None])
def test_every_story_is_played_or_has_one_reason(name: str) -> None:
    assert len(LIVE.told(STORIES[name])) == 1


def test_every_glob_names_a_story_and_every_refusal_a_need() -> None:
    plays = [LIVE.told(story) for story in STORIES.values()]
    assert [PLAYS] in plays
    assert [REFUSES] in plays
    for entry in (*LIVE.cannot, *(replace(LIVE.cannot[0], stories=(glob,)) for glob in LIVE.plays)):
        for glob in entry.stories:
            one = replace(LIVE, plays=(), cannot=(replace(entry, stories=(glob,)),))
            assert any(one.told(story) == [entry.why] for story in STORIES.values()), glob


WEATHER = Tool(
    "weather", parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
)
ASKED = Understood(tools=(WEATHER,))
OSLO = Call("call_1", "weather", '{"city": "Oslo"}')

FAULTS: dict[str, tuple[Understood, bool, tuple[Call | Text, ...], str, str]] = {
    "words where a call is due": (ASKED, True, (Text("Hello"),), "end", "a call was due"),
    "a call without tools": (Understood(), False, (OSLO,), "tool", "no call was allowed"),
    "a call against the choice": (replace(ASKED, tool_choice="none"), False, (OSLO,), "tool", "no call was allowed"),
    "another stop": (ASKED, True, (OSLO,), "end", "stops by end"),
    "one id twice": (ASKED, True, (OSLO, OSLO), "tool", "two calls have one id"),
    "two where one may be": (
        replace(ASKED, parallel=False),
        True,
        (OSLO, replace(OSLO, id="call_2")),
        "tool",
        "2 calls came where one was allowed",
    ),
    "another tool": (replace(ASKED, tool_choice=Named("clock")), True, (OSLO,), "tool", "clock was due"),
    "arguments that lack a key": (ASKED, True, (replace(OSLO, arguments="{}"),), "tool", "do not fit"),
    "arguments that are no JSON": (ASKED, True, (replace(OSLO, arguments='{"city'),), "tool", "do not fit"),
}


@pytest.mark.parametrize(("said", "due", "blocks", "stop", "what"), FAULTS.values(), ids=list(FAULTS))
def test_the_judge_finds(said: Understood, due: bool, blocks: tuple[Call | Text, ...], stop: str, what: str) -> None:
    calls = [block for block in blocks if isinstance(block, Call)]
    assert any(what in fault for fault in _call_faults(calls, said, due, Heard(blocks=blocks, stop=stop)))


def test_the_judge_lets_a_good_call_pass() -> None:
    assert list(_call_faults([OSLO], ASKED, True, Heard(blocks=(OSLO,), stop="tool"))) == []
