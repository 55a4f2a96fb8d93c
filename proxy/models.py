"""The models that the plan serves, listed and shown in each protocol's shape.

It knows names and what their backends can do, asks nobody, and tells no address.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct

from .errand import Asking
from .errors import ClientError, Refused, failure
from .routing import Backend, Facts, Plan, decide


class Served(Struct, frozen=True):
    """A model by the clients' name, the upstream's name, and the backend that a request for it gets."""

    name: str
    upstream: str
    backend: Backend


def served(plan: Plan) -> tuple[Served, ...]:
    """Every name that a rule of the plan has, somebody serves and nothing hides, in the order of the file."""
    names = [model for backend in plan.backends for model in backend.models]
    names += [route.match for route in plan.sorted_routes if route.match in plan.by_exact]
    if plan.mode is not None:
        names += plan.modes[plan.mode].models
    names += plan.by_smart
    listed = (name for name in dict.fromkeys(names) if not any(fnmatchcase(name, hidden) for hidden in plan.unlisted))
    found = (find(name, plan) for name in listed)
    return tuple(each for each in found if each is not None)


def find(name: str, plan: Plan) -> Served | None:
    """Who serves this name, listed or not: a name family or a prefix has names that nobody lists."""
    chosen = decide(Facts(name, frozenset()), plan).chosen
    return None if chosen is None else Served(name, chosen.model or name, plan.by_name[chosen.backend])


def _found(name: str, plan: Plan) -> Served:
    model = find(name, plan)
    if model is None:
        text = f"The model {name[:200]!r} is served by no backend; the list of models has those that are."
        raise Refused(failure("model_not_found", text, param="model"))
    return model


# ---- OpenAI: https://platform.openai.com/docs/api-reference/models/list ----------------------------------------------


def list_openai(plan: Plan, asking: Asking) -> dict[str, Any]:
    return {"object": "list", "data": [_openai(model) for model in served(plan)]}


def show_openai(plan: Plan, asking: Asking) -> dict[str, Any]:
    return _openai(_found(asking.where.model or "", plan))


def _openai(model: Served) -> dict[str, Any]:
    return {"id": model.name, "object": "model", "created": 0, "owned_by": model.backend.name}


# ---- Anthropic: https://platform.claude.com/docs/en/api/models/list --------------------------------------------------

EPOCH = "1970-01-01T00:00:00Z"
"""When a model came: "May be set to an epoch value if the release date is unknown", says the field's description."""


def list_anthropic(plan: Plan, asking: Asking) -> dict[str, Any]:
    """A page: `limit` models, 20 by default, after `after_id` or before `before_id`."""
    models = served(plan)
    size = _whole(asking, "limit", 20, 1000)
    after, before = asking.field("after_id"), asking.field("before_id")
    if before is not None:
        end = _place(models, before, "before_id")
        page = models[max(0, end - size) : end]
        more = end > size
    else:
        begin = 0 if after is None else _place(models, after, "after_id") + 1
        page = models[begin : begin + size]
        more = begin + size < len(models)
    return {
        "data": [_anthropic(model) for model in page],
        "has_more": more,
        "first_id": page[0].name if page else None,
        "last_id": page[-1].name if page else None,
    }


def show_anthropic(plan: Plan, asking: Asking) -> dict[str, Any]:
    return _anthropic(_found(asking.where.model or "", plan))


def _anthropic(model: Served) -> dict[str, Any]:
    return {
        "type": "model",
        "id": model.name,
        "display_name": model.name,
        "created_at": EPOCH,
        "lifecycle": "active",
    }


# ---- Gemini: https://ai.google.dev/api/models ------------------------------------------------------------------------

_METHODS = {
    "text": ("generateContent", "streamGenerateContent", "countTokens"),
    "embeddings": ("embedContent", "batchEmbedContents"),
}
"""What may be called on a model whose backend has this capability."""


def list_gemini(plan: Plan, asking: Asking) -> dict[str, Any]:
    """A page: `pageSize` models, 50 by default, from where `pageToken` points to."""
    models = served(plan)
    size = _whole(asking, "pageSize", 50, 1000)
    begin = _whole(asking, "pageToken", 0, len(models), least=0)
    page = {"models": [_gemini(model) for model in models[begin : begin + size]]}
    return page | ({"nextPageToken": str(begin + size)} if begin + size < len(models) else {})


def show_gemini(plan: Plan, asking: Asking) -> dict[str, Any]:
    return _gemini(_found(asking.where.model or "", plan))


def _gemini(model: Served) -> dict[str, Any]:
    can = model.backend.capabilities
    return {
        "name": f"models/{model.name}",
        "displayName": model.name,
        "supportedGenerationMethods": [method for word in _METHODS if word in can for method in _METHODS[word]],
    }


# ---- Ollama: https://docs.ollama.com/api/tags ------------------------------------------------------------------------

_CAN = {
    "text": "completion",
    "tools": "tools",
    "vision": "vision",
    "audio": "audio",
    "reasoning": "thinking",
    "embeddings": "embedding",
}
"""A capability and Ollama's word for it: https://github.com/ollama/ollama/blob/main/types/model/capability.go"""

VERSION = "0.12.6"
"""The version of Ollama whose API this is; clients hold it against the least that they need."""


def list_ollama(plan: Plan, asking: Asking) -> dict[str, Any]:
    return {
        "models": [
            {
                "name": model.name,
                "model": model.name,
                "modified_at": EPOCH,
                "size": 0,  # nothing of it is on this disk
                "digest": "",
                "details": _details(),
            }
            for model in served(plan)
        ]
    }


def show_ollama(plan: Plan, asking: Asking) -> dict[str, Any]:
    model = _found(asking.where.model or "", plan)
    return {
        "modelfile": "",
        "parameters": "",
        "template": "",
        "details": _details(),
        "model_info": {"general.basename": model.name},
        "capabilities": [word for capability, word in _CAN.items() if capability in model.backend.capabilities],
        "modified_at": EPOCH,
    }


def version_ollama(plan: Plan, asking: Asking) -> dict[str, Any]:
    return {"version": VERSION}


def _details() -> dict[str, Any]:
    """What is said of a file that is not here."""
    words = ("parent_model", "format", "family", "parameter_size", "quantization_level")
    return {**dict.fromkeys(words, ""), "families": None}


# ---- the address's fields --------------------------------------------------------------------------------------------


def _whole(asking: Asking, name: str, default: int, most: int, *, least: int = 1) -> int:
    """A whole number of the address; more than the most is the most, as at the providers."""
    text = asking.field(name)
    if text is None or text == "":
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 10) or int(text) < least:
        raise _wrong(name, f"must be a whole number from {least}")
    return min(int(text), most)


def _place(models: Sequence[Served], name: str, field: str) -> int:
    for index, model in enumerate(models):
        if model.name == name:
            return index
    raise _wrong(field, "is the name of no model of the list")


def _wrong(name: str, what: str) -> ClientError:
    return ClientError(failure("bad_request", f"{name}: {what}.", param=name))
