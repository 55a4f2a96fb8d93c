"""Converts the web search of Chat Completions to and from the neutral form; it is a field beside the tools.

https://platform.openai.com/docs/guides/tools-web-search?api-mode=chat
"""

from __future__ import annotations

import re
from typing import Any

from ...ir import HostedTool
from ...wire.json_fields import maybe
from ..protocol import UpstreamTarget

WEB_SEARCH = "web_search_options"
"""The request field that turns web search on, and the kind of the tool that it is in the neutral form."""

TAKES: dict[str, frozenset[str]] = {"web_search": frozenset(("context_size", "location"))}

OWN_PROVIDERS = ("", "openai", "azure-openai")
"""Providers whose hosts have the field without a quirk: OpenAI's own, and hosts of which nothing is known."""

_SETTINGS = frozenset(
    ("allowed_domains", "excluded_domains", "blocked_domains", "max_uses", "search_context_size", "user_location")
)
"""The parameters of OpenRouter's search tool that other protocols' have too."""

_OPENAI_MODELS = re.compile(r"^(openai/)?(gpt-|o[0-9]|chatgpt-)")
_SEARCH_MODELS = re.compile(r"search")


def web_search_in(options: dict[str, Any]) -> HostedTool:
    location = (maybe(options, "user_location", dict) or {}).get("approximate")
    return HostedTool(
        "web_search",
        context_size=maybe(options, "search_context_size", str),
        location={key: value for key, value in location.items() if type(value) is str and key != "type"} or None
        if type(location) is dict
        else None,
    )


def hosted_tool_in(kind: str, tool: dict[str, Any]) -> HostedTool | None:
    """Returns the neutral form of a tool that hosts of this protocol run; None for any other.

    OpenRouter's is {"type": "openrouter:web_search"}: https://openrouter.ai/docs/guides/features/server-tools/web-search
    """
    if kind not in ("openrouter:web_search", "web_search", "web_search_preview"):
        return None
    parameters = maybe(tool, "parameters", dict) or tool
    location = maybe(parameters, "user_location", dict) or {}
    location = maybe(location, "approximate", dict) or location
    others = parameters.keys() - _SETTINGS - ({"type", "name"} if parameters is tool else set())
    return HostedTool(
        "web_search",
        _texts(parameters.get("allowed_domains")),
        _texts(parameters.get("excluded_domains") or parameters.get("blocked_domains")),
        maybe(parameters, "max_uses", int),
        maybe(parameters, "search_context_size", str),
        {key: value for key, value in location.items() if key != "type" and type(value) is str} or None,
        losses=tuple(sorted(key for key in others if parameters[key] is not None)),
    )


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(text for text in value if type(text) is str) if type(value) is list else ()


def web_search_out(tool: HostedTool) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if tool.context_size is not None:
        out["search_context_size"] = tool.context_size
    if tool.location:
        out["user_location"] = {"type": "approximate", "approximate": tool.location}
    return out


def takes(target: UpstreamTarget) -> dict[str, frozenset[str]]:
    """Returns the hosted tools that this host takes.

    "Web search options not supported with this model" is the answer of OpenAI's models without `search` in their name;
    hosts whose traits do not say that they have it refuse or ignore the field.
    """
    if "web_search" in target.traits.takes:
        return TAKES
    if target.provider not in OWN_PROVIDERS or (
        _OPENAI_MODELS.match(target.model) and not _SEARCH_MODELS.search(target.model)
    ):
        return {}
    return TAKES
