"""Gemini's list of models, page by page.

Source: https://ai.google.dev/api/models
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...wire.query import query_int
from ..protocol import ListedModel, ModelList

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
