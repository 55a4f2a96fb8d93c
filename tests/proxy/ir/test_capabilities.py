"""Tests of the capabilities that a request requires."""

from __future__ import annotations

import pytest

from crosswire.proxy.ir import (
    CAPABILITIES,
    Audio,
    Document,
    Image,
    Media,
    Request,
    ResponseFormat,
    Text,
    Tool,
    ToolResult,
    Turn,
)
from crosswire.proxy.ir.capabilities import required_capabilities


def request(*turns: Turn, tools: tuple[Tool, ...] = (), form: ResponseFormat | None = None) -> Request:
    return Request(protocol="x", model="m", turns=turns, tools=tools, format=form)


REQUIRED: dict[str, tuple[Request, set[str]]] = {
    "text": (request(Turn("user", (Text("hi"),))), {"text"}),
    "tools": (request(tools=(Tool("t"),)), {"text", "tools"}),
    "text format": (request(form=ResponseFormat("text")), {"text"}),
    "JSON object": (request(form=ResponseFormat("json_object")), {"text", "json_object"}),
    "JSON schema": (request(form=ResponseFormat("json_schema", {})), {"text", "json_schema"}),
    "image": (request(Turn("user", (Image(Media()),))), {"text", "vision"}),
    "document in the history": (request(Turn("user", (Document(Media()),)), Turn("user", ())), {"text", "documents"}),
    "audio in a tool result": (request(Turn("user", (ToolResult("c", (Audio(Media()),)),))), {"text", "audio"}),
}


@pytest.mark.parametrize("case", REQUIRED)
def test_required_capabilities(case: str) -> None:
    asked, expected = REQUIRED[case]
    assert required_capabilities(asked) == expected
    assert expected <= set(CAPABILITIES)
