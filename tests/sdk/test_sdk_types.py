"""The validators reject real answers with one field spoiled, and name that field."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from .drivers import DRIVERS
from .drivers.driver import Settings, UserTurn
from .drivers.session import SdkSession
from .drivers.validator import strict_validator

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
"""By frontend: the name that the error must contain, and the change that causes it."""

SPOILED_EVENTS: dict[str, list[tuple[str, Spoil]]] = {
    "openai-chat": [("object", lambda event: event.update(object="chat.completion"))],
    "openai-responses": [("sequence_number", lambda event: event.pop("sequence_number"))],
    "anthropic": [("message", lambda event: event.pop("message"))],
    "gemini": [("candidates", lambda event: event.update(candidates={}))],
    "ollama": [("message", lambda event: event.update(message="Hello!"))],
}
"""The same for a stream's first event."""


@pytest.mark.parametrize(("frontend", "name", "spoil"), [(f, *case) for f in DRIVERS for case in SPOILED_REPLIES[f]])
def test_a_spoiled_reply_is_rejected(session: SdkSession, name: str, spoil: Spoil) -> None:
    session.driver.send(session.client, session.driver.add_turn([], UserTurn("Hello!"), None), Settings("gpt-5-nano"))
    body = json.loads(session.recording.last.body)
    session.driver.validate_reply(json.dumps(body))
    spoil(body)
    with pytest.raises((ValueError, AssertionError), match=name):
        session.driver.validate_reply(json.dumps(body))


@pytest.mark.parametrize(("frontend", "name", "spoil"), [(f, *case) for f in DRIVERS for case in SPOILED_EVENTS[f]])
def test_a_spoiled_event_is_rejected(session: SdkSession, name: str, spoil: Spoil) -> None:
    session.driver.send(
        session.client, session.driver.add_turn([], UserTurn("Hello!"), None), Settings("gpt-5-nano", True)
    )
    event = json.loads(session.events(session.recording.last)[0])
    session.driver.validate_event(json.dumps(event))
    spoil(event)
    with pytest.raises((ValueError, AssertionError), match=name):
        session.driver.validate_event(json.dumps(event))


class Inner(BaseModel):
    a: int


class Outer(BaseModel):
    inner: list[Inner]


@pytest.mark.parametrize(
    ("text", "extra_keys", "unknown_key"),
    [
        ('{"inner":[{"a":1}]}', (), None),
        ('{"inner":[{"a":1,"b":2}]}', (), r"inner\[\]\.b"),
        ('{"inner":[{"a":1,"b":2}]}', ("inner[].b",), None),
        ('{"inner":[],"c":null}', ("inner[].b",), "c"),
    ],
)
def test_an_unknown_key_is_named_by_its_path(text: str, extra_keys: tuple[str, ...], unknown_key: str | None) -> None:
    validate = strict_validator(Outer, frozenset(extra_keys))
    if unknown_key is None:
        validate(text)
        return
    with pytest.raises(AssertionError, match=f"has no field for {unknown_key}$"):
        validate(text)
