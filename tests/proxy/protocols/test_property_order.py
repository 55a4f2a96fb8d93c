"""Gemini's `propertyOrdering` becomes the order of the properties, so that no other provider has to refuse it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.complaints.exchange import exchange

from ..sample_messages import PROTOCOLS, ask

SCHEMA = {
    "type": "OBJECT",
    "properties": {
        "propertyOrdering": {"type": "STRING"},
        "b": {
            "type": "OBJECT",
            "properties": {"y": {"type": "STRING"}, "x": {"type": "STRING"}},
            "propertyOrdering": ["x"],
        },
        "a": {"type": "STRING"},
    },
    "propertyOrdering": ["a", "b", "not there"],
    "required": ["a", "b", "propertyOrdering"],
}


def asked(place: str) -> dict[str, Any]:
    if place == "answer":
        config = {"responseMimeType": "application/json", "responseSchema": SCHEMA}
        return ask("gemini") | {"generationConfig": config}
    return ask("gemini") | {"tools": [{"functionDeclarations": [{"name": "f", "parameters": SCHEMA}]}]}


def keyword(value: Any) -> bool:
    """Returns whether a schema has the keyword, and not just a property of this name."""
    if isinstance(value, list):
        return any(map(keyword, value))
    if not isinstance(value, dict):
        return False
    return isinstance(value.get("propertyOrdering"), list) or any(map(keyword, value.values()))


@pytest.mark.parametrize("place", ["answer", "function"])
@pytest.mark.parametrize("backend", PROTOCOLS)
async def test_the_order_is_kept_without_the_keyword(backend: str, place: str) -> None:
    found = await exchange("gemini", backend, body=asked(place), keys={"relay": "never"})
    text = json.dumps(found.upstream)
    assert not keyword(found.upstream)
    assert text.index('"a": {') < text.index('"b": {') < text.index('"propertyOrdering": {')
    assert text.index('"x": {') < text.index('"y": {')
    assert "tool_schema" not in found.losses
