"""Endpoints of Anthropic Messages: recognition of paths, model list and token count."""

from __future__ import annotations

from typing import Any

from ...scenarios.provider import Provider
from .tables import COUNT_PATH, PATH


def endpoint_of(method: str, path: str) -> str | None:
    """Returns `generate`, `models` or `count` for a method and path, None for an unknown path."""
    path = path.partition("?")[0]
    if method == "POST" and path.endswith(COUNT_PATH):
        return "count"
    if method == "POST" and path.endswith(PATH):
        return "generate"
    return "models" if method == "GET" and path.endswith("/models") else None


def list_models(provider: Provider) -> dict[str, Any]:
    """Returns the model list. https://platform.claude.com/docs/en/api/models/list"""
    data = [
        {"type": "model", "id": name, "display_name": name, "created_at": "2025-10-09T08:53:20Z"}
        for name in provider.upstream_models
    ]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"data": data, "has_more": False, "first_id": first, "last_id": last}


def count_tokens(body: dict[str, Any]) -> dict[str, Any]:
    """Returns the reply to a token count. https://platform.claude.com/docs/en/api/messages/count_tokens"""
    kept = {key: body[key] for key in ("system", "messages", "tools") if key in body}
    return {"input_tokens": len(str(kept)) // 4 + 8}
