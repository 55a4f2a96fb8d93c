"""What OpenAI refuses of a Responses request, in its own words; it judges form, never meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..contract import CREATED, Failure, Provider, key_given
from ..strict import flaws
from . import items
from .refusals import bad, bad_name, is_a, missing, unknown, unsupported, wrong_type
from .words import (
    CHOICES,
    COUNT_PATH,
    FIELDS,
    INCLUDABLE,
    LENIENT,
    MOVED,
    NESTED,
    PATH,
    RANGES,
    TOOL_KEYS,
    TOOL_TYPES,
    TYPES,
    UNSUPPORTED,
)


def route(method: str, path: str) -> str | None:
    path = path.partition("?")[0]
    if method == "POST" and path.endswith(PATH):
        return "generate"
    if method == "POST" and path.endswith(COUNT_PATH):
        return "count"
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
    path = path.partition("?")[0]
    refused = _key(headers, provider)
    if refused is not None or path.endswith("/models"):
        return refused
    if not isinstance(body, dict):
        return bad("We could not parse the JSON body of your request.", None)
    for rule in COUNT_RULES if path.endswith(COUNT_PATH) else RULES:
        for complaint in rule(body, provider):
            return complaint
    return None


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


def _model(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    model = body.get("model")
    if "model" not in body:
        yield missing("model")
    elif not isinstance(model, str):
        yield wrong_type("model", "a string", {} if model is None else model)
    elif provider.models and model not in provider.upstream_models:
        # Unlike Chat Completions, which says 404. https://platform.openai.com/docs/guides/error-codes/api-errors
        yield Failure(400, "not_found", f"The requested model '{model}' does not exist.", "model_not_found", "model")


def _present(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    if any(body.get(key) for key in ("previous_response_id", "conversation", "prompt")):
        return
    if "input" not in body:
        yield missing("input")
    elif body["input"] in ("", []):
        yield bad(
            "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be provided.",
            None,
            "missing_required_parameter",
        )


def _fields(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    if LENIENT in provider.habits:
        return
    for key in body:
        if key in MOVED:
            # https://platform.openai.com/docs/guides/migrate-to-responses
            yield bad(
                f"Unsupported parameter: '{key}'. In the Responses API, this parameter has moved to '{MOVED[key]}'. "
                "Try again with the new parameter. See the API documentation for more information: "
                "https://platform.openai.com/docs/api-reference/responses/create.",
                None if key == "messages" else key,
                "unsupported_parameter",
            )
        elif key not in FIELDS:
            yield unknown(key)


def _types(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    """A null is the same as nothing for every field but `model` and `input`."""
    for key, kinds, wanted in TYPES:
        value = body.get(key)
        if value is not None and not is_a(value, kinds):
            yield wrong_type(key, wanted, value)
    for at, word in enumerate(body.get("include") or []):
        if word not in INCLUDABLE:
            yield unsupported(word, INCLUDABLE, f"include[{at}]")
    for parent, keys in NESTED:
        for key in body.get(parent) or {}:
            if key not in keys:
                yield unknown(f"{parent}.{key}")
    for path, words in CHOICES:
        parent, _, key = path.rpartition(".")
        value = ((body.get(parent) or {}) if parent else body).get(key)
        if value is not None and value not in words:
            yield unsupported(value, words, path)


def _ranges(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    for name, low, high, word in RANGES:
        value = body.get(name)
        if value is None or (value >= low and (high is None or value <= high)):
            continue
        side, sign, bound, code = (
            ("below minimum", ">=", low, "below_min") if value < low else ("above maximum", "<=", high, "above_max")
        )
        # "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 10 instead."
        # https://github.com/vectorize-io/hindsight/issues/58
        yield bad(
            f"Invalid '{name}': {word} {side} value. Expected a value {sign} {bound}, but got {value} instead.",
            name,
            f"{word}_{code}_value",
        )
    # "stream_options: Only set this when you set stream: true."
    # https://platform.openai.com/docs/api-reference/responses/create
    if body.get("stream_options") is not None and not body.get("stream"):
        yield bad("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")


def _tools(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    names = []
    for at, tool in enumerate(body.get("tools") or []):
        where = f"tools[{at}]"
        if not isinstance(tool, dict):
            yield wrong_type(where, "an object", tool)
            return
        if "type" not in tool:
            yield missing(f"{where}.type")
        elif tool["type"] not in TOOL_TYPES:
            yield unsupported(tool["type"], TOOL_TYPES, where)
        elif tool["type"] == "function":
            yield from _function(tool, where, LENIENT in provider.habits)
            names.append(tool.get("name"))
        elif tool["type"] == "custom":
            yield from _custom(tool, where)
            names.append(tool.get("name"))
    choice = body.get("tool_choice")
    if isinstance(choice, str):
        if choice not in ("none", "auto", "required"):
            yield unsupported(choice, ("none", "auto", "required"), "tool_choice")
        elif choice == "required" and not body.get("tools"):
            # https://github.com/vllm-project/vllm (it repeats the sentences of the service)
            yield bad("Tool choice 'required' must be specified with 'tools' parameter.", "tool_choice")
    elif isinstance(choice, dict):
        kind = choice.get("type")
        if kind in ("function", "custom"):
            for key in choice:
                if key not in ("type", "name"):
                    yield unknown(f"tool_choice.{key}")
            if "name" not in choice:
                yield missing("tool_choice.name")
            elif choice["name"] not in names:
                yield bad(f"Tool choice '{kind}' not found in 'tools' parameter.", "tool_choice")
        elif kind == "allowed_tools":
            # https://platform.openai.com/docs/api-reference/responses/create#responses-create-tool_choice
            if choice.get("mode") not in ("auto", "required"):
                yield unsupported(choice.get("mode"), ("auto", "required"), "tool_choice.mode")
            for one in choice.get("tools") or []:
                if one.get("type") in ("function", "custom") and one.get("name") not in names:
                    yield bad(f"Tool choice '{one['type']}' not found in 'tools' parameter.", "tool_choice")
    elif choice is not None:
        yield wrong_type("tool_choice", "one of an object or 'none', 'auto' or 'required'", choice)


def _function(tool: dict[str, Any], where: str, lenient: bool) -> Iterator[Failure]:
    name, parameters = tool.get("name"), tool.get("parameters")
    if "name" not in tool:
        # A tool in the shape of Chat Completions. https://github.com/mozilla-ai/any-llm/pull/1310
        yield missing(f"{where}.name")
    if not isinstance(name, str):
        yield wrong_type(f"{where}.name", "a string", name)
        return
    yield from bad_name(name, f"{where}.name")
    for key in tool:
        if key not in TOOL_KEYS and not lenient:
            yield unknown(f"{where}.{key}")
    for key, kinds, wanted in (
        ("description", (str,), "a string"),
        ("strict", (bool,), "a boolean"),
        ("parameters", (dict,), "an object"),
    ):
        if tool.get(key) is not None and not is_a(tool[key], kinds):
            yield wrong_type(f"{where}.{key}", wanted, tool[key])
    if not isinstance(parameters, dict):
        return
    # "parameters: A JSON schema object describing the parameters of the function."
    # https://platform.openai.com/docs/api-reference/responses/create
    found = parameters.get("type", "object" if not parameters else None)
    if found != "object":
        yield _schema(f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{found}\"'.", name, where)
    if tool.get("strict") is True:
        # https://github.com/lastmile-ai/openai-agents-mcp/issues/2
        for flaw in flaws(parameters):
            yield _schema(flaw, name, where)


def _custom(tool: dict[str, Any], where: str) -> Iterator[Failure]:
    """https://platform.openai.com/docs/guides/function-calling#custom-tools"""
    if not isinstance(tool.get("name"), str):
        yield missing(f"{where}.name")
        return
    yield from bad_name(tool["name"], f"{where}.name")
    form = tool.get("format")
    if form is None:
        return
    if not isinstance(form, dict) or form.get("type") not in ("text", "grammar"):
        yield unsupported(form.get("type") if isinstance(form, dict) else None, ("text", "grammar"), f"{where}.format")
    elif form["type"] == "grammar":
        for key in ("syntax", "definition"):
            if not isinstance(form.get(key), str):
                yield missing(f"{where}.format.{key}")
        if form["syntax"] not in ("lark", "regex"):
            yield unsupported(form["syntax"], ("lark", "regex"), f"{where}.format.syntax")


