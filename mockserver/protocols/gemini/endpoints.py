"""Endpoints of the Gemini API: recognition of paths, model list and token count."""

from __future__ import annotations

from typing import Any

from ...matcher import json_strings
from ...scenarios.provider import Provider
from .message_schema import camel
from .request_parser import method_of
from .tables import VERSIONED


def endpoint_of(method: str, path: str) -> str | None:
    """Returns `generate`, `models` or `count` for a method and path, None for an unknown path."""
    plain_path = path.partition("?")[0]
    if VERSIONED.match(plain_path) is None:
        return None
    if method == "GET":
        return "models" if plain_path.endswith("/models") else None
    found = method_of(plain_path)[1] if method == "POST" else None
    return None if found is None else "count" if found == "countTokens" else "generate"


def list_models(provider: Provider) -> dict[str, Any]:
    """Returns the model list. https://ai.google.dev/api/models#method:-models.list"""
    return {
        "models": [
            {
                "name": f"models/{name}",
                "version": "001",
                "displayName": name,
                "description": f"Mock model of {provider.name}",
                "inputTokenLimit": 1048576,
                "outputTokenLimit": provider.max_tokens or 65536,
                "supportedGenerationMethods": ["generateContent", "countTokens"],
            }
            for name in provider.upstream_models
        ]
    }


def count_tokens(body: dict[str, Any]) -> dict[str, Any]:
    """Returns the reply to `countTokens`; a token is four characters. https://ai.google.dev/api/tokens"""
    inner = {camel(key): value for key, value in body.items() if value is not None}.get("generateContentRequest", body)
    total = sum(len(text) for text in json_strings(inner)) // 4 + 1
    return {"totalTokens": total, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": total}]}
