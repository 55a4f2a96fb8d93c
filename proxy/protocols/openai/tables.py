"""Lookup tables of both Chat Completions and Responses: error types and codes, tool names, request fields."""

from __future__ import annotations

import re

CHAT = "openai-chat"
RESPONSES = "openai-responses"
"""The protocols' names, by which an encoder knows a request of the sibling protocol."""

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
    "loop": "server_error",
}
"""The `type` of an error by the kind of failure.

Every other kind is an `invalid_request_error` below status 500 and a `server_error` from there on.
"""
ERROR_CODES: dict[str, str] = {
    "authentication": "invalid_api_key",
    "context_length": "context_length_exceeded",
    "not_found": "not_found",
    "too_large": "request_too_large",
    "media_type": "unsupported_media_type",
    "rate_limit": "rate_limit_exceeded",
}
"""The `code` of an error by the kind of failure; every other kind keeps the failure's own code."""
KINDS: dict[str, str] = {
    "context_length_exceeded": "context_length",
    "model_not_found": "model_not_found",
    "content_filter": "content_filter",
    "rate_limit_exceeded": "rate_limit",
    "insufficient_quota": "rate_limit",
    "rate_limit_error": "rate_limit",
    "overloaded": "overloaded",
    "overloaded_error": "overloaded",
    "server_is_overloaded": "overloaded",
}
"""The kind of failure by an upstream's `code` or `type`, where that says more than the HTTP status."""
STATUS_KINDS = ("upstream_error", "overloaded", "rate_limit")
"""Kinds that only restate an HTTP status; beside a status below 429 they are ignored."""

INEXACT_STOPS = ("pause", "other")
"""Stop reasons for which neither protocol has a value."""

# "The name of the function to be called. Must be a-z, A-Z, 0-9, or contain underscores and dashes, with a maximum
# length of 64." https://platform.openai.com/docs/api-reference/chat/create
# "name: maxLength 64, minLength 1, pattern ^[a-zA-Z0-9_-]+$" (FunctionToolParam)
# https://github.com/openresponses/openresponses/blob/main/public/openapi/openapi.json
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")

JSON_HINT = "Answer with one JSON object and nothing else."
"""A system message for `json_object` where no message contains the word JSON, which both protocols require."""

EMPTY_MARK = "\0empty\0"
"""Prefix of another provider's signature on thinking that has no text and was not redacted.

It tells such thinking from redacted thinking and from a signature carrier. No provider's signature holds a NUL.
"""

# https://platform.openai.com/docs/guides/migrate-to-responses
CHAT_TO_RESPONSES: dict[str, str] = {
    "metadata": "metadata",
    "service_tier": "service_tier",
    "store": "store",
    "safety_identifier": "safety_identifier",
    "prompt_cache_key": "prompt_cache_key",
    "prompt_cache_retention": "prompt_cache_retention",
    "verbosity": "text.verbosity",
}
"""Request fields that both protocols have and the neutral form has not: their names in chat and in Responses."""
RESPONSES_TO_CHAT: dict[str, str] = {responses: chat for chat, responses in CHAT_TO_RESPONSES.items()}
