"""Validates requests as the Gemini API does, with the same error messages; checks form, not meaning."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs

from ...scenarios.provider import Provider
from ..protocol import MalformedRequest
from ..reply_context import Failure, is_foreign_signature, sent_key
from .message_schema import DATA, camel, violations
from .reply_writer import requires_signatures
from .request_parser import method_of, parse_request
from .tables import KEY_INVALID, MAX_STOPS, PLACEHOLDER_SIGNATURES, RANGES, ROLES, TOOL_NAME, WITHOUT_LEVELS


def validate_request(path: str, headers: Mapping[str, str], body: Any, provider: Provider) -> Failure | None:
    """Returns the error of the first rule that the request breaks, or None."""
    rejection = _check_api_key(path, headers, provider)
    if rejection is not None:
        return rejection
    model, method = method_of(path)
    if model is None or method is None:
        return None
    missing = _check_model(path, model, method, provider)
    if missing is not None:
        return missing
    if not isinstance(body, dict):
        return _invalid_request('Invalid JSON payload received. Unknown name "": Root element must be a message.')
    if method == "countTokens":
        return next(_check_fields(body, "CountTokensRequest"), None)
    for failure in _check_fields(body, "GenerateContentRequest"):
        return failure
    for rule in RULES:
        for failure in rule(_camel_case_keys(body), model, provider):
            return failure
    return None


def _invalid_request(message: str, field: str | None = None) -> Failure:
    return Failure(400, "bad_request", message, param=field)


def _check_api_key(path: str, headers: Mapping[str, str], provider: Provider) -> Failure | None:
    """Checks the API key, which is in a header or in the query. https://ai.google.dev/gemini-api/docs/api-key"""
    query = parse_qs(path.partition("?")[2])
    given = sent_key(headers, provider.auth) or next(iter(query.get("key", [])), None)
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


def _check_model(path: str, model: str, method: str, provider: Provider) -> Failure | None:
    """Checks the model of the path. https://ai.google.dev/gemini-api/docs/troubleshooting"""
    if not provider.models or model in provider.upstream_models:
        return None
    version = path.lstrip("/").partition("/")[0]
    message = (
        f"models/{model} is not found for API version {version}, or is not supported for {method}. Call ListModels to "
        "see the list of available models and their supported methods."
    )
    return Failure(404, "not_found", message)


def _check_fields(body: dict[str, Any], message: str) -> Iterator[Failure]:
    """Checks a body against a message of the API; all violations are in one error. https://cloud.google.com/apis/design/errors#error_payloads"""
    found = list(violations(body, message))
    if found:
        yield _invalid_request("\n".join(one.description for one in found), found[0].field or None)


def _camel_case_keys(body: Any) -> Any:
    """Returns an object with its own keys in camelCase and without nulls; other values are returned unchanged."""
    if not isinstance(body, dict):
        return body
    return {camel(key): value for key, value in body.items() if value is not None}


def _objects(value: Any) -> list[dict[str, Any]]:
    """Returns the objects of a list with keys in camelCase; a single object counts as a list of one."""
    return [
        _camel_case_keys(item) for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)
    ]


