"""The judges can say no: real answers with one thing spoiled are refused, each for that one thing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from drivers import DRIVERS
from drivers.desk import Desk
from drivers.driver import Ask, Settings
from drivers.judge import judge
from pydantic import BaseModel

Spoil = Callable[[dict[str, Any]], Any]

SPOILED_REPLIES: dict[str, list[tuple[str, Spoil]]] = {
    "openai-chat": [
        ("created", lambda body: body.pop("created")),
        ("finish_reason", lambda body: body["choices"][0].update(finish_reason="end_turn")),
        ("total_tokens", lambda body: body["usage"].update(total_tokens="18")),
        ("stop_sequence", lambda body: body["choices"][0].update(stop_sequence=None)),
    ],
    "openai-responses": [
        ("parallel_tool_calls", lambda body: body.pop("parallel_tool_calls")),
        ("annotations", lambda body: body["output"][0]["content"][0].pop("annotations")),
        ("finish_reason", lambda body: body.update(finish_reason="stop")),
    ],
    "anthropic": [
        ("role", lambda body: body.update(role="model")),
        ("usage", lambda body: body.pop("usage")),
        ("prompt_tokens", lambda body: body["usage"].update(prompt_tokens=1)),
    ],
    "gemini": [
        ("text", lambda body: body["candidates"][0]["content"]["parts"][0].update(text=1)),
        ("id", lambda body: body.update(id="chatcmpl-1")),
    ],
    "ollama": [
        ("message", lambda body: body.pop("message")),
        ("eval_count", lambda body: body.update(eval_count=1.5)),
        ("choices", lambda body: body.update(choices=[])),
    ],
}
"""By frontend: what the complaint must name, and how a good body comes to deserve it."""

SPOILED_EVENTS: dict[str, list[tuple[str, Spoil]]] = {
    "openai-chat": [("object", lambda event: event.update(object="chat.completion"))],
    "openai-responses": [("sequence_number", lambda event: event.pop("sequence_number"))],
    "anthropic": [("message", lambda event: event.pop("message"))],
    "gemini": [("candidates", lambda event: event.update(candidates={}))],
    "ollama": [("message", lambda event: event.update(message="Hello!"))],
}
"""The same of a stream's first event."""


@pytest.mark.parametrize(("frontend", "name", "spoil"), [(f, *case) for f in DRIVERS for case in SPOILED_REPLIES[f]])
def test_a_spoiled_reply(desk: Desk, name: str, spoil: Spoil) -> None:
    desk.driver.turn(desk.client, desk.driver.say([], Ask("Hello!"), None), Settings("gpt-5-nano"))
    body = json.loads(desk.tape.last.body)
    desk.driver.judge_reply(json.dumps(body))
    spoil(body)
    with pytest.raises((ValueError, AssertionError), match=name):
        desk.driver.judge_reply(json.dumps(body))


@pytest.mark.parametrize(("frontend", "name", "spoil"), [(f, *case) for f in DRIVERS for case in SPOILED_EVENTS[f]])
def test_a_spoiled_event(desk: Desk, name: str, spoil: Spoil) -> None:
    desk.driver.turn(desk.client, desk.driver.say([], Ask("Hello!"), None), Settings("gpt-5-nano", True))
    event = json.loads(desk.events(desk.tape.last)[0])
    desk.driver.judge_event(json.dumps(event))
    spoil(event)
    with pytest.raises((ValueError, AssertionError), match=name):
        desk.driver.judge_event(json.dumps(event))


class Inner(BaseModel):
    a: int


class Outer(BaseModel):
    inner: list[Inner]


@pytest.mark.parametrize(
    ("text", "beyond", "stranger"),
    [
        ('{"inner":[{"a":1}]}', (), None),
        ('{"inner":[{"a":1,"b":2}]}', (), r"inner\[\]\.b"),
        ('{"inner":[{"a":1,"b":2}]}', ("inner[].b",), None),
        ('{"inner":[],"c":null}', ("inner[].b",), "c"),
    ],
)
def test_strangers_are_named_by_their_path(text: str, beyond: tuple[str, ...], stranger: str | None) -> None:
    judged = judge(Outer, frozenset(beyond))
    if stranger is None:
        judged(text)
        return
    with pytest.raises(AssertionError, match=f"knows nothing of {stranger}$"):
        judged(text)
