"""Request validation of the Responses API: a valid request, one mutation of it, and the error."""

from __future__ import annotations

import copy

import pytest
from msgspec.structs import replace

from crosswire.mockserver.protocols.openai_responses import PROTOCOL

from ..responses_fixture import HEADERS, PROVIDER, SIGNATURE, Body, Mutation, put, remove

STRICT = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
GOOD: Body = {
    "model": "gpt-5-mini",
    "instructions": "Be brief.",
    "input": [
        {"role": "user", "content": "Weather as json?"},
        {"type": "reasoning", "summary": [], "encrypted_content": SIGNATURE},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Look."}]},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "rain"}]},
        {"role": "user", "content": [{"type": "input_image", "image_url": "https://example.com/a.png"}]},
    ],
    "tools": [{"type": "function", "name": "weather", "parameters": STRICT, "strict": True}],
    "tool_choice": "auto",
    "include": ["reasoning.encrypted_content"],
    "reasoning": {"effort": "low", "summary": "auto"},
    "text": {"format": {"type": "json_object"}, "verbosity": "low"},
    "max_output_tokens": 16,
    "stream": True,
    "stream_options": {"include_obfuscation": False},
    "store": False,
    "metadata": None,
}

OUTPUT = {"type": "function_call_output", "call_id": "c9", "output": "x"}
LONG = "x" * 65
OPEN: Body = {"type": "object", "properties": {"a": {"type": "object", "properties": {}}}, "required": ["a"]}

MISSING = "missing_required_parameter"
TYPE = "invalid_type"
VALUE = "invalid_value"
UNKNOWN = "unknown_parameter"
UNSUPPORTED = "unsupported_parameter"
SCHEMA = "invalid_function_parameters"

CUSTOM = {"type": "custom", "name": "f"}

