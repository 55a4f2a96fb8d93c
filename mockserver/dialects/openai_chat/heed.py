"""What OpenAI refuses of a Chat Completions request, in its own words; it judges form, never meaning."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ...speech import Call, Think, Turn
from ..contract import CREATED, Failure, Malformed, Provider, foreign_seal, key_given
from ..strict import flaws
from .read import read
from .words import FIELDS, MAX_CALL_ID, MAX_STOPS, PATH, TOOL_NAME

LENIENT = "ignores_unknown"
"""The habit of compatible hosts that take any field."""

NESTED: dict[str, frozenset[str]] = {
    r"messages\[\d+\]": frozenset({"name", "audio", "function_call", "annotations"}),
    r"messages\[\d+\]\.content\[\d+\](\.\w+)?": frozenset({"detail", "file_id", "filename"}),
    r"tools\[\d+\].*": frozenset({"custom", "type"}),
    r"tool_choice": frozenset({"type", "allowed_tools", "custom"}),
}
"""Known fields below the top that the neutral reading has no noun for.

https://platform.openai.com/docs/api-reference/chat/create
"""


def route(method: str, path: str) -> str | None:
    path = path.partition("?")[0]
    if method == "POST" and path.endswith(PATH):
        return "generate"
    return "models" if method == "GET" and path.endswith("/models") else None


def list_models(provider: Provider) -> dict[str, Any]:
    """https://platform.openai.com/docs/api-reference/models/list"""
    data = [
        {"id": name, "object": "model", "created": CREATED, "owned_by": provider.name}
        for name in provider.upstream_models
    ]
    return {"object": "list", "data": data}


def heed(path: str, headers: Mapping[str, str], body: Any, provider: Provider) -> Failure | None:
    """The first rule that the request breaks, or None."""
    refused = _key(headers, provider)
    if refused is not None:
        return refused
    if path.partition("?")[0].endswith("/models"):
        return None
    if not isinstance(body, dict):
        return _bad("We could not parse the JSON body of your request.", None)
    for rule in RULES:
        for complaint in rule(body, provider):
            return complaint
    return None


def _bad(message: str, param: str | None, code: str | None = None) -> Failure:
    return Failure(400, "bad_request", message, code, param)


def _key(headers: Mapping[str, str], provider: Provider) -> Failure | None:
    """https://platform.openai.com/docs/guides/error-codes/api-errors"""
    given = key_given(headers, provider.auth)
    if given is None:
        return Failure(
            401,
            "authentication",
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
            "auth (i.e. Authorization: Bearer YOUR_KEY).",
        )
    if given != provider.auth.key:
        return Failure(
            401,
            "authentication",
            f"Incorrect API key provided: {given[:8]}***. You can find your API key at "
            "https://platform.openai.com/account/api-keys.",
            "invalid_api_key",
        )
    return None


# ---- the rules, in the order in which the service checks them --------------------------------------------------------

Rule = Callable[[dict[str, Any], Provider], Iterator[Failure]]


