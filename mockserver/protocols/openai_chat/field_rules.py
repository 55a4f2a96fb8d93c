"""Rules of Chat Completions about the fields of the body: names, types, ranges, and fields that need another one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..protocol import MalformedRequest
from ..rule import TODAY, Asked, Breach, Rule, range_rules
from ..strict_schema import strictness_errors
from .request_parser import parse_request
from .tables import EFFORTS, FIELDS, MAX_STOPS, NESTED_FIELDS, RANGES, SERVICE_TIERS

CREATE = "https://platform.openai.com/docs/api-reference/chat/create"
SPEC = "https://github.com/openai/openai-openapi"


def _unknown_field(asked: Asked) -> Iterator[Breach]:
    for key in asked.body:
        if key not in FIELDS:
            yield {"key": key}


def _model_missing(asked: Asked) -> Iterator[Breach]:
    if not asked.model:
        yield {}


def _model_unknown(asked: Asked) -> Iterator[Breach]:
    if asked.provider.models and asked.model not in asked.provider.upstream_models:
        yield {"model": asked.model}


def _messages_empty(asked: Asked) -> Iterator[Breach]:
    if asked.body.get("messages") == []:
        yield {}


def _malformed(asked: Asked) -> MalformedRequest | None:
    try:
        parse_request("", {}, asked.body)
    except MalformedRequest as problem:
        return problem
    return None


def _parameter_missing(asked: Asked) -> Iterator[Breach]:
    problem = _malformed(asked)
    if problem is not None and problem.reason == "is missing":
        yield {"param": problem.path.removeprefix("$.")}


def _type_wrong(asked: Asked) -> Iterator[Breach]:
    problem = _malformed(asked)
    if problem is not None:
        yield {"param": problem.path.removeprefix("$."), "reason": problem.reason}


def _unknown_nested_field(asked: Asked) -> Iterator[Breach]:
    for path in parse_request("", {}, asked.body).extra:
        parent, _, key = path.removeprefix("$.").rpartition(".")
        known = (names for pattern, names in NESTED_FIELDS.items() if re.fullmatch(pattern, parent))
        if parent and not any(key in names for names in known):
            yield {"param": f"{parent}.{key}"}


def _effort_unknown(asked: Asked) -> Iterator[Breach]:
    effort = asked.body.get("reasoning_effort")
    if effort is not None and effort not in EFFORTS:
        yield {"value": effort}


def _tier_unknown(asked: Asked) -> Iterator[Breach]:
    tier = asked.body.get("service_tier")
    if tier is not None and tier not in SERVICE_TIERS:
        yield {"value": tier}


def _stops_many(asked: Asked) -> Iterator[Breach]:
    stop = asked.body.get("stop")
    if isinstance(stop, list) and len(stop) > MAX_STOPS:
        yield {"most": MAX_STOPS, "length": len(stop)}


def _options_without_stream(asked: Asked) -> Iterator[Breach]:
    if asked.body.get("stream_options") is not None and not asked.body.get("stream"):
        yield {}


def _metadata_without_store(asked: Asked) -> Iterator[Breach]:
    if asked.body.get("metadata") is not None and not asked.body.get("store"):
        yield {}


def _top_logprobs_alone(asked: Asked) -> Iterator[Breach]:
    if asked.body.get("top_logprobs") is not None and not asked.body.get("logprobs"):
        yield {}


def _format(asked: Asked) -> dict[str, Any]:
    return asked.body.get("response_format") or {}


def _format_not_strict(asked: Asked) -> Iterator[Breach]:
    inner = _format(asked).get("json_schema") or {}
    for error in strictness_errors(inner.get("schema")) if inner.get("strict") is True else ():
        yield {"name": inner.get("name"), "error": error}


def _json_unsaid(asked: Asked) -> Iterator[Breach]:
    if _format(asked).get("type") == "json_object" and "json" not in str(asked.body.get("messages")).lower():
        yield {}


SHAPE_RULES: tuple[Rule, ...] = (
    Rule(
        id="unknown-field",
        says="A field that the reference does not list is refused.",
        source=CREATE,
        check=_unknown_field,
        message="Unrecognized request argument supplied: {key}",
        strict=True,
    ),
    Rule(
        id="model-missing",
        says="model: Required.",
        source=CREATE,
        check=_model_missing,
        message="you must provide a model parameter",
    ),
    Rule(
        id="model-unknown",
        says="404: the model does not exist, or the key has no access to it.",
        source="https://platform.openai.com/docs/guides/error-codes/api-errors",
        check=_model_unknown,
        message="The model `{model}` does not exist or you do not have access to it.",
        code="model_not_found",
        status=404,
        kind="not_found",
    ),
    Rule(
        id="messages-empty",
        says="messages has minItems 1.",
        source=SPEC,
        check=_messages_empty,
        message="Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array "
        "instead.",
        param="messages",
        code="empty_array",
    ),
    Rule(
        id="parameter-missing",
        says="A required parameter is missing.",
        source=CREATE,
        check=_parameter_missing,
        message="Missing required parameter: '{param}'.",
        param="{param}",
        code="missing_required_parameter",
    ),
    Rule(
        id="type-wrong",
        says="A value has another type than the reference gives.",
        source=CREATE,
        check=_type_wrong,
        message="Invalid type for '{param}': {reason}.",
        param="{param}",
        code="invalid_type",
    ),
    Rule(
        id="unknown-nested-field",
        says="A field that the reference does not list inside an object is refused.",
        source=CREATE,
        check=_unknown_nested_field,
        message="Unknown parameter: '{param}'.",
        param="{param}",
        code="unknown_parameter",
        strict=True,
    ),
)
"""Rules about names and types."""

VALUE_RULES: tuple[Rule, ...] = (
    *range_rules(
        "range",
        RANGES,
        says="What sampling temperature to use, between 0 and 2. Number between -2.0 and 2.0.",
        source=CREATE,
        message="Invalid '{name}': decimal {side} value. Expected a value {sign} {bound}, but got {value} instead.",
        code="decimal_{side}_value",
    ),
    Rule(
        id="effort-unknown",
        says="Currently supported values are none, minimal, low, medium, high, xhigh, and max.",
        source=CREATE,
        check=_effort_unknown,
        message="Invalid value: '{value}'. Supported values are: 'none', 'minimal', 'low', 'medium', 'high', 'xhigh', "
        "and 'max'.",
        param="reasoning_effort",
        code="invalid_value",
        strict=True,
    ),
    Rule(
        id="tier-unknown",
        says="service_tier: one of auto, default, fast, flex, scale and priority.",
        source=CREATE,
        checked=TODAY,
        check=_tier_unknown,
        message="Invalid value: '{value}'. Supported values are: 'auto', 'default', 'fast', 'flex', 'scale', and "
        "'priority'.",
        param="service_tier",
        code="invalid_value",
        strict=True,
    ),
    Rule(
        id="stops-many",
        says="Up to 4 sequences where the API will stop generating further tokens.",
        source=CREATE,
        check=_stops_many,
        message="Invalid 'stop': array too long. Expected an array with maximum length {most}, but got an array with "
        "length {length} instead.",
        param="stop",
        code="array_above_max_length",
    ),
    Rule(
        id="options-without-stream",
        says="stream_options: Only set this when you set stream: true.",
        source=CREATE,
        check=_options_without_stream,
        message="The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        param="stream_options",
    ),
    Rule(
        id="metadata-without-store",
        says="The error of a request with metadata and without store.",
        source="https://github.com/spiceai/spiceai/pull/5231",
        check=_metadata_without_store,
        message="The 'metadata' parameter is only allowed when 'store' is enabled.",
        param="metadata",
        strict=True,
    ),
    Rule(
        id="top-logprobs-alone",
        says="top_logprobs: logprobs must be set to true if this parameter is used.",
        source=CREATE,
        check=_top_logprobs_alone,
        message="Invalid value for 'top_logprobs': 'top_logprobs' is only allowed when 'logprobs' is enabled.",
        param="top_logprobs",
        own_words=True,
    ),
    Rule(
        id="format-not-strict",
        says="Structured Outputs supports a subset of the JSON Schema language; all fields must be required, "
        "additionalProperties: false must always be set in objects.",
        source="https://platform.openai.com/docs/guides/structured-outputs#supported-schemas",
        check=_format_not_strict,
        message="Invalid schema for response_format '{name}': {error}",
        param="response_format",
        code="invalid_json_schema",
        strict=True,
    ),
    Rule(
        id="json-unsaid",
        says="You must also instruct the model to produce JSON yourself via a system or user message.",
        source=f"{CREATE}#chat_create-response_format",
        check=_json_unsaid,
        message="'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
        param="messages",
        strict=True,
    ),
)
"""Rules about values."""
