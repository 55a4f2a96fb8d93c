"""Schema of the Gemini API messages, and the check of a request body against it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from ...framing import dump

MESSAGES: dict[str, dict[str, str]] = {
    # https://ai.google.dev/api/generate-content
    "GenerateContentRequest": {
        "model": "string",
        "contents": "[]Content",
        "systemInstruction": "Content",
        "tools": "[]Tool",
        "toolConfig": "ToolConfig",
        "safetySettings": "[]SafetySetting",
        "generationConfig": "GenerationConfig",
        "cachedContent": "string",
        "serviceTier": "enum",
        "store": "bool",
        "labels": "any",
    },
    # https://ai.google.dev/api/tokens
    "CountTokensRequest": {
        "contents": "[]Content",
        "generateContentRequest": "GenerateContentRequest",
    },
    # https://ai.google.dev/api/caching#Content
    "Content": {"parts": "[]Part", "role": "string"},
    "Part": {
        "text": "string",
        "inlineData": "Blob",
        "functionCall": "FunctionCall",
        "functionResponse": "FunctionResponse",
        "fileData": "FileData",
        "executableCode": "any",
        "codeExecutionResult": "any",
        "toolCall": "any",
        "toolResponse": "any",
        "thought": "bool",
        "thoughtSignature": "bytes",
        "partMetadata": "any",
        "videoMetadata": "any",
        "mediaResolution": "any",
    },
    "Blob": {"mimeType": "string", "data": "bytes", "displayName": "string"},
    "FileData": {"mimeType": "string", "fileUri": "string", "displayName": "string"},
    "FunctionCall": {"id": "string", "name": "string", "args": "struct"},
    "FunctionResponse": {
        "id": "string",
        "name": "string",
        "response": "struct",
        "parts": "[]FunctionResponsePart",
        "willContinue": "bool",
        "scheduling": "enum",
    },
    "FunctionResponsePart": {"inlineData": "Blob", "fileData": "FileData"},
    # https://ai.google.dev/api/caching#Tool
    "Tool": {
        "functionDeclarations": "[]FunctionDeclaration",
        "googleSearchRetrieval": "any",
        "codeExecution": "any",
        "googleSearch": "any",
        "computerUse": "any",
        "urlContext": "any",
        "fileSearch": "any",
        "mcpServers": "any",
        "googleMaps": "any",
    },
    "FunctionDeclaration": {
        "name": "string",
        "description": "string",
        "behavior": "enum",
        "parameters": "Schema",
        "parametersJsonSchema": "any",
        "response": "Schema",
        "responseJsonSchema": "any",
    },
    # https://ai.google.dev/api/caching#Schema
    "Schema": {
        "type": "enum",
        "format": "string",
        "title": "string",
        "description": "string",
        "nullable": "bool",
        "enum": "[]string",
        "maxItems": "integer",
        "minItems": "integer",
        "properties": "{}Schema",
        "required": "[]string",
        "minProperties": "integer",
        "maxProperties": "integer",
        "minLength": "integer",
        "maxLength": "integer",
        "pattern": "string",
        "example": "any",
        "anyOf": "[]Schema",
        "propertyOrdering": "[]string",
        "default": "any",
        "items": "Schema",
        "minimum": "number",
        "maximum": "number",
    },
    "ToolConfig": {
        "functionCallingConfig": "FunctionCallingConfig",
        "retrievalConfig": "any",
        "includeServerSideToolInvocations": "bool",
    },
    "FunctionCallingConfig": {"mode": "enum", "allowedFunctionNames": "[]string"},
    "SafetySetting": {"category": "enum", "threshold": "enum"},
    # https://ai.google.dev/api/generate-content#generationconfig
    "GenerationConfig": {
        "stopSequences": "[]string",
        "responseMimeType": "string",
        "responseSchema": "Schema",
        "responseJsonSchema": "any",
        "responseFormat": "any",
        "responseModalities": "[]enum",
        "candidateCount": "integer",
        "maxOutputTokens": "integer",
        "temperature": "number",
        "topP": "number",
        "topK": "number",
        "seed": "integer",
        "presencePenalty": "number",
        "frequencyPenalty": "number",
        "responseLogprobs": "bool",
        "logprobs": "integer",
        "enableEnhancedCivicAnswers": "bool",
        "speechConfig": "any",
        "thinkingConfig": "ThinkingConfig",
        "imageConfig": "any",
        "mediaResolution": "enum",
        "translationConfig": "any",
        "audioTranscriptionConfig": "any",
    },
    "ThinkingConfig": {"includeThoughts": "bool", "thinkingBudget": "integer", "thinkingLevel": "enum"},
}
"""Message -> field -> type.

A type is a message, a scalar or `any` (free JSON); the prefix `[]` makes it a list, `{}` a map.
"""

DATA = (
    *("text", "inlineData", "functionCall", "functionResponse", "fileData", "executableCode", "codeExecutionResult"),
    *("toolCall", "toolResponse"),
)
"""Fields of a part, exactly one of which is set. https://ai.google.dev/api/caching#Part"""

