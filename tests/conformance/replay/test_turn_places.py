"""The same turn in a body on the wire, in a parsed request and in the proxy's neutral form."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from crosswire.conformance.replay.turn_places import TurnPlaces, merged_turns, turn_places
from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.protocols.protocol import ParsedRequest
from crosswire.mockserver.scenarios.model import Text, Turn
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.protocol import UrlParams

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}

PLACES: list[tuple[str, dict[str, Any], TurnPlaces]] = [
    (
        "openai-chat",
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hi"},
                {"role": "user", "content": "there"},
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c", "content": "x"},
            ],
        },
        TurnPlaces((0, 1, 1, 2, 3), (0, 1, 1, 2, 3)),
    ),
    (
        "anthropic",
        {
            "model": "m",
            "max_tokens": 9,
            "system": "Be brief.",
            "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi"}],
        },
        TurnPlaces((0, 1, 2), (1, 2)),
    ),
    (
        "gemini",
        {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}, {"role": "model", "parts": [{"text": "Hi"}]}]},
        TurnPlaces((0, 1), (0, 1)),
    ),
    ("openai-responses", {"model": "m", "input": "Hi"}, TurnPlaces((0,), ())),
]


@pytest.mark.parametrize(("protocol", "body", "places"), PLACES, ids=[row[0] for row in PLACES])
def test_turn_places(protocol: str, body: dict[str, Any], places: TurnPlaces) -> None:
    parsed = MOCK_PROTOCOLS[protocol].parse_request("/", {}, body)
    request = PROTOCOLS[protocol].decode_request(copy.deepcopy(body), UrlParams("m", "generateContent"))
    assert turn_places(protocol, body, parsed, request) == places


def test_turns_that_cannot_be_told_apart_have_no_place() -> None:
    body: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    request = PROTOCOLS["anthropic"].decode_request(dict(body), UrlParams())
    parsed = ParsedRequest(turns=(Turn("user", (Text("a"),)), Turn("assistant", (Text("b"),))))
    assert turn_places("anthropic", body, parsed, request) == TurnPlaces()


def test_neighbours_of_one_role_are_one_turn() -> None:
    turns = (Turn("system", (Text("b"),)), Turn("user", (Text("c"),)), Turn("user", ()), Turn("user", (Text("d"),)))
    merged = merged_turns(ParsedRequest(system=("a",), turns=turns))
    assert [(turn.role, [block.text for block in turn.blocks if isinstance(block, Text)]) for turn in merged] == [
        ("system", ["a", "b"]),
        ("user", ["c", "d"]),
    ]
