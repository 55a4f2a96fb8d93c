"""Parses Gemini requests into protocol-neutral form; fields without a neutral counterpart go to `extra`."""

from __future__ import annotations

from collections.abc import Mapping
from mimetypes import guess_type
from typing import Any, Literal
from urllib.parse import unquote

from ...framing import dump
from ...scenarios.model import (
    AllowedTools,
    Audio,
    Block,
    Document,
    Image,
    NamedTool,
    ResponseFormat,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Video,
)
from ..json_object import JsonObject, describe_json
from ..protocol import MalformedRequest, ParsedRequest
from .message_schema import DATA, camel
from .parts import Part, TextPart, build_blocks
from .tables import PATH

ROLES: dict[str, Role] = {"user": "user", "model": "assistant", "function": "user", "tool": "user", "": "user"}
"""`contents[].role` -> neutral role. Older clients send responses as `function` or `tool`; a role may be omitted."""

TOOL_CHOICES: dict[str, str] = {"AUTO": "auto", "NONE": "none", "ANY": "required"}
"""Function calling mode -> neutral tool choice."""

SAMPLING: dict[str, str] = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
    "seed": "seed",
}
"""Field of `generationConfig` -> neutral sampling field."""

SCHEMA_TYPES = ("TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL")
"""The types of a schema; the index of each is its enum number."""

HARMLESS: dict[str, tuple[object, ...]] = {
    "candidateCount": (1,),
    "responseModalities": (["TEXT"],),
    "responseLogprobs": (False,),
}
"""Field of `generationConfig` -> values that equal its default."""


class FieldReader(JsonObject):
    """Reader of an object with keys in camelCase or snake_case, and with lists of one item without brackets."""

    def __init__(self, value: Any, path: str, extra: dict[str, Any]) -> None:
        if isinstance(value, dict):
            renamed = {camel(key): item for key, item in value.items()}
            if len(renamed) != len(value):
                raise MalformedRequest(path, "the same field occurs in camelCase and in snake_case")
            value = renamed
        super().__init__(value, path, extra)

    def object(self, key: str) -> FieldReader | None:
        value = self.any(key)
        return None if value is None else FieldReader(value, f"{self.path}.{key}", self.extra)

    def objects(self, key: str) -> tuple[FieldReader, ...]:
        return tuple(
            FieldReader(item, f"{self.path}.{key}[{at}]", self.extra) for at, item in enumerate(self.list(key))
        )

    def list(self, key: str) -> list[Any]:
        value = self.any(key)
        return [] if value is None else value if isinstance(value, list) else [value]

    def require(self, key: str) -> FieldReader:
        super().require(key)
        return self


def parse_request(path: str, headers: Mapping[str, str], body: Any) -> ParsedRequest:
    """Parses a request; raises `MalformedRequest` if the body has the wrong shape."""
    extra: dict[str, Any] = {}
    top = FieldReader(body, "$", extra)
    model, method = method_of(path)
    # Client libraries repeat the model of the path in the body.
    top.drop("model", model, f"models/{model}")
    turns = tuple(
        turn for content in top.require("contents").objects("contents") if (turn := _parse_turn(content)) is not None
    )
    config = top.object("generationConfig") or FieldReader({}, "$.generationConfig", extra)
    for key, defaults in HARMLESS.items():
        config.drop(key, *defaults)
    tools = tuple(tool for entry in top.objects("tools") for tool in _parse_tools(entry))
    choice, validates = _parse_tool_choice(top)
    parsed = ParsedRequest(
        model=model,
        stream=method == "streamGenerateContent",
        system=_parse_system(top),
        turns=turns,
        tools=tools,
        tool_choice=choice,
        validates=validates,
        sampling={name: value for key, name in SAMPLING.items() if (value := _parse_number(config, key)) is not None},
        max_tokens=_parse_integer(config, "maxOutputTokens"),
        stop=_parse_stop(config),
        show_reasoning=_parse_show_reasoning(config),
        reasoning=_parse_reasoning(config),
        logprobs=_parse_logprobs(config),
        format=_parse_response_format(config),
        extra=extra,
    )
    config.close()
    top.close()
    return parsed


def _parse_logprobs(config: FieldReader) -> int | None:
    """Parses `logprobs`: "Only valid if responseLogprobs=True." https://ai.google.dev/api/generate-content"""
    if config.peek("responseLogprobs") is not True:
        return None
    config.boolean("responseLogprobs")
    return _parse_integer(config, "logprobs") or 0


def method_of(path: str) -> tuple[str | None, str | None]:
    """Returns the model and the method of a path."""
    found = PATH.search(unquote(path.partition("?")[0]))
    return (found[1], found[2]) if found else (None, None)


# ---- contents --------------------------------------------------------------------------------------------------------


