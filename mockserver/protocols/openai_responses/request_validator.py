"""Validates Responses requests as OpenAI does, with the same error messages; checks form, not meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ...scenarios.provider import Provider
from ..openai_platform import check_api_key
from ..reply_context import Failure
from ..strict_schema import strictness_errors
from . import item_rules
from .error_messages import (
    check_name,
    has_type,
    invalid_request,
    missing_parameter,
    unknown_parameter,
    unsupported_value,
    wrong_type,
)
from .tables import (
    COUNT_PATH,
    ENUMS,
    FIELDS,
    INCLUDABLE,
    LENIENT,
    NESTED_FIELDS,
    RANGES,
    RENAMED_FIELDS,
    TOOL_KEYS,
    TOOL_TYPES,
    TYPES,
    UNSUPPORTED_FIELDS,
)


def validate_request(path: str, headers: Mapping[str, str], body: Any, provider: Provider) -> Failure | None:
    """Returns the error of the first rule that the request breaks, or None."""
    path = path.partition("?")[0]
    rejection = check_api_key(headers, provider)
    if rejection is not None or path.endswith("/models"):
        return rejection
    if not isinstance(body, dict):
        return invalid_request("We could not parse the JSON body of your request.", None)
    for rule in COUNT_RULES if path.endswith(COUNT_PATH) else RULES:
        for failure in rule(body, provider):
            return failure
    return None


# ---- the rules, in the order in which the service checks them --------------------------------------------------------

Rule = Callable[[dict[str, Any], Provider], Iterator[Failure]]


def _check_model(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    model = body.get("model")
    if "model" not in body:
        yield missing_parameter("model")
    elif not isinstance(model, str):
        yield wrong_type("model", "a string", {} if model is None else model)
    elif provider.models and model not in provider.upstream_models:
        # Chat Completions returns 404 instead. https://platform.openai.com/docs/guides/error-codes/api-errors
        yield Failure(400, "not_found", f"The requested model '{model}' does not exist.", "model_not_found", "model")


def _check_input(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    if any(body.get(key) for key in ("previous_response_id", "conversation", "prompt")):
        return
    if "input" not in body:
        yield missing_parameter("input")
    elif body["input"] in ("", []):
        yield invalid_request(
            "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be provided.",
            None,
            "missing_required_parameter",
        )


def _check_fields(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    if LENIENT in provider.habits:
        return
    for key in body:
        if key in RENAMED_FIELDS:
            # https://platform.openai.com/docs/guides/migrate-to-responses
            yield invalid_request(
                f"Unsupported parameter: '{key}'. In the Responses API, this parameter has moved to "
                f"'{RENAMED_FIELDS[key]}'. Try again with the new parameter. See the API documentation for "
                "more information: https://platform.openai.com/docs/api-reference/responses/create.",
                None if key == "messages" else key,
                "unsupported_parameter",
            )
        elif key not in FIELDS:
            yield unknown_parameter(key)


def _check_types(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    """Checks types and enums; a null counts as absent for every field except `model` and `input`."""
    for key, kinds, wanted in TYPES:
        value = body.get(key)
        if value is not None and not has_type(value, kinds):
            yield wrong_type(key, wanted, value)
    for at, name in enumerate(body.get("include") or []):
        if name not in INCLUDABLE:
            yield unsupported_value(name, INCLUDABLE, f"include[{at}]")
    for parent, keys in NESTED_FIELDS:
        for key in body.get(parent) or {}:
            if key not in keys:
                yield unknown_parameter(f"{parent}.{key}")
    for path, names in ENUMS:
        parent, _, key = path.rpartition(".")
        value = ((body.get(parent) or {}) if parent else body).get(key)
        if value is not None and value not in names:
            yield unsupported_value(value, names, path)


def _check_ranges(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    for name, low, high, word in RANGES:
        value = body.get(name)
        if value is None or (value >= low and (high is None or value <= high)):
            continue
        side, sign, bound, code = (
            ("below minimum", ">=", low, "below_min") if value < low else ("above maximum", "<=", high, "above_max")
        )
        # "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 10 instead."
        # https://github.com/vectorize-io/hindsight/issues/58
        yield invalid_request(
            f"Invalid '{name}': {word} {side} value. Expected a value {sign} {bound}, but got {value} instead.",
            name,
            f"{word}_{code}_value",
        )
    # "stream_options: Only set this when you set stream: true."
    # https://platform.openai.com/docs/api-reference/responses/create
    if body.get("stream_options") is not None and not body.get("stream"):
        yield invalid_request(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options"
        )


def _check_tools(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    names = []
    for at, tool in enumerate(body.get("tools") or []):
        where = f"tools[{at}]"
        if not isinstance(tool, dict):
            yield wrong_type(where, "an object", tool)
            return
        if "type" not in tool:
            yield missing_parameter(f"{where}.type")
        elif tool["type"] not in TOOL_TYPES:
            yield unsupported_value(tool["type"], TOOL_TYPES, where)
        elif tool["type"] == "function":
            yield from _check_function(tool, where, LENIENT in provider.habits)
            names.append(tool.get("name"))
        elif tool["type"] == "custom":
            yield from _check_custom_tool(tool, where)
            names.append(tool.get("name"))
    choice = body.get("tool_choice")
    if isinstance(choice, str):
        if choice not in ("none", "auto", "required"):
            yield unsupported_value(choice, ("none", "auto", "required"), "tool_choice")
        elif choice == "required" and not body.get("tools"):
            # https://github.com/vllm-project/vllm (it copies the error messages of the service)
            yield invalid_request("Tool choice 'required' must be specified with 'tools' parameter.", "tool_choice")
    elif isinstance(choice, dict):
        kind = choice.get("type")
        if kind in ("function", "custom"):
            for key in choice:
                if key not in ("type", "name"):
                    yield unknown_parameter(f"tool_choice.{key}")
            if "name" not in choice:
                yield missing_parameter("tool_choice.name")
            elif choice["name"] not in names:
                yield invalid_request(f"Tool choice '{kind}' not found in 'tools' parameter.", "tool_choice")
        elif kind == "allowed_tools":
            # https://platform.openai.com/docs/api-reference/responses/create#responses-create-tool_choice
            if choice.get("mode") not in ("auto", "required"):
                yield unsupported_value(choice.get("mode"), ("auto", "required"), "tool_choice.mode")
            for one in choice.get("tools") or []:
                if one.get("type") in ("function", "custom") and one.get("name") not in names:
                    yield invalid_request(f"Tool choice '{one['type']}' not found in 'tools' parameter.", "tool_choice")
    elif choice is not None:
        yield wrong_type("tool_choice", "one of an object or 'none', 'auto' or 'required'", choice)


def _check_function(tool: dict[str, Any], where: str, lenient: bool) -> Iterator[Failure]:
    name, parameters = tool.get("name"), tool.get("parameters")
    if "name" not in tool:
        # The name is missing in a tool of the Chat Completions form. https://github.com/mozilla-ai/any-llm/pull/1310
        yield missing_parameter(f"{where}.name")
    if not isinstance(name, str):
        yield wrong_type(f"{where}.name", "a string", name)
        return
    yield from check_name(name, f"{where}.name")
    for key in tool:
        if key not in TOOL_KEYS and not lenient:
            yield unknown_parameter(f"{where}.{key}")
    for key, kinds, wanted in (
        ("description", (str,), "a string"),
        ("strict", (bool,), "a boolean"),
        ("parameters", (dict,), "an object"),
    ):
        if tool.get(key) is not None and not has_type(tool[key], kinds):
            yield wrong_type(f"{where}.{key}", wanted, tool[key])
    if not isinstance(parameters, dict):
        return
    # "parameters: A JSON schema object describing the parameters of the function."
    # https://platform.openai.com/docs/api-reference/responses/create
    found = parameters.get("type", "object" if not parameters else None)
    if found != "object":
        yield _schema_error(
            f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{found}\"'.", name, where
        )
    if tool.get("strict") is True:
        # https://github.com/lastmile-ai/openai-agents-mcp/issues/2
        for error in strictness_errors(parameters):
            yield _schema_error(error, name, where)


def _check_custom_tool(tool: dict[str, Any], where: str) -> Iterator[Failure]:
    """Checks a custom tool. https://platform.openai.com/docs/guides/function-calling#custom-tools"""
    if not isinstance(tool.get("name"), str):
        yield missing_parameter(f"{where}.name")
        return
    yield from check_name(tool["name"], f"{where}.name")
    form = tool.get("format")
    if form is None:
        return
    if not isinstance(form, dict) or form.get("type") not in ("text", "grammar"):
        yield unsupported_value(
            form.get("type") if isinstance(form, dict) else None, ("text", "grammar"), f"{where}.format"
        )
    elif form["type"] == "grammar":
        for key in ("syntax", "definition"):
            if not isinstance(form.get(key), str):
                yield missing_parameter(f"{where}.format.{key}")
        if form["syntax"] not in ("lark", "regex"):
            yield unsupported_value(form["syntax"], ("lark", "regex"), f"{where}.format.syntax")


