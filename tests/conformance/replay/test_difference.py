"""The first difference between two neutral replies, with the allowed exceptions."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from crosswire.conformance.replay.difference import first_difference
from crosswire.proxy.ir import Reply, ToolCall, Usage

REPLY = Reply(protocol="d", id="1", model="m", blocks=(ToolCall("c", "f", ""),), stop="tool", usage=Usage(3, 2))

DIFFERENCES: list[tuple[str, Reply, dict[str, Any], str | None]] = [
    ("equal", REPLY, {}, None),
    ("no arguments, as empty text or object", replace(REPLY, blocks=(ToolCall("c", "f", "{}"),)), {}, None),
    ("an absent count", replace(REPLY, usage=Usage(3, 2, 0)), {}, None),
    ("empty extra fields", replace(REPLY, extra={}), {}, None),
    ("another name", replace(REPLY, blocks=(ToolCall("c", "g", ""),)), {}, ".blocks[0].name"),
    ("one block less", replace(REPLY, blocks=()), {}, ".blocks"),
    ("another total", replace(REPLY, usage=Usage(3, 3)), {}, ".usage.output"),
    ("another stop reason", replace(REPLY, stop="end"), {}, ".stop"),
    ("another stop, which is excepted", replace(REPLY, stop="end"), {"but": (".stop",)}, None),
    ("an extra field", replace(REPLY, extra={"a": 1}), {}, ".extra.a"),
    ("an extra field, which is excepted", replace(REPLY, extra={"a": 1}), {"added": ("*.extra.*",)}, None),
]


@pytest.mark.parametrize(
    ("other", "exceptions", "place"), [row[1:] for row in DIFFERENCES], ids=[row[0] for row in DIFFERENCES]
)
def test_first_difference(other: Reply, exceptions: dict[str, Any], place: str | None) -> None:
    found = first_difference(REPLY, other, **exceptions)
    assert found is None if place is None else found is not None and found.partition(": ")[0] == place