KNOWN: dict[str, frozenset[str]] = {
    "response": frozenset(
        {
            *("candidates", "promptFeedback", "usageMetadata", "modelVersion", "responseId", "createTime"),
            *("modelStatus", "automaticFunctionCallingHistory"),
        }
    ),
    "candidate": frozenset(
        {
            *("content", "finishReason", "finishMessage", "safetyRatings", "citationMetadata", "tokenCount", "index"),
            *("groundingMetadata", "groundingAttributions", "avgLogprobs", "logprobsResult", "urlContextMetadata"),
            *("continuationToken",),
        }
    ),
    "content": frozenset({"parts", "role"}),
    "part": frozenset({*DATA, "thought", "thoughtSignature", "partMetadata", "videoMetadata", "mediaResolution"}),
    "functionCall": frozenset({"id", "name", "args", "partialArgs", "willContinue"}),
    "usageMetadata": frozenset(
        {
            *("promptTokenCount", "candidatesTokenCount", "totalTokenCount", "thoughtsTokenCount"),
            *("cachedContentTokenCount", "toolUsePromptTokenCount", "promptTokensDetails", "candidatesTokensDetails"),
            *("cacheTokensDetails", "toolUsePromptTokensDetails", "trafficType", "serviceTier"),
        }
    ),
}
"""Object of a response -> its fields; google-genai refuses a response with any other field.

https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse
"""

SCALARS: dict[str, tuple[str, tuple[type, ...]]] = {
    "string": ("TYPE_STRING", (str,)),
    "bytes": ("TYPE_BYTES", (str,)),
    "bool": ("TYPE_BOOL", (bool,)),
    "integer": ("TYPE_INT32", (int, float, str)),
    "number": ("TYPE_FLOAT", (int, float, str)),
    "enum": ("TYPE_ENUM", (str, int)),
    "struct": ("type.googleapis.com/google.protobuf.Struct", (dict,)),
}
"""Scalar type -> its name in error messages, and the accepted JSON types; numbers may be strings.

https://protobuf.dev/programming-guides/json/
"""


class Violation(Struct, frozen=True):
    """A schema violation; `field` is the path of the object, in snake_case as in the service's messages."""

    field: str
    description: str


def camel(key: str) -> str:
    """Returns a field name in camelCase: "parsers accept both the lowerCamelCase name and the original proto name".

    https://protobuf.dev/programming-guides/json/
    """
    return re.sub(r"(?<=[a-z0-9])_([a-z0-9])", lambda found: found[1].upper(), key)


def snake(key: str) -> str:
    """Returns a field name in snake_case, as the service's error messages write it."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda found: f"_{found[1].lower()}", key)


def violations(value: Any, message: str, path: str = "") -> Iterator[Violation]:
    """Yields the unknown fields of a body and the fields of a wrong type."""
    if not isinstance(value, dict):
        yield Violation(path, f"Invalid value at '{path}' (type.googleapis.com/{message}), {dump(value)[:60]}")
        return
    known = MESSAGES[message]
    seen: set[str] = set()
    for key, item in value.items():
        name = camel(key)
        if name not in known:
            at = f" at '{path}'" if path else ""
            yield Violation(path, f'Invalid JSON payload received. Unknown name "{key}"{at}: Cannot find field.')
            continue
        if item is None:
            continue
        if message == "Part" and name in DATA:
            if seen:
                yield Violation(
                    path,
                    f"Invalid value at '{path}' (oneof), oneof field 'data' is already set. Cannot set '{key}'",
                )
            seen.add(name)
        yield from _field_violations(item, known[name], key, f"{path}.{snake(key)}" if path else snake(key), path)


def _field_violations(value: Any, kind: str, key: str, path: str, parent: str) -> Iterator[Violation]:
    if kind.startswith("[]"):
        # A single value is accepted as a list of one.
        for n, item in enumerate(value if isinstance(value, list) else [value]):
            yield from _field_violations(item, kind[2:], key, f"{path}[{n}]", parent)
    elif kind.startswith("{}"):
        if not isinstance(value, dict):
            yield Violation(path, f"Invalid value at '{path}' (map), {dump(value)[:60]}")
            return
        for n, item in enumerate(value.values()):
            yield from _field_violations(item, kind[2:], key, f"{path}[{n}].value", parent)
    elif isinstance(value, list) and kind != "any":
        at = f" at '{parent}'" if parent else ""
        yield Violation(
            parent,
            f'Invalid JSON payload received. Unknown name "{key}"{at}: Proto field is not repeating, cannot start '
            "list.",
        )
    elif kind in MESSAGES:
        yield from violations(value, kind, path)
    elif kind in SCALARS:
        name, types = SCALARS[kind]
        wrong = not isinstance(value, types) or (isinstance(value, bool) and kind != "bool")
        if not wrong and kind in ("integer", "number") and isinstance(value, str):
            wrong = re.fullmatch(r"-?\d+(\.\d+)?", value) is None
        if not wrong and kind == "integer" and isinstance(value, float):
            wrong = not value.is_integer()
        if wrong:
            yield Violation(path, f"Invalid value at '{path}' ({name}), {dump(value)[:60]}")
