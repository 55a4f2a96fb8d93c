"""What Ollama refuses, in its own words; it judges form, never meaning."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from ...frames import dump
from ..contract import CREATED, Failure, Malformed, Provider, key_given
from .read import read
from .words import LATEST, LEVELS, OPTION_TYPES, PATH


def route(method: str, path: str) -> str | None:
    path = path.partition("?")[0]
    if method == "POST" and path.endswith(PATH):
        return "generate"
    return "models" if method == "GET" and path.endswith("/api/tags") else None


def list_models(provider: Provider) -> dict[str, Any]:
    """https://docs.ollama.com/api/tags"""
    details = {
        "parent_model": "",
        "format": "gguf",
        "family": "llama",
        "families": ["llama"],
        "parameter_size": "3.2B",
        "quantization_level": "Q4_K_M",
    }
    made = datetime.fromtimestamp(CREATED, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "models": [
            {
                "name": tagged(name),
                "model": tagged(name),
                "modified_at": made,
                "size": 2019393189,
                "digest": "a80c4f17acd55265feec403c7aef86be0c25983ab279d83f3bcd3abbcb5b8b72",
                "details": details,
            }
            for name in provider.upstream_models
        ]
    }


def tagged(name: str) -> str:
    """The full name of a model: "if not provided, it will default to latest".

    https://github.com/ollama/ollama/blob/main/docs/api.md#model-names
    """
    return name if ":" in name.rpartition("/")[2] else name + LATEST


def heed(path: str, headers: Mapping[str, str], body: Any, provider: Provider) -> Failure | None:
    """The first rule that the request breaks, or None."""
    refused = _key(headers, provider)
    if refused is not None or not path.partition("?")[0].endswith(PATH):
        return refused
    if not isinstance(body, dict):
        return _bad(f"json: cannot unmarshal {_kind(body)} into Go value of type api.ChatRequest")
    for rule in RULES:
        for complaint in rule(body, provider):
            return complaint
    return None


def _bad(message: str, status: int = 400) -> Failure:
    return Failure(status, "bad_request" if status == 400 else "internal", message)


def _key(headers: Mapping[str, str], provider: Provider) -> Failure | None:
    """A local server wants no key; ollama.com does. https://docs.ollama.com/api/authentication"""
    if provider.auth.key and key_given(headers, provider.auth) != provider.auth.key:
        return Failure(401, "authentication", "unauthorized")
    return None


# ---- the rules, in the order in which the server checks them ---------------------------------------------------------
# Their words stand in https://github.com/ollama/ollama/blob/main/server/routes.go (ChatHandler, handleScheduleError).

Rule = Callable[[dict[str, Any], Provider], Iterator[Failure]]

SHAPES: dict[str, str] = {
    "$.model": "model of type string",
    "$.messages": "messages of type []api.Message",
    "$.messages[]": "messages of type api.Message",
    "$.messages[].role": "messages.role of type string",
    "$.messages[].content": "messages.content of type string",
    "$.messages[].thinking": "messages.thinking of type string",
    "$.messages[].images": "messages.images of type []api.ImageData",
    "$.messages[].images[]": "messages.images of type api.ImageData",
    "$.messages[].tool_name": "messages.tool_name of type string",
    "$.messages[].tool_call_id": "messages.tool_call_id of type string",
    "$.messages[].tool_calls": "messages.tool_calls of type []api.ToolCall",
    "$.messages[].tool_calls[]": "messages.tool_calls of type api.ToolCall",
    "$.messages[].tool_calls[].id": "messages.tool_calls.id of type string",
    "$.messages[].tool_calls[].function": "messages.tool_calls.function of type api.ToolCallFunction",
    "$.messages[].tool_calls[].function.name": "messages.tool_calls.function.name of type string",
    "$.messages[].tool_calls[].function.arguments": (
        "messages.tool_calls.function.arguments of type api.ToolCallFunctionArguments"
    ),
    "$.stream": "stream of type bool",
    "$.options": "options of type map[string]interface {}",
    "$.tools": "tools of type api.Tools",
    "$.tools[]": "tools of type api.Tool",
    "$.tools[].function": "tools.function of type api.ToolFunction",
    "$.tools[].function.name": "tools.function.name of type string",
    "$.tools[].function.description": "tools.function.description of type string",
    "$.tools[].function.parameters": "tools.function.parameters of type api.ToolFunctionParameters",
}
"""Path -> the field and its type as the server's decoder names them.

https://github.com/ollama/ollama/issues/10255 and https://github.com/ollama/ollama/blob/main/api/types.go
"""


