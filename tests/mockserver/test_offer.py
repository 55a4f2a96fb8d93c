"""The offer: a model calls each tool by the name under which it was told of it, in the form in which it was."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockserver.offer import as_offered, paired
from mockserver.speech import Interleave, Item, SayCall, SayText, Tool

READ, COUNT = Tool("fs.read"), Tool("count")
PATCH = Tool("patch", kind="custom")
GROUPED = Tool("read", namespace="fs")

OFFERED: dict[str, tuple[tuple[Tool, ...], tuple[Tool, ...], Item, Item]] = {
    "its own name": ((COUNT,), (COUNT,), SayCall("c", "count"), SayCall("c", "count")),
    "another name": ((READ,), (Tool("fs_read"),), SayCall("c", "fs.read"), SayCall("c", "fs_read")),
    "another name, told by what is left": (
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
    "a tool that is not on offer": ((READ,), (), SayCall("c", "fs.read"), SayCall("c", "fs.read")),
    "nobody knows which": (
        (READ, Tool("a.b")), (Tool("x"),), SayCall("c", "fs.read"), SayCall("c", "fs.read"),
    ),
    "no call": ((READ,), (COUNT,), SayText(("fs.read",)), SayText(("fs.read",))),
}  # fmt: skip


@pytest.mark.parametrize("name", OFFERED)
def test_a_tool_is_called_as_it_was_offered(name: str) -> None:
    tools, offered, said, wanted = OFFERED[name]
    assert as_offered((said,), tools, offered) == (wanted,)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=8), max_size=5))
def test_free_text_survives_the_function_that_plays_its_tool(fragments: list[str]) -> None:
    said = SayCall("c", "patch", tuple(fragments), kind="custom")
    (call,) = as_offered((said,), (PATCH,), (Tool("patch"),))
    assert isinstance(call, SayCall)
    assert json.loads("".join(call.fragments)) == {"input": "".join(fragments)}


def test_a_name_of_its_own_goes_before_the_order() -> None:
    first, second = Tool("fs.read", "one"), Tool("fs_read", "two")
    found = paired((first, second), (Tool("fs_read_1", "one"), Tool("fs_read", "two")))
    assert {full[1]: tool.name for full, tool in found.items()} == {"fs.read": "fs_read_1", "fs_read": "fs_read"}
