"""Gemini's list of models, page by page.

Source: https://ai.google.dev/api/models
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ...wire import json_fields
from ...wire.query import query_int
from ..protocol import ListedModel, ModelList, ProviderModels

METHODS = {
    "text": ("generateContent", "streamGenerateContent", "countTokens"),
    "embeddings": ("embedContent", "batchEmbedContents"),
}
"""The methods that may be called on a model whose backend has this capability."""


def list_models(models: Sequence[ListedModel], query: Mapping[str, str]) -> dict[str, Any]:
    """A page: `pageSize` models, 50 by default, from where `pageToken` points to."""
    size = query_int(query, "pageSize", 50, 1000)
    begin = query_int(query, "pageToken", 0, len(models), least=0)
    page = {"models": [show_model(model) for model in models[begin : begin + size]]}
    return page | ({"nextPageToken": str(begin + size)} if begin + size < len(models) else {})


def show_model(model: ListedModel) -> dict[str, Any]:
    return {
        "name": f"models/{model.name}",
        "displayName": model.name,
        "supportedGenerationMethods": [m for word in METHODS if word in model.capabilities for m in METHODS[word]],
    }


MODEL_LIST = ModelList(list_models=list_models, show_model=show_model)


def read_models(body: dict[str, Any]) -> tuple[list[str], str | None]:
    """Returns the names on a page of a provider's own list, without `models/`, and the next page's path.

    "nextPageToken: A token, which can be sent as pageToken to retrieve the next page."
    https://ai.google.dev/api/models#method:-models.list
    """
    token = body.get("nextPageToken")
    names = [name.removeprefix("models/") for name in json_fields.texts_at(body, "models", "name")]
    return names, f"{FIRST_PAGE}&pageToken={quote(token, safe='')}" if type(token) is str and token else None


FIRST_PAGE = "/v1beta/models?pageSize=1000"

PROVIDER_MODELS = ProviderModels(path=FIRST_PAGE, read=read_models)
