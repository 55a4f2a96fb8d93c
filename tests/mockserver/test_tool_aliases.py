"""Renaming of tool calls to the tools that the request offers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.mockserver.scenarios.model import Interleave, Item, SayCall, SayText, Tool
from crosswire.mockserver.tool_aliases import pair_tools, rename_for_request

READ, COUNT = Tool("fs.read"), Tool("count")
PATCH = Tool("patch", kind="custom")
GROUPED = Tool("read", namespace="fs")

CASES: dict[str, tuple[tuple[Tool, ...], tuple[Tool, ...], Item, Item]] = {
    "its own name": ((COUNT,), (COUNT,), SayCall("c", "count"), SayCall("c", "count")),
    "another name": ((READ,), (Tool("fs_read"),), SayCall("c", "fs.read"), SayCall("c", "fs_read")),
    "another name, matched by order": (
        (READ, COUNT), (COUNT, Tool("fs_read")), SayCall("c", "fs.read"), SayCall("c", "fs_read"),
    ),
    "a group flattened": (
        (Tool("read"), GROUPED), (Tool("read"), Tool("fs__read")),
        SayCall("c", "read", namespace="fs"), SayCall("c", "fs__read"),
    ),
    "a tool outside the group": (
        (Tool("read"), GROUPED), (Tool("read"), Tool("fs__read")), SayCall("c", "read"), SayCall("c", "read"),
    ),
    "free text as it is": (
        (PATCH,), (PATCH,), SayCall("c", "patch", ("a", "b"), kind="custom"),
        SayCall("c", "patch", ("a", "b"), kind="custom"),
    ),
    "free text to a function": (
        (PATCH,), (Tool("patch"),), SayCall("c", "patch", ("a\n", '"'), kind="custom"),
        SayCall("c", "patch", ('{"input":"', "a\\n", '\\"', '"}')),
    ),
    "interleaved": (
        (READ,), (Tool("fs_read"),), Interleave((SayCall("c", "fs.read"),)), Interleave((SayCall("c", "fs_read"),)),
    ),
    "a tool that is not offered": ((READ,), (), SayCall("c", "fs.read"), SayCall("c", "fs.read")),
    "numbers of tools differ": (
        (READ, Tool("a.b")), (Tool("x"),), SayCall("c", "fs.read"), SayCall("c", "fs.read"),
    ),
    "no call": ((READ,), (COUNT,), SayText(("fs.read",)), SayText(("fs.read",))),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_call_is_renamed_to_the_offered_tool(name: str) -> None:
    tools, offered, call_item, wanted = CASES[name]
    assert rename_for_request((call_item,), tools, offered) == (wanted,)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=8), max_size=5))
def test_custom_tool_input_survives_as_a_function_argument(fragments: list[str]) -> None:
    call_item = SayCall("c", "patch", tuple(fragments), kind="custom")
    (call,) = rename_for_request((call_item,), (PATCH,), (Tool("patch"),))
    assert isinstance(call, SayCall)
    assert json.loads("".join(call.fragments)) == {"input": "".join(fragments)}


def test_equal_names_match_before_order() -> None:
    first, second = Tool("fs.read", "one"), Tool("fs_read", "two")
    found = pair_tools((first, second), (Tool("fs_read_1", "one"), Tool("fs_read", "two")))
    assert {full[1]: tool.name for full, tool in found.items()} == {"fs.read": "fs_read_1", "fs_read": "fs_read"}
