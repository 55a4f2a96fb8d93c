"""Says what a request would do at its vendor beside answering, for which it must not be sent twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import Malformed
from ..protocols import PROTOCOLS
from ..wire import json_fields

STARTS = ("background", "mcp_servers", "container", "conversation")
"""Fields by which a request starts or changes something at the vendor."""

FUNCTIONS = ("function", "custom", "namespace", None)
"""Types of the tools that the client runs; every other type is run by the vendor."""


def effect_of(body: bytes, protocol: str) -> str | None:
    """Returns the field of a request's body, as it is sent, that has an effect at the vendor; None where none has.

    A protocol that keeps replies keeps those of every request that does not forbid it.
    """
    try:
        fields = json_fields.parse_object(body)
    except Malformed:
        return "body"
    spoken = PROTOCOLS.get(protocol)
    keeps = spoken is not None and spoken.keeps_replies
    if fields.get("store", keeps) not in (False, None) or (keeps and fields.get("store", True) is None):
        return "store"
    found = next((key for key in STARTS if fields.get(key)), None)
    if found is None and any(_is_hosted(tool) for tool in fields.get("tools") or ()):
        found = "tools"
    return found


def _is_hosted(tool: Any) -> bool:
    """Returns whether the vendor runs this tool."""
    if not isinstance(tool, Mapping):
        return True
    if "type" in tool:
        return tool["type"] not in FUNCTIONS
    return not any(key in tool for key in ("name", "functionDeclarations", "function_declarations", "function"))
