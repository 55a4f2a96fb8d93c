"""Reply type of the non-chat endpoints, and the errors that several of them return."""

from __future__ import annotations

from typing import Any, TypeAlias

from ..protocols.reply_context import Failure
from ..scenarios.provider import Provider

EndpointReply: TypeAlias = dict[str, Any] | Failure
"""A JSON body, or an error."""


def invalid_request(message: str, param: str | None = None) -> Failure:
    """Returns an error with status 400."""
    return Failure(400, "bad_request", message, param=param)


def unknown_model(model: str, provider: Provider) -> Failure | None:
    """Returns OpenAI's error for a model that the provider does not have, else None."""
    if not provider.models or model in provider.upstream_models:
        return None
    message = f"The model `{model}` does not exist or you do not have access to it."
    return Failure(404, "not_found", message, "model_not_found", "model")
