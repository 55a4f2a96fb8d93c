"""Rules of the Responses API about the values of fields: the model, ranges, tools and their choice, the text format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..rule import TODAY, TOKENS, Asked, Breach, Rule, is_number
from ..strict_schema import UNIONS, schemas_without_items, strictness_errors
from .tables import RANGES
from .tool_shapes import text_format, tools

CREATE = "https://platform.openai.com/docs/api-reference/responses/create"
SUBSET = "https://platform.openai.com/docs/guides/structured-outputs#supported-schemas"
SCHEMA_ERROR = "Invalid schema for function '{name}': {error}"


def _model_unknown(asked: Asked) -> Iterator[Breach]:
    provider = asked.provider
    if "model" in asked.body and provider.models and asked.body["model"] not in provider.upstream_models:
        yield {"model": asked.body["model"]}


def _input_empty(asked: Asked) -> Iterator[Breach]:
    stored = any(asked.body.get(key) for key in ("previous_response_id", "conversation", "prompt"))
    if asked.body.get("input") in ("", []) and not stored:
        yield {}


def _out_of_range(asked: Asked) -> Iterator[tuple[str, Breach]]:
    for name, low, high, word in RANGES:
        value = asked.body.get(name)
        if is_number(value) and value < low:
            yield "below", {"name": name, "word": word, "bound": low, "value": value}
        elif is_number(value) and high is not None and value > high:
            yield "above", {"name": name, "word": word, "bound": high, "value": value}


def _range_low(asked: Asked) -> Iterator[Breach]:
    yield from (breach for side, breach in _out_of_range(asked) if side == "below")


def _range_high(asked: Asked) -> Iterator[Breach]:
    yield from (breach for side, breach in _out_of_range(asked) if side == "above")


def _options_without_stream(asked: Asked) -> Iterator[Breach]:
    if asked.body.get("stream_options") is not None and not asked.body.get("stream"):
        yield {}


def _functions(asked: Asked) -> Iterator[tuple[Breach, dict[str, Any], bool]]:
    """Yields name and path, the parameters, and the strictness of each function with parameters."""
    for at, tool in enumerate(tools(asked)):
        if tool.get("type") == "function" and isinstance(tool.get("parameters"), dict):
            yield {"name": tool["name"], "where": f"tools[{at}]"}, tool["parameters"], tool.get("strict") is True


def _parameters_type(asked: Asked) -> Iterator[Breach]:
    for breach, schema, _ in _functions(asked):
        found = schema.get("type", "object" if not schema else None)
        if found != "object":
            yield breach | {"found": found}


def _union_at_the_top(asked: Asked) -> Iterator[Breach]:
    for breach, schema, _ in _functions(asked):
        if any(keyword in schema for keyword in UNIONS):
            yield breach


def _items_missing(asked: Asked) -> Iterator[Breach]:
    for breach, schema, _ in _functions(asked):
        for error in schemas_without_items(schema):
            yield breach | {"error": error}


def _tool_not_strict(asked: Asked) -> Iterator[Breach]:
    for breach, schema, strict in _functions(asked):
        for error in strictness_errors(schema) if strict else ():
            yield breach | {"error": error}


def _required_without_tools(asked: Asked) -> Iterator[Breach]:
    if asked.body.get("tool_choice") == "required" and not asked.body.get("tools"):
        yield {}


def _choice_of_no_tool(asked: Asked) -> Iterator[Breach]:
    choice = asked.body.get("tool_choice")
    names = [tool.get("name") for tool in tools(asked) if tool.get("type") in ("function", "custom")]
    if not isinstance(choice, dict):
        return
    allowed = choice.get("tools") if choice.get("type") == "allowed_tools" else [choice]
    for one in allowed if isinstance(allowed, list) else []:
        if isinstance(one, dict) and one.get("type") in ("function", "custom") and one.get("name") not in names:
            yield {"kind": one["type"]}


def _hosted_choice_of_no_tool(asked: Asked) -> Iterator[Breach]:
    choice = asked.body.get("tool_choice")
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind in (None, "function", "custom", "allowed_tools", "mcp"):
        return
    if kind not in {str(tool.get("type")) for tool in tools(asked)}:
        yield {"kind": kind}


def _format_not_strict(asked: Asked) -> Iterator[Breach]:
    wanted = text_format(asked)
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema" and wanted.get("strict") is True:
        for error in strictness_errors(wanted["schema"]):
            yield {"name": wanted["name"], "error": error}


def _json_unsaid(asked: Asked) -> Iterator[Breach]:
    wanted = text_format(asked)
    is_json = isinstance(wanted, dict) and wanted.get("type") == "json_object"
    if is_json and "json" not in str(asked.body.get("input")).lower():
        yield {}


RULES: tuple[Rule, ...] = (
    Rule(
        id="model-unknown",
        says="The recorded error of a model that does not exist; Chat Completions answers 404 instead.",
        source="https://github.com/pydantic/pydantic-ai/tree/main/tests/models/cassettes",
        check=_model_unknown,
        message="The requested model '{model}' does not exist.",
        param="model",
        code="model_not_found",
        kind="not_found",
    ),
    Rule(
        id="input-empty",
        says="A request has an input, a previous response, a prompt or a conversation.",
        source=CREATE,
        check=_input_empty,
        message="One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be provided.",
        code="missing_required_parameter",
    ),
    Rule(
        id="range-low",
        says="Expected a value >= 16 for max_output_tokens.",
        source="https://github.com/vectorize-io/hindsight/issues/58",
        check=_range_low,
        message="Invalid '{name}': {word} below minimum value. Expected a value >= {bound}, but got {value} instead.",
        param="{name}",
        code="{word}_below_min_value",
    ),
    Rule(
        id="range-high",
        says="What sampling temperature to use, between 0 and 2.",
        source=CREATE,
        check=_range_high,
        message="Invalid '{name}': {word} above maximum value. Expected a value <= {bound}, but got {value} instead.",
        param="{name}",
        code="{word}_above_max_value",
    ),
    Rule(
        id="options-without-stream",
        says="stream_options: Only set this when you set stream: true.",
        source=CREATE,
        check=_options_without_stream,
        message="The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        param="stream_options",
    ),
    Rule(
        id="parameters-type",
        says="parameters: A JSON schema object describing the parameters of the function.",
        source=CREATE,
        check=_parameters_type,
        message="Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"', got 'type: "
        '"{found}"\'.',
        param="{where}.parameters",
        code="invalid_function_parameters",
        on=TOKENS,
    ),
    Rule(
        id="parameters-union",
        says="The error of a schema with a union at the top, strict or not.",
        source="https://github.com/nspady/google-calendar-mcp/issues/39",
        checked=TODAY,
        check=_union_at_the_top,
        message="Invalid schema for function '{name}': schema must have type 'object' and not have 'oneOf'/'anyOf'/"
        "'allOf'/'enum'/'not' at the top level.",
        param="{where}.parameters",
        code="invalid_function_parameters",
        strict=True,
        on=TOKENS,
    ),
    Rule(
        id="parameters-items",
        says="The error of an array without items, strict or not.",
        source="https://github.com/meilisearch/meilisearch-mcp/issues/27",
        checked=TODAY,
        check=_items_missing,
        message=SCHEMA_ERROR,
        param="{where}.parameters",
        code="invalid_function_parameters",
        strict=True,
        on=TOKENS,
    ),
    Rule(
        id="tool-not-strict",
        says="With strict: true, parameters must be in the subset of JSON Schema of Structured Outputs.",
        source="https://github.com/lastmile-ai/openai-agents-mcp/issues/2",
        check=_tool_not_strict,
        message=SCHEMA_ERROR,
        param="{where}.parameters",
        code="invalid_function_parameters",
        on=TOKENS,
    ),
    Rule(
        id="required-without-tools",
        says="vLLM copies the error messages of the service.",
        source="https://github.com/vllm-project/vllm",
        check=_required_without_tools,
        message="Tool choice 'required' must be specified with 'tools' parameter.",
        param="tool_choice",
        on=TOKENS,
    ),
    Rule(
        id="choice-of-no-tool",
        says="A choice must name one of the tools of the request.",
        source="https://github.com/CherryHQ/cherry-studio/issues/11138",
        checked=TODAY,
        check=_choice_of_no_tool,
        message="Tool choice '{kind}' not found in 'tools' parameter.",
        param="tool_choice",
        on=TOKENS,
    ),
    Rule(
        id="hosted-choice-of-no-tool",
        says="A forced hosted tool must be one of the tools of the request.",
        source="https://github.com/raine/claude-code-proxy/issues/26",
        checked=TODAY,
        check=_hosted_choice_of_no_tool,
        message="Tool choice '{kind}' not found in 'tools' parameter.",
        param="tool_choice",
        on=TOKENS,
    ),
    Rule(
        id="format-not-strict",
        says="Structured Outputs supports a subset of the JSON Schema language.",
        source=SUBSET,
        check=_format_not_strict,
        message="Invalid schema for response_format '{name}': {error}",
        param="text.format.schema",
        code="invalid_json_schema",
    ),
    Rule(
        id="json-unsaid",
        says="You must include an instruction to produce JSON in a message.",
        source="https://platform.openai.com/docs/guides/structured-outputs#json-mode",
        check=_json_unsaid,
        message="Response input messages must contain the word 'json' in some form to use 'text.format' of type "
        "'json_object'.",
        param="input",
    ),
)
"""Rules about values, in the order in which the service checks them."""