def _fields(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    if LENIENT in provider.habits:
        return
    for key in body:
        if key not in FIELDS:
            yield _bad(f"Unrecognized request argument supplied: {key}", None)


def _model(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        yield _bad("you must provide a model parameter", None)
    elif provider.models and model not in provider.upstream_models:
        message = f"The model `{model}` does not exist or you do not have access to it."
        yield Failure(404, "not_found", message, "model_not_found")


def _readable(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    messages = body.get("messages")
    if messages == []:
        yield _bad(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            "messages",
            "empty_array",
        )
    try:
        understood = read("", {}, body)
    except Malformed as problem:
        param = problem.path.removeprefix("$.")
        if problem.what == "is missing":
            yield _bad(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")
        yield _bad(f"Invalid type for '{param}': {problem.what}.", param, "invalid_type")
        return
    if LENIENT in provider.habits:
        return
    for path in understood.extra:
        parent, _, key = path.removeprefix("$.").rpartition(".")
        known = (names for pattern, names in NESTED.items() if re.fullmatch(pattern, parent))
        if parent and not any(key in names for names in known):
            yield _bad(f"Unknown parameter: '{parent}.{key}'.", f"{parent}.{key}", "unknown_parameter")


def _ranges(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
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
            yield _bad(
                f"Invalid '{name}': decimal {word} value. Expected a value {sign} {bound}, but got {value} instead.",
                name,
                code,
            )
    stop = body.get("stop")
    if isinstance(stop, list) and len(stop) > MAX_STOPS:
        yield _bad(
            f"Invalid 'stop': array too long. Expected an array with maximum length {MAX_STOPS}, but got an array with "
            f"length {len(stop)} instead.",
            "stop",
            "array_above_max_length",
        )
    # "max_tokens … is not compatible with o-series models." https://platform.openai.com/docs/api-reference/chat/create
    if "max_tokens" in body and re.match(r"(gpt-5|o\d)", str(body.get("model"))):
        yield _bad(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
            "instead.",
            "max_tokens",
            "unsupported_parameter",
        )
    # "stream_options: Only set this when you set stream: true."
    # https://platform.openai.com/docs/api-reference/chat/create
    if body.get("stream_options") is not None and not body.get("stream"):
        yield _bad("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")


def _together(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    """Fields that ask for another one, or for a word among the messages."""
    if LENIENT in provider.habits:
        return
    # https://github.com/spiceai/spiceai/pull/5231
    if body.get("metadata") is not None and not body.get("store"):
        yield _bad("The 'metadata' parameter is only allowed when 'store' is enabled.", "metadata")
    # "you must also instruct the model to produce JSON yourself via a system or user message"
    # https://platform.openai.com/docs/api-reference/chat/create#chat_create-response_format
    form = body.get("response_format") or {}
    inner = form.get("json_schema") or {}
    for flaw in flaws(inner.get("schema")) if inner.get("strict") is True else ():
        # https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
        message = f"Invalid schema for response_format '{inner.get('name')}': {flaw}"
        yield _bad(message, "response_format", "invalid_json_schema")
    if form.get("type") == "json_object" and "json" not in str(body.get("messages")).lower():
        yield _bad(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
            "messages",
        )


RANGES = (
    ("temperature", 0, 2),
    ("top_p", 0, 1),
    ("presence_penalty", -2, 2),
    ("frequency_penalty", -2, 2),
)


def _tools(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    tools = body.get("tools")
    if tools == []:
        yield _bad(
            "Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            "tools",
            "empty_array",
        )
    for key in ("tool_choice", "parallel_tool_calls"):
        if body.get(key) is not None and not tools:
            yield _bad(f"Invalid value for '{key}': '{key}' is only allowed when 'tools' are specified.", key)
    names = []
    for at, tool in enumerate(tools or []):
        kind = "custom" if tool.get("type") == "custom" else "function"
        function = tool.get(kind) or {}
        name = function.get("name") or ""
        names.append(name)
        where = f"tools[{at}].{kind}"
        if tool.get("type") == kind and not re.fullmatch(TOOL_NAME, name):
            yield _bad(
                f"Invalid '{where}.name': string does not match pattern. Expected a string that matches the pattern "
                "'^[a-zA-Z0-9_-]+$'.",
                f"{where}.name",
                "invalid_value",
            )
        # "parameters: … described as a JSON Schema object."
        # https://platform.openai.com/docs/api-reference/chat/create
        parameters = function.get("parameters")
        flaw = next(flaws(parameters), None) if function.get("strict") is True else None
        if flaw is not None and LENIENT not in provider.habits:
            # https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
            yield _bad(
                f"Invalid schema for function '{name}': {flaw}", f"{where}.parameters", "invalid_function_parameters"
            )
        if parameters is not None and parameters.get("type", "object") != "object":
            yield _bad(
                f"Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"', got 'type: "
                f'"{parameters["type"]}"\'.',
                f"{where}.parameters",
                "invalid_function_parameters",
            )
    choice = body.get("tool_choice")
    if isinstance(choice, str) and choice not in ("none", "auto", "required"):
        yield _bad(
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
                yield _bad(
                    f"Tool choice '{kind}' not found in 'tools' parameter: no {kind} named '{wanted}'.", "tool_choice"
                )


def _pairing(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    # "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'."
    # https://platform.openai.com/docs/guides/function-calling
    open_calls: list[str] = []
    opened_at = 0
    for at, message in enumerate(body["messages"]):
        role = message.get("role")
        if role == "tool":
            id = message.get("tool_call_id")
            if id not in open_calls:
                yield _bad(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                    "'tool_calls'.",
                    f"messages.[{at}].role",
                )
            else:
                open_calls.remove(id)
            content = message.get("content")
            if content is None:
                yield _bad(
                    f"Invalid value for 'content': expected a string, got null. (messages[{at}])",
                    f"messages.[{at}].content",
                )
            # "For tool messages, only type `text` is supported."
            # https://platform.openai.com/docs/api-reference/chat/create#chat_create-messages-tool_message
            kinds = {part.get("type") for part in content} if isinstance(content, list) else set()
            if kinds - {"text"} and LENIENT not in provider.habits:
                yield _bad(
                    f"Invalid 'messages[{at}]'. Image URLs are only allowed for messages with role 'user', but this "
                    "message with role 'tool' contains an image URL."
                    if "image_url" in kinds
                    else f"Invalid value: '{min(kinds - {'text'})}'. Supported values are: 'text'.",
                    f"messages[{at}]",
                    "invalid_value",
                )
            continue
        yield from _unanswered(open_calls, opened_at)
        if role in ("user", "system", "developer") and message.get("content") is None:
            yield _bad("Invalid value for 'content': expected a string, got null.", f"messages.[{at}].content")
        open_calls = []
        calls = message.get("tool_calls")
        if role == "assistant" and calls == []:
            yield _bad(
                f"Invalid 'messages[{at}].tool_calls': empty array. Expected an array with minimum length 1, but got "
                "an empty array instead.",
                f"messages[{at}].tool_calls",
                "empty_array",
            )
        if role == "assistant" and not calls and message.get("content") is None and not message.get("refusal"):
            yield _bad(
                "Invalid value for 'content': expected a string, got null.",
                f"messages.[{at}].content",
            )
        for n, call in enumerate(calls or []):
            where = f"messages[{at}].tool_calls[{n}]"
            id = call.get("id") or ""
            if not id:
                yield _bad(f"Missing required parameter: '{where}.id'.", f"{where}.id", "missing_required_parameter")
            if len(id) > MAX_CALL_ID:
                yield _bad(
                    f"Invalid '{where}.id': string too long. Expected a string with maximum length {MAX_CALL_ID}, but "
                    f"got a string with length {len(id)} instead.",
                    f"{where}.id",
                    "string_above_max_length",
                )
            kind = "custom" if call.get("type") == "custom" else "function"
            name = (call.get(kind) or {}).get("name") or ""
            if not re.fullmatch(TOOL_NAME, name):
                yield _bad(
                    f"Invalid '{where}.{kind}.name': string does not match pattern. Expected a string that matches "
                    "the pattern '^[a-zA-Z0-9_-]+$'.",
                    f"{where}.{kind}.name",
                    "invalid_value",
                )
            if id in open_calls:
                yield _bad(f"Duplicate value for 'tool_call_id' of '{id}' in messages[{at}].", f"messages.[{at}]")
            open_calls.append(id)
        opened_at = at
    yield from _unanswered(open_calls, opened_at)


def _unanswered(open_calls: list[str], at: int) -> Iterator[Failure]:
    if open_calls:
        yield _bad(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(open_calls)}",
            f"messages.[{at + 1}].role",
        )


def _seals(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    for turn in read("", {}, body).turns:
        for value in _sealed(turn):
            if foreign_seal(value, provider):
                yield _bad(f"Invalid signature in messages: {value[:40]!r} was not made by this provider.", "messages")


def _sealed(turn: Turn) -> Iterator[str]:
    for block in turn.blocks:
        if isinstance(block, Think | Call) and block.seal:
            yield block.seal


RULES: tuple[Rule, ...] = (_fields, _model, _readable, _ranges, _together, _tools, _pairing, _seals)
