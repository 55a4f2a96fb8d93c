"""Reads the list of models that a host of OpenAI's protocols gives.

Source: https://platform.openai.com/docs/api-reference/models/list
"""

from __future__ import annotations

from typing import Any

from ...wire import json_fields
from ..protocol import ProviderModels


def read_models(body: dict[str, Any]) -> tuple[list[str], str | None]:
    """Returns the ids; the list has one page."""
    return json_fields.texts_at(body, "data", "id"), None


PROVIDER_MODELS = ProviderModels(path="/models", read=read_models)