def _parse_system(top: FieldReader) -> tuple[str, ...]:
    content = top.object("systemInstruction")
    if content is None:
        return ()
    # The role of a system instruction is ignored.
    content.string("role")
    texts = []
    for part in content.objects("parts"):
        text = part.string("text")
        texts.extend([text] if text is not None else [])
        part.drop("thought", False)
        part.close()
    content.close()
    return tuple(texts)


def _parse_turn(content: FieldReader) -> Turn | None:
    role = content.string("role") or ""
    if role not in ROLES:
        raise MalformedRequest(f"{content.path}.role", f"unknown role: {role!r}")
    blocks = build_blocks([block for part in content.objects("parts") for block in _parse_part(part)], merge=False)
    content.close()
    return Turn(ROLES[role], blocks) if blocks else None


def _parse_part(part: FieldReader) -> list[Part]:
    signature = part.string("thoughtSignature")
    thought = part.boolean("thought") or False
    out: list[Part] = []
    text = part.string("text")
    is_bare = text is None and not any(part.peek(key) is not None for key in DATA)
    if text or (signature is not None and (text is not None or is_bare)):
        out.append(TextPart(text or "", thought, signature))
    inline, file = part.object("inlineData"), part.object("fileData")
    if inline is not None:
        out.append(_media_block(inline.string("mimeType"), inline.string("data"), None, inline.string("displayName")))
        inline.close()
    if file is not None:
        out.append(_media_block(file.string("mimeType"), None, file.string("fileUri"), file.string("displayName")))
        file.close()
    call, response = part.object("functionCall"), part.object("functionResponse")
    if call is not None:
        arguments = dump(call.dict("args") or {})
        out.append(ToolCall(call.string("id") or "", call.require("name").string("name") or "", arguments, signature))
        call.close()
    if response is not None:
        out.append(_parse_result(response))
    if signature is not None and call is None and text is None and not is_bare:
        part.extra[f"{part.path}.thoughtSignature"] = signature
    part.close()
    return out


def _media_block(mime: str | None, data: str | None, url: str | None, name: str | None) -> Block:
    kind = (mime or "").partition("/")[0]
    # Without a MIME type the kind follows from the file extension of the URL, or from the host for YouTube videos.
    if not kind and url is not None:
        kind = "video" if "youtu" in url else (guess_type(url)[0] or "").partition("/")[0]
    if kind == "audio":
        return Audio(mime, data, url)
    if kind == "video":
        return Video(mime, data, url)
    if kind in ("image", ""):
        return Image(mime, data, url)
    return Document(mime, data, url, None, name)


def _parse_result(response: FieldReader) -> ToolResult:
    """Reads a function response; `result`, `output` and `error` are unwrapped, any other object becomes JSON text."""
    value = response.dict("response") or {}
    error, text = False, ""
    match value:
        case {"error": str(found)} if len(value) == 1:
            error, text = True, found
        case {"error": found} if len(value) == 1:
            error, text = True, dump(found)
        case {"result": str(found)} | {"output": str(found)} if len(value) == 1:
            text = found
        case _ if value:
            text = dump(value)
    blocks: list[Block] = [Text(text)] if text else []
    for part in response.objects("parts"):
        blocks.extend(build_blocks(_parse_part(part), merge=False))
    result = ToolResult(response.string("id") or "", tuple(blocks), error, response.string("name"))
    response.close()
    return result


# ---- settings --------------------------------------------------------------------------------------------------------


def _parse_number(config: FieldReader, key: str) -> float | int | None:
    """Takes a number, also one in a string; integral fields accept floats such as 40.0."""
    value: float | int | None
    text = config.peek(key)
    if isinstance(text, str):
        config.any(key)
        try:
            value = float(text)
        except ValueError:
            raise MalformedRequest(f"{config.path}.{key}", f"expected a number, found {describe_json(text)}") from None
    else:
        value = config.number(key)
    whole = key in ("topK", "seed", "maxOutputTokens", "thinkingBudget")
    if whole and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _parse_integer(config: FieldReader, key: str) -> int | None:
    value = _parse_number(config, key)
    if isinstance(value, float):
        raise MalformedRequest(f"{config.path}.{key}", f"expected an integer, found {value}")
    return value


def _parse_stop(config: FieldReader) -> tuple[str, ...]:
    found = config.list("stopSequences")
    if not all(isinstance(item, str) for item in found):
        raise MalformedRequest(f"{config.path}.stopSequences", "expected an array of strings")
    return tuple(found)


