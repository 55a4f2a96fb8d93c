"""What the Gemini API refuses, in its own words; it judges form, never meaning."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs

from ..contract import Failure, Malformed, Provider, foreign_seal, key_given
from .fields import DATA, camel, violations
from .read import method_of, read
from .say import signs
from .words import (
    DUMMY_SEALS,
    KEY_INVALID,
    LEVELLESS,
    MAX_STOPS,
    RANGES,
    ROLES,
    TOOL_NAME,
    VERSIONED,
)


def route(method: str, path: str) -> str | None:
    bare = path.partition("?")[0]
    if VERSIONED.match(bare) is None:
        return None
    if method == "GET":
        return "models" if bare.endswith("/models") else None
    found = method_of(bare)[1] if method == "POST" else None
    return None if found is None else "count" if found == "countTokens" else "generate"


def list_models(provider: Provider) -> dict[str, Any]:
    """https://ai.google.dev/api/models#method:-models.list"""
    return {
        "models": [
            {
                "name": f"models/{name}",
                "version": "001",
                "displayName": name,
                "description": f"Played by {provider.name}",
                "inputTokenLimit": 1048576,
                "outputTokenLimit": provider.max_tokens or 65536,
                "supportedGenerationMethods": ["generateContent", "countTokens"],
            }
            for name in provider.upstream_models
        ]
    }


