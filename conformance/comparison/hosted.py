"""Tells which tools of two requests are the same tool of a provider's own, whatever each protocol calls it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

KINDS: tuple[tuple[str, str], ...] = (
    # https://platform.openai.com/docs/guides/tools, https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/overview
    (r"web_search(_options|_preview)?(_\d+)*|googleSearch|openrouter:web_search", "web search"),
    (r"code_interpreter|code_execution_\d+|codeExecution", "code execution"),
    (r"web_fetch_\d+|urlContext", "page fetching"),
)
"""Pattern of a tool's type or field -> what the tool does."""

NAMES = ("type", "name")
"""Fields of a tool that name it; all others are settings."""


def hosted_kind(path: str, value: Any) -> str | None:
    """Returns what the hosted tool at this path of a request does; None where it is none that others have."""
    name = value.get("type") if isinstance(value, dict) and "type" in value else path.rpartition(".")[2]
    return next((kind for pattern, kind in KINDS if re.fullmatch(pattern, str(name))), None)


def hosted_tools(extra: Mapping[str, Any]) -> dict[str, set[str]]:
    """Returns the hosted tools among these fields, each with the names of its settings."""
    found: dict[str, set[str]] = {}
    for path, value in extra.items():
        if "tool_choice" not in path and (kind := hosted_kind(path, value)) is not None:
            settings = {key for key in value if key not in NAMES} if isinstance(value, dict) else set()
            found[kind] = found.get(kind, set()) | settings
    return found