def _schema(flaw: str, name: str, where: str) -> Failure:
    return bad(f"Invalid schema for function '{name}': {flaw}", f"{where}.parameters", "invalid_function_parameters")


def _format(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    wanted = (body.get("text") or {}).get("format")
    if wanted is None:
        return
    if not isinstance(wanted, dict):
        yield wrong_type("text.format", "an object", wanted)
        return
    kind = wanted.get("type")
    if kind not in ("json_object", "text", "json_schema"):
        yield unsupported(kind, ("json_object", "text", "json_schema"), "text.format.type")
    elif kind == "json_schema":
        for key in ("name", "schema"):
            if key not in wanted:
                yield missing(f"text.format.{key}")
        yield from bad_name(str(wanted["name"]), "text.format.name")
        for key in wanted:
            if key not in ("type", "name", "schema", "strict", "description"):
                yield unknown(f"text.format.{key}")
        if wanted.get("strict") is True:
            # https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
            for flaw in flaws(wanted["schema"]):
                message = f"Invalid schema for response_format '{wanted['name']}': {flaw}"
                yield bad(message, "text.format.schema", "invalid_json_schema")
    elif kind == "json_object" and "json" not in str(body.get("input")).lower():
        # "You must include an instruction to produce JSON in a message."
        # https://platform.openai.com/docs/guides/structured-outputs#json-mode
        yield bad(
            "Response input messages must contain the word 'json' in some form to use 'text.format' of type "
            "'json_object'.",
            "input",
        )


def _capable(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    """What the schema knows and the model refuses comes last.

    https://platform.openai.com/docs/guides/reasoning
    """
    for key in UNSUPPORTED:
        if body.get(key) is not None and LENIENT not in provider.habits:
            yield bad(f"Unsupported parameter: '{key}' is not supported with this model.", key)


RULES: tuple[Rule, ...] = (
    *(_model, _present, _fields, items.judge, _types, _ranges, _tools, _format),
    *(items.stored, items.seals, items.pairing, _capable),
)

COUNT_RULES: tuple[Rule, ...] = (_fields, items.judge, _types, _tools)
