"""Tests of the tool choice that is left beside the tools that a target gets."""

from __future__ import annotations

import pytest

from crosswire.proxy.ir import Loss, Opaque, Request, Text, Tool, ToolChoice, Turn
from crosswire.proxy.ir.tool_choice import kept_tools, remaining_choice

F, G = Tool("f"), Tool("g")
SEARCH = Opaque("theirs", "web_search", {"type": "web_search_20250305", "name": "web_search"})
OWN = Opaque("ours", "bash", {"type": "bash_20250124", "name": "bash"})
DROPPED = [Loss("tool_choice", "tool_choice", "dropped")]

CASES: dict[str, tuple[tuple[Tool | Opaque, ...], ToolChoice | None, ToolChoice | None, list[Loss]]] = {
    "no choice": ((F,), None, None, []),
    "no tools, and none is forced": ((), ToolChoice("auto"), None, []),
    "no tools, and none is to be called": ((), ToolChoice("none"), None, []),
    "no tools, and one is forced": ((), ToolChoice("required"), None, DROPPED),
    "no tools, and one is named": ((), ToolChoice("named", ("f",)), None, DROPPED),
    "only tools of another provider": ((SEARCH,), ToolChoice("required"), None, DROPPED),
    "a tool of another provider is named": (
        (F, SEARCH), ToolChoice("named", ("web_search",)), ToolChoice("auto"),
        [Loss("tool_choice", "forced_hosted_tool", "dropped")],
    ),
    "the only tool is of another provider and named": (
        (SEARCH,), ToolChoice("named", ("web_search",)), None, [Loss("tool_choice", "forced_hosted_tool", "dropped")],
    ),
    "a tool of the target's own is named": ((OWN,), ToolChoice("named", ("bash",)), ToolChoice("named", ("bash",)), []),
    "a function is named": ((F, G), ToolChoice("named", ("g",)), ToolChoice("named", ("g",)), []),
    "a function that is gone is named": ((F,), ToolChoice("named", ("g",)), ToolChoice("auto"), DROPPED),
    "some of the allowed ones are gone": (
        (F,), ToolChoice("required", ("f", "g")), ToolChoice("required", ("f",)),
        [Loss("tool_choice", "tool_choice", "approximated")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("tools", "choice", "left", "losses"), CASES.values(), ids=CASES)
def test_the_remaining_choice(
    tools: tuple[Tool | Opaque, ...], choice: ToolChoice | None, left: ToolChoice | None, losses: list[Loss]
) -> None:
    request = Request(protocol="x", model="m", turns=(Turn("user", (Text("hi"),)),), tools=tools, tool_choice=choice)
    assert remaining_choice(request, kept_tools(request, "ours")) == (left, losses)