def _contents(body: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Returns the role and the parts of every content."""
    contents = _objects(body.get("contents", []))
    return [(content.get("role", "user"), _objects(content.get("parts", []))) for content in contents]


def _merge_model_turns(body: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Returns the contents with adjacent ones of the model merged into one turn.

    Google's own SDK sends a streamed reply back as one content for each chunk:
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


def _check_contents(body: dict[str, Any], model: str, provider: Provider) -> Iterator[Failure]:
    contents = _contents(body)
    if not contents:
        yield _invalid_request("* GenerateContentRequest.contents: contents is not specified\n")
    system = _camel_case_keys(body.get("systemInstruction", {}))
    groups = [(f"contents[{at}]", role, parts) for at, (role, parts) in enumerate(contents)]
    if system:
        groups.append(("system_instruction", "user", _objects(system.get("parts", []))))
    for where, role, parts in groups:
        # "role: Optional. … Must be either 'user' or 'model'." https://ai.google.dev/api/caching#Content
        # The older role of responses, `function`, is still accepted.
        if role not in (*ROLES, "function", ""):
            yield _invalid_request("Please use a valid role: user, model.")
        if not parts:
            yield _invalid_request(f"* GenerateContentRequest.{where}.parts: contents.parts must not be empty.\n")
        for n, part in enumerate(parts):
            # "A Part must have a fixed IANA MIME type …"; "Union field data can be only one of the following".
            # https://ai.google.dev/api/caching#Part
            # A part may have nothing but a signature, as in some streams.
            if not any(key in part for key in (*DATA, "thoughtSignature")):
                yield _invalid_request(
                    f"* GenerateContentRequest.{where}.parts[{n}].data: required oneof field 'data' must have one "
                    "initialized field\n"
                )
            for key, name in (("functionCall", "function_call"), ("functionResponse", "function_response")):
                # "name: Required. The name of the function to call." https://ai.google.dev/api/caching#FunctionCall
                if key in part and not _camel_case_keys(part[key]).get("name"):
                    yield _invalid_request(
                        f"* GenerateContentRequest.{where}.parts[{n}].{name}.name: Name cannot be empty.\n"
                    )


def _check_parsable(body: dict[str, Any], model: str, provider: Provider) -> Iterator[Failure]:
    try:
        parse_request("", {}, body)
    except MalformedRequest as problem:
        path = problem.path.removeprefix("$.")
        yield _invalid_request(f"Invalid value at '{path}': {problem.reason}", path)


def _check_ranges(body: dict[str, Any], model: str, provider: Provider) -> Iterator[Failure]:
    config = _camel_case_keys(body.get("generationConfig", {}))
    where = "* GenerateContentRequest.generation_config"
    for name, low, high in RANGES:
        value = config.get(name)
        if isinstance(value, int | float) and not low <= value <= high:
            word = re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name)
            yield _invalid_request(f"{where}.{word}: {word} must be in the range [{low}.0, {high}.0].\n")
    most = config.get("maxOutputTokens")
    if isinstance(most, int | float) and most < 1:
        yield _invalid_request(f"{where}.max_output_tokens: max_output_tokens must be positive.\n")
    top = config.get("topK")
    if isinstance(top, int | float) and top < 1:
        yield _invalid_request(f"{where}.top_k: top_k must be positive.\n")
    stops = config.get("stopSequences")
    if isinstance(stops, list) and len(stops) > MAX_STOPS:
        yield _invalid_request(
            f"{where}.stop_sequences: at most {MAX_STOPS} stop sequences are allowed, found {len(stops)}.\n"
        )
    # "responseSchema: … if set, a compatible responseMimeType must also be set", "responseJsonSchema: … responseSchema
    # must be omitted, but responseMimeType is required." https://ai.google.dev/api/generate-content#generationconfig
    schemas = [key for key in ("responseSchema", "responseJsonSchema") if key in config]
    if len(schemas) > 1:
        yield _invalid_request(f"{where}: only one of response_schema and response_json_schema may be set.\n")
    if schemas and config.get("responseMimeType", "text/plain") == "text/plain":
        yield _invalid_request(
            f"{where}.response_mime_type: when response schema is set, response mime type must be `application/json`.\n"
        )
    thinking = _camel_case_keys(config.get("thinkingConfig", {}))
    # https://ai.google.dev/gemini-api/docs/thinking
    if "thinkingLevel" in thinking and "thinkingBudget" in thinking:
        yield _invalid_request("You can only set only one of thinking budget and thinking level.")
    if "thinkingLevel" in thinking and WITHOUT_LEVELS.match(model):
        yield _invalid_request("Thinking level is not supported for this model.")


def _check_tools(body: dict[str, Any], model: str, provider: Provider) -> Iterator[Failure]:
    names: list[str] = []
    for at, tool in enumerate(_objects(body.get("tools", []))):
        for n, declaration in enumerate(_objects(tool.get("functionDeclarations", []))):
            where = f"tools[{at}].function_declarations[{n}]"
            name = declaration.get("name", "")
            # https://ai.google.dev/api/caching#FunctionDeclaration
            if re.fullmatch(TOOL_NAME, name) is None:
                yield _invalid_request(
                    f"The GenerateContentRequest proto is invalid:\n  * {where}.name: [FIELD_INVALID] Invalid function "
                    "name. Must start with a letter or an underscore. Must be a-z, A-Z, 0-9, or contain underscores "
                    "(_), dots (.), colons (:), or dashes (-), with a maximum length of 64."
                )
            if name in names:
                yield _invalid_request(f"Duplicate function declaration found: {name}")
            names.append(name)
            # "This field is mutually exclusive with parameters." https://ai.google.dev/api/caching#FunctionDeclaration
            if "parameters" in declaration and "parametersJsonSchema" in declaration:
                yield _invalid_request(
                    f"* GenerateContentRequest.{where}: only one of parameters and parameters_json_schema may be set.\n"
                )
            for key in ("parameters", "parametersJsonSchema"):
                kind = declaration[key].get("type") if isinstance(declaration.get(key), dict) else None
                if isinstance(kind, str) and kind.upper() != "OBJECT":
                    yield _invalid_request(
                        f"* GenerateContentRequest.{where}.parameters: parameters schema should be of type OBJECT\n"
                    )
    calling = _camel_case_keys(_camel_case_keys(body.get("toolConfig", {})).get("functionCallingConfig", {}))
    if not calling:
        return
    mode, allowed = str(calling.get("mode", "AUTO")).upper(), calling.get("allowedFunctionNames", [])
    if not names:
        yield _invalid_request("Function calling config is set without function_declarations.")
    # https://ai.google.dev/api/caching#Mode
    if mode not in ("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED", "0", "1", "2", "3", "4"):
        yield _invalid_request(
            "Invalid value at 'tool_config.function_calling_config.mode' (type.googleapis.com/"
            f'google.ai.generativelanguage.v1beta.FunctionCallingConfig.Mode), "{calling["mode"]}"'
        )
    # "allowedFunctionNames: … This should only be set when the Mode is ANY or VALIDATED. Function names should match
    # FunctionDeclaration.name." https://ai.google.dev/api/caching#FunctionCallingConfig
    if allowed and mode not in ("ANY", "VALIDATED", "2", "4"):
        yield _invalid_request(
            "Allowed function names should only be set when function calling mode is ANY or VALIDATED."
        )
    for name in allowed if isinstance(allowed, list) else [allowed]:
        if name not in names:
            yield _invalid_request(f"Allowed function name {name} is not among the function declarations.")


def _check_pairing(body: dict[str, Any], model: str, provider: Provider) -> Iterator[Failure]:
    """Checks that a turn of calls follows a user turn, and that the next turn answers every call.

    https://ai.google.dev/gemini-api/docs/function-calling#multi-turn-example-1
    """
    contents = _merge_model_turns(body)
    pending = 0
    for at, (role, parts) in enumerate(contents):
        calls = sum("functionCall" in part for part in parts) if role == "model" else 0
        responses = sum("functionResponse" in part for part in parts)
        if responses and not pending:
            yield _invalid_request(
                "Please ensure that function response turn comes immediately after a function call turn."
            )
        if pending and responses != pending:
            yield _invalid_request(UNEQUAL_RESPONSES)
        if calls and at == 0:
            yield _invalid_request(
                "Please ensure that function call turn comes immediately after a user turn or after a function "
                "response turn."
            )
        pending = calls
    if pending:
        yield _invalid_request(UNEQUAL_RESPONSES)


UNEQUAL_RESPONSES = (
    "Please ensure that the number of function response parts is equal to the number of function call parts of the "
    "function call turn."
)


def _check_signatures(body: dict[str, Any], model: str, provider: Provider) -> Iterator[Failure]:
    contents = _merge_model_turns(body)
    for _, parts in contents:
        for part in parts:
            signature = part.get("thoughtSignature")
            if (
                signature is not None
                and signature not in PLACEHOLDER_SIGNATURES
                and is_foreign_signature(_decode_signature(signature), provider)
            ):
                yield _invalid_request("Corrupted thought signature.")
    if not requires_signatures(model, provider):
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
            name = _camel_case_keys(first["functionCall"]).get("name")
            yield _invalid_request(
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to "
                "work correctly, and missing thought_signature may lead to degraded model performance. Additional "
                f"data, function call `default_api:{name}` , position {at + 1}. Please refer to "
                "https://ai.google.dev/gemini-api/docs/thought-signatures for more details."
            )


def _decode_signature(signature: str) -> str:
    """Returns the decoded signature as text, empty if it is not base64."""
    try:
        standard = signature.replace("-", "+").replace("_", "/")
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


RULES: tuple[Rule, ...] = (
    _check_contents,
    _check_parsable,
    _check_ranges,
    _check_tools,
    _check_pairing,
    _check_signatures,
)
