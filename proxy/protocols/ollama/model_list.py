"""Ollama's list of models, its `show`, and its version.

Source: https://docs.ollama.com/api/tags
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from ...wire import json_fields
from ...wire.framing import ndjson
from ..protocol import ListedModel, ModelList, ProviderModels

CAPABILITIES = {
    "text": "completion",
    "tools": "tools",
    "vision": "vision",
    "audio": "audio",
    "reasoning": "thinking",
    "embeddings": "embedding",
}
"""A capability and Ollama's word for it: https://github.com/ollama/ollama/blob/main/types/model/capability.go"""

VERSION = "0.13.5"
"""The version of Ollama whose API this is; clients compare it with the least that they need."""

NEVER = "0001-01-01T00:00:00Z"
"""A model's date, of which the proxy knows none: Go's zero time, which Ollama's command line shows as `Never`.

https://github.com/ollama/ollama/blob/main/format/time.go
"""

DETAILS: dict[str, Any] = {
    **dict.fromkeys(("parent_model", "format", "family", "parameter_size", "quantization_level"), ""),
    "families": None,
}
"""The details of a model file that is not on this disk."""


def list_models(models: Sequence[ListedModel], query: Mapping[str, str]) -> dict[str, Any]:
    return {
        "models": [
            {
                "name": model.name,
                "model": model.name,
                "modified_at": NEVER,
                "size": 0,  # nothing of it is on this disk
                "digest": _digest(model),
                "details": DETAILS,
            }
            for model in models
        ]
    }


def _digest(model: ListedModel) -> str:
    """Returns a digest of the name, for clients tell models apart by it: equal ones are one model with two names."""
    return sha256(f"{model.owner}\0{model.name}".encode()).hexdigest()


def pull_model(stream: bool) -> tuple[str, bytes]:
    """Returns the content type and the body for a model that is there. https://docs.ollama.com/api/pull"""
    if not stream:
        return "application/json", json_fields.encode({"status": "success"})
    lines = ({"status": "pulling manifest"}, {"status": "success"})
    return "application/x-ndjson", b"".join([ndjson(json_fields.encode(line)) for line in lines])


def show_model(model: ListedModel) -> dict[str, Any]:
    return {
        "modelfile": "",
        "parameters": "",
        "template": "",
        "details": DETAILS,
        # the command line takes for granted that the architecture is a text
        # https://github.com/ollama/ollama/blob/main/cmd/cmd.go (showInfo)
        "model_info": {"general.architecture": "", "general.basename": model.name},
        "capabilities": [word for capability, word in CAPABILITIES.items() if capability in model.capabilities],
        "modified_at": NEVER,
    }


MODEL_LIST = ModelList(
    list_models=list_models,
    show_model=show_model,
    version={"version": VERSION},
    # HEAD and GET of /, by which clients look for a server:
    # https://github.com/ollama/ollama/blob/main/server/routes.go
    greeting="Ollama is running",
    running_models={"models": []},  # the proxy has none in its memory. https://docs.ollama.com/api/ps
    pull_model=pull_model,
)


def read_models(body: dict[str, Any]) -> tuple[list[str], str | None]:
    """Returns the names of a server's own list, which has one page."""
    return json_fields.texts_at(body, "models", "name"), None


PROVIDER_MODELS = ProviderModels(path="/api/tags", read=read_models)
