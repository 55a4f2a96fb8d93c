"""Losses of tools that a provider runs."""

from __future__ import annotations

import pytest

from crosswire.proxy.ir import HostedTool, Opaque, Request, Tool, ToolChoice
from crosswire.proxy.ir.hosted import foreign_hosted_tools, hosted_choice_losses, hosted_losses

SEARCH = HostedTool("web_search", ("a.example",), max_uses=3, losses=("style",))
SERVER = HostedTool("mcp", server={"name": "s", "url": "https://s", "headers": {"x": "y"}})


@pytest.mark.parametrize(
    ("tool", "takes", "paths"),
    [
        (SEARCH, {}, ["tools[2].web_search"]),
        (SEARCH, {"web_search": frozenset()}, ["tools[2].allowed_domains", "tools[2].max_uses", "tools[2].style"]),
        (SEARCH, {"web_search": frozenset(("allowed_domains", "max_uses"))}, ["tools[2].style"]),
        (SERVER, {"mcp": frozenset(("server.url",))}, ["tools[2].server.headers"]),
        (HostedTool("code_execution"), {"code_execution": frozenset()}, []),
    ],
)
def test_hosted_losses(tool: HostedTool, takes: dict[str, frozenset[str]], paths: list[str]) -> None:
    losses = hosted_losses(2, tool, takes)
    assert [loss.path for loss in losses] == paths
    assert {loss.feature for loss in losses} <= {"hosted_tools"}


def test_foreign_hosted_tools() -> None:
    tools = (Tool("f"), Opaque("p", "w", {}, hosted=SEARCH), Opaque("q", "w", {}, hosted=SERVER), Opaque("q", "x", {}))
    assert foreign_hosted_tools(Request(protocol="p", model="m", turns=(), tools=tools), "p") == [(2, SERVER)]


@pytest.mark.parametrize(
    ("hosted", "kinds", "refused"),
    [(None, frozenset(), False), ("web_search", frozenset(), True), ("web_search", frozenset(("web_search",)), False)],
)
def test_hosted_choice_losses(hosted: str | None, kinds: frozenset[str], refused: bool) -> None:
    request = Request(protocol="p", model="m", turns=(), tool_choice=ToolChoice("auto", hosted=hosted))
    assert [loss.feature for loss in hosted_choice_losses(request, kinds)] == ["forced_hosted_tool"] * refused
