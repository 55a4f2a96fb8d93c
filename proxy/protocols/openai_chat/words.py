"""The literal tables of OpenAI Chat Completions: stop reasons, error words, quirks, bounds."""

from __future__ import annotations

import re

from ...ir import (
    StopReason,
)

NAME = "openai-chat"

STOPS: dict[str, StopReason] = {
    "stop": "end",
    "length": "length",
    "tool_calls": "tool",
    "function_call": "tool",
    "content_filter": "filter",
}
STOP_WORDS: dict[StopReason, str] = {
    "end": "stop",
    "length": "length",
    "tool": "tool_calls",
    "stop_sequence": "stop",
    "filter": "content_filter",
    "pause": "stop",
    "other": "stop",
}
INEXACT_STOPS = ("pause", "other")

# https://platform.openai.com/docs/guides/error-codes
ERROR_TYPES: dict[str, str] = {
    "permission": "permission_error",
    "rate_limit": "rate_limit_error",
    "internal": "server_error",
    "upstream_auth": "server_error",
    "no_credentials": "server_error",
    "upstream_error": "server_error",
    "upstream_cut": "server_error",
    "upstream_garbage": "server_error",
    "upstream_unreachable": "server_error",
    "overloaded": "server_error",
    "draining": "server_error",
    "upstream_timeout": "server_error",
}
"""Every other kind is an `invalid_request_error` where its status is the client's, else what `internal` is."""
ERROR_CODES: dict[str, str] = {
    "authentication": "invalid_api_key",
    "context_length": "context_length_exceeded",
    "not_found": "not_found",
    "too_large": "request_too_large",
    "media_type": "unsupported_media_type",
    "rate_limit": "rate_limit_exceeded",
}
EMPTY = "\0empty\0"
"""What stands before the seal in the token of a thought without a word, which was not redacted by its provider."""
KINDS: dict[str, str] = {
    "context_length_exceeded": "context_length",
    "too_many_prompt_tokens": "context_length",
    "model_not_found": "model_not_found",
    "content_filter": "content_filter",
    "rate_limit_exceeded": "rate_limit",
    "insufficient_quota": "rate_limit",
    "rate_limit_error": "rate_limit",
    "overloaded": "overloaded",
    "overloaded_error": "overloaded",
    "server_is_overloaded": "overloaded",
}
"""An upstream's `code` or `type`, where it says more than the HTTP status."""
# "This model's maximum context length is 8192 tokens. However, you requested …" https://github.com/vllm-project/vllm,
# "This endpoint's maximum context length is …" https://openrouter.ai/docs/api-reference/errors
CONTEXT_LENGTH = re.compile(r"exceeds? the (?:model's )?context window|max(?:imum)? context length", re.IGNORECASE)
"""How hosts that give no code say that the prompt is too long."""

PLAIN_CHUNK = frozenset(
    (
        "id",
        "object",
        "created",
        "model",
        "choices",
        "usage",
        "system_fingerprint",
        "service_tier",
        "obfuscation",
        "provider",
    )
)
PLAIN_CHOICE = frozenset(("index", "delta", "finish_reason", "logprobs", "native_finish_reason"))
PLAIN_DELTA = frozenset(("role", "content"))
"""The keys of a chunk, its choice and its delta that say no more than another piece of text."""

# "The name of the function to be called. Must be a-z, A-Z, 0-9, or contain underscores and dashes, with a maximum
# length of 64." https://platform.openai.com/docs/api-reference/chat/create
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")

QUIRKS = {
    "max_tokens": "knows only the older max_tokens, not max_completion_tokens",
    "no_developer": "knows no developer role; such messages are sent as system",
    "no_stream_options": "refuses stream_options; usage comes unasked or not at all",
    "no_parallel_tool_calls": "refuses parallel_tool_calls",
    "no_reasoning_effort": "refuses reasoning_effort",
    "top_k": "takes top_k, as many open hosts do",
    "reasoning_content": "wants its reasoning_content back with every assistant message",
    "no_reasoning_content": "refuses what was thought in an assistant message, though the client sends it",
    "reasoning_details": "wants its signed reasoning_details back (OpenRouter)",
}


# "Up to 4 sequences where the API will stop generating further tokens."
# https://platform.openai.com/docs/api-reference/chat/create
# "Invalid 'messages[10].tool_calls[0].id': string too long. Expected a string with maximum length 40, but got a string
# with length 53 instead." https://github.com/agno-agi/agno/issues/5382
LIMITS = {"stop": 4, "tool_call_id": 40}

JSON_HINT = "Answer with one JSON object and nothing else."
"""What asks for JSON where nobody said the word, which this API wants to hear."""

RESPONSES_FIELDS: dict[str, str] = {
    **{
        name: name
        for name in (
            *("metadata", "service_tier", "store", "safety_identifier"),
            *("prompt_cache_key", "prompt_cache_retention"),
        )
    },
    "text.verbosity": "verbosity",
}
"""What a Responses client asks in OpenAI's other protocol, and the same thing's name here.

https://platform.openai.com/docs/guides/migrate-to-responses
"""
