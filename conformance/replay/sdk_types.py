"""Validates requests, replies and stream events with the types of the official SDKs.

The SDK clients construct their objects without validation, so a successful call proves little; here the same types
validate.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaValidator

Validator: TypeAlias = Callable[[Any], str | None]
"""Returns what is wrong with a JSON value, or None."""

REQUEST, REPLY, EVENT = "request", "reply", "event"


def sdk_complaint(protocol: str, part: str, value: Any) -> str | None:
    """Returns the complaint of the SDK's type for this part (REQUEST, REPLY or EVENT) about a JSON value, or None."""
    return _validators(protocol)[part](value)


@cache
def _validators(protocol: str) -> dict[str, Validator]:
    return VALIDATORS[protocol]()


# ---- each SDK's types ------------------------------------------------------------------------------------------------


def _openai_chat() -> dict[str, Validator]:
    from openai.types.chat import ChatCompletion, ChatCompletionChunk
    from openai.types.chat import completion_create_params as params

    return {
        REQUEST: _request_validator(params.CompletionCreateParamsNonStreaming, params.CompletionCreateParamsStreaming),
        REPLY: _strict_validator(ChatCompletion),
        EVENT: _with_custom_calls(_strict_validator(ChatCompletionChunk)),
    }


def _with_custom_calls(validate: Validator) -> Validator:
    """Returns the validator of chunks for which the call of a custom tool is one: the SDK's type has functions alone.

    "ChatCompletionMessageToolCallChunk is missing streamed custom tool calls", which the service sends:
    https://github.com/openai/openai-openapi/issues/576
    """

    def as_function(call: Any) -> Any:
        match call:
            case {"type": "custom", "custom": {"name": str(), "input": str()}, **rest} if "function" not in rest:
                return {**rest, "type": "function"}
        return call

    def validate_chunk(value: Any) -> str | None:
        choices = []
        for choice in value.get("choices") or []:
            delta = choice.get("delta") if isinstance(choice, dict) else None
            if isinstance(delta, dict) and isinstance(delta.get("tool_calls"), list):
                choice = {**choice, "delta": {**delta, "tool_calls": [*map(as_function, delta["tool_calls"])]}}
            choices.append(choice)
        return validate({**value, "choices": choices} if choices else value)

    return validate_chunk


def _openai_responses() -> dict[str, Validator]:
    from openai.types.responses import Response, ResponseStreamEvent
    from openai.types.responses import response_create_params as params

    return {
        REQUEST: _request_validator(params.ResponseCreateParamsNonStreaming, params.ResponseCreateParamsStreaming),
        REPLY: _strict_validator(Response),
        EVENT: _strict_validator(ResponseStreamEvent),
    }


def _anthropic() -> dict[str, Validator]:
    from anthropic.types import Message, RawMessageStreamEvent
    from anthropic.types import message_create_params as params

    event = _strict_validator(RawMessageStreamEvent)
    return {
        REQUEST: _request_validator(params.MessageCreateParamsNonStreaming, params.MessageCreateParamsStreaming),
        REPLY: _strict_validator(Message),
        # the SDK handles `ping` before it looks for a type
        EVENT: lambda value: None if value.get("type") == "ping" else event(value),
    }


def _gemini() -> dict[str, Validator]:
    from google.genai import types

    # the SDK has no type for the complete body, but one for each part, and these forbid unknown keys
    parts: dict[str, Validator] = {
        "contents": _lax_validator(list[types.Content]),
        "systemInstruction": _lax_validator(types.Content),
        "tools": _lax_validator(list[types.Tool]),
        "toolConfig": _lax_validator(types.ToolConfig),
        "generationConfig": _lax_validator(types.GenerationConfig),
        "safetySettings": _lax_validator(list[types.SafetySetting]),
    }

    def request(value: Any) -> str | None:
        for key, part in value.items():
            if key in parts and (wrong := parts[key](part)) is not None:
                return f"{key}.{wrong}"
        return None

    def reply(value: Any) -> str | None:
        # the SDK only warns about an unknown enum value, but real clients fail on it
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            try:
                # the SDK removes unknown keys from its input, hence the copy
                types.GenerateContentResponse._from_response(response=json.loads(json.dumps(value)), kwargs={})
            except ValidationError as fault:
                return _complaint(fault, value)
            except (UserWarning, AttributeError) as fault:
                return str(fault)
        return None

    return {REQUEST: request, REPLY: reply, EVENT: reply}


