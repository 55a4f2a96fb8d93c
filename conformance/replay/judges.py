"""The official SDKs' types as judges of what we emit; they know nothing of the proxy and of the mock.

SDK clients construct their objects without looking, so "works with the SDK" proves little: here the same types
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

Judge: TypeAlias = Callable[[Any], str | None]
"""Says what is wrong with a JSON value, or None."""

REQUEST, REPLY, EVENT = "request", "reply", "event"


def judge(dialect: str, part: str, value: Any) -> str | None:
    """What the SDK's type for this part (a request, a reply or an event of a stream) has against a JSON value."""
    return _judges(dialect)[part](value)


@cache
def _judges(dialect: str) -> dict[str, Judge]:
    return JUDGES[dialect]()


# ---- each SDK's types ------------------------------------------------------------------------------------------------


def _openai_chat() -> dict[str, Judge]:
    from openai.types.chat import ChatCompletion, ChatCompletionChunk
    from openai.types.chat import completion_create_params as params

    return {
        REQUEST: _asking(params.CompletionCreateParamsNonStreaming, params.CompletionCreateParamsStreaming),
        REPLY: _strict(ChatCompletion),
        EVENT: _strict(ChatCompletionChunk),
    }


def _openai_responses() -> dict[str, Judge]:
    from openai.types.responses import Response, ResponseStreamEvent
    from openai.types.responses import response_create_params as params

    return {
        REQUEST: _asking(params.ResponseCreateParamsNonStreaming, params.ResponseCreateParamsStreaming),
        REPLY: _strict(Response),
        EVENT: _strict(ResponseStreamEvent),
    }


def _anthropic() -> dict[str, Judge]:
    from anthropic.types import Message, RawMessageStreamEvent
    from anthropic.types import message_create_params as params

    event = _strict(RawMessageStreamEvent)
    return {
        REQUEST: _asking(params.MessageCreateParamsNonStreaming, params.MessageCreateParamsStreaming),
        REPLY: _strict(Message),
        # the SDK handles `ping` before it looks for a type
        EVENT: lambda value: None if value.get("type") == "ping" else event(value),
    }


def _gemini() -> dict[str, Judge]:
    from google.genai import types

    # The SDK has no type for the whole body, but one for each part of it, and these forbid unknown keys.
    parts: dict[str, Judge] = {
        "contents": _lax(list[types.Content]),
        "systemInstruction": _lax(types.Content),
        "tools": _lax(list[types.Tool]),
        "toolConfig": _lax(types.ToolConfig),
        "generationConfig": _lax(types.GenerationConfig),
        "safetySettings": _lax(list[types.SafetySetting]),
    }

    def request(value: Any) -> str | None:
        for key, part in value.items():
            if key in parts and (wrong := parts[key](part)) is not None:
                return f"{key}.{wrong}"
        return None

    def reply(value: Any) -> str | None:
        # an unknown enum is only a warning to the SDK, yet real clients break on it
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            try:
                # the SDK takes out what it does not know, from the value itself
                types.GenerateContentResponse._from_response(response=json.loads(json.dumps(value)), kwargs={})
            except ValidationError as fault:
                return _complaint(fault, value)
            except (UserWarning, AttributeError) as fault:
                return str(fault)
        return None

    return {REQUEST: request, REPLY: reply, EVENT: reply}


def _ollama() -> dict[str, Judge]:
    from ollama import ChatResponse
    from ollama._types import ChatRequest, Message

    whole, messages = _lax(ChatRequest), _lax(list[Message])

    def request(value: Any) -> str | None:
        # The SDK's type takes any object for a message. Its type of an image is what a program hands it, not the
        # base64 text that it sends.
        bare = [{key: inner for key, inner in message.items() if key != "images"} for message in value["messages"]]
        wrong = messages(bare)
        return whole(value) if wrong is None else f"messages{wrong}"

    return {REQUEST: request, REPLY: _strict(ChatResponse), EVENT: _strict(ChatResponse)}


JUDGES: dict[str, Callable[[], dict[str, Judge]]] = {
    "openai-chat": _openai_chat,
    "openai-responses": _openai_responses,
    "anthropic": _anthropic,
    "gemini": _gemini,
    "ollama": _ollama,
}


# ---- validating ------------------------------------------------------------------------------------------------------


def _asking(unary: Any, streaming: Any) -> Judge:
    """A judge of requests, whose types differ by `stream`."""
    judges = {
        stream: _by(SchemaValidator(_eager(TypeAdapter(kind).core_schema)).validate_json, strict=True)
        for stream, kind in ((False, unary), (True, streaming))
    }
    return lambda value: judges[value.get("stream") is True](value)


def _strict(kind: Any) -> Judge:
    return _by(TypeAdapter(kind).validate_json, strict=True)


def _lax(kind: Any) -> Judge:
    return _by(TypeAdapter(kind).validate_json, strict=False)


def _by(validate: Callable[..., Any], *, strict: bool) -> Judge:
    def judged(value: Any) -> str | None:
        try:
            validate(json.dumps(value), strict=strict)
        except ValidationError as fault:
            return _complaint(fault, value)
        except AttributeError as fault:  # how google-genai trips over an integer where it wants the word of an enum
            return str(fault)
        return None

    return judged


def _eager(schema: Any) -> Any:
    """The same schema with lists where the SDK's request types say Iterable, which pydantic would not look into."""
    if isinstance(schema, dict):
        kind = {"type": "list"} if schema.get("type") == "generator" else {}
        return {key: _eager(inner) for key, inner in schema.items()} | kind
    if isinstance(schema, list):
        return [_eager(inner) for inner in schema]
    if isinstance(schema, tuple):
        return tuple(_eager(inner) for inner in schema)
    return schema


_WHOLE_TYPES = ("literal_error", "string_type", "dict_type", "list_type", "model_type", "model_attributes_type")
"""What a branch of a union says of a value of quite another shape; such a complaint explains little."""


def _complaint(fault: ValidationError, value: Any) -> str:
    """The deepest complaint of the branch that was meant: of a union each branch complains, most of their own tag."""
    errors = fault.errors(include_url=False, include_context=False, include_input=False)
    others = {error["loc"][:-1] for error in errors if error["type"] == "literal_error"}
    meant = [e for e in errors if not any(e["loc"][:end] in others for end in range(len(e["loc"])))] or errors
    telling = [error for error in meant if error["type"] not in _WHOLE_TYPES] or meant
    found = max(((_place(error["loc"], value), str(error["msg"])) for error in telling), key=lambda pair: len(pair[0]))
    return f"{_joined(found[0])}: {found[1]}"


def _place(loc: tuple[int | str, ...], value: Any) -> tuple[int | str, ...]:
    """The steps of a complaint that are places in the value; the others are names of types."""
    steps: list[int | str] = []
    for at, step in enumerate(loc):
        inside = isinstance(value, list) and isinstance(step, int) and step < len(value)
        if inside or (isinstance(value, dict) and step in value):
            value = value[step]
            steps.append(step)
        elif at == len(loc) - 1 and isinstance(step, str) and re.fullmatch(r"[a-z_]+", step):
            steps.append(step)
    return tuple(steps)


def _joined(steps: tuple[int | str, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".") or "it"
