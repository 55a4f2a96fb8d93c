"""Endpoints of the Ollama chat API: recognition of paths and model list."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ...scenarios.provider import Provider
from ..reply_context import MOCK_CREATED
from .tables import DEFAULT_TAG, PATH


def endpoint_of(method: str, path: str) -> str | None:
    """Returns `generate` or `models` for a method and path, None for an unknown path."""
    path = path.partition("?")[0]
    if method == "POST" and path.endswith(PATH):
        return "generate"
    return "models" if method == "GET" and path.endswith("/api/tags") else None


def list_models(provider: Provider) -> dict[str, Any]:
    """Returns the model list. https://docs.ollama.com/api/tags"""
    details = {
        "parent_model": "",
        "format": "gguf",
        "family": "llama",
        "families": ["llama"],
        "parameter_size": "3.2B",
        "quantization_level": "Q4_K_M",
    }
    made = datetime.fromtimestamp(MOCK_CREATED, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "models": [
            {
                "name": with_tag(name),
                "model": with_tag(name),
                "modified_at": made,
                "size": 2019393189,
                "digest": "a80c4f17acd55265feec403c7aef86be0c25983ab279d83f3bcd3abbcb5b8b72",
                "details": details,
            }
            for name in provider.upstream_models
        ]
    }


def with_tag(name: str) -> str:
    """Returns a model name with its tag: "if not provided, it will default to latest".

    https://github.com/ollama/ollama/blob/main/docs/api.md#model-names
    """
    return name if ":" in name.rpartition("/")[2] else name + DEFAULT_TAG
