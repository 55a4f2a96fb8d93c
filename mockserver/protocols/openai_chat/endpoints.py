"""Endpoints of Chat Completions: recognition of paths."""

from __future__ import annotations

from .tables import PATH


def endpoint_of(method: str, path: str) -> str | None:
    """Returns `generate` or `models` for a method and path, None for an unknown path."""
    path = path.partition("?")[0]
    if method == "POST" and path.endswith(PATH):
        return "generate"
    return "models" if method == "GET" and path.endswith("/models") else None
