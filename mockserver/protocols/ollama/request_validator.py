"""Validates chat requests as Ollama does, with the same error messages; checks form, not meaning."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ...framing import dump
from ...scenarios.provider import Provider
from ..protocol import MalformedRequest
from ..reply_context import Failure, sent_key
from .endpoints import with_tag
from .request_parser import parse_request
from .tables import OPTION_TYPES, PATH, THINK_LEVELS


def validate_request(path: str, headers: Mapping[str, str], body: Any, provider: Provider) -> Failure | None:
    """Returns the error of the first rule that the request breaks, or None."""
    rejection = _check_api_key(headers, provider)
    if rejection is not None or not path.partition("?")[0].endswith(PATH):
        return rejection
    if not isinstance(body, dict):
        return _invalid_request(f"json: cannot unmarshal {_type_name(body)} into Go value of type api.ChatRequest")
    for rule in RULES:
        for failure in rule(body, provider):
            return failure
    return None


def _invalid_request(message: str, status: int = 400) -> Failure:
    return Failure(status, "bad_request" if status == 400 else "internal", message)


def _check_api_key(headers: Mapping[str, str], provider: Provider) -> Failure | None:
    """Checks the API key; a local server needs none, ollama.com does. https://docs.ollama.com/api/authentication"""
    if provider.auth.key and sent_key(headers, provider.auth) != provider.auth.key:
        return Failure(401, "authentication", "unauthorized")
    return None


# ---- the rules, in the order in which the server checks them ---------------------------------------------------------
# Their messages are in https://github.com/ollama/ollama/blob/main/server/routes.go (ChatHandler, handleScheduleError).

Rule = Callable[[dict[str, Any], Provider], Iterator[Failure]]

FIELD_TYPES: dict[str, str] = {
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
"""Path -> the field and its type in the messages of the server's JSON decoder.

https://github.com/ollama/ollama/issues/10255 and https://github.com/ollama/ollama/blob/main/api/types.go
"""


def _check_types(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    for path, value in _walk_values(body, "$"):
        wanted = FIELD_TYPES.get(path)
        if wanted is not None and value is not None and not _has_type(value, wanted):
            yield _invalid_request(
                f"json: cannot unmarshal {_type_name(value)} into Go struct field ChatRequest.{wanted}"
            )
    for message in _objects(body.get("messages")):
        for image in message.get("images") or []:
            try:
                base64.b64decode(image, validate=True)
            except (binascii.Error, ValueError):
                at = next((n for n, c in enumerate(image) if re.match(r"[A-Za-z0-9+/=]", c) is None), len(image))
                yield _invalid_request(f"illegal base64 data at input byte {at}")


def _walk_values(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _walk_values(item, f"{path}.{key}") if path.count(".") < 5 else ()
    elif isinstance(value, list):
        for item in value:
            yield from _walk_values(item, f"{path}[]")


def _has_type(value: Any, wanted: str) -> bool:
    kind = wanted.rpartition(" of type ")[2]
    if kind in ("string", "api.ImageData"):
        return isinstance(value, str)
    if kind == "bool":
        return isinstance(value, bool)
    if kind.startswith("[]") or kind == "api.Tools":
        return isinstance(value, list)
    return isinstance(value, dict)


def _type_name(value: Any) -> str:
    """Returns the type of a value as the server's JSON decoder names it."""
    if isinstance(value, bool):
        return "bool"
    return {str: "string", list: "array", dict: "object", type(None): "null"}.get(type(value), "number")


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _check_reasoning(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    think = body.get("think")
    if isinstance(think, str) and think not in THINK_LEVELS:
        yield _invalid_request(
            f'invalid think value: {dump(think)} (must be "high", "medium", "low", "max", true, or false)'
        )
    elif think is not None and not isinstance(think, bool | str):
        yield _invalid_request('think must be a boolean or string ("high", "medium", "low", "max", true, or false)')


def _check_model(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        yield _invalid_request("model is required")
    elif provider.models and with_tag(model) not in {with_tag(name) for name in provider.upstream_models}:
        yield Failure(404, "not_found", f"model '{model}' not found")


def _check_capabilities(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    """Refuses thinking and tools if the provider lists capabilities without them."""
    capabilities = provider.capabilities
    if not capabilities:
        return
    model = body["model"]
    if body.get("think") and "reasoning" not in capabilities:
        yield _invalid_request(f"{dump(model)} does not support thinking")
    if body.get("tools") and "tools" not in capabilities:
        yield _invalid_request(f"registry.ollama.ai/library/{with_tag(model)} does not support tools")


def _check_options(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    """Checks options and format, which the server checks while loading the model and reports with status 500."""
    for key, value in (body.get("options") or {}).items():
        if key not in OPTION_TYPES or value is None:
            continue
        name, types = OPTION_TYPES[key]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            yield _invalid_request(f'option "{key}" must be of type {name}', 500)
        elif isinstance(value, list) and not all(isinstance(item, str) for item in value):
            yield _invalid_request(f'option "{key}" must be of an array of strings', 500)
    form = body.get("format")
    if form not in (None, "", "json") and not isinstance(form, dict):
        yield _invalid_request(
            f'invalid format: {dump(dump(form))}; expected "json" or a valid JSON Schema object', 500
        )


def _check_parsable(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    try:
        parse_request(PATH, {}, body)
    except MalformedRequest as problem:
        yield _invalid_request(f"{problem.path.removeprefix('$.')}: {problem.reason}")


RULES: tuple[Rule, ...] = (
    _check_types,
    _check_reasoning,
    _check_model,
    _check_capabilities,
    _check_options,
    _check_parsable,
)
