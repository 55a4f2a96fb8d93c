"""Validates chat requests as Ollama does, with the same error messages; checks form, not meaning."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

from ...framing import dump
from ..protocol import MalformedRequest
from ..reply_context import sent_key
from ..rule import EVERYWHERE, Asked, Breach, Rule
from .endpoints import with_tag
from .request_parser import parse_request
from .tables import FIELD_TYPES, OPTION_TYPES, PATH, THINK_LEVELS

ROUTES = "https://github.com/ollama/ollama/blob/main/server/routes.go"
TYPES = "https://github.com/ollama/ollama/blob/main/api/types.go"


def _key_wrong(asked: Asked) -> Iterator[Breach]:
    auth = asked.provider.auth
    if auth.key and sent_key(asked.headers, auth) != auth.key:
        yield {}


def _not_an_object(asked: Asked) -> Iterator[Breach]:
    if not isinstance(asked.body, dict):
        yield {"type": _type_name(asked.body)}


def _type_wrong(asked: Asked) -> Iterator[Breach]:
    for path, value in _walk_values(asked.body, "$"):
        wanted = FIELD_TYPES.get(path)
        if wanted is not None and value is not None and not _has_type(value, wanted):
            yield {"type": _type_name(value), "field": wanted}


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


def _image_not_base64(asked: Asked) -> Iterator[Breach]:
    messages = asked.body.get("messages")
    for message in messages if isinstance(messages, list) else []:
        for image in (message.get("images") or []) if isinstance(message, dict) else []:
            try:
                base64.b64decode(image, validate=True)
            except (binascii.Error, ValueError):
                yield {"at": next((n for n, c in enumerate(image) if not re.match(r"[A-Za-z0-9+/=]", c)), len(image))}


def _think_type(asked: Asked) -> Iterator[Breach]:
    if not isinstance(asked.body.get("think"), bool | str | None):
        yield {}


def _think_level(asked: Asked) -> Iterator[Breach]:
    think = asked.body.get("think")
    if isinstance(think, str) and think not in THINK_LEVELS:
        yield {"value": dump(think)}


def _model_missing(asked: Asked) -> Iterator[Breach]:
    if not asked.model:
        yield {}


def _model_unknown(asked: Asked) -> Iterator[Breach]:
    names = {with_tag(name) for name in asked.provider.upstream_models}
    if asked.provider.models and with_tag(asked.model) not in names:
        yield {"model": asked.model}


def _thinking_not_supported(asked: Asked) -> Iterator[Breach]:
    able = asked.provider.capabilities
    if asked.body.get("think") and able and "reasoning" not in able:
        yield {"model": dump(asked.model)}


def _tools_not_supported(asked: Asked) -> Iterator[Breach]:
    able = asked.provider.capabilities
    if asked.body.get("tools") and able and "tools" not in able:
        yield {"model": with_tag(asked.model)}


def _options(asked: Asked) -> Iterator[tuple[str, Any]]:
    for key, value in (asked.body.get("options") or {}).items():
        if key in OPTION_TYPES and value is not None:
            yield key, value


def _option_type(asked: Asked) -> Iterator[Breach]:
    for key, value in _options(asked):
        name, types = OPTION_TYPES[key]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            yield {"key": key, "type": name}


def _option_items(asked: Asked) -> Iterator[Breach]:
    for key, value in _options(asked):
        if isinstance(value, list) and not all(isinstance(item, str) for item in value):
            yield {"key": key}


def _format_unknown(asked: Asked) -> Iterator[Breach]:
    form = asked.body.get("format")
    if form not in (None, "", "json") and not isinstance(form, dict):
        yield {"format": dump(dump(form))}


def _malformed(asked: Asked) -> Iterator[Breach]:
    try:
        parse_request(PATH, {}, asked.body)
    except MalformedRequest as problem:
        yield {"path": problem.path.removeprefix("$."), "reason": problem.reason}


RULES: tuple[Rule, ...] = (
    Rule(
        id="key-wrong",
        says="A local server needs no key, ollama.com does.",
        source="https://docs.ollama.com/api/authentication",
        check=_key_wrong,
        message="unauthorized",
        status=401,
        kind="authentication",
        on=EVERYWHERE,
    ),
    Rule(
        id="body-not-json",
        says="The error of the server's JSON decoder.",
        source="https://github.com/ollama/ollama/issues/10255",
        check=_not_an_object,
        message="json: cannot unmarshal {type} into Go value of type api.ChatRequest",
    ),
    Rule(
        id="type-wrong",
        says="The error of the server's JSON decoder.",
        source="https://github.com/ollama/ollama/issues/10255",
        check=_type_wrong,
        message="json: cannot unmarshal {type} into Go struct field ChatRequest.{field}",
    ),
    Rule(
        id="image-not-base64",
        says="type ImageData []byte, which the server's JSON decoder reads as base64",
        source=TYPES,
        check=_image_not_base64,
        message="illegal base64 data at input byte {at}",
    ),
    Rule(
        id="think-level",
        says='think … a string ("high", "medium", "low", "max") for supported models.',
        source=TYPES,
        check=_think_level,
        message='invalid think value: {value} (must be "high", "medium", "low", "max", true, or false)',
    ),
    Rule(
        id="think-type",
        says="think: Can be a boolean (true/false) or a string.",
        source=TYPES,
        check=_think_type,
        message='think must be a boolean or string ("high", "medium", "low", "max", true, or false)',
    ),
    Rule(
        id="model-missing",
        says="model is required",
        source=ROUTES,
        check=_model_missing,
        message="model is required",
    ),
    Rule(
        id="model-unknown",
        says="model '%s' not found",
        source=ROUTES,
        check=_model_unknown,
        message="model '{model}' not found",
        status=404,
        kind="not_found",
    ),
    Rule(
        id="thinking-not-supported",
        says="%q does not support thinking",
        source=ROUTES,
        check=_thinking_not_supported,
        message="{model} does not support thinking",
    ),
    Rule(
        id="tools-not-supported",
        says="%s does not support tools",
        source=ROUTES,
        check=_tools_not_supported,
        message="registry.ollama.ai/library/{model} does not support tools",
    ),
    Rule(
        id="option-type",
        says="option %q must be of type %s; checked while the model loads, hence status 500",
        source=TYPES,
        check=_option_type,
        message='option "{key}" must be of type {type}',
        status=500,
        kind="internal",
    ),
    Rule(
        id="option-items",
        says="option %q must be of an array of strings",
        source=TYPES,
        check=_option_items,
        message='option "{key}" must be of an array of strings',
        status=500,
        kind="internal",
    ),
    Rule(
        id="format-unknown",
        says='invalid format: %q; expected "json" or a valid JSON Schema object',
        source="https://github.com/ollama/ollama/blob/main/llm/server.go",
        check=_format_unknown,
        message='invalid format: {format}; expected "json" or a valid JSON Schema object',
        status=500,
        kind="internal",
    ),
    Rule(
        id="value-invalid",
        says="A role or another value is none that the server knows.",
        source=ROUTES,
        check=_malformed,
        message="{path}: {reason}",
        own_words=True,
    ),
)
"""The rules, in the order in which the server checks them."""
