"""Anthropic's list of models, page by page.

Source: https://platform.claude.com/docs/en/api/models/list
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ...wire import json_fields
from ...wire.query import query_error, query_int
from ..protocol import ListedModel, ModelList, ProviderModels

EPOCH = "1970-01-01T00:00:00Z"
"""A model's date: "May be set to an epoch value if the release date is unknown", says the field's description."""


def list_models(models: Sequence[ListedModel], query: Mapping[str, str]) -> dict[str, Any]:
    """A page: `limit` models, 20 by default, after `after_id` or before `before_id`."""
    size = query_int(query, "limit", 20, 1000)
    after, before = query.get("after_id"), query.get("before_id")
    if before is not None:
        end = _index(models, before, "before_id")
        page = models[max(0, end - size) : end]
        more = end > size
    else:
        begin = 0 if after is None else _index(models, after, "after_id") + 1
        page = models[begin : begin + size]
        more = begin + size < len(models)
    return {
        "data": [show_model(model) for model in page],
        "has_more": more,
        "first_id": page[0].name if page else None,
        "last_id": page[-1].name if page else None,
    }


def show_model(model: ListedModel) -> dict[str, Any]:
    return {
        "type": "model",
        "id": model.name,
        "display_name": model.name,
        "created_at": EPOCH,
        "lifecycle": "active",
    }


def _index(models: Sequence[ListedModel], name: str, field: str) -> int:
    for index, model in enumerate(models):
        if model.name == name:
            return index
    raise query_error(field, "is the name of no model of the list")


MODEL_LIST = ModelList(list_models=list_models, show_model=show_model)


def read_models(body: dict[str, Any]) -> tuple[list[str], str | None]:
    """Returns the names on a page of a provider's own list, and the next page's path.

    "has_more: Indicates if there are more results in the requested page direction."
    https://platform.claude.com/docs/en/api/models/list
    """
    last = body.get("last_id")
    names = json_fields.texts_at(body, "data", "id")
    if body.get("has_more") is not True or type(last) is not str:
        return names, None
    return names, f"{FIRST_PAGE}&after_id={quote(last, safe='')}"


FIRST_PAGE = "/v1/models?limit=1000"

PROVIDER_MODELS = ProviderModels(path=FIRST_PAGE, read=read_models)