def _shape(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    for path, value in _walk(body, "$"):
        wanted = SHAPES.get(path)
        if wanted is not None and value is not None and not _fits(value, wanted):
            yield _bad(f"json: cannot unmarshal {_kind(value)} into Go struct field ChatRequest.{wanted}")
    for message in _objects(body.get("messages")):
        for image in message.get("images") or []:
            try:
                base64.b64decode(image, validate=True)
            except (binascii.Error, ValueError):
                at = next((n for n, c in enumerate(image) if re.match(r"[A-Za-z0-9+/=]", c) is None), len(image))
                yield _bad(f"illegal base64 data at input byte {at}")


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(item, f"{path}.{key}") if path.count(".") < 5 else ()
    elif isinstance(value, list):
        for item in value:
            yield from _walk(item, f"{path}[]")


def _fits(value: Any, wanted: str) -> bool:
    kind = wanted.rpartition(" of type ")[2]
    if kind in ("string", "api.ImageData"):
        return isinstance(value, str)
    if kind == "bool":
        return isinstance(value, bool)
    if kind.startswith("[]") or kind == "api.Tools":
        return isinstance(value, list)
    return isinstance(value, dict)


def _kind(value: Any) -> str:
    """A value's type as the server's decoder names it."""
    if isinstance(value, bool):
        return "bool"
    return {str: "string", list: "array", dict: "object", type(None): "null"}.get(type(value), "number")


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _think(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    think = body.get("think")
    if isinstance(think, str) and think not in LEVELS:
        yield _bad(f'invalid think value: {dump(think)} (must be "high", "medium", "low", "max", true, or false)')
    elif think is not None and not isinstance(think, bool | str):
        yield _bad('think must be a boolean or string ("high", "medium", "low", "max", true, or false)')


def _model(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        yield _bad("model is required")
    elif provider.models and tagged(model) not in {tagged(name) for name in provider.upstream_models}:
        yield Failure(404, "not_found", f"model '{model}' not found")


def _abilities(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    """What a model cannot do is refused, where the provider says what its models can."""
    able = provider.capabilities
    if not able:
        return
    model = body["model"]
    if body.get("think") and "reasoning" not in able:
        yield _bad(f"{dump(model)} does not support thinking")
    if body.get("tools") and "tools" not in able:
        yield _bad(f"registry.ollama.ai/library/{tagged(model)} does not support tools")


def _options(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    """The server finds these only when it loads the model, and calls them its own fault."""
    for key, value in (body.get("options") or {}).items():
        if key not in OPTION_TYPES or value is None:
            continue
        word, types = OPTION_TYPES[key]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            yield _bad(f'option "{key}" must be of type {word}', 500)
        elif isinstance(value, list) and not all(isinstance(item, str) for item in value):
            yield _bad(f'option "{key}" must be of an array of strings', 500)
    form = body.get("format")
    if form not in (None, "", "json") and not isinstance(form, dict):
        yield _bad(f'invalid format: {dump(dump(form))}; expected "json" or a valid JSON Schema object', 500)


def _readable(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    try:
        read(PATH, {}, body)
    except Malformed as problem:
        yield _bad(f"{problem.path.removeprefix('$.')}: {problem.what}")


RULES: tuple[Rule, ...] = (_shape, _think, _model, _abilities, _options, _readable)
