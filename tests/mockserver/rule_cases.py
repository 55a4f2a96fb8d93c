"""Cases of the mock's rules: for each rule a request that breaks it, and one that just passes."""

from __future__ import annotations

import base64
import copy
from typing import Any

from msgspec import Struct

Patch = dict[str, Any]
"""Dotted path -> value; `GONE` deletes. The paths `@body`, `@path`, `@headers`, `@habits`, `@models` and
`@capabilities` replace a part of the case itself."""

GONE = object()

KEY = {"authorization": "Bearer k", "x-api-key": "k", "x-goog-api-key": "k", "anthropic-version": "2023-06-01"}
STRICT = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
UNION = {"type": "object", "properties": {}, "anyOf": [{"required": ["a"]}]}
INNER_UNION = {"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}
BARE_ARRAY = {"type": "object", "properties": {"a": {"type": "array"}}}
TYPED_ARRAY = {"type": "object", "properties": {"a": {"type": "array", "items": {}}}}
DEFAULTED = {**STRICT, "properties": {"a": {"type": "string", "default": "x"}}}
DISCRIMINATED = {**STRICT, "properties": {"a": {"oneOf": [{"type": "string"}, {"type": "null"}]}}}
ANY_OF = {**STRICT, "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}
RECURSIVE = {**STRICT, "properties": {"a": {"$ref": "#"}}}
REFERRING = {**STRICT, "properties": {"a": {"$ref": "#/$defs/s"}}, "$defs": {"s": {"type": "string"}}}
BOUNDED = {**STRICT, "properties": {"a": {"type": "string", "minLength": 1}}}

PATHS = {
    "openai-chat": "/chat/completions",
    "openai-responses": "/responses",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/gemini-2.5-flash:generateContent",
    "ollama": "/api/chat",
}

BODIES: dict[str, dict[str, Any]] = {
    "openai-chat": {
        "model": "gpt-4.1",
        "messages": [
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
    },
    "openai-responses": {
        "model": "gpt-4.1",
        "input": [
            {"role": "user", "content": "u"},
            {"type": "reasoning", "summary": [], "encrypted_content": "sig:openai-responses:s:0.0"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "t"}]},
            {"type": "function_call", "call_id": "c1", "name": "w", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "r"},
            {"role": "user", "content": [{"type": "input_image", "image_url": "https://example.com/a.png"}]},
        ],
        "tools": [{"type": "function", "name": "w", "parameters": {"type": "object", "properties": {}}}],
    },
    "anthropic": {
        "model": "claude-sonnet-4-5",
        "max_tokens": 2000,
        "system": [{"type": "text", "text": "s"}],
        "messages": [
            {"role": "user", "content": "u"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "t", "signature": "sig:anthropic:s:0.0"},
                    {"type": "tool_use", "id": "c1", "name": "w", "input": {}},
                    {"type": "tool_use", "id": "c2", "name": "w", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": "r"},
                    {"type": "tool_result", "tool_use_id": "c2", "content": "r"},
                    {"type": "text", "text": "and?"},
                ],
            },
        ],
        "tools": [{"name": "w", "input_schema": {"type": "object"}}],
    },
    "gemini": {
        "contents": [
            {"role": "user", "parts": [{"text": "u"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "w", "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "w", "response": {"result": "r"}}}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "w", "parameters": {"type": "OBJECT", "properties": {}}}]}],
        "generationConfig": {},
    },
    "ollama": {
        "model": "llama3.2",
        "messages": [{"role": "user", "content": "u", "images": ["aWU="]}],
        "tools": [{"type": "function", "function": {"name": "w", "parameters": {"type": "object", "properties": {}}}}],
        "options": {},
    },
}


def _sealed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _function(schema: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": "w", "parameters": schema, **more}}]


def _format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "f", "strict": True, "schema": schema}}


def _text_format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"format": {"type": "json_schema", "name": "f", "strict": True, "schema": schema}}


def _output(schema: dict[str, Any]) -> dict[str, Any]:
    return {"format": {"type": "json_schema", "schema": schema}}


def _source(mime: str) -> dict[str, str]:
    return {"type": "base64", "media_type": mime, "data": "YQ=="}


def _level(model: str, level: str) -> Patch:
    return {
        "@path": f"/v1beta/models/{model}:generateContent",
        "generationConfig.thinkingConfig": {"thinkingLevel": level},
        "contents.1.parts.0.thoughtSignature": _sealed("sig:gemini:s:0.0"),
    }


def _gemini(model: str, **more: Any) -> Patch:
    return {
        "@path": f"/v1beta/models/{model}:generateContent",
        "contents.1.parts.0.thoughtSignature": _sealed("sig:gemini:s:0.0"),
        **more,
    }


SEARCH = [{"googleSearch": {}}]
BOTH_TOOLS = [{"functionDeclarations": [{"name": "w"}]}, {"googleSearch": {}}]
CODE_TOO = [{"functionDeclarations": [{"name": "w"}]}, {"codeExecution": {}}]
NO_CALLS = [{"role": "user", "parts": [{"text": "u"}]}]
ANSWERED = [_user("u"), {"role": "assistant", "content": "a"}]
MARKED = {"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}}
THINK = {"type": "enabled", "budget_tokens": 1024}
FORCE = {"type": "any"}

CASES: dict[str, dict[str, tuple[Patch, Patch]]] = {
    "openai-chat": {
        "key-missing": ({"@headers": {}}, {"@headers": {"Authorization": "Bearer k"}}),
        "key-wrong": ({"@headers": {"authorization": "Bearer x"}}, {"@headers": {"authorization": "k"}}),
        "body-not-json": ({"@body": []}, {}),
        "unknown-field": ({"top_k": 1}, {"top_k": 1, "@habits": ("ignores_unknown",)}),
        "model-missing": ({"model": ""}, {"model": "m"}),
        "model-unknown": ({"@models": {"m": "gpt-5"}}, {"@models": {"m": "gpt-4.1"}}),
        "messages-empty": ({"messages": []}, {"messages": [_user("u")]}),
        "parameter-missing": ({"messages.0.role": GONE}, {}),
        "type-wrong": ({"temperature": "hot"}, {"temperature": 0.5}),
        "unknown-nested-field": ({"messages.0.cache_control": {}}, {"messages.0.name": "n"}),
        "max-tokens-old": ({"model": "o3", "max_tokens": 9}, {"model": "o3", "max_completion_tokens": 9}),
        "effort-of-no-reasoner": ({"reasoning_effort": "low"}, {"model": "gpt-5", "reasoning_effort": "low"}),
        "effort-of-another-model": (
            {"model": "gpt-5-nano", "reasoning_effort": "none"},
            {"model": "gpt-5.1", "reasoning_effort": "none"},
        ),
        "system-of-o1-mini": (
            {"model": "o1-mini", "messages": [{"role": "system", "content": "s"}, _user("u")]},
            {"model": "o3-mini", "messages": [{"role": "system", "content": "s"}, _user("u")]},
        ),
        "sampling-while-reasoning": (
            {"model": "gpt-5-nano", "temperature": 0.5},
            {"model": "gpt-5.1", "temperature": 0.5, "reasoning_effort": "none"},
        ),
        "parameter-while-reasoning": ({"model": "gpt-5-nano", "stop": ["x"]}, {"model": "o3-mini", "stop": ["x"]}),
        "tools-beside-effort": (
            {"model": "gpt-5.4", "reasoning_effort": "low"},
            {"model": "gpt-5.4"},
        ),
        "tools-without-none": ({"model": "gpt-5.6"}, {"model": "gpt-5.6", "reasoning_effort": "none"}),
        "range-low": ({"temperature": -0.1}, {"temperature": 0}),
        "range-high": ({"top_p": 1.1}, {"top_p": 1}),
        "effort-unknown": (
            {"model": "any", "reasoning_effort": "extreme"},
            {"model": "any", "reasoning_effort": "max"},
        ),
        "tier-unknown": ({"service_tier": "on_demand"}, {"service_tier": "flex"}),
        "stops-many": ({"stop": list("abcde")}, {"stop": list("abcd")}),
        "options-without-stream": (
            {"stream_options": {"include_usage": True}},
            {"stream_options": {"include_usage": True}, "stream": True},
        ),
        "metadata-without-store": ({"metadata": {"a": "b"}}, {"metadata": {"a": "b"}, "store": True}),
        "top-logprobs-alone": ({"top_logprobs": 2}, {"top_logprobs": 2, "logprobs": True}),
        "format-not-strict": ({"response_format": _format(DISCRIMINATED)}, {"response_format": _format(ANY_OF)}),
        "json-unsaid": (
            {"response_format": {"type": "json_object"}},
            {"response_format": {"type": "json_object"}, "messages.0.content": "JSON, please"},
        ),
        "user-length": ({"user": "x" * 65}, {"user": "x" * 64}),
        "cache-key-length": ({"prompt_cache_key": "x" * 65}, {"prompt_cache_key": "x" * 64}),
        "metadata-size": (
            {"metadata": {str(n): "v" for n in range(17)}, "store": True},
            {"metadata": {str(n): "v" for n in range(16)}, "store": True},
        ),
        "metadata-length": (
            {"metadata": {"a": "x" * 513}, "store": True},
            {"metadata": {"a": "x" * 512}, "store": True},
        ),
        "tools-empty": ({"tools": []}, {"tools": GONE}),
        "choice-without-tools": ({"tools": GONE, "tool_choice": "auto"}, {"tool_choice": "auto"}),
        "tool-name": ({"tools.0.function.name": "a.b"}, {"tools.0.function.name": "x" * 64}),
        "tool-not-strict": ({"tools": _function(DEFAULTED, strict=True)}, {"tools": _function(DEFAULTED)}),
        "parameters-type": ({"tools": _function({"type": "array", "items": {}})}, {"tools": _function({})}),
        "parameters-union": ({"tools": _function(UNION)}, {"tools": _function(INNER_UNION)}),
        "parameters-items": ({"tools": _function(BARE_ARRAY)}, {"tools": _function(TYPED_ARRAY)}),
        "choice-unknown": ({"tool_choice": "any"}, {"tool_choice": "required"}),
        "choice-of-no-tool": (
            {"tool_choice": {"type": "function", "function": {"name": "x"}}},
            {"tool_choice": {"type": "function", "function": {"name": "w"}}},
        ),
        "calls-empty": ({"messages.1.tool_calls": []}, {"messages": ANSWERED}),
        "content-null": ({"messages.0.content": None}, {"messages.0.content": ""}),
        "content-empty": (
            {"messages.0.content": []},
            {"messages.0.content": [{"type": "text", "text": "u"}]},
        ),
        "result-image": (
            {"messages.2.content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]},
            {"messages.2.content": [{"type": "text", "text": "r"}]},
        ),
        "result-part": (
            {"messages.2.content": [{"type": "refusal", "refusal": "r"}]},
            {"messages.2.content": [{"type": "text", "text": "r"}]},
        ),
        "call-id-missing": ({"messages.1.tool_calls.0.id": ""}, {}),
        "call-id-long": (
            {"messages.1.tool_calls.0.id": "c" * 41},
            {"messages.1.tool_calls.0.id": "c" * 40, "messages.2.tool_call_id": "c" * 40},
        ),
        "call-name": (
            {"messages.1.tool_calls.0.function.name": "a b"},
            {"messages.1.tool_calls.0.function.name": "another"},
        ),
        "call-id-twice": ({"messages.1.tool_calls.1.id": "c1"}, {}),
        "result-missing": ({"messages.3": GONE}, {}),
        "result-of-no-call": ({"messages.3.tool_call_id": "c3"}, {}),
        "signature-foreign": (
            {"messages.1.reasoning_details": [{"type": "reasoning.text", "signature": "sig:x:s:0.0"}]},
            {"messages.1.reasoning_details": [{"type": "reasoning.text", "signature": "sig:p:s:0.0"}]},
        ),
    },
    "openai-responses": {
        "key-missing": ({"@headers": {}}, {"@headers": {"Authorization": "Bearer k"}}),
        "key-wrong": ({"@headers": {"authorization": "Bearer x"}}, {"@headers": {"authorization": "k"}}),
        "body-not-json": ({"@body": []}, {}),
        "parameter-missing": ({"tools.0.name": GONE}, {"tools.0.strict": None}),
        "type-wrong": ({"temperature": "hot"}, {"temperature": None}),
        "value-unknown": ({"service_tier": "on_demand"}, {"service_tier": "flex"}),
        "id-prefix": ({"input.2.id": "chatcmpl-1"}, {"input.2.id": "msg_1"}),
        "string-empty": ({"input.3.call_id": ""}, {}),
        "string-long": (
            {"input.3.call_id": "c" * 65},
            {"input.3.call_id": "c" * 64, "input.4.call_id": "c" * 64},
        ),
        "name-pattern": ({"input.3.name": "a.b"}, {"input.3.name": "a-b"}),
        "image-url": ({"input.5.content.0.image_url": "iVBOR"}, {"input.5.content.0.image_url": "data:image/png;,aa"}),
        "field-renamed": ({"max_tokens": 16}, {"max_output_tokens": 16}),
        "field-unknown": ({"stop": ["x"]}, {"stop": ["x"], "@habits": ("ignores_unknown",)}),
        "model-unknown": ({"@models": {"m": "gpt-5"}}, {"@models": {"m": "gpt-4.1"}}),
        "input-empty": ({"input": []}, {"input": "u"}),
        "range-low": ({"max_output_tokens": 15}, {"max_output_tokens": 16}),
        "range-high": ({"temperature": 2.1}, {"temperature": 2}),
        "options-without-stream": (
            {"stream_options": {"include_obfuscation": False}},
            {"stream_options": {"include_obfuscation": False}, "stream": True},
        ),
        "parameters-type": ({"tools.0.parameters": {"type": "string"}}, {"tools.0.parameters": {}}),
        "parameters-union": ({"tools.0.parameters": UNION}, {"tools.0.parameters": INNER_UNION}),
        "parameters-items": ({"tools.0.parameters": BARE_ARRAY}, {"tools.0.parameters": TYPED_ARRAY}),
        "tool-not-strict": (
            {"tools.0.parameters": DEFAULTED, "tools.0.strict": True},
            {"tools.0.parameters": DEFAULTED, "tools.0.strict": False},
        ),
        "required-without-tools": ({"tools": [], "tool_choice": "required"}, {"tools": [], "tool_choice": "auto"}),
        "choice-of-no-tool": (
            {"tool_choice": {"type": "function", "name": "x"}},
            {"tool_choice": {"type": "function", "name": "w"}},
        ),
        "hosted-choice-of-no-tool": (
            {"tool_choice": {"type": "web_search"}},
            {"tool_choice": {"type": "web_search"}, "tools": [{"type": "web_search"}]},
        ),
        "format-not-strict": ({"text": _text_format(DISCRIMINATED)}, {"text": _text_format(ANY_OF)}),
        "json-unsaid": (
            {"text": {"format": {"type": "json_object"}}},
            {"text": {"format": {"type": "json_object"}}, "input.0.content": "JSON, please"},
        ),
        "user-length": ({"safety_identifier": "x" * 65}, {"safety_identifier": "x" * 64}),
        "cache-key-length": ({"prompt_cache_key": "x" * 65}, {"prompt_cache_key": "x" * 64}),
        "metadata-size": (
            {"metadata": {str(n): "v" for n in range(17)}},
            {"metadata": {str(n): "v" for n in range(16)}},
        ),
        "metadata-length": ({"metadata": {"a": "x" * 513}}, {"metadata": {"a": "x" * 512}}),
        "previous-unknown": ({"previous_response_id": "resp_1"}, {"previous_response_id": None}),
        "reference-unknown": ({"input": [{"type": "item_reference", "id": "msg_1"}]}, {"input": [_user("u")]}),
        "reasoning-not-stored": (
            {"input.1": {"type": "reasoning", "id": "rs_1", "summary": []}, "store": False},
            {"input.1": {"type": "reasoning", "id": "rs_1", "summary": []}},
        ),
        "signature-foreign": (
            {"input.1.encrypted_content": "sig:x:s:0.0"},
            {"input.1.encrypted_content": "sig:openai-responses:s:1.0"},
        ),
        "reasoning-alone": ({"input.1.id": "rs_1", "input.2": _user("v")}, {"input.1.id": "rs_1"}),
        "output-of-no-call": ({"input.4.call_id": "c2"}, {}),
        "output-missing": ({"input.4": GONE}, {}),
        "effort-of-no-reasoner": ({"reasoning": {"effort": "low"}}, {"reasoning": {"summary": "auto"}}),
        "effort-of-another-model": (
            {"model": "gpt-5.1", "reasoning": {"effort": "minimal"}},
            {"model": "gpt-5-mini", "reasoning": {"effort": "minimal"}},
        ),
        "sampling-while-reasoning": ({"model": "gpt-5-mini", "top_p": 0.5}, {"model": "gpt-5-mini", "top_p": 1}),
        "logprobs-while-reasoning": (
            {"model": "gpt-5-mini", "include": ["message.output_text.logprobs"]},
            {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
        ),
        "penalty": ({"presence_penalty": 1}, {"presence_penalty": 1, "@habits": ("ignores_unknown",)}),
    },
    "anthropic": {
        "key-missing": ({"@headers": {"anthropic-version": "2023-06-01"}}, {}),
        "key-wrong": ({"@headers": KEY | {"x-api-key": "x"}}, {}),
        "version-missing": ({"@headers": {"x-api-key": "k"}}, {}),
        "body-not-json": ({"@body": []}, {}),
        "field-missing": ({"max_tokens": GONE}, {"max_tokens": GONE, "@path": "/v1/messages/count_tokens"}),
        "unknown-field": (
            {"output_format": {"type": "json_schema", "schema": STRICT}},
            {
                "output_format": {"type": "json_schema", "schema": STRICT},
                "thread": {"type": "create"},
                "@headers": KEY | {"anthropic-beta": "a-b, structured-outputs-2025-11-13,message-threads-2026-08-12"},
            },
        ),
        "field-null": ({"top_k": None}, {"container": None}),
        "model-unknown": ({"@models": {"m": "claude-0"}}, {"@models": {"m": "claude-sonnet-4-5"}}),
        "type-wrong": ({"stop_sequences": [1]}, {"stop_sequences": ["1"]}),
        "unknown-nested-field": ({"tools.0.function": {}}, {"tools.0.cache_control": {"type": "ephemeral"}}),
        "range": ({"temperature": 1.1}, {"temperature": 1}),
        "max-tokens-low": ({"max_tokens": 0}, {"max_tokens": 1}),
        "stop-blank": ({"stop_sequences": ["\n"]}, {"stop_sequences": ["\n."]}),
        "schema-recursive": ({"output_config": _output(RECURSIVE)}, {"output_config": _output(REFERRING)}),
        "schema-keyword": ({"output_config": _output(DISCRIMINATED)}, {"output_config": _output(ANY_OF)}),
        "tool-name": ({"tools.0.name": "a.b"}, {"tools.0.name": "x" * 128}),
        "schema-missing": ({"tools.0.input_schema": GONE}, {}),
        "schema-type-missing": ({"tools.0.input_schema": {}}, {}),
        "schema-type": ({"tools.0.input_schema": {"type": "string"}}, {}),
        "schema-union": ({"tools.0.input_schema": UNION}, {"tools.0.input_schema": INNER_UNION}),
        "schema-not-strict": (
            {"tools.0.input_schema": BOUNDED, "tools.0.strict": True},
            {"tools.0.input_schema": BOUNDED},
        ),
        "tool-names-twice": (
            {"tools": [{"name": "w", "input_schema": {"type": "object"}}] * 2},
            {"tools": [{"name": name, "input_schema": {"type": "object"}} for name in "wv"]},
        ),
        "choice-without-tools": ({"tools": GONE, "tool_choice": {"type": "none"}}, {"tool_choice": {"type": "none"}}),
        "choice-none-parallel": (
            {"tool_choice": {"type": "none", "disable_parallel_tool_use": True}},
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        ),
        "choice-of-no-tool": (
            {"tool_choice": {"type": "tool", "name": "x"}},
            {"tool_choice": {"type": "tool", "name": "w"}},
        ),
        "messages-empty": ({"messages": []}, {"messages": [_user("u")]}),
        "breakpoints-many": ({"system": [MARKED] * 5}, {"system": [MARKED] * 4}),
        "system-role": (
            {"messages": [_user("u"), {"role": "system", "content": "s"}]},
            {"messages": [_user("u"), {"role": "system", "content": "s"}], "model": "claude-opus-4-8"},
        ),
        "content-missing": ({"messages.0.content": GONE}, {}),
        "content-empty": ({"messages.0.content": []}, {"messages": [_user("u"), {"role": "assistant", "content": []}]}),
        "call-id-pattern": (
            {"messages.1.content.1.id": "a.b"},
            {"messages.1.content.1.id": "a-b", "messages.2.content.0.tool_use_id": "a-b"},
        ),
        "call-name": ({"messages.1.content.1.name": "a.b"}, {"messages.1.content.1.name": "another"}),
        "call-input-missing": ({"messages.1.content.1.input": GONE}, {}),
        "call-of-a-user": (
            {"messages.0.content": [{"type": "tool_use", "id": "c0", "name": "w", "input": {}}]},
            {},
        ),
        "result-of-an-assistant": (
            {"messages": [_user("u"), {"role": "assistant", "content": [{"type": "tool_result", "tool_use_id": "c"}]}]},
            {},
        ),
        "image-type": (
            {"messages.0.content": [{"type": "image", "source": _source("image/bmp")}]},
            {"messages.0.content": [{"type": "image", "source": _source("image/webp")}]},
        ),
        "document-type": (
            {"messages.0.content": [{"type": "document", "source": _source("text/csv")}]},
            {"messages.0.content": [{"type": "document", "source": _source("application/pdf")}]},
        ),
        "signature-missing": ({"messages.1.content.0.signature": GONE}, {}),
        "signature-invalid": (
            {"messages.1.content.0.signature": "sig:x:s:0.0"},
            {"messages.1.content.0.signature": "sig:anthropic:s:1.0"},
        ),
        "redacted-invalid": (
            {"messages.1.content.0": {"type": "redacted_thinking", "data": "sig:anthropic:s:0.0"}},
            {"messages.1.content.0": {"type": "redacted_thinking", "data": "sig:anthropic:s:0.0:redacted"}},
        ),
        "text-empty": ({"messages.2.content.2.text": ""}, {"messages.2.content.2.text": "."}),
        "text-blank": (
            {"messages.2.content.2.text": " \n"},
            {"messages.0.content": [{"type": "text", "text": " "}, {"type": "text", "text": "u"}]},
        ),
        "end-blank": (
            {"messages": [_user("u"), {"role": "assistant", "content": "well "}]},
            {"messages": [_user("u"), {"role": "assistant", "content": "well"}]},
        ),
        "call-id-twice": (
            {"messages.1.content.2.id": "c1"},
            {
                "messages": [
                    _user("u"),
                    *[
                        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "w", "input": {}}]},
                        _user([{"type": "tool_result", "tool_use_id": "c1", "content": "r"}]),
                    ]
                    * 2,
                ]
            },
        ),
        "result-missing": ({"messages.2.content.1": GONE}, {}),
        "result-of-no-call": ({"messages.1": GONE}, {}),
        "result-twice": (
            {"messages.2.content.2": {"type": "tool_result", "tool_use_id": "c1", "content": "r"}},
            {},
        ),
        "thinking-left-out": ({"thinking": THINK, "messages.1.content.0": GONE}, {"thinking": THINK}),
        "thinking-of-no-thinker": (
            {"thinking": THINK, "model": "claude-3-5-haiku-latest"},
            {"thinking": THINK, "model": "claude-3-7-sonnet-latest"},
        ),
        "thinking-budget-gone": (
            {"thinking": THINK, "model": "claude-opus-4-7"},
            {"thinking": THINK, "model": "claude-opus-4-6"},
        ),
        "thinking-not-adaptive": (
            {"thinking": {"type": "adaptive"}},
            {"thinking": {"type": "adaptive"}, "model": "claude-sonnet-4-6"},
        ),
        "thinking-not-off": (
            {"thinking": {"type": "disabled"}, "model": "claude-fable-5"},
            {"thinking": {"type": "disabled"}, "model": "claude-sonnet-5"},
        ),
        "thinking-off-at-high-effort": (
            {"thinking": {"type": "disabled"}, "output_config": {"effort": "xhigh"}, "model": "claude-opus-5"},
            {"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}, "model": "claude-opus-5"},
        ),
        "effort-unknown": (
            {"output_config": {"effort": "extreme"}, "model": "claude-opus-5"},
            {"output_config": {"effort": "max"}, "model": "claude-opus-5"},
        ),
        "effort-of-no-model": (
            {"output_config": {"effort": "low"}},
            {"output_config": {"effort": "low"}, "model": "claude-opus-4-5"},
        ),
        "effort-of-another-model": (
            {"output_config": {"effort": "xhigh"}, "model": "claude-opus-4-6"},
            {"output_config": {"effort": "max"}, "model": "claude-opus-4-6"},
        ),
        "sampling-gone": (
            {"temperature": 0.5, "model": "claude-opus-4-7"},
            {"temperature": 1, "model": "claude-opus-4-7"},
        ),
        "sampling-both": (
            {"temperature": 0.5, "top_p": 0.5},
            {"temperature": 0.5, "top_p": 0.5, "model": "claude-sonnet-4-0"},
        ),
        "max-tokens-high": ({"max_tokens": 64_001}, {"max_tokens": 64_000}),
        "prefill": (
            {"messages": ANSWERED, "model": "claude-opus-4-6"},
            {"messages": ANSWERED},
        ),
        "tools-forced": (
            {"tool_choice": FORCE, "model": "claude-opus-5-5"},
            {"tool_choice": FORCE, "model": "claude-opus-5"},
        ),
        "budget-missing": ({"thinking": {"type": "enabled"}}, {"thinking": THINK}),
        "budget-low": ({"thinking": THINK | {"budget_tokens": 1023}}, {"thinking": THINK}),
        "budget-high": (
            {"thinking": THINK | {"budget_tokens": 2000}},
            {"thinking": THINK | {"budget_tokens": 1999}},
        ),
        "temperature-while-thinking": ({"thinking": THINK, "temperature": 0.5}, {"thinking": THINK, "temperature": 1}),
        "top-k-while-thinking": ({"thinking": THINK, "top_k": 5}, {"top_k": 5}),
        "top-p-while-thinking": ({"thinking": THINK, "top_p": 0.94}, {"thinking": THINK, "top_p": 0.95}),
        "forced-while-thinking": (
            {"thinking": THINK, "tool_choice": FORCE},
            {"thinking": {"type": "adaptive"}, "tool_choice": FORCE, "model": "claude-opus-4-6"},
        ),
    },
    "gemini": {
        "key-missing": ({"@headers": {}}, {"@headers": {}, "@path": f"{PATHS['gemini']}?key=k"}),
        "key-wrong": ({"@headers": {"x-goog-api-key": "x"}}, {}),
        "model-unknown": ({"@models": {"m": "gemini-0"}}, {"@models": {"m": "gemini-2.5-flash"}}),
        "body-not-json": ({"@body": []}, {}),
        "schema-violation": ({"stream": True}, {"store": True}),
        "contents-missing": ({"contents": []}, {"contents": NO_CALLS}),
        "role-unknown": ({"contents.0.role": "system"}, {"contents.0.role": GONE}),
        "parts-empty": ({"contents.0.parts": []}, {"contents.0.parts": [{"text": ""}]}),
        "part-empty": ({"contents.0.parts": [{}]}, {"contents.0.parts": [{"text": ""}]}),
        "name-empty": ({"contents.1.parts.0.functionCall.name": ""}, {}),
        "value-invalid": ({"generationConfig": {"topK": 1, "top_k": 1}}, {"generationConfig": {"top_k": 1}}),
        "range": ({"generationConfig": {"temperature": 2.1}}, {"generationConfig": {"temperature": 2}}),
        "not-positive": ({"generationConfig": {"topK": 0}}, {"generationConfig": {"topK": 1}}),
        "stops-many": (
            {"generationConfig": {"stopSequences": list("abcdef")}},
            {"generationConfig": {"stopSequences": list("abcde")}},
        ),
        "schemas-two": (
            _gemini(
                "gemini-3-pro-preview",
                generationConfig={
                    "responseSchema": {},
                    "responseJsonSchema": {},
                    "responseMimeType": "application/json",
                },
            ),
            _gemini(
                "gemini-3-pro-preview",
                generationConfig={"responseJsonSchema": {}, "responseMimeType": "application/json"},
            ),
        ),
        "schema-without-type": (
            _gemini("gemini-3-pro-preview", generationConfig={"responseJsonSchema": {}}),
            _gemini(
                "gemini-3-pro-preview",
                generationConfig={"responseJsonSchema": {}, "responseMimeType": "application/json"},
            ),
        ),
        "cache-beside-tools": (
            {"cachedContent": "cachedContents/1"},
            {"cachedContent": "cachedContents/1", "tools": GONE},
        ),
        "level-and-budget": (
            _gemini(
                "gemini-3-pro-preview",
                generationConfig={"thinkingConfig": {"thinkingLevel": "LOW", "thinkingBudget": 9}},
            ),
            _gemini("gemini-3-pro-preview", generationConfig={"thinkingConfig": {"thinkingBudget": 6400}}),
        ),
        "thinking-of-no-thinker": (
            _gemini("gemini-2.0-flash", generationConfig={"thinkingConfig": {"thinkingBudget": 500}}),
            _gemini("gemini-2.5-flash", generationConfig={"thinkingConfig": {"thinkingBudget": 500}}),
        ),
        "level-of-no-model": (_level("gemini-2.5-flash", "low"), _level("gemini-3-flash-preview", "low")),
        "level-of-another-model": (
            _level("gemini-3.8-flash", "MINIMAL"),
            _level("gemini-3-flash-preview", "MINIMAL"),
        ),
        "budget-zero": (
            _gemini("gemini-2.5-pro", generationConfig={"thinkingConfig": {"thinkingBudget": 0}}),
            _gemini("gemini-2.5-flash", generationConfig={"thinkingConfig": {"thinkingBudget": 0}}),
        ),
        "budget-range": (
            _gemini("gemini-2.5-pro", generationConfig={"thinkingConfig": {"thinkingBudget": 127}}),
            _gemini("gemini-2.5-pro", generationConfig={"thinkingConfig": {"thinkingBudget": 128}}),
        ),
        "thoughts-without-thinking": (
            {"generationConfig": {"thinkingConfig": {"thinkingBudget": 0, "includeThoughts": True}}},
            {"generationConfig": {"thinkingConfig": {"thinkingBudget": 0, "includeThoughts": False}}},
        ),
        "functions-and-json": (
            {"generationConfig": {"responseMimeType": "application/json"}},
            _gemini("gemini-3-flash-preview", generationConfig={"responseMimeType": "application/json"}),
        ),
        "search-and-functions": ({"tools": BOTH_TOOLS}, {"tools": CODE_TOO}),
        "search-and-json": (
            {"tools": SEARCH, "generationConfig": {"responseMimeType": "application/json"}},
            _gemini("gemini-3.5-flash", tools=SEARCH, generationConfig={"responseMimeType": "application/json"}),
        ),
        "search-unannounced": (
            _gemini("gemini-3-flash-preview", tools=BOTH_TOOLS),
            _gemini("gemini-3-flash-preview", tools=BOTH_TOOLS, toolConfig={"includeServerSideToolInvocations": True}),
        ),
        "tool-name": (
            {"tools.0.functionDeclarations.0.name": "1st"},
            {"tools.0.functionDeclarations.0.name": "a.b:c-d"},
        ),
        "tool-names-twice": ({"tools": [{"functionDeclarations": [{"name": "w"}, {"name": "w"}]}]}, {}),
        "parameters-two": (
            {"tools.0.functionDeclarations.0.parametersJsonSchema": {}},
            {"tools.0.functionDeclarations.0": {"name": "w", "parametersJsonSchema": {}}},
        ),
        "parameters-type": ({"tools.0.functionDeclarations.0.parameters": {"type": "STRING"}}, {}),
        "config-without-functions": (
            {"tools": SEARCH, "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}}},
            _gemini(
                "gemini-3-flash-preview",
                tools=SEARCH,
                toolConfig={"functionCallingConfig": {"mode": "AUTO"}},
            ),
        ),
        "mode-unknown": (
            {"toolConfig": {"functionCallingConfig": {"mode": "REQUIRED"}}},
            {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
        ),
        "allowed-without-any": (
            {"toolConfig": {"functionCallingConfig": {"allowedFunctionNames": ["w"]}}},
            {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["w"]}}},
        ),
        "allowed-unknown": (
            {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["x"]}}},
            {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["w"]}}},
        ),
        "responses-unequal": ({"contents.2": GONE}, {}),
        "response-of-no-call": ({"contents.1": GONE}, {}),
        "call-first": ({"contents.0": GONE}, {}),
        "signature-foreign": (
            {"contents.1.parts.0.thoughtSignature": _sealed("sig:x:s:0.0")},
            {"contents.1.parts.0.thoughtSignature": _sealed("sig:gemini:s:0.0")},
        ),
        "signature-missing": (
            {"@path": "/v1beta/models/gemini-3-pro-preview:generateContent"},
            {
                "@path": "/v1beta/models/gemini-3-pro-preview:generateContent",
                "contents.1.parts.0.thoughtSignature": "skip_thought_signature_validator",
            },
        ),
    },
    "ollama": {
        "key-wrong": ({"@headers": {}}, {}),
        "body-not-json": ({"@body": []}, {}),
        "generate-type-wrong": ({"@path": "/api/generate", "prompt": 5}, {"@path": "/api/generate", "prompt": None}),
        "generate-raw": (
            {"@path": "/api/generate", "raw": True, "system": "s"},
            {"@path": "/api/generate", "raw": True, "prompt": "p"},
        ),
        "generate-insert": ({"@path": "/api/generate", "suffix": "s"}, {"@path": "/api/generate", "suffix": ""}),
        "type-wrong": ({"messages.0.content": []}, {"messages.0.content": None}),
        "image-not-base64": ({"messages.0.images": ["https://x"]}, {"messages.0.images": None}),
        "think-level": ({"think": "minimal"}, {"think": "max"}),
        "think-type": ({"think": 1024}, {"think": False}),
        "model-missing": ({"model": ""}, {}),
        "model-unknown": ({"@models": {"m": "llama3.2:70b"}}, {"@models": {"m": "llama3.2:latest"}}),
        "thinking-not-supported": (
            {"think": True, "@capabilities": ("tools",)},
            {"think": False, "@capabilities": ("tools",)},
        ),
        "tools-not-supported": ({"@capabilities": ("text",)}, {"@capabilities": ("text", "tools")}),
        "option-type": ({"options": {"num_predict": True}}, {"options": {"num_predict": -1}}),
        "option-items": ({"options": {"stop": [1]}}, {"options": {"stop": ["1"]}}),
        "format-unknown": ({"format": "xml"}, {"format": "json"}),
        "value-invalid": ({"messages.0.role": "owl"}, {"messages.0.role": "System"}),
    },
}


class RuleCase(Struct, frozen=True):
    """A request: path, headers and body, and the provider's models, capabilities and habits."""

    path: str
    headers: dict[str, str]
    body: Any
    models: dict[str, str] = {}
    capabilities: tuple[str, ...] = ()
    habits: tuple[str, ...] = ()


def rule_case(protocol: str, patch: Patch) -> RuleCase:
    """Returns the protocol's good request with the patch applied."""
    body = copy.deepcopy(BODIES[protocol])
    for path, value in patch.items():
        if path.startswith("@"):
            continue
        *steps, last = [int(step) if step.isdecimal() else step for step in path.split(".")]
        place: Any = body
        for step in steps:
            place = place[step]
        if value is GONE:
            del place[last]
        else:
            place[last] = copy.deepcopy(value)
    return RuleCase(
        patch.get("@path", PATHS[protocol]),
        patch.get("@headers", KEY),
        patch.get("@body", body),
        patch.get("@models", {}),
        patch.get("@capabilities", ()),
        patch.get("@habits", ()),
    )