def _parse_tools(entry: FieldReader) -> list[Tool]:
    tools = []
    for declaration in entry.objects("functionDeclarations"):
        # "parametersJsonSchema: … This field is mutually exclusive with parameters."
        # https://ai.google.dev/api/caching#FunctionDeclaration
        json_schema, api_schema = (
            declaration.dict("parametersJsonSchema"),
            _normalize_schema(declaration.dict("parameters")),
        )
        tools.append(
            Tool(
                declaration.require("name").string("name") or "",
                declaration.string("description"),
                json_schema if json_schema is not None else api_schema,
            )
        )
        declaration.close()
    # The settings of a hosted tool are messages of the API too, so their fields may be in either case.
    for key in entry.keys:
        if (value := entry.any(key)) is not None:
            entry.extra[f"{entry.path}.{key}"] = _camel_case_json(value)
    return tools


def _camel_case_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_camel_case_json(item) for item in value]
    if isinstance(value, dict):
        return {camel(key): _camel_case_json(item) for key, item in value.items()}
    return value


def _normalize_schema(value: Any, names: bool = False) -> Any:
    """Returns a schema with fields in camelCase, types as words instead of enum numbers, and properties in their order.

    With `names` the value is a map whose keys are names chosen by the client. https://ai.google.dev/api/caching#Type
    """
    if isinstance(value, list):
        return [_normalize_schema(item) for item in value]
    if not isinstance(value, dict):
        return value
    if names:
        return {key: _normalize_schema(item) for key, item in value.items()}
    kind = value.get("type")
    words = {"type": SCHEMA_TYPES[kind]} if type(kind) is int and 0 < kind < len(SCHEMA_TYPES) else {}
    schema = {camel(key): _normalize_schema(item, key == "properties") for key, item in value.items()} | words
    names_in_order, properties = schema.get("propertyOrdering"), schema.get("properties")
    if not isinstance(names_in_order, list) or not isinstance(properties, dict):
        return schema
    # "propertyOrdering: The order of the properties" https://ai.google.dev/api/caching#Schema
    del schema["propertyOrdering"]
    ordered = dict.fromkeys([*(name for name in names_in_order if name in properties), *properties])
    return schema | {"properties": {name: properties[name] for name in ordered}}


def _parse_tool_choice(top: FieldReader) -> tuple[ToolChoice | None, Literal["asked", "implied"] | None]:
    """Parses the choice, and whether the arguments of every call are held to their schema.

    VALIDATED "ensures function schema adherence", and ANY "guarantees" it; VALIDATED with names may ask for no more
    than a choice among these. https://ai.google.dev/gemini-api/docs/function-calling#function-calling-modes
    """
    outer = top.object("toolConfig")
    inner = outer.object("functionCallingConfig") if outer is not None else None
    if outer is None or inner is None:
        if outer is not None:
            outer.close()
        return None, None
    mode, names = inner.string("mode"), inner.list("allowedFunctionNames")
    mode_name = (mode or "AUTO").upper()
    are_names = all(isinstance(name, str) for name in names)
    found: ToolChoice | None = TOOL_CHOICES.get(mode_name)
    if mode is not None and found is None and mode_name != "VALIDATED":
        inner.extra[f"{inner.path}.mode"] = mode
    if found == "required" and len(names) == 1 and are_names:
        found = NamedTool(names[0])
    elif mode_name in ("ANY", "VALIDATED") and names and are_names:
        found = AllowedTools(tuple(names), "required" if mode_name == "ANY" else "auto")
    elif names:
        inner.extra[f"{inner.path}.allowedFunctionNames"] = names
    inner.close()
    outer.close()
    if mode_name not in ("VALIDATED", "ANY"):
        return found, None
    return found, "implied" if names or mode_name == "ANY" else "asked"


def _parse_show_reasoning(config: FieldReader) -> bool | None:
    """Reads `includeThoughts` without taking it. https://ai.google.dev/gemini-api/docs/thinking"""
    thinking = config.peek("thinkingConfig")
    found = {camel(key): value for key, value in thinking.items()} if isinstance(thinking, dict) else {}
    return True if found.get("includeThoughts") is True else None


def _parse_reasoning(config: FieldReader) -> str | int | bool | None:
    thinking = config.object("thinkingConfig")
    if thinking is None:
        return None
    level, budget = thinking.string("thinkingLevel"), _parse_integer(thinking, "thinkingBudget")
    thinking.boolean("includeThoughts")
    thinking.close()
    return level.lower() if level is not None else budget


def _parse_response_format(config: FieldReader) -> ResponseFormat | None:
    mime = config.string("responseMimeType")
    json_schema, api_schema = config.dict("responseJsonSchema"), _normalize_schema(config.dict("responseSchema"))
    schema = json_schema if json_schema is not None else api_schema
    if mime not in (None, "text/plain", "application/json"):
        config.extra[f"{config.path}.responseMimeType"] = mime
    return ResponseFormat(schema) if mime == "application/json" or schema is not None else None
