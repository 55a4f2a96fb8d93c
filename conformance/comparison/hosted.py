"""Tells which tools of two requests are the same tool of a provider's own, whatever each protocol calls it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from crosswire.mockserver.scenarios.model import Tool

KINDS: tuple[tuple[str, str], ...] = (
    # https://platform.openai.com/docs/guides/tools, https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/overview
    (r"web_search(_options|_preview)?(_\d+)*|googleSearch|openrouter:web_search", "web search"),
    (r"code_interpreter|code_execution_\d+|codeExecution", "code execution"),
    (r"web_fetch_\d+|urlContext", "page fetching"),
)
"""Pattern of a tool's type or field -> what the tool does."""

NAMES = ("type", "name", "engine", "max_results")
"""Fields of a tool that name it, or how its host runs it; all others are settings."""

NESTED = ("parameters", "filters")
"""Fields of a tool whose fields are settings. https://openrouter.ai/docs/guides/features/server-tools/web-search"""

SETTINGS: dict[str, str] = {
    "search_context_size": "context_size",
    "excluded_domains": "blocked_domains",
    "excludeDomains": "blocked_domains",
    "user_location": "location",
}
"""Name of a setting in one protocol -> the name by which it is compared."""

SAYS_NOTHING: dict[str, tuple[Any, ...]] = {"allowed_callers": (["direct"],), "defer_loading": (False,)}
"""Settings and the values of them that ask for what is done anyway; null and an empty list always do."""


class ClientTool(Struct, frozen=True):
    """A tool that its provider defines and its client runs; elsewhere it is a function with the documented inputs."""

    kind: str
    inputs: tuple[str, ...]


CLIENT_TOOLS: tuple[ClientTool, ...] = (
    # https://platform.claude.com/docs/en/agents-and-tools/tool-use/tool-reference
    ClientTool(r"bash_\d+", ("command", "restart")),
    ClientTool(r"text_editor_\d+", ("command", "path", "view_range", "file_text", "old_str", "new_str")),
    ClientTool(r"memory_\d+", ("command", "path", "file_text", "old_str", "new_str", "old_path", "new_path")),
    ClientTool(r"computer_\d+", ("action", "coordinate", "text", "duration")),
    # https://platform.openai.com/docs/guides/tools
    ClientTool("apply_patch", ("type", "path", "diff")),
    ClientTool("shell", ("commands", "timeout_ms", "max_output_length")),
    ClientTool("local_shell", ("command", "timeout_ms", "working_directory")),
    ClientTool("computer", ("actions",)),
    ClientTool("computer_use_preview", ("type", "x", "y", "text", "keys")),
)
"""The tools that a client runs, with the inputs that a function in their place must have."""


def client_function(value: Any, tools: Iterable[Tool]) -> Tool | None:
    """Returns the function among these tools that stands for a provider's tool which the client runs."""
    if not isinstance(value, dict):
        return None
    kind = str(value.get("type"))
    known = next((tool for tool in CLIENT_TOOLS if re.fullmatch(tool.kind, kind)), None)
    if known is None:
        return None
    for tool in tools:
        properties = (tool.parameters or {}).get("properties") or {}
        if tool.name == (value.get("name") or kind) and set(known.inputs) <= set(properties):
            return tool
    return None


def settings_of(value: Any) -> dict[str, str]:
    """Returns the settings of a hosted tool that say something, by the name by which they are compared."""
    if not isinstance(value, dict):
        return {}
    nested = [inner for key in NESTED if isinstance(inner := value.get(key), dict)]
    return {
        SETTINGS.get(key, key): key
        for holder in (value, *nested)
        for key, setting in holder.items()
        if key not in (*NAMES, *NESTED)
        and setting not in (None, [], {}, "")
        and setting not in SAYS_NOTHING.get(key, ())
    }


def hosted_kind(path: str, value: Any) -> str | None:
    """Returns what the hosted tool at this path of a request does; None where it is none that others have."""
    name = value.get("type") if isinstance(value, dict) and "type" in value else path.rpartition(".")[2]
    return next((kind for pattern, kind in KINDS if re.fullmatch(pattern, str(name))), None)


def hosted_tools(extra: Mapping[str, Any]) -> dict[str, set[str]]:
    """Returns the hosted tools among these fields, each with the names of its settings."""
    found: dict[str, set[str]] = {}
    for path, value in extra.items():
        if "tool_choice" not in path and (kind := hosted_kind(path, value)) is not None:
            found[kind] = found.get(kind, set()) | set(settings_of(value))
    return found
