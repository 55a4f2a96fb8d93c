"""Endpoints of the Responses API: recognition of paths and token count."""

from __future__ import annotations

import json
from typing import Any

from .tables import COUNT_PATH, PATH


def endpoint_of(method: str, path: str) -> str | None:
    """Returns `generate`, `models` or `count` for a method and path, None for an unknown path."""
    path = path.partition("?")[0]
    if method == "POST" and path.endswith(PATH):
        return "generate"
    if method == "POST" and path.endswith(COUNT_PATH):
        return "count"
    return "models" if method == "GET" and path.endswith("/models") else None


def count_tokens(body: dict[str, Any]) -> dict[str, Any]:
    """Returns the reply to a token count. https://platform.openai.com/docs/api-reference/responses/input-tokens"""
    request = {key: body.get(key) for key in ("instructions", "input", "tools") if body.get(key)}
    return {"object": "response.input_tokens", "input_tokens": len(json.dumps(request)) // 4 + 8}
