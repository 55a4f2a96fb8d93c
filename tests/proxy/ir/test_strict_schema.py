"""Tests of `is_strict` and `loosened`: which schemas are in OpenAI's strict subset, and what happens to the others."""

from __future__ import annotations

from typing import Any

import pytest

from crosswire.proxy.ir import Loss, Opaque, Request, ResponseFormat, Text, Tool, Turn
from crosswire.proxy.ir.strict_schema import is_strict, loosened
from crosswire.proxy.protocols.schema_targets import OPENAI_STRICT


def obj(**properties: Any) -> dict[str, Any]:
    """Builds a schema that is in the strict subset."""
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


OPEN = {"type": "object", "properties": {}}
OPTIONAL = obj(a={"type": "string"}) | {"required": []}

SCHEMAS: list[tuple[str, Any, bool]] = [
    ("no schema", None, True),
    ("no object", {"type": "string", "enum": ["a"]}, True),
    ("closed", obj(a={"type": "string"}), True),
    ("open", OPEN, False),
    ("a map", OPEN | {"additionalProperties": {"type": "string"}}, False),
    ("optional", OPTIONAL, False),
    ("open or null", {"type": ["object", "null"]}, False),
    ("open within", obj(a=OPEN), False),
    ("open in a list", obj(a={"type": "array", "items": OPEN}), False),
    ("open as an option", obj(a={"anyOf": [{"type": "null"}, OPEN]}), False),
    ("open in a definition", obj(a={"$ref": "#/$defs/b"}) | {"$defs": {"b": OPTIONAL}}, False),
    (
        "closed all the way",
        obj(a={"type": "array", "items": obj(b={"anyOf": [obj()]})}),
        True,
    ),
]


@pytest.mark.parametrize(("schema", "strict"), [row[1:] for row in SCHEMAS], ids=[row[0] for row in SCHEMAS])
def test_is_strict(schema: Any, strict: bool) -> None:
    assert is_strict(schema) is strict


def request(*tools: Tool | Opaque, form: ResponseFormat | None = None) -> Request:
    return Request(protocol="x", model="m", turns=(Turn("user", (Text("hi"),)),), tools=tools, format=form)


def test_strict_schemas_are_left_alone() -> None:
    asked = request(
        Tool("a", None, obj(), True),
        Tool("b", None, OPEN),
        Opaque("x", "web_search", {}),
        form=ResponseFormat("json_schema", obj(), strict=True),
    )
    assert loosened(asked, OPENAI_STRICT) == (asked, [])


def test_strict_is_removed_where_the_schema_is_outside_the_subset() -> None:
    tools = (Tool("a", None, obj(), True), Tool("b", None, OPTIONAL, True))
    found, losses = loosened(request(*tools, form=ResponseFormat("json_schema", OPEN, strict=True)), OPENAI_STRICT)
    assert [tool.strict for tool in found.tools if isinstance(tool, Tool)] == [True, False]
    assert found.format is not None
    assert found.format.strict is False
    assert losses == [
        Loss("tools[1].strict", "tool_strict", "dropped"),
        Loss("format.strict", "json_schema", "approximated"),
    ]


OUTSIDE: dict[str, tuple[Any, bool, list[str]]] = {
    "a default": ({**obj(), "default": {}}, True, ["tools[0].parameters.default"]),
    "a choice of one": (
        {**obj(), "properties": {"a": {"oneOf": [{"type": "string"}]}}, "required": ["a"]},
        True,
        ["tools[0].parameters.properties.a.oneOf"],
    ),
    "all of several": ({**obj(), "allOf": [obj()]}, False, ["tools[0].strict"]),
    "a condition": ({**obj(), "if": {}, "then": {}}, False, ["tools[0].strict"]),
}


@pytest.mark.parametrize(("schema", "strict", "lost"), OUTSIDE.values(), ids=OUTSIDE)
def test_keywords_outside_the_subset(schema: Any, strict: bool, lost: list[str]) -> None:
    found, losses = loosened(request(Tool("a", None, schema, True)), OPENAI_STRICT)
    (tool,) = found.tools
    assert isinstance(tool, Tool)
    assert (tool.strict, [loss.path for loss in losses]) == (strict, lost)