def _schema_error(error: str, name: str, where: str) -> Failure:
    return invalid_request(
        f"Invalid schema for function '{name}': {error}", f"{where}.parameters", "invalid_function_parameters"
    )


def _check_response_format(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    wanted = (body.get("text") or {}).get("format")
    if wanted is None:
        return
    if not isinstance(wanted, dict):
        yield wrong_type("text.format", "an object", wanted)
        return
    kind = wanted.get("type")
    if kind not in ("json_object", "text", "json_schema"):
        yield unsupported_value(kind, ("json_object", "text", "json_schema"), "text.format.type")
    elif kind == "json_schema":
        for key in ("name", "schema"):
            if key not in wanted:
                yield missing_parameter(f"text.format.{key}")
        yield from check_name(str(wanted["name"]), "text.format.name")
        for key in wanted:
            if key not in ("type", "name", "schema", "strict", "description"):
                yield unknown_parameter(f"text.format.{key}")
        if wanted.get("strict") is True:
            # https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
            for error in strictness_errors(wanted["schema"]):
                message = f"Invalid schema for response_format '{wanted['name']}': {error}"
                yield invalid_request(message, "text.format.schema", "invalid_json_schema")
    elif kind == "json_object" and "json" not in str(body.get("input")).lower():
        # "You must include an instruction to produce JSON in a message."
        # https://platform.openai.com/docs/guides/structured-outputs#json-mode
        yield invalid_request(
            "Response input messages must contain the word 'json' in some form to use 'text.format' of type "
            "'json_object'.",
            "input",
        )


def _check_unsupported(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    """Refuses fields that the schema has and the models do not support; the service checks them last.

    https://platform.openai.com/docs/guides/reasoning
    """
    for key in UNSUPPORTED_FIELDS:
        if body.get(key) is not None and LENIENT not in provider.habits:
            yield invalid_request(f"Unsupported parameter: '{key}' is not supported with this model.", key)


RULES: tuple[Rule, ...] = (
    *(
        _check_model,
        _check_input,
        _check_fields,
        item_rules.check_items,
        _check_types,
        _check_ranges,
        _check_tools,
        _check_response_format,
    ),
    *(item_rules.check_references, item_rules.check_signatures, item_rules.check_pairing, _check_unsupported),
)

COUNT_RULES: tuple[Rule, ...] = (_check_fields, item_rules.check_items, _check_types, _check_tools)
"""Rules of a token count."""
