"""Validates Chat Completions requests as OpenAI does, with the same error messages; checks form, not meaning."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ...scenarios.model import Thinking, ToolCall, Turn
from ...scenarios.provider import Provider
from ..openai_platform import check_api_key
from ..protocol import MalformedRequest
from ..reply_context import Failure, is_foreign_signature
from ..strict_schema import strictness_errors
from .request_parser import parse_request
from .tables import FIELDS, LENIENT, MAX_CALL_ID, MAX_STOPS, NESTED_FIELDS, RANGES, TOOL_NAME


def validate_request(path: str, headers: Mapping[str, str], body: Any, provider: Provider) -> Failure | None:
    """Returns the error of the first rule that the request breaks, or None."""
    rejection = check_api_key(headers, provider)
    if rejection is not None:
        return rejection
    if path.partition("?")[0].endswith("/models"):
        return None
    if not isinstance(body, dict):
        return _invalid_request("We could not parse the JSON body of your request.", None)
    for rule in RULES:
        for failure in rule(body, provider):
            return failure
    return None


def _invalid_request(message: str, param: str | None, code: str | None = None) -> Failure:
    return Failure(400, "bad_request", message, code, param)


# ---- the rules, in the order in which the service checks them --------------------------------------------------------

Rule = Callable[[dict[str, Any], Provider], Iterator[Failure]]


def _check_fields(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    if LENIENT in provider.habits:
        return
    for key in body:
        if key not in FIELDS:
            yield _invalid_request(f"Unrecognized request argument supplied: {key}", None)


def _check_model(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        yield _invalid_request("you must provide a model parameter", None)
    elif provider.models and model not in provider.upstream_models:
        message = f"The model `{model}` does not exist or you do not have access to it."
        yield Failure(404, "not_found", message, "model_not_found")


def _check_parsable(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    messages = body.get("messages")
    if messages == []:
        yield _invalid_request(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            "messages",
            "empty_array",
        )
    try:
        parsed = parse_request("", {}, body)
    except MalformedRequest as problem:
        param = problem.path.removeprefix("$.")
        if problem.reason == "is missing":
            yield _invalid_request(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")
        yield _invalid_request(f"Invalid type for '{param}': {problem.reason}.", param, "invalid_type")
        return
    if LENIENT in provider.habits:
        return
    for path in parsed.extra:
        parent, _, key = path.removeprefix("$.").rpartition(".")
        known = (names for pattern, names in NESTED_FIELDS.items() if re.fullmatch(pattern, parent))
        if parent and not any(key in names for names in known):
            yield _invalid_request(f"Unknown parameter: '{parent}.{key}'.", f"{parent}.{key}", "unknown_parameter")


def _check_ranges(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    # "What sampling temperature to use, between 0 and 2." "Number between -2.0 and 2.0."
    # https://platform.openai.com/docs/api-reference/chat/create
    for name, low, high in RANGES:
        value = body.get(name)
        if isinstance(value, int | float) and not low <= value <= high:
            word, sign, bound, code = (
                ("above maximum", "<=", high, "decimal_above_max_value")
                if value > high
                else ("below minimum", ">=", low, "decimal_below_min_value")
            )
            yield _invalid_request(
                f"Invalid '{name}': decimal {word} value. Expected a value {sign} {bound}, but got {value} instead.",
                name,
                code,
            )
    stop = body.get("stop")
    if isinstance(stop, list) and len(stop) > MAX_STOPS:
        yield _invalid_request(
            f"Invalid 'stop': array too long. Expected an array with maximum length {MAX_STOPS}, but got an array with "
            f"length {len(stop)} instead.",
            "stop",
            "array_above_max_length",
        )
    # "max_tokens … is not compatible with o-series models." https://platform.openai.com/docs/api-reference/chat/create
    if "max_tokens" in body and re.match(r"(gpt-5|o\d)", str(body.get("model"))):
        yield _invalid_request(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
            "instead.",
            "max_tokens",
            "unsupported_parameter",
        )
    # "stream_options: Only set this when you set stream: true."
    # https://platform.openai.com/docs/api-reference/chat/create
    if body.get("stream_options") is not None and not body.get("stream"):
        yield _invalid_request(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options"
        )


def _check_field_combinations(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    """Checks fields that depend on another field or on the text of the messages."""
    if LENIENT in provider.habits:
        return
    # https://github.com/spiceai/spiceai/pull/5231
    if body.get("metadata") is not None and not body.get("store"):
        yield _invalid_request("The 'metadata' parameter is only allowed when 'store' is enabled.", "metadata")
    # "you must also instruct the model to produce JSON yourself via a system or user message"
    # https://platform.openai.com/docs/api-reference/chat/create#chat_create-response_format
    form = body.get("response_format") or {}
    inner = form.get("json_schema") or {}
    for error in strictness_errors(inner.get("schema")) if inner.get("strict") is True else ():
        # https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
        message = f"Invalid schema for response_format '{inner.get('name')}': {error}"
        yield _invalid_request(message, "response_format", "invalid_json_schema")
    if form.get("type") == "json_object" and "json" not in str(body.get("messages")).lower():
        yield _invalid_request(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
            "messages",
        )


def _check_tools(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    tools = body.get("tools")
    if tools == []:
        yield _invalid_request(
            "Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            "tools",
            "empty_array",
        )
    for key in ("tool_choice", "parallel_tool_calls"):
        if body.get(key) is not None and not tools:
            yield _invalid_request(
                f"Invalid value for '{key}': '{key}' is only allowed when 'tools' are specified.", key
            )
    names = []
    for at, tool in enumerate(tools or []):
        kind = "custom" if tool.get("type") == "custom" else "function"
        function = tool.get(kind) or {}
        name = function.get("name") or ""
        names.append(name)
        where = f"tools[{at}].{kind}"
        if tool.get("type") == kind and not re.fullmatch(TOOL_NAME, name):
            yield _invalid_request(
                f"Invalid '{where}.name': string does not match pattern. Expected a string that matches the pattern "
                "'^[a-zA-Z0-9_-]+$'.",
                f"{where}.name",
                "invalid_value",
            )
        # "parameters: … described as a JSON Schema object."
        # https://platform.openai.com/docs/api-reference/chat/create
        parameters = function.get("parameters")
        error = next(strictness_errors(parameters), None) if function.get("strict") is True else None
        if error is not None and LENIENT not in provider.habits:
            # https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
            yield _invalid_request(
                f"Invalid schema for function '{name}': {error}", f"{where}.parameters", "invalid_function_parameters"
            )
        if parameters is not None and parameters.get("type", "object") != "object":
            yield _invalid_request(
                f"Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"', got 'type: "
                f'"{parameters["type"]}"\'.',
                f"{where}.parameters",
                "invalid_function_parameters",
            )
    choice = body.get("tool_choice")
    if isinstance(choice, str) and choice not in ("none", "auto", "required"):
        yield _invalid_request(
            f"Invalid value: '{choice}'. Supported values are: 'none', 'auto', and 'required'.",
            "tool_choice",
            "invalid_value",
        )
    if isinstance(choice, dict):
        # "allowed_tools … tools: A list of tool definitions that the model should be allowed to call."
        # https://platform.openai.com/docs/api-reference/chat/create#chat_create-tool_choice
        named = (choice.get("allowed_tools") or {}).get("tools") or [choice]
        for one in named:
            kind = str(one.get("type"))
            wanted = (one.get(kind) or {}).get("name")
            if kind in ("function", "custom") and wanted not in names:
                yield _invalid_request(
                    f"Tool choice '{kind}' not found in 'tools' parameter: no {kind} named '{wanted}'.", "tool_choice"
                )


def _check_pairing(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    # "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'."
    # https://platform.openai.com/docs/guides/function-calling
    open_calls: list[str] = []
    opened_at = 0
    for at, message in enumerate(body["messages"]):
        role = message.get("role")
        if role == "tool":
            id = message.get("tool_call_id")
            if id not in open_calls:
                yield _invalid_request(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                    "'tool_calls'.",
                    f"messages.[{at}].role",
                )
            else:
                open_calls.remove(id)
            content = message.get("content")
            if content is None:
                yield _invalid_request(
                    f"Invalid value for 'content': expected a string, got null. (messages[{at}])",
                    f"messages.[{at}].content",
                )
            # "For tool messages, only type `text` is supported."
            # https://platform.openai.com/docs/api-reference/chat/create#chat_create-messages-tool_message
            kinds = {part.get("type") for part in content} if isinstance(content, list) else set()
            if kinds - {"text"} and LENIENT not in provider.habits:
                yield _invalid_request(
                    f"Invalid 'messages[{at}]'. Image URLs are only allowed for messages with role 'user', but this "
                    "message with role 'tool' contains an image URL."
                    if "image_url" in kinds
                    else f"Invalid value: '{min(kinds - {'text'})}'. Supported values are: 'text'.",
                    f"messages[{at}]",
                    "invalid_value",
                )
            continue
        yield from _missing_results(open_calls, opened_at)
        if role in ("user", "system", "developer") and message.get("content") is None:
            yield _invalid_request(
                "Invalid value for 'content': expected a string, got null.", f"messages.[{at}].content"
            )
        open_calls = []
        calls = message.get("tool_calls")
        if role == "assistant" and calls == []:
            yield _invalid_request(
                f"Invalid 'messages[{at}].tool_calls': empty array. Expected an array with minimum length 1, but got "
                "an empty array instead.",
                f"messages[{at}].tool_calls",
                "empty_array",
            )
        if role == "assistant" and not calls and message.get("content") is None and not message.get("refusal"):
            yield _invalid_request(
                "Invalid value for 'content': expected a string, got null.",
                f"messages.[{at}].content",
            )
        for n, call in enumerate(calls or []):
            where = f"messages[{at}].tool_calls[{n}]"
            id = call.get("id") or ""
            if not id:
                yield _invalid_request(
                    f"Missing required parameter: '{where}.id'.", f"{where}.id", "missing_required_parameter"
                )
            if len(id) > MAX_CALL_ID:
                yield _invalid_request(
                    f"Invalid '{where}.id': string too long. Expected a string with maximum length {MAX_CALL_ID}, but "
                    f"got a string with length {len(id)} instead.",
                    f"{where}.id",
                    "string_above_max_length",
                )
            kind = "custom" if call.get("type") == "custom" else "function"
            name = (call.get(kind) or {}).get("name") or ""
            if not re.fullmatch(TOOL_NAME, name):
                yield _invalid_request(
                    f"Invalid '{where}.{kind}.name': string does not match pattern. Expected a string that matches "
                    "the pattern '^[a-zA-Z0-9_-]+$'.",
                    f"{where}.{kind}.name",
                    "invalid_value",
                )
            if id in open_calls:
                yield _invalid_request(
                    f"Duplicate value for 'tool_call_id' of '{id}' in messages[{at}].", f"messages.[{at}]"
                )
            open_calls.append(id)
        opened_at = at
    yield from _missing_results(open_calls, opened_at)


def _missing_results(open_calls: list[str], at: int) -> Iterator[Failure]:
    if open_calls:
        yield _invalid_request(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(open_calls)}",
            f"messages.[{at + 1}].role",
        )


def _check_signatures(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    for turn in parse_request("", {}, body).turns:
        for value in _signatures_in(turn):
            if is_foreign_signature(value, provider):
                yield _invalid_request(
                    f"Invalid signature in messages: {value[:40]!r} was not made by this provider.", "messages"
                )


def _signatures_in(turn: Turn) -> Iterator[str]:
    for block in turn.blocks:
        if isinstance(block, Thinking | ToolCall) and block.signature:
            yield block.signature


RULES: tuple[Rule, ...] = (
    _check_fields,
    _check_model,
    _check_parsable,
    _check_ranges,
    _check_field_combinations,
    _check_tools,
    _check_pairing,
    _check_signatures,
)