def _ollama() -> dict[str, Validator]:
    from ollama import ChatResponse
    from ollama._types import ChatRequest, Message

    whole, messages = _lax_validator(ChatRequest), _lax_validator(list[Message])

    def request(value: Any) -> str | None:
        # the SDK's type accepts any object as a message, and its image type is the program's input, not the
        # base64 text on the wire
        without_images = [
            {key: inner for key, inner in message.items() if key != "images"} for message in value["messages"]
        ]
        wrong = messages(without_images)
        return whole(value) if wrong is None else f"messages{wrong}"

    return {REQUEST: request, REPLY: _strict_validator(ChatResponse), EVENT: _strict_validator(ChatResponse)}


VALIDATORS: dict[str, Callable[[], dict[str, Validator]]] = {
    "openai-chat": _openai_chat,
    "openai-responses": _openai_responses,
    "anthropic": _anthropic,
    "gemini": _gemini,
    "ollama": _ollama,
}


# ---- validating ------------------------------------------------------------------------------------------------------


def _request_validator(unary: Any, streaming: Any) -> Validator:
    """Returns a validator of requests, whose type depends on `stream`."""
    validators = {
        stream: _validator(SchemaValidator(_with_lists(TypeAdapter(kind).core_schema)).validate_json, strict=True)
        for stream, kind in ((False, unary), (True, streaming))
    }
    return lambda value: validators[value.get("stream") is True](value)


def _strict_validator(kind: Any) -> Validator:
    """Returns a validator without type coercion."""
    return _validator(TypeAdapter(kind).validate_json, strict=True)


def _lax_validator(kind: Any) -> Validator:
    """Returns a validator with pydantic's type coercion."""
    return _validator(TypeAdapter(kind).validate_json, strict=False)


def _validator(validate: Callable[..., Any], *, strict: bool) -> Validator:
    def validate_value(value: Any) -> str | None:
        try:
            validate(json.dumps(value), strict=strict)
        except ValidationError as fault:
            return _complaint(fault, value)
        except AttributeError as fault:  # google-genai raises it for an integer in place of an enum value
            return str(fault)
        return None

    return validate_value


def _with_lists(schema: Any) -> Any:
    """Returns the schema with lists in place of Iterable, whose items pydantic would not validate."""
    if isinstance(schema, dict):
        kind = {"type": "list"} if schema.get("type") == "generator" else {}
        return {key: _with_lists(inner) for key, inner in schema.items()} | kind
    if isinstance(schema, list):
        return [_with_lists(inner) for inner in schema]
    if isinstance(schema, tuple):
        return tuple(_with_lists(inner) for inner in schema)
    return schema


_SHAPE_ERRORS = ("literal_error", "string_type", "dict_type", "list_type", "model_type", "model_attributes_type")
"""Error types of a union branch for a value of another shape, which explain little."""


def _complaint(fault: ValidationError, value: Any) -> str:
    """Returns the deepest error of the union branch whose tag matches; every other branch complains about its tag."""
    errors = fault.errors(include_url=False, include_context=False, include_input=False)
    others = {error["loc"][:-1] for error in errors if error["type"] == "literal_error"}
    intended = [e for e in errors if not any(e["loc"][:end] in others for end in range(len(e["loc"])))] or errors
    specific = [error for error in intended if error["type"] not in _SHAPE_ERRORS] or intended
    found = max(
        ((_existing_path(error["loc"], value), str(error["msg"])) for error in specific), key=lambda pair: len(pair[0])
    )
    return f"{_path_text(found[0])}: {found[1]}"


def _existing_path(loc: tuple[int | str, ...], value: Any) -> tuple[int | str, ...]:
    """Returns the steps of an error location that exist in the value; other steps are type names."""
    steps: list[int | str] = []
    for at, step in enumerate(loc):
        inside = isinstance(value, list) and isinstance(step, int) and step < len(value)
        if inside or (isinstance(value, dict) and step in value):
            value = value[step]
            steps.append(step)
        elif at == len(loc) - 1 and isinstance(step, str) and re.fullmatch(r"[a-z_]+", step):
            steps.append(step)
    return tuple(steps)


def _path_text(steps: tuple[int | str, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".") or "value"
