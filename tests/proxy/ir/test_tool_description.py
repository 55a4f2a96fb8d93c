"""Descriptions of tools with what the target has no field for."""

from __future__ import annotations

import pytest

from crosswire.proxy.ir import Tool
from crosswire.proxy.ir.tool_description import told_description

GRAMMAR = {"type": "grammar", "grammar": {"syntax": "lark", "definition": 'start: "a"'}}
GROUPED = Tool("t", "Rings.", namespace="n", extra={"namespace.description": "Bells."})


@pytest.mark.parametrize(
    ("tool", "same", "custom", "expected"),
    [
        (Tool("t"), False, True, None),
        (Tool("t", ""), False, True, ""),
        (Tool("t", "Rings."), False, False, "Rings."),
        (GROUPED, False, True, "Rings.\nOf the group n: Bells."),
        (GROUPED, True, True, "Rings."),
        (Tool("t", "A.", kind="custom", grammar=GRAMMAR), False, True, "A."),
        (
            Tool("t", "A.", kind="custom", grammar=GRAMMAR),
            False,
            False,
            'A.\nThe input must fit this lark grammar:\nstart: "a"',
        ),
        (Tool("t", kind="custom", grammar={"type": "odd"}), False, False, None),
    ],
)
def test_told_description(tool: Tool, same: bool, custom: bool, expected: str | None) -> None:
    assert told_description(tool, same, custom=custom) == expected
