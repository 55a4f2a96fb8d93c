"""Assembly of streamed call arguments of the Gemini API: JSON paths, and fragments that are invalid."""

from __future__ import annotations

from typing import Any

import pytest

from crosswire.conformance.client.gemini.streamed_arguments import ArgumentAssembler, parse_json_path


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("$.a", ["a"]),
        ("$.a[0].b", ["a", 0, "b"]),
        ("$['x y'][\"z\"][2]", ["x y", "z", 2]),
        ("$['it\\'s']", ["it's"]),
        ("a.b", []),
        ("$..a", []),
        ("$", []),
    ],
)
def test_json_paths(path: str, steps: list[str | int]) -> None:
    assert parse_json_path(path) == steps


@pytest.mark.parametrize(
    "fragment",
    [
        3,
        {},
        {"jsonPath": "x", "stringValue": "a"},
        {"jsonPath": "$.a", "stringValue": "a", "boolValue": True},
        {"jsonPath": "$.a[2]", "stringValue": "a"},
        {"jsonPath": "$[0]", "stringValue": "a"},
    ],
)
def test_invalid_fragments_are_reported(fragment: Any) -> None:
    assert ArgumentAssembler().add(fragment) is not None
