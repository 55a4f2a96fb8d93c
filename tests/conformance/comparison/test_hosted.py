"""Functions that stand for a tool which the client runs, and the settings of a hosted tool that say something."""

from __future__ import annotations

from typing import Any

import pytest

from crosswire.conformance.comparison.hosted import client_function, settings_of
from crosswire.mockserver.scenarios.model import Tool


def function(name: str, *inputs: str) -> Tool:
    return Tool(name, parameters={"type": "object", "properties": {name: {} for name in inputs}})


BASH: dict[str, Any] = {"type": "bash_20250124", "name": "bash"}

FUNCTIONS: list[tuple[Any, Tool, bool]] = [
    (BASH, function("bash", "command", "restart"), True),
    (BASH, function("bash", "command"), False),
    (BASH, function("sh", "command", "restart"), False),
    ({"type": "apply_patch"}, function("apply_patch", "type", "path", "diff"), True),
    ({"type": "web_search_20250305", "name": "web_search"}, function("web_search", "query"), False),
    ("bash", function("bash", "command", "restart"), False),
]


@pytest.mark.parametrize(("value", "tool", "stands"), FUNCTIONS)
def test_a_function_stands_for_a_tool_with_its_inputs(value: Any, tool: Tool, stands: bool) -> None:
    assert (client_function(value, [tool]) is tool) is stands


SETTINGS: list[tuple[Any, set[str]]] = [
    ({"type": "web_search_20250305", "name": "web_search", "max_uses": None, "allowed_domains": []}, set()),
    ({"type": "web_search_20260318", "allowed_callers": ["direct"]}, set()),
    ({"type": "web_search_20260318", "allowed_callers": ["code_execution"]}, {"allowed_callers"}),
    ({"type": "web_search", "filters": {"allowed_domains": ["a"]}}, {"allowed_domains"}),
    (
        {"type": "openrouter:web_search", "parameters": {"search_context_size": "low", "excluded_domains": ["b"]}},
        {"context_size", "blocked_domains"},
    ),
    ({"type": "web_search_20250305", "cache_control": {"type": "ephemeral"}}, {"cache_control"}),
    ("web_search", set()),
]


@pytest.mark.parametrize(("value", "names"), SETTINGS)
def test_settings_that_say_something(value: Any, names: set[str]) -> None:
    assert set(settings_of(value)) == names
