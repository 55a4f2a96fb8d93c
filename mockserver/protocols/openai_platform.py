"""Rules of the OpenAI platform that Chat Completions and Responses have in common: API key check and model list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..scenarios.provider import Provider
from .reply_context import MOCK_CREATED, Failure, sent_key


def check_api_key(headers: Mapping[str, str], provider: Provider) -> Failure | None:
    """Checks the API key. https://platform.openai.com/docs/guides/error-codes/api-errors"""
    given = sent_key(headers, provider.auth)
    if given is None:
        return Failure(
            401,
            "authentication",
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
            "auth (i.e. Authorization: Bearer YOUR_KEY).",
        )
    if given != provider.auth.key:
        return Failure(
            401,
            "authentication",
            f"Incorrect API key provided: {given[:8]}***. You can find your API key at "
            "https://platform.openai.com/account/api-keys.",
            "invalid_api_key",
        )
    return None


def list_models(provider: Provider) -> dict[str, Any]:
    """Returns the model list. https://platform.openai.com/docs/api-reference/models/list"""
    data = [
        {"id": name, "object": "model", "created": MOCK_CREATED, "owned_by": provider.name}
        for name in provider.upstream_models
    ]
    return {"object": "list", "data": data}