def count(body: dict[str, Any]) -> dict[str, Any]:
    """The answer to `countTokens`: a token is four characters. https://ai.google.dev/api/tokens"""
    inner = _plain(body).get("generateContentRequest", body)
    total = sum(len(text) for text in _texts(inner)) // 4 + 1
    return {"totalTokens": total, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": total}]}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def heed(path: str, headers: Mapping[str, str], body: Any, provider: Provider) -> Failure | None:
    """The first rule that the request breaks, or None."""
    refused = _key(path, headers, provider)
    if refused is not None:
        return refused
    model, method = method_of(path)
    if model is None or method is None:
        return None
    missing = _model(path, model, method, provider)
    if missing is not None:
        return missing
    if not isinstance(body, dict):
        return _bad('Invalid JSON payload received. Unknown name "": Root element must be a message.')
    if method == "countTokens":
        return next(_fields(body, "CountTokensRequest"), None)
    for complaint in _fields(body, "GenerateContentRequest"):
        return complaint
    for rule in RULES:
        for complaint in rule(_plain(body), model, provider):
            return complaint
    return None


def _bad(message: str, field: str | None = None) -> Failure:
    return Failure(400, "bad_request", message, param=field)


def _key(path: str, headers: Mapping[str, str], provider: Provider) -> Failure | None:
    """The key comes in a header or in the query. https://ai.google.dev/gemini-api/docs/api-key"""
    query = parse_qs(path.partition("?")[2])
    given = key_given(headers, provider.auth) or next(iter(query.get("key", [])), None)
    if not given:
        message = (
            "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or "
            "other form of API consumer identity to call this API."
        )
        return Failure(403, "permission", message)
    if given != provider.auth.key:
        message = "API key not valid. Please pass a valid API key."
        return Failure(400, "authentication", message, KEY_INVALID)
    return None


def _model(path: str, model: str, method: str, provider: Provider) -> Failure | None:
    """https://ai.google.dev/gemini-api/docs/troubleshooting"""
    if not provider.models or model in provider.upstream_models:
        return None
    version = path.lstrip("/").partition("/")[0]
    message = (
        f"models/{model} is not found for API version {version}, or is not supported for {method}. Call ListModels to "
        "see the list of available models and their supported methods."
    )
    return Failure(404, "not_found", message)


def _fields(body: dict[str, Any], message: str) -> Iterator[Failure]:
    """All violations come in one error. https://cloud.google.com/apis/design/errors#error_payloads"""
    found = list(violations(body, message))
    if found:
        yield _bad("\n".join(one.description for one in found), found[0].field or None)


def _plain(body: Any) -> Any:
    """The body in camelCase with lists where lists are meant, down to the parts; free JSON stays as it is."""
    if not isinstance(body, dict):
        return body
    return {camel(key): value for key, value in body.items() if value is not None}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [_plain(item) for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]


def _contents(body: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Role and parts of every content."""
    contents = _objects(body.get("contents", []))
    return [(content.get("role", "user"), _objects(content.get("parts", []))) for content in contents]


def _turns(body: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The same with neighbouring contents of the model made one turn.

    Google's own SDK sends a streamed answer back as it came, one content a chunk:
    "model_output.append(chunk.candidates[0].content)".
    https://github.com/googleapis/python-genai/blob/main/google/genai/chats.py
    """
    turns: list[tuple[str, list[dict[str, Any]]]] = []
    for role, parts in _contents(body):
        if role == "model" and turns and turns[-1][0] == "model":
            turns[-1] = (role, turns[-1][1] + parts)
        else:
            turns.append((role, parts))
    return turns


# ---- the rules, in the order in which the service checks them --------------------------------------------------------

Rule = Callable[[dict[str, Any], str, Provider], Iterator[Failure]]


def _shape(body: dict[str, Any], model: str, provider: Provider) -> Iterator[Failure]:
    contents = _contents(body)
    if not contents:
        yield _bad("* GenerateContentRequest.contents: contents is not specified\n")
    system = _plain(body.get("systemInstruction", {}))
    groups = [(f"contents[{at}]", role, parts) for at, (role, parts) in enumerate(contents)]
    if system:
        groups.append(("system_instruction", "user", _objects(system.get("parts", []))))
    for where, role, parts in groups:
        # "role: Optional. … Must be either 'user' or 'model'." https://ai.google.dev/api/caching#Content
        # The older word for a turn of responses is taken still.
        if role not in (*ROLES, "function", ""):
            yield _bad("Please use a valid role: user, model.")
        if not parts:
            yield _bad(f"* GenerateContentRequest.{where}.parts: contents.parts must not be empty.\n")
        for n, part in enumerate(parts):
            # "A Part must have a fixed IANA MIME type …"; "Union field data can be only one of the following".
            # https://ai.google.dev/api/caching#Part
            # A signature may stand alone, as it does in some streams.
            if not any(key in part for key in (*DATA, "thoughtSignature")):
                yield _bad(
                    f"* GenerateContentRequest.{where}.parts[{n}].data: required oneof field 'data' must have one "
                    "initialized field\n"
                )
            for key, word in (("functionCall", "function_call"), ("functionResponse", "function_response")):
                # "name: Required. The name of the function to call." https://ai.google.dev/api/caching#FunctionCall
                if key in part and not _plain(part[key]).get("name"):
                    yield _bad(f"* GenerateContentRequest.{where}.parts[{n}].{word}.name: Name cannot be empty.\n")


def _readable(body: dict[str, Any], model: str, provider: Provider) -> Iterator[Failure]:
    try:
        read("", {}, body)
    except Malformed as problem:
        path = problem.path.removeprefix("$.")
        yield _bad(f"Invalid value at '{path}': {problem.what}", path)


def _ranges(body: dict[str, Any], model: str, provider: Provider) -> Iterator[Failure]:
    config = _plain(body.get("generationConfig", {}))
    where = "* GenerateContentRequest.generation_config"
    for name, low, high in RANGES:
        value = config.get(name)
        if isinstance(value, int | float) and not low <= value <= high:
            word = re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name)
            yield _bad(f"{where}.{word}: {word} must be in the range [{low}.0, {high}.0].\n")
    most = config.get("maxOutputTokens")
    if isinstance(most, int | float) and most < 1:
        yield _bad(f"{where}.max_output_tokens: max_output_tokens must be positive.\n")
    top = config.get("topK")
    if isinstance(top, int | float) and top < 1:
        yield _bad(f"{where}.top_k: top_k must be positive.\n")
    stops = config.get("stopSequences")
    if isinstance(stops, list) and len(stops) > MAX_STOPS:
        yield _bad(f"{where}.stop_sequences: at most {MAX_STOPS} stop sequences are allowed, found {len(stops)}.\n")
    # "responseSchema: … if set, a compatible responseMimeType must also be set", "responseJsonSchema: … responseSchema
    # must be omitted, but responseMimeType is required." https://ai.google.dev/api/generate-content#generationconfig
    schemas = [key for key in ("responseSchema", "responseJsonSchema") if key in config]
    if len(schemas) > 1:
        yield _bad(f"{where}: only one of response_schema and response_json_schema may be set.\n")
    if schemas and config.get("responseMimeType", "text/plain") == "text/plain":
        yield _bad(
            f"{where}.response_mime_type: when response schema is set, response mime type must be `application/json`.\n"
        )
    thinking = _plain(config.get("thinkingConfig", {}))
    # https://ai.google.dev/gemini-api/docs/thinking
    if "thinkingLevel" in thinking and "thinkingBudget" in thinking:
        yield _bad("You can only set only one of thinking budget and thinking level.")
    if "thinkingLevel" in thinking and LEVELLESS.match(model):
        yield _bad("Thinking level is not supported for this model.")


def _tools(body: dict[str, Any], model: str, provider: Provider) -> Iterator[Failure]:
    names: list[str] = []
    for at, tool in enumerate(_objects(body.get("tools", []))):
        for n, declaration in enumerate(_objects(tool.get("functionDeclarations", []))):
            where = f"tools[{at}].function_declarations[{n}]"
            name = declaration.get("name", "")
            # https://ai.google.dev/api/caching#FunctionDeclaration
            if re.fullmatch(TOOL_NAME, name) is None:
                yield _bad(
                    f"The GenerateContentRequest proto is invalid:\n  * {where}.name: [FIELD_INVALID] Invalid function "
                    "name. Must start with a letter or an underscore. Must be a-z, A-Z, 0-9, or contain underscores "
                    "(_), dots (.), colons (:), or dashes (-), with a maximum length of 64."
                )
            if name in names:
                yield _bad(f"Duplicate function declaration found: {name}")
            names.append(name)
            # "This field is mutually exclusive with parameters." https://ai.google.dev/api/caching#FunctionDeclaration
            if "parameters" in declaration and "parametersJsonSchema" in declaration:
                yield _bad(
                    f"* GenerateContentRequest.{where}: only one of parameters and parameters_json_schema may be set.\n"
                )
            for key in ("parameters", "parametersJsonSchema"):
                kind = declaration[key].get("type") if isinstance(declaration.get(key), dict) else None
                if isinstance(kind, str) and kind.upper() != "OBJECT":
                    yield _bad(
                        f"* GenerateContentRequest.{where}.parameters: parameters schema should be of type OBJECT\n"
                    )
    calling = _plain(_plain(body.get("toolConfig", {})).get("functionCallingConfig", {}))
    if not calling:
        return
    mode, allowed = str(calling.get("mode", "AUTO")).upper(), calling.get("allowedFunctionNames", [])
    if not names:
        yield _bad("Function calling config is set without function_declarations.")
    # https://ai.google.dev/api/caching#Mode
    if mode not in ("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED", "0", "1", "2", "3", "4"):
        yield _bad(
            "Invalid value at 'tool_config.function_calling_config.mode' (type.googleapis.com/"
            f'google.ai.generativelanguage.v1beta.FunctionCallingConfig.Mode), "{calling["mode"]}"'
        )
    # "allowedFunctionNames: … This should only be set when the Mode is ANY or VALIDATED. Function names should match
    # FunctionDeclaration.name." https://ai.google.dev/api/caching#FunctionCallingConfig
    if allowed and mode not in ("ANY", "VALIDATED", "2", "4"):
        yield _bad("Allowed function names should only be set when function calling mode is ANY or VALIDATED.")
    for name in allowed if isinstance(allowed, list) else [allowed]:
        if name not in names:
            yield _bad(f"Allowed function name {name} is not among the function declarations.")


def _pairing(body: dict[str, Any], model: str, provider: Provider) -> Iterator[Failure]:
    """A turn of calls follows a user's turn and is answered whole by the next one.

    https://ai.google.dev/gemini-api/docs/function-calling#multi-turn-example-1
    """
    contents = _turns(body)
    pending = 0
    for at, (role, parts) in enumerate(contents):
        calls = sum("functionCall" in part for part in parts) if role == "model" else 0
        responses = sum("functionResponse" in part for part in parts)
        if responses and not pending:
            yield _bad("Please ensure that function response turn comes immediately after a function call turn.")
        if pending and responses != pending:
            yield _bad(UNEQUAL)
        if calls and at == 0:
            yield _bad(
                "Please ensure that function call turn comes immediately after a user turn or after a function "
                "response turn."
            )
        pending = calls
    if pending:
        yield _bad(UNEQUAL)


UNEQUAL = (
    "Please ensure that the number of function response parts is equal to the number of function call parts of the "
    "function call turn."
)


def _seals(body: dict[str, Any], model: str, provider: Provider) -> Iterator[Failure]:
    contents = _turns(body)
    for _, parts in contents:
        for part in parts:
            seal = part.get("thoughtSignature")
            if seal is not None and seal not in DUMMY_SEALS and foreign_seal(_opened(seal), provider):
                yield _bad("Corrupted thought signature.")
    if not signs(model, provider):
        return
    # "The API walks back in the history (newest to oldest) to find the most recent User message that contains standard
    # content (e.g., text) …" "The first functionCall part in each step of the current turn must include its
    # thought_signature". https://ai.google.dev/gemini-api/docs/thought-signatures
    starts = [
        at
        for at, (role, parts) in enumerate(contents)
        if role != "model" and any("functionResponse" not in part for part in parts)
    ]
    for at, (role, parts) in enumerate(contents):
        first = next((part for part in parts if "functionCall" in part), None)
        if role == "model" and first is not None and at > max(starts, default=-1) and not first.get("thoughtSignature"):
            name = _plain(first["functionCall"]).get("name")
            yield _bad(
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to "
                "work correctly, and missing thought_signature may lead to degraded model performance. Additional "
                f"data, function call `default_api:{name}` , position {at + 1}. Please refer to "
                "https://ai.google.dev/gemini-api/docs/thought-signatures for more details."
            )


def _opened(seal: str) -> str:
    """The bytes of a signature as text, nothing when it is not base64."""
    try:
        plain = seal.replace("-", "+").replace("_", "/")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


RULES: tuple[Rule, ...] = (_shape, _readable, _ranges, _tools, _pairing, _seals)
