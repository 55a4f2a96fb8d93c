"""What OpenAI's strict subset of JSON Schema holds, and how a request is loosened that asks for more."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.ir import Format, Loss, Opaque, Request, Text, Tool, Turn
from proxy.strict import is_strict, loosened


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


OPEN = {"type": "object", "properties": {}}
OPTIONAL = closed(a={"type": "string"}) | {"required": []}

SCHEMAS: list[tuple[str, Any, bool]] = [
    ("no schema", None, True),
    ("no object", {"type": "string", "enum": ["a"]}, True),
    ("closed", closed(a={"type": "string"}), True),
    ("open", OPEN, False),
    ("a map", OPEN | {"additionalProperties": {"type": "string"}}, False),
    ("optional", OPTIONAL, False),
    ("open or null", {"type": ["object", "null"]}, False),
    ("open within", closed(a=OPEN), False),
    ("open in a list", closed(a={"type": "array", "items": OPEN}), False),
    ("open as an option", closed(a={"anyOf": [{"type": "null"}, OPEN]}), False),
    ("open in a definition", closed(a={"$ref": "#/$defs/b"}) | {"$defs": {"b": OPTIONAL}}, False),
    ("closed all the way", closed(a={"type": "array", "items": closed(b={"anyOf": [closed()]})}), True),
]


@pytest.mark.parametrize(("schema", "strict"), [row[1:] for row in SCHEMAS], ids=[row[0] for row in SCHEMAS])
def test_what_is_strict(schema: Any, strict: bool) -> None:
    assert is_strict(schema) is strict


def request(*tools: Tool | Opaque, form: Format | None = None) -> Request:
    return Request(dialect="x", model="m", turns=(Turn("user", (Text("hi"),)),), tools=tools, format=form)


def test_what_fits_is_left_alone() -> None:
    asked = request(
        Tool("a", None, closed(), True),
        Tool("b", None, OPEN),
        Opaque("x", "web_search", {}),
        form=Format("json_schema", closed(), strict=True),
    )
    assert loosened(asked) == (asked, [])


def test_what_does_not_fit_is_loosened_by_name() -> None:
    tools = (Tool("a", None, closed(), True), Tool("b", None, OPTIONAL, True))
    found, losses = loosened(request(*tools, form=Format("json_schema", OPEN, strict=True)))
    assert [tool.strict for tool in found.tools if isinstance(tool, Tool)] == [True, False]
    assert found.format is not None
    assert found.format.strict is False
    assert losses == [
        Loss("tools[1].strict", "tool_strict", "dropped"),
        Loss("format.strict", "json_schema", "approximated"),
    ]
