"""OpenAI's list of models.

Source: https://platform.openai.com/docs/api-reference/models/list
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..protocol import ListedModel, ModelList


def list_models(models: Sequence[ListedModel], query: Mapping[str, str]) -> dict[str, Any]:
    return {"object": "list", "data": [show_model(model) for model in models]}


def show_model(model: ListedModel) -> dict[str, Any]:
    return {"id": model.name, "object": "model", "created": 0, "owned_by": model.owner}


MODEL_LIST = ModelList(list_models=list_models, show_model=show_model)