RULES: dict[str, tuple[Mutation, str, str | None, str | None]] = {
    "no-model": (remove("model"), "Missing required parameter: 'model'.", "model", MISSING),
    "null-model": (
        put("model", None), "Invalid type for 'model': expected a string, but got an object instead.", "model", TYPE,
    ),
    "model": (put("model", "gpt-9"), "The requested model 'gpt-9' does not exist.", "model", "model_not_found"),
    "no-input": (remove("input"), "Missing required parameter: 'input'.", "input", MISSING),
    "empty-input": (put("input", []), "One of \"input\" or \"previous_response_id\"", None, MISSING),
    "null-input": (put("input", None), "Invalid type for 'input'", "input", TYPE),
    "unknown": (put("stop", ["x"]), "Unknown parameter: 'stop'.", "stop", UNKNOWN),
    "unknown-seed": (put("seed", 1), "Unknown parameter: 'seed'.", "seed", UNKNOWN),
    "unknown-top-k": (put("top_k", 1), "Unknown parameter: 'top_k'.", "top_k", UNKNOWN),
    "messages": (
        put("messages", []),
        "Unsupported parameter: 'messages'. In the Responses API, this parameter has moved to 'input'.", None,
        UNSUPPORTED,
    ),
    "max-tokens": (put("max_tokens", 5), "this parameter has moved to 'max_output_tokens'.", None, UNSUPPORTED),
    "response-format": (
        put("response_format", {}), "this parameter has moved to 'text.format'.", None, UNSUPPORTED,
    ),
    "penalty": (
        put("presence_penalty", 1), "Unsupported parameter: 'presence_penalty' is not supported with this model.",
        "presence_penalty", None,
    ),
    "item-not-an-object": (
        put("input.0", 7), "Invalid type for 'input[0]': expected an input item, but got an integer instead.",
        "input[0]", TYPE,
    ),
    "item-type": (
        put("input.2.type", "tool_use"), "Invalid value: 'tool_use'. Supported values are: 'additional_tools'",
        "input[2]", VALUE,
    ),
    "item-type-not-a-word": (put("input.2.type", {}), "Invalid value: ''.", "input[2]", VALUE),
    "role": (
        put("input.0.role", "tool"),
        "Invalid value: 'tool'. Supported values are: 'assistant', 'system', 'developer', and 'user'.", "input[0]",
        VALUE,
    ),
    "no-content": (
        remove("input.0.content"), "Missing required parameter: 'input[0].content'.", "input[0].content", MISSING,
    ),
    "null-content": (
        put("input.0.content", None),
        "Invalid type for 'input[0].content': expected one of an array of objects or string, but got null instead.",
        "input[0].content", TYPE,
    ),
    "unknown-in-item": (
        put("input.0.cache_control", {}), "Unknown parameter: 'input[0].cache_control'.", "input[0].cache_control",
        UNKNOWN,
    ),
    "phase-of-a-user": (
        put("input.0.phase", "commentary"), "Unknown parameter: 'input[0].phase'.", "input[0].phase", UNKNOWN,
    ),
    "made-up-null": (put("input.1.status", None), "Unknown parameter: 'input[1].status'.", "input[1].status", UNKNOWN),
    "id-prefix": (
        put("input.2.id", "chatcmpl-1"), "Invalid 'input[2].id': 'chatcmpl-1'. Expected an ID that begins with 'msg'.",
        "input[2].id", VALUE,
    ),
    "call-id-prefix": (put("input.3.id", "toolu_1"), "Expected an ID that begins with 'fc'.", "input[3].id", VALUE),
    "part-type": (
        put("input.5.content.0.type", "image_url"),
        "Invalid value: 'image_url'. Supported values are: 'input_text', 'input_image', 'input_file', "
        "'output_text', 'refusal', 'computer_screenshot', and 'summary_text'.",
        "input[5].content[0].type", VALUE,
    ),
    "no-part-type": (
        remove("input.5.content.0.type"), "Missing required parameter: 'input[5].content[0].type'.",
        "input[5].content[0].type", MISSING,
    ),
    "input-text-of-assistant": (
        put("input.2.content.0.type", "input_text"),
        "Invalid value: 'input_text'. Supported values are: 'output_text' and 'refusal'.", "input[2].content[0]", VALUE,
    ),
    "part-without-text": (
        remove("input.2.content.0.text"), "Missing required parameter: 'input[2].content[0].text'.",
        "input[2].content[0].text", MISSING,
    ),
    "unknown-in-part": (
        put("input.5.content.0.alt", "x"), "Unknown parameter: 'input[5].content[0].alt'.", "input[5].content[0].alt",
        UNKNOWN,
    ),
    "image-url": (
        put("input.5.content.0.image_url", "iVBOR"), "Expected a valid URL, but got a value with an invalid format.",
        "input[5].content[0].image_url", VALUE,
    ),
    "null-output": (put("input.4.output", None), "Invalid type for 'input[4].output'", "input[4].output", TYPE),
    "output-part": (
        put("input.4.output.0.type", "output_text"),
        "Supported values are: 'input_text', 'input_image', and 'input_file'.", "input[4].output[0]", VALUE,
    ),
    "object-arguments": (
        put("input.3.arguments", {}),
        "Invalid type for 'input[3].arguments': expected a string, but got an object instead.", "input[3].arguments",
        TYPE,
    ),
    "long-call-id": (
        put("input.3.call_id", LONG),
        "Invalid 'input[3].call_id': string too long. Expected a string with maximum length 64, but got a string "
        "with length 65 instead.",
        "input[3].call_id", "string_above_max_length",
    ),
    "empty-call-id": (
        put("input.3.call_id", ""), "Invalid 'input[3].call_id': empty string.", "input[3].call_id", "empty_string",
    ),
    "call-name": (
        put("input.3.name", "a.b"), "Invalid 'input[3].name': string does not match pattern.", "input[3].name", VALUE,
    ),
    "no-summary": (
        remove("input.1.summary"), "Missing required parameter: 'input[1].summary'.", "input[1].summary", MISSING,
    ),
    "summary-part": (
        put("input.1.summary", [{"type": "text", "text": "x"}]),
        "Invalid value: 'text'. Supported values are: 'summary_text'.", "input[1].summary[0]", VALUE,
    ),
    "temperature-type": (
        put("temperature", "hot"), "Invalid type for 'temperature': expected a decimal, but got a string instead.",
        "temperature", TYPE,
    ),
    "stream-type": (
        put("stream", "yes"), "Invalid type for 'stream': expected a boolean, but got a string instead.", "stream",
        TYPE,
    ),
    "include": (put("include", ["thoughts"]), "Invalid value: 'thoughts'.", "include[0]", VALUE),
    "unknown-in-text": (put("text.schema", {}), "Unknown parameter: 'text.schema'.", "text.schema", UNKNOWN),
    "include-usage": (
        put("stream_options.include_usage", True), "Unknown parameter: 'stream_options.include_usage'.",
        "stream_options.include_usage", UNKNOWN,
    ),
    "effort": (
        put("reasoning.effort", "extreme"),
        "Invalid value: 'extreme'. Supported values are: 'none', 'minimal', 'low', 'medium', 'high', 'xhigh', and "
        "'max'.",
        "reasoning.effort", VALUE,
    ),
    "truncation": (put("truncation", "left"), "Supported values are: 'auto' and 'disabled'.", "truncation", VALUE),
    "few-tokens": (
        put("max_output_tokens", 15),
        "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 15 instead.",
        "max_output_tokens", "integer_below_min_value",
    ),
    "hot": (
        put("temperature", 2.5),
        "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 2.5 instead.",
        "temperature", "decimal_above_max_value",
    ),
    "options-without-stream": (
        put("stream", False), "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        "stream_options", None,
    ),
    "custom-name": (
        put("tools.0", {"type": "custom"}),
        "Missing required parameter: 'tools[0].name'.",
        "tools[0].name",
        MISSING,
    ),
    "custom-format": (
        put("tools.0", CUSTOM | {"format": {"type": "json"}}),
        "Invalid value: 'json'. Supported values are: 'text' and 'grammar'.", "tools[0].format", VALUE,
    ),
    "custom-syntax": (
        put("tools.0", CUSTOM | {"format": {"type": "grammar", "syntax": "bnf", "definition": "a"}}),
        "Invalid value: 'bnf'. Supported values are: 'lark' and 'regex'.", "tools[0].format.syntax", VALUE,
    ),
    "custom-definition": (
        put("tools.0", CUSTOM | {"format": {"type": "grammar", "syntax": "lark"}}),
        "Missing required parameter: 'tools[0].format.definition'.", "tools[0].format.definition", MISSING,
    ),
    "choice-among-others": (
        put("tool_choice", {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "x"}]}),
        "Tool choice 'function' not found in 'tools' parameter.", "tool_choice", None,
    ),
    "choice-among-mode": (
        put("tool_choice", {"type": "allowed_tools", "mode": "none", "tools": []}),
        "Invalid value: 'none'. Supported values are: 'auto' and 'required'.", "tool_choice.mode", VALUE,
    ),
    "tool-type": (put("tools.0.type", "retrieval"), "Invalid value: 'retrieval'.", "tools[0]", VALUE),
    "no-tool-type": (remove("tools.0.type"), "Missing required parameter: 'tools[0].type'.", "tools[0].type", MISSING),
    "chat-tool": (
        put("tools.0", {"type": "function", "function": {"name": "f"}}), "Missing required parameter: 'tools[0].name'.",
        "tools[0].name", MISSING,
    ),
    "tool-name": (
        put("tools.0.name", "a b"),
        "Invalid 'tools[0].name': string does not match pattern. Expected a string that matches the pattern "
        "'^[a-zA-Z0-9_-]+$'.",
        "tools[0].name", VALUE,
    ),
    "long-tool-name": (
        put("tools.0.name", "x" * 129), "string too long. Expected a string with maximum length 128", "tools[0].name",
        "string_above_max_length",
    ),
    "unknown-in-tool": (
        put("tools.0.cache_control", {}), "Unknown parameter: 'tools[0].cache_control'.", "tools[0].cache_control",
        UNKNOWN,
    ),
    "parameters-type": (
        put("tools.0.parameters", {"type": "string"}),
        "Invalid schema for function 'weather': schema must be a JSON Schema of 'type: \"object\"', got 'type: "
        "\"string\"'.",
        "tools[0].parameters", SCHEMA,
    ),
    "strict-open": (
        remove("tools.0.parameters.additionalProperties"),
        "Invalid schema for function 'weather': In context=(), 'additionalProperties' is required to be supplied "
        "and to be false.",
        "tools[0].parameters", SCHEMA,
    ),
    "strict-optional": (
        put("tools.0.parameters.required", []),
        "In context=(), 'required' is required to be supplied and to be an array including every key in "
        "properties. Missing 'city'.",
        "tools[0].parameters", SCHEMA,
    ),
    "strict-nested": (
        put("tools.0.parameters", OPEN | {"additionalProperties": False}),
        "In context=('properties', 'a'), 'additionalProperties' is required", "tools[0].parameters", SCHEMA,
    ),
    "tool-not-an-object": (put("tools.0", 5), "Invalid type for 'tools[0]': expected an object", "tools[0]", TYPE),
    "tool-name-type": (put("tools.0.name", None), "Invalid type for 'tools[0].name'", "tools[0].name", TYPE),
    "strict-type": (put("tools.0.strict", "yes"), "expected a boolean, but got a string", "tools[0].strict", TYPE),
    "strict-items": (
        put("tools.0.parameters.properties.city", {"type": "array", "items": OPEN}),
        "In context=('properties', 'city', 'items'), 'additionalProperties'", "tools[0].parameters", SCHEMA,
    ),
    "strict-any-of": (
        put("tools.0.parameters.properties.city", {"anyOf": [{"type": "null"}, OPEN]}),
        "In context=('properties', 'city', 'anyOf', '1'), 'additionalProperties'", "tools[0].parameters", SCHEMA,
    ),
    "choice-type": (put("tool_choice", 5), "Invalid type for 'tool_choice'", "tool_choice", TYPE),
    "choice-of-no-name": (
        put("tool_choice", {"type": "function"}), "Missing required parameter: 'tool_choice.name'.",
        "tool_choice.name", MISSING,
    ),
    "format-not-an-object": (put("text.format", "json"), "Invalid type for 'text.format'", "text.format", TYPE),
    "unknown-in-format": (
        put("text.format", {"type": "json_schema", "name": "n", "schema": STRICT, "json_schema": {}}),
        "Unknown parameter: 'text.format.json_schema'.", "text.format.json_schema", UNKNOWN,
    ),
    "part-not-an-object": (
        put("input.5.content", ["x"]), "Invalid type for 'input[5].content[0]'", "input[5].content[0]", TYPE,
    ),
    "text-type": (
        put("input.2.content.0.text", None), "Invalid type for 'input[2].content[0].text': expected a string",
        "input[2].content[0].text", TYPE,
    ),
    "summary-type": (put("input.1.summary", None), "Invalid type for 'input[1].summary'", "input[1].summary", TYPE),
    "summary-without-text": (
        put("input.1.summary", [{"type": "summary_text"}]), "Missing required parameter: 'input[1].summary[0].text'.",
        "input[1].summary[0].text", MISSING,
    ),
    "choice": (
        put("tool_choice", "any"), "Invalid value: 'any'. Supported values are: 'none', 'auto', and 'required'.",
        "tool_choice", VALUE,
    ),
    "chat-choice": (
        put("tool_choice", {"type": "function", "function": {"name": "weather"}}),
        "Unknown parameter: 'tool_choice.function'.", "tool_choice.function", UNKNOWN,
    ),
    "choice-of-nobody": (
        put("tool_choice", {"type": "function", "name": "f"}), "Tool choice 'function' not found in 'tools' parameter.",
        "tool_choice", None,
    ),
    "required-without-tools": (
        lambda b: b.update(tools=[], tool_choice="required"),
        "Tool choice 'required' must be specified with 'tools' parameter.", "tool_choice", None,
    ),
    "format-type": (
        put("text.format", {"type": "json"}),
        "Invalid value: 'json'. Supported values are: 'json_object', 'text', and 'json_schema'.", "text.format.type",
        VALUE,
    ),
    "format-name": (
        put("text.format", {"type": "json_schema", "schema": STRICT}),
        "Missing required parameter: 'text.format.name'.", "text.format.name", MISSING,
    ),
    "format-schema": (
        put("text.format", {"type": "json_schema", "name": "n", "schema": OPEN, "strict": True}),
        "Invalid schema for response_format 'n': In context=()", "text.format.schema", "invalid_json_schema",
    ),
    "format-without-the-word": (put("input", "hello"), "must contain the word 'json' in some form", "input", None),
    "previous": (
        put("previous_response_id", "resp_1"), "Previous response with id 'resp_1' not found.", "previous_response_id",
        "previous_response_not_found",
    ),
    "foreign-seal": (
        put("input.1.encrypted_content", "sig:anthropic:story:0.0"),
        "The encrypted content sig:...:0.0 could not be verified.", None, "invalid_encrypted_content",
    ),
    "output-without-call": (
        lambda b: b["input"].append(OUTPUT), "No tool call found for function call output with call_id c9.", "input",
        None,
    ),
    "call-without-output": (remove("input.4"), "No tool output found for function call c1.", "input", None),
    "output-before-call": (
        lambda b: b["input"].insert(3, b["input"].pop(4)),
        "No tool call found for function call output with call_id c1.", "input", None,
    ),
    "reasoning-alone": (
        lambda b: b["input"].append({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": SIGNATURE}),
        "Item 'rs_1' of type 'reasoning' was provided without its required following item.", "input", None,
    ),
    "reasoning-before-a-user": (
        lambda b: b["input"].insert(
            5, {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": SIGNATURE}
        ),
        "was provided without its required following item.", "input", None,
    ),
}  # fmt: skip


def test_body_that_is_not_an_object_is_refused() -> None:
    refused = PROTOCOL.validate_request("/responses", HEADERS, [], PROVIDER)
    assert refused is not None
    assert (refused.status, refused.message) == (400, "We could not parse the JSON body of your request.")


def test_valid_request_is_accepted() -> None:
    assert PROTOCOL.validate_request("/responses", HEADERS, GOOD, PROVIDER) is None


@pytest.mark.parametrize("name", RULES)
def test_invalid_request_is_refused(name: str) -> None:
    mutate, message, param, code = RULES[name]
    body = copy.deepcopy(GOOD)
    mutate(body)
    refused = PROTOCOL.validate_request("/responses", HEADERS, body, PROVIDER)
    assert refused is not None
    assert message in refused.message
    assert (refused.status, refused.param, refused.code) == (400, param, code)


REFERENCES: dict[str, Mutation] = {
    "reference": lambda b: b["input"].append({"type": "item_reference", "id": "msg_1"}),
    "unsealed-and-not-stored": lambda b: b["input"].insert(1, {"type": "reasoning", "id": "rs_1", "summary": []}),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_references_by_id_are_not_found(name: str) -> None:
    body = copy.deepcopy(GOOD)
    REFERENCES[name](body)
    refused = PROTOCOL.validate_request("/responses", HEADERS, body, PROVIDER)
    assert refused is not None
    assert (refused.status, refused.kind, refused.param) == (404, "not_found", "input")


@pytest.mark.parametrize(
    ("headers", "code"),
    [({}, None), ({"Authorization": "Bearer other"}, "invalid_api_key"), ({"x-api-key": "test-key"}, None)],
)
def test_missing_or_wrong_api_key_is_refused(headers: dict[str, str], code: str | None) -> None:
    for path in ("/responses", "/models", "/responses/input_tokens"):
        refused = PROTOCOL.validate_request(path, headers, GOOD, PROVIDER)
        assert refused is not None
        assert (refused.status, refused.kind, refused.code) == (401, "authentication", code)


ACCEPTED: dict[str, Mutation] = {
    "a-string": put("input", "hello, json"),
    "no-tools": lambda b: b.update(tools=[], tool_choice="auto"),
    "no-parameters": remove("tools.0.parameters"),
    "loose-schema": put("tools.0", {"type": "function", "name": "f", "parameters": OPEN, "strict": False}),
    "hosted-tool": put("tools.0", {"type": "web_search", "anything": 1}),
    "hosted-item": lambda b: b["input"].append({"type": "web_search_call", "anything": 1}),
    "allowed-tools": put("tool_choice", {"type": "allowed_tools", "mode": "auto", "tools": []}),
    "phase": put("input.2.phase", "commentary"),
    "codex-custom-call": lambda b: b["input"].extend(
        [
            {"type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "input": "*** Begin"},
            {"type": "custom_tool_call_output", "call_id": "c2", "output": "ok"},
        ]
    ),
    "nulls": lambda b: b.update({key: None for key in ("temperature", "user", "truncation", "text", "reasoning")}),
    "a-conversation-holds-the-call": lambda b: b.update(conversation="conv_1", input=[OUTPUT, b["input"][0]]),
}  # fmt: skip


@pytest.mark.parametrize("name", ACCEPTED)
def test_requests_of_real_clients_are_accepted(name: str) -> None:
    body = copy.deepcopy(GOOD)
    ACCEPTED[name](body)
    assert PROTOCOL.validate_request("/responses", HEADERS, body, PROVIDER) is None


def test_compatible_host_ignores_unknown_fields() -> None:
    body = copy.deepcopy(GOOD) | {"top_k": 5, "presence_penalty": 1}
    body["input"][0]["cache_control"] = {}
    assert (
        PROTOCOL.validate_request("/responses", HEADERS, body, replace(PROVIDER, habits=("ignores_unknown",))) is None
    )


def test_token_count_needs_no_model() -> None:
    assert PROTOCOL.validate_request("/responses/input_tokens", HEADERS, {"input": "hi"}, PROVIDER) is None
    assert PROTOCOL.validate_request("/responses/input_tokens", HEADERS, {"bogus": 1}, PROVIDER) is not None


@pytest.mark.parametrize(
    ("method", "path", "what"),
    [
        ("POST", "/responses", "generate"),
        ("POST", "/v1/responses?x=1", "generate"),
        ("POST", "/responses/input_tokens", "count"),
        ("GET", "/models", "models"),
        ("GET", "/responses", None),
        ("POST", "/chat/completions", None),
    ],
)
def test_endpoint_of(method: str, path: str, what: str | None) -> None:
    assert PROTOCOL.endpoint_of(method, path) == what


def test_model_list() -> None:
    assert [model["id"] for model in PROTOCOL.list_models(PROVIDER)["data"]] == ["gpt-5-mini"]
