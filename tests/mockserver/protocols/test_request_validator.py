"""Request validation of Chat Completions and Anthropic: a valid request, one mutation of it, and the error."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.scenarios.provider import Auth, Provider

Body = dict[str, Any]
Mutation = Callable[[Body], Any]

PROVIDERS: dict[str, Provider] = {
    "openai-chat": Provider(
        name="openai",
        protocol="openai-chat",
        models={"m": "gpt-5-nano", "n": "gpt-4.1"},
        auth=Auth("authorization", "k"),
    ),
    "anthropic": Provider(
        name="anthropic", protocol="anthropic", models={"m": "claude-sonnet-4-5"}, auth=Auth("x-api-key", "k")
    ),
}

HEADERS = {"authorization": "Bearer k", "x-api-key": "k", "anthropic-version": "2023-06-01"}

CHAT: Body = {
    "model": "gpt-5-nano",
    "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "w", "arguments": "{}"}},
                {"id": "c2", "type": "function", "function": {"name": "w", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "r"},
        {"role": "tool", "tool_call_id": "c2", "content": "r"},
    ],
    "tools": [{"type": "function", "function": {"name": "w", "parameters": {"type": "object", "properties": {}}}}],
    "tool_choice": "auto",
    "temperature": 1,
}

MESSAGES: Body = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 2000,
    "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": "u"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "t", "signature": "sig:anthropic:story:0.0"},
                {"type": "tool_use", "id": "c1", "name": "w", "input": {}},
                {"type": "tool_use", "id": "c2", "name": "w", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "r"},
                {"type": "tool_result", "tool_use_id": "c2", "content": "r", "is_error": True},
                {"type": "text", "text": "and?"},
            ],
        },
    ],
    "tools": [{"name": "w", "input_schema": {"type": "object"}}],
    "tool_choice": {"type": "auto"},
    "temperature": 1,
}

GOOD = {"openai-chat": CHAT, "anthropic": MESSAGES}
PATHS = {"openai-chat": "/v1/chat/completions", "anthropic": "/v1/messages"}


TOOL_LOOP: Body = {
    "$defs": {"a": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/b"}]}, "b": {"$ref": "#/$defs/a"}},
    "$ref": "#/$defs/a",
}

CACHED_BLOCKS = [
    {"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": "r", "cache_control": {}}] * 2}
    for id in ("c1", "c2")
]

NESTED_SCHEMA: Body = {"type": "array", "items": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}}


def put(*path: Any, value: Any) -> Mutation:
    def mutate(body: Body) -> None:
        at: Any = body
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value

    return mutate


def both(*mutations: Mutation) -> Mutation:
    def mutate(body: Body) -> None:
        for one in mutations:
            one(body)

    return mutate


def cut(*path: Any) -> Mutation:
    def mutate(body: Body) -> None:
        at: Any = body
        for step in path[:-1]:
            at = at[step]
        del at[path[-1]]

    return mutate


INVALID: list[tuple[str, str, Mutation, int, str]] = [
    ("openai-chat", "unknown-field", put("top_k", value=3), 400, "Unrecognized request argument supplied: top_k"),
    ("openai-chat", "unknown-nested", put("messages", 1, "cache_control", value={}), 400, "messages[1].cache_control"),
    ("openai-chat", "no-model", cut("model"), 400, "you must provide a model parameter"),
    ("openai-chat", "foreign-model", put("model", value="gpt-0"), 404, "The model `gpt-0` does not exist"),
    ("openai-chat", "no-messages", cut("messages"), 400, "Missing required parameter: 'messages'"),
    ("openai-chat", "empty-messages", put("messages", value=[]), 400, "empty array"),
    ("openai-chat", "messages-text", put("messages", value="hi"), 400, "Invalid type for 'messages'"),
    ("openai-chat", "temperature-text", put("temperature", value="hot"), 400, "Invalid type for 'temperature'"),
    (
        "openai-chat",
        "temperature-high",
        both(put("model", value="gpt-4.1"), put("temperature", value=2.5)),
        400,
        "Expected a value <= 2",
    ),
    (
        "openai-chat",
        "top-p-low",
        both(put("model", value="gpt-4.1"), put("top_p", value=-1)),
        400,
        "Expected a value >= 0",
    ),
    (
        "openai-chat",
        "penalty",
        both(put("model", value="gpt-4.1"), put("presence_penalty", value=3)),
        400,
        "Invalid 'presence_penalty'",
    ),
    (
        "openai-chat",
        "five-stops",
        both(put("model", value="gpt-4.1"), put("stop", value=list("abcde"))),
        400,
        "maximum length 4",
    ),
    ("openai-chat", "max-tokens", put("max_tokens", value=9), 400, "Use 'max_completion_tokens' instead"),
    ("openai-chat", "stream-options", put("stream_options", value={}), 400, "only allowed when 'stream' is enabled"),
    ("openai-chat", "no-tools", put("tools", value=[]), 400, "Invalid 'tools': empty array"),
    ("openai-chat", "choice-without-tools", cut("tools"), 400, "only allowed when 'tools' are specified"),
    ("openai-chat", "tool-name", put("tools", 0, "function", "name", value="a.b"), 400, "does not match pattern"),
    ("openai-chat", "schema", put("tools", 0, "function", "parameters", "type", value="array"), 400, "JSON Schema"),
    ("openai-chat", "choice-word", put("tool_choice", value="any"), 400, "Supported values are"),
    (
        "openai-chat",
        "choice-name",
        put("tool_choice", value={"type": "function", "function": {"name": "x"}}),
        400,
        "no function named 'x'",
    ),
    ("openai-chat", "result-missing", cut("messages", 4), 400, "did not have response messages: c2"),
    ("openai-chat", "result-orphan", cut("messages", 2), 400, "must be a response to a preceeding message"),
    (
        "openai-chat",
        "result-image",
        put("messages", 3, "content", value=[{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]),
        400,
        "Image URLs are only allowed for messages with role 'user'",
    ),
    (
        "openai-chat",
        "custom-name",
        put("tools", 0, value={"type": "custom", "custom": {"name": "a.b"}}),
        400,
        "Invalid 'tools[0].custom.name'",
    ),
    (
        "openai-chat",
        "choice-among-others",
        put(
            "tool_choice",
            value={
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "x"}}]},
            },
        ),
        400,
        "no function named 'x'",
    ),
    ("openai-chat", "result-null", put("messages", 3, "content", value=None), 400, "expected a string, got null"),
    ("openai-chat", "user-null", put("messages", 1, "content", value=None), 400, "expected a string, got null"),
    ("openai-chat", "role", put("messages", 1, "role", value="bot"), 400, "messages[1].role"),
    ("openai-chat", "id-long", put("messages", 2, "tool_calls", 0, "id", value="c" * 41), 400, "maximum length 40"),
    ("openai-chat", "id-twice", put("messages", 2, "tool_calls", 1, "id", value="c1"), 400, "Duplicate value"),
    ("openai-chat", "no-calls", put("messages", 2, "tool_calls", value=[]), 400, "tool_calls': empty array"),
    (
        "openai-chat",
        "call-name",
        put("messages", 2, "tool_calls", 0, "function", "name", value="a b"),
        400,
        "does not match pattern",
    ),
    (
        "openai-chat",
        "foreign-seal",
        put("messages", 2, "reasoning_details", value=[{"type": "reasoning.text", "signature": "sig:gemini:x:0.0"}]),
        400,
        "was not made by this provider",
    ),
    ("openai-chat", "metadata-alone", put("metadata", value={"a": "b"}), 400, "only allowed when 'store' is enabled"),
    (
        "openai-chat",
        "json-unsaid",
        put("response_format", value={"type": "json_object"}),
        400,
        "'messages' must contain the word 'json'",
    ),
    (
        "openai-chat",
        "strict-open",
        put("tools", 0, "function", "strict", value=True),
        400,
        "Invalid schema for function 'w': In context=(), 'additionalProperties' is required to be supplied",
    ),
    (
        "openai-chat",
        "strict-format",
        put(
            "response_format",
            value={"type": "json_schema", "json_schema": {"name": "f", "strict": True, "schema": {"type": "object"}}},
        ),
        400,
        "Invalid schema for response_format 'f'",
    ),
    ("anthropic", "no-max-tokens", cut("max_tokens"), 400, "max_tokens: Field required"),
    ("anthropic", "zero-max-tokens", put("max_tokens", value=0), 400, "greater than or equal to 1"),
    ("anthropic", "no-messages", cut("messages"), 400, "messages: Field required"),
    ("anthropic", "empty-messages", put("messages", value=[]), 400, "at least one message"),
    ("anthropic", "unknown-field", put("seed", value=3), 400, "seed: Extra inputs are not permitted"),
    ("anthropic", "unknown-nested", put("tools", 0, "function", value={}), 400, "tools.0.function: Extra inputs"),
    ("anthropic", "null-field", put("top_k", value=None), 400, "top_k"),
    ("anthropic", "foreign-model", put("model", value="claude-0"), 404, "model: claude-0"),
    ("anthropic", "temperature", put("temperature", value=1.5), 400, "temperature: range: 0..1"),
    ("anthropic", "both", put("top_p", value=0.5), 400, "cannot both be specified"),
    ("anthropic", "blank-stop", put("stop_sequences", value=[" "]), 400, "non-whitespace"),
    ("anthropic", "stop-number", put("stop_sequences", value=[1]), 400, "stop_sequences.0"),
    ("anthropic", "budget-low", put("thinking", value={"type": "enabled", "budget_tokens": 9}), 400, "1024"),
    ("anthropic", "budget-high", put("thinking", value={"type": "enabled", "budget_tokens": 2000}), 400, "max_tokens"),
    (
        "anthropic",
        "thinking-forgotten",
        both(put("thinking", value={"type": "enabled", "budget_tokens": 1024}), cut("messages", 1, "content", 0)),
        400,
        "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`",
    ),
    (
        "anthropic",
        "seal-foreign",
        put("messages", 1, "content", 0, "signature", value="sig:gemini:story:0.0"),
        400,
        "Invalid `signature` in `thinking` block",
    ),
    (
        "anthropic",
        "seal-of-the-other-kind",
        put("messages", 1, "content", 0, value={"type": "redacted_thinking", "data": "sig:anthropic:story:0.0"}),
        400,
        "Invalid `data` in `redacted_thinking` block",
    ),
    (
        "anthropic",
        "schema-bound",
        put("output_config", value={"format": {"type": "json_schema", "schema": NESTED_SCHEMA}}),
        400,
        "output_config.format.schema: For 'integer' type, property 'minimum' is not supported",
    ),
    (
        "anthropic",
        "schema-open",
        put("output_config", value={"format": {"type": "json_schema", "schema": {"type": "object"}}}),
        400,
        "'additionalProperties' must be explicitly set to false",
    ),
    ("anthropic", "tool-name", put("tools", 0, "name", value="a.b"), 400, "tools.0.custom.name"),
    ("anthropic", "no-schema", cut("tools", 0, "input_schema"), 400, "input_schema: Field required"),
    ("anthropic", "schema-type", put("tools", 0, "input_schema", value={}), 400, "input_schema.type: Field required"),
    ("anthropic", "choice-name", put("tool_choice", value={"type": "tool", "name": "x"}), 400, "Tool 'x' not found"),
    ("anthropic", "choice-word", put("tool_choice", value={"type": "required"}), 400, "tool_choice.type"),
    ("anthropic", "no-tools", cut("tools"), 400, "may only be specified while providing tools"),
    (
        "anthropic",
        "none-parallel",
        put("tool_choice", value={"type": "none", "disable_parallel_tool_use": True}),
        400,
        "tool_choice.none.disable_parallel_tool_use",
    ),
    ("anthropic", "empty-text", put("messages", 2, "content", 2, "text", value=""), 400, "must be non-empty"),
    ("anthropic", "blank-text", put("messages", 2, "content", 2, "text", value=" \n"), 400, "non-whitespace text"),
    ("anthropic", "empty-system", put("system", 0, "text", value=""), 400, "system: text content blocks"),
    ("anthropic", "empty-content", put("messages", 0, "content", value=""), 400, "must have non-empty content"),
    ("anthropic", "result-missing", cut("messages", 2, "content", 1), 400, "without `tool_result` blocks"),
    ("anthropic", "results-gone", cut("messages", 2), 400, "without `tool_result` blocks"),
    ("anthropic", "result-orphan", cut("messages", 1), 400, "unexpected `tool_use_id`"),
    (
        "anthropic",
        "text-first",
        lambda body: body["messages"][2]["content"].reverse(),
        400,
        "without `tool_result` blocks immediately after",
    ),
    (
        "anthropic",
        "result-twice",
        put("messages", 2, "content", 2, value={"type": "tool_result", "tool_use_id": "c1", "content": "r"}),
        400,
        "each tool_use must have a single result",
    ),
    ("anthropic", "id-pattern", put("messages", 1, "content", 1, "id", value="a.b"), 400, "tool_use.id"),
    ("anthropic", "no-signature", cut("messages", 1, "content", 0, "signature"), 400, "signature: Field required"),
    (
        "anthropic",
        "schema-recursive",
        put("output_config", value={"format": {"type": "json_schema", "schema": TOOL_LOOP}}),
        400,
        "Recursive schemas are not supported",
    ),
    ("anthropic", "five-marks", put("messages", 2, "content", value=CACHED_BLOCKS), 400, "Found 5."),
    ("anthropic", "system-role", put("messages", 0, "role", value="system"), 400, 'Unexpected role "system"'),
    (
        "anthropic",
        "blank-end",
        lambda body: body["messages"].append({"role": "assistant", "content": "well "}),
        400,
        "cannot end with trailing whitespace",
    ),
    (
        "anthropic",
        "top-p-thinking",
        both(
            put("thinking", value={"type": "enabled", "budget_tokens": 1024}),
            cut("temperature"),
            put("top_p", value=0.9),
        ),
        400,
        "`top_p` must be greater than or equal to 0.95",
    ),
    (
        "anthropic",
        "document-type",
        put(
            "messages",
            2,
            "content",
            2,
            value={"type": "document", "source": {"type": "base64", "media_type": "text/csv", "data": "YQ=="}},
        ),
        400,
        "Input should be 'application/pdf'",
    ),
    (
        "anthropic",
        "foreign-seal",
        put("messages", 1, "content", 0, "signature", value="sig:gemini:story:0.0"),
        400,
        "Invalid `signature`",
    ),
]


@pytest.mark.parametrize("name", GOOD)
def test_valid_request_is_accepted(name: str) -> None:
    assert MOCK_PROTOCOLS[name].validate_request(PATHS[name], HEADERS, GOOD[name], PROVIDERS[name]) is None


@pytest.mark.parametrize(
    ("name", "mutate", "status", "words"),
    [pytest.param(n, s, c, w, id=f"{n}-{i}") for n, i, s, c, w in INVALID],
)
def test_invalid_request_is_refused(name: str, mutate: Mutation, status: int, words: str) -> None:
    body = copy.deepcopy(GOOD[name])
    mutate(body)
    refused = MOCK_PROTOCOLS[name].validate_request(PATHS[name], HEADERS, body, PROVIDERS[name])
    assert refused is not None
    assert refused.status == status
    assert words in refused.message


KEYS = [
    ("openai-chat", {}, "You didn't provide an API key"),
    ("openai-chat", {"Authorization": "Bearer test-key-anthropic"}, "Incorrect API key provided"),
    ("anthropic", {"anthropic-version": "2023-06-01"}, "x-api-key header is required"),
    ("anthropic", {"X-Api-Key": "other", "anthropic-version": "2023-06-01"}, "invalid x-api-key"),
    ("anthropic", {"Authorization": "Bearer other", "anthropic-version": "2023-06-01"}, "invalid x-api-key"),
]


@pytest.mark.parametrize(("name", "headers", "words"), KEYS)
def test_missing_or_wrong_api_key_is_refused(name: str, headers: dict[str, str], words: str) -> None:
    refused = MOCK_PROTOCOLS[name].validate_request(PATHS[name], headers, GOOD[name], PROVIDERS[name])
    assert refused is not None
    assert (refused.status, refused.kind) == (401, "authentication")
    assert words in refused.message


def test_anthropic_takes_its_key_as_the_vendors_sdk_sends_it() -> None:
    key = PROVIDERS["anthropic"].auth.key
    headers = {"Authorization": f"Bearer {key}", "anthropic-version": "2023-06-01"}
    protocol = MOCK_PROTOCOLS["anthropic"]
    refused = protocol.validate_request(PATHS["anthropic"], headers, GOOD["anthropic"], PROVIDERS["anthropic"])
    assert refused is None, refused


def test_anthropic_requires_the_version_header() -> None:
    refused = MOCK_PROTOCOLS["anthropic"].validate_request(
        PATHS["anthropic"], {"x-api-key": "k"}, MESSAGES, PROVIDERS["anthropic"]
    )
    assert refused is not None
    assert refused.message == "anthropic-version: header is required"


ADAPTIVE = [
    ({"temperature": 0.5}, "`temperature` is deprecated for this model."),
    ({"top_k": 5}, "`top_k` is deprecated for this model."),
    ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, '"thinking.type.enabled" is not supported'),
    ({"thinking": {"type": "adaptive"}}, None),
]


@pytest.mark.parametrize(("fields", "words"), ADAPTIVE)
def test_adaptive_anthropic_models_refuse_budget_and_sampling(fields: Body, words: str | None) -> None:
    newest = Provider(
        name="anthropic", protocol="anthropic", models={"m": "claude-opus-4-7"}, auth=Auth("x-api-key", "k")
    )
    body = {"model": "claude-opus-4-7", "max_tokens": 2000, "messages": [{"role": "user", "content": "u"}], **fields}
    refused = MOCK_PROTOCOLS["anthropic"].validate_request(PATHS["anthropic"], HEADERS, body, newest)
    assert (refused is None) if words is None else (refused is not None and words in refused.message)


def test_newer_anthropic_models_accept_a_system_message() -> None:
    model = "claude-opus-4-8"
    newer = Provider(name="anthropic", protocol="anthropic", models={"m": model}, auth=Auth("x-api-key", "k"))
    messages = [{"role": "user", "content": "u"}, {"role": "system", "content": "s"}]
    body = {"model": model, "max_tokens": 20, "messages": messages}
    assert MOCK_PROTOCOLS["anthropic"].validate_request(PATHS["anthropic"], HEADERS, body, newer) is None


def test_anthropic_accepts_a_history_that_starts_with_the_assistant() -> None:
    """The API accepts it, although other hosts of the same models refuse it.

    https://github.com/anthropics/anthropic-sdk-typescript/issues/622
    """
    body = copy.deepcopy(GOOD["anthropic"])
    del body["messages"][0]
    assert body["messages"][0]["role"] == "assistant"
    assert (
        MOCK_PROTOCOLS["anthropic"].validate_request(PATHS["anthropic"], HEADERS, body, PROVIDERS["anthropic"]) is None
    )


def test_compatible_host_ignores_unknown_fields() -> None:
    host = Provider(
        name="host",
        protocol="openai-chat",
        models={"m": "gpt-5-nano", "n": "gpt-4.1"},
        auth=Auth("authorization", "k"),
        habits=("ignores_unknown",),
    )
    body = CHAT | {"top_k": 3}
    assert MOCK_PROTOCOLS["openai-chat"].validate_request(PATHS["openai-chat"], HEADERS, body, host) is None


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("body", [None, [], "text", 7])
def test_body_that_is_not_an_object_is_refused(name: str, body: Any) -> None:
    refused = MOCK_PROTOCOLS[name].validate_request(PATHS[name], HEADERS, body, PROVIDERS[name])
    assert refused is not None
    assert refused.status == 400
