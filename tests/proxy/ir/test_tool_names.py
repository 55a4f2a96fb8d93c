"""Tests of ToolNameMap: names that a target forbids are replaced, stay distinct, and are mapped back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.ir import Opaque, Request, Text, Tool, ToolCall, ToolChoice, ToolResult, Turn
from crosswire.proxy.ir.tool_names import Alias, ToolNameMap

OPENAI = re.compile(r"[a-zA-Z0-9_-]{1,64}")
GEMINI = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")
ANY = re.compile(r".+", re.DOTALL)
LONG = "x" * 70


def request(*tools: Tool | Opaque, turns: tuple[Turn, ...] = (), choice: ToolChoice | None = None) -> Request:
    return Request(protocol="anthropic", model="m", turns=turns, tools=tools, tool_choice=choice)


WIRE_NAMES: dict[str, tuple[tuple[Tool, ...], re.Pattern[str], list[str]]] = {
    "names that fit stay": ((Tool("a"), Tool("b-c_1")), OPENAI, ["a", "b-c_1"]),
    "dots": ((Tool("fs.read"),), OPENAI, ["fs_read"]),
    "dots where they are allowed": ((Tool("fs.read"),), GEMINI, ["fs.read"]),
    "length": ((Tool(LONG),), OPENAI, ["x" * 64]),
    "a digit first": ((Tool("7zip"),), GEMINI, ["t_7zip"]),
    "a name that fits keeps it": ((Tool("a.b"), Tool("a_b")), OPENAI, ["a_b_2c3a6b5e", "a_b"]),
    "namespaces": ((Tool("read", namespace="fs"),), OPENAI, ["fs__read"]),
    "everything is allowed": ((Tool("fs.read"), Tool(LONG)), ANY, ["fs.read", LONG]),
    "other alphabets": ((Tool("поиск"),), OPENAI, ["_____"]),
}


@pytest.mark.parametrize("case", WIRE_NAMES)
def test_wire_names(case: str) -> None:
    tools, fits, expected = WIRE_NAMES[case]
    names = ToolNameMap(request(*tools), fits)
    found = [names.wire(tool.name, tool.namespace) for tool in tools]
    assert [re.sub(r"_[0-9a-f]{8}$", "_#", name) for name in found] == [
        re.sub(r"_[0-9a-f]{8}$", "_#", name) for name in expected
    ]
    assert all(fits.fullmatch(name) for name in found)
    assert len(set(found)) == len(found)


def test_aliases_hold_only_names_that_differ() -> None:
    names = ToolNameMap(request(Tool("plain"), Tool("fs.read"), Tool("read", namespace="fs")), OPENAI)
    assert names.aliases == {"fs_read": Alias("fs.read"), "fs__read": Alias("read", "fs")}
    assert names.wire("unknown tool") == "unknown tool"


def test_custom_tools_have_an_alias_where_the_target_has_none() -> None:
    tools = (Tool("patch", kind="custom"), Tool("plain"))
    assert ToolNameMap(request(*tools), OPENAI).aliases == {"patch": Alias("patch", None, "custom")}
    assert ToolNameMap(request(*tools), OPENAI, custom=True).aliases == {}


def test_history_results_and_choice_are_renamed_too() -> None:
    turns = (
        Turn("assistant", (Text("so"), ToolCall("c1", "old.tool"), ToolCall("c2", "read", namespace="fs"))),
        Turn("user", (ToolResult("c1", (), name="old.tool"), ToolResult("c2", ()))),
    )
    names = ToolNameMap(request(Tool("fs.read"), turns=turns, choice=ToolChoice("named", ("fs.read",))), OPENAI)
    assert names.wire("old.tool") == "old_tool"
    assert names.wire("read", "fs") == "fs__read"
    assert names.wire("fs.read") == "fs_read"


def test_hosted_tools_are_not_renamed() -> None:
    assert ToolNameMap(request(Opaque("anthropic", "web_search", {"name": "web.search"})), OPENAI).aliases == {}


tool_names = st.text("ab._7é", min_size=0, max_size=5) | st.just(LONG) | st.just(LONG + "y")
tools = st.lists(st.tuples(tool_names, st.none() | st.text("a.", min_size=1, max_size=2)), max_size=6, unique=True).map(
    lambda pairs: tuple(Tool(name, namespace=namespace) for name, namespace in pairs)
)


@pytest.mark.parametrize("fits", [OPENAI, GEMINI], ids=["openai", "gemini"])
@given(found=tools)
def test_property_names_are_valid_distinct_and_mapped_back(fits: re.Pattern[str], found: tuple[Tool, ...]) -> None:
    names = ToolNameMap(request(*found), fits)
    wires = [names.wire(tool.name, tool.namespace) for tool in found]
    assert all(fits.fullmatch(wire) for wire in wires)
    assert len(set(wires)) == len(wires)
    for tool, wire in zip(found, wires, strict=True):
        alias = names.aliases.get(wire, Alias(wire))
        assert (alias.name, alias.namespace) == (tool.name, tool.namespace)


@given(found=tools)
def test_property_every_turn_gives_the_same_names(found: tuple[Tool, ...]) -> None:
    first = ToolNameMap(request(*found), OPENAI)
    calls = tuple(ToolCall(f"c{n}", tool.name, namespace=tool.namespace) for n, tool in enumerate(found))
    later = ToolNameMap(request(*found, turns=(Turn("assistant", calls),)), OPENAI)
    assert later.aliases == first.aliases
