"""The literal tables of OpenAI Responses: stop reasons, event names, error words, quirks, bounds."""

from __future__ import annotations

import re

from ...ir import (
    Block,
    Reasoning,
    Refusal,
    StopReason,
    Text,
)

NAME = "openai-responses"

STOPS: dict[str, StopReason] = {
    "completed": "end",
    "max_output_tokens": "length",
    "content_filter": "filter",
}
"""The response's `status`, or where that is `incomplete` the reason for it."""
INCOMPLETE: dict[StopReason, str] = {"length": "max_output_tokens", "filter": "content_filter"}
"""Stops that make a response incomplete; every other one completes it."""
INEXACT_STOPS = ("pause", "other")
STATUSES = ("completed", "in_progress", "queued", "cancelled")
"""Native words that are a status; every other one is a reason for an incomplete response."""

STORE = "response.store"
"""The wish to fetch this answer later, or to go on from it; a chat's `store` is one for the provider's own records."""

STORED = ("previous_response_id", "conversation", "prompt")
"""Fields that stand for input which only the provider's store holds."""

USER_SIDE = ("mcp_approval_response",)
"""Items that the client says, beside all whose type ends in `_output`; the model says every other one."""

PLACED = "additional_tools"
"""The kind of item that brings tools among the input, and the mark on each tool that came so."""

ECHO = (
    "created_at",
    "completed_at",
    "background",
    "metadata",
    "temperature",
    "top_p",
    "top_logprobs",
    "presence_penalty",
    "frequency_penalty",
    "max_output_tokens",
    "max_tool_calls",
    "parallel_tool_calls",
    "previous_response_id",
    "conversation",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "text",
    "truncation",
    "user",
    "billing",
    "tool_usage",
    "access_programs",
    "content_filters",
)
"""Fields of a response that repeat the request, and book-keeping: nothing that the model said."""
ECHO_KEY = "response.echo"
"""Where a reply's `own` keeps them."""

# ---- streams ---------------------------------------------------------------------------------------------------------

DELTAS: dict[str, tuple[str, Block | None]] = {
    "response.output_text.delta": ("content", Text("")),
    "response.refusal.delta": ("content", Refusal("")),
    "response.reasoning_text.delta": ("content", Reasoning("")),
    "response.reasoning_summary_text.delta": ("summary", Reasoning("", summary=True)),
    "response.function_call_arguments.delta": ("call", None),
    "response.custom_tool_call_input.delta": ("call", None),
    # Open Responses' spelling: https://www.openresponses.org/reference
    "response.reasoning.delta": ("content", Reasoning("")),
    "response.reasoning_summary.delta": ("summary", Reasoning("", summary=True)),
}
"""Events that carry a piece of a part: which list of the item the part is in, and the block that it begins."""
DONES: dict[str, tuple[str, str]] = {
    "response.output_text.done": ("content", "text"),
    "response.refusal.done": ("content", "refusal"),
    "response.reasoning_text.done": ("content", "text"),
    "response.reasoning_summary_text.done": ("summary", "text"),
    "response.function_call_arguments.done": ("call", "arguments"),
    "response.custom_tool_call_input.done": ("call", "input"),
    "response.reasoning.done": ("content", "text"),
    "response.reasoning_summary.done": ("summary", "text"),
}
"""Events that repeat a part's whole text, and the key that it is under."""
PARTS: dict[str, str] = {
    "response.content_part.added": "content",
    "response.content_part.done": "content",
    "response.reasoning_summary_part.added": "summary",
    "response.reasoning_summary_part.done": "summary",
}
STARTS = ("response.created", "response.queued", "response.in_progress")
FAULTS = ("error", "response.error")
ENDS = ("response.completed", "response.incomplete", "response.failed")

# ---- errors ----------------------------------------------------------------------------------------------------------

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
# The closed list of `response.error.code`: https://platform.openai.com/docs/api-reference/responses/object
# `context_length_exceeded` is not on it, but the API sends it and clients compact their history on reading it:
# https://github.com/openai/codex/blob/main/codex-rs/codex-api/src/sse/responses.rs
STREAM_CODES: dict[str, str] = {
    "rate_limit": "rate_limit_exceeded",
    "context_length": "context_length_exceeded",
    "bad_request": "invalid_prompt",
    "content_filter": "invalid_prompt",
    "unprocessable": "invalid_prompt",
}
"""Every other kind is a `server_error`."""
KINDS: dict[str, str] = {
    "context_length_exceeded": "context_length",
    "model_not_found": "model_not_found",
    "content_filter": "content_filter",
    "bio_policy": "content_filter",
    "misalignment_policy_violation": "content_filter",
    "image_content_policy_violation": "content_filter",
    "invalid_prompt": "bad_request",
    "data_residency_mismatch": "bad_request",
    "invalid_image": "bad_request",
    "invalid_image_format": "bad_request",
    "invalid_base64_image": "bad_request",
    "invalid_image_url": "bad_request",
    "image_too_large": "bad_request",
    "image_too_small": "bad_request",
    "image_parse_error": "bad_request",
    "invalid_image_mode": "bad_request",
    "image_file_too_large": "bad_request",
    "unsupported_image_media_type": "bad_request",
    "empty_image_file": "bad_request",
    "failed_to_download_image": "bad_request",
    "image_file_not_found": "bad_request",
    "invalid_request_error": "bad_request",
    "rate_limit_exceeded": "rate_limit",
    "insufficient_quota": "rate_limit",
    "rate_limit_error": "rate_limit",
    "too_many_requests": "rate_limit",
    "overloaded": "overloaded",
    "overloaded_error": "overloaded",
    "server_is_overloaded": "overloaded",
    "slow_down": "overloaded",
    "vector_store_timeout": "upstream_error",
}
"""An upstream's `code` or `type`, where it says more than the HTTP status."""
CONTEXT_LENGTH = re.compile(r"exceeds? the (?:model's )?context window|maximum context length", re.IGNORECASE)
"""How hosts that give no code say that the input is too long."""

# ---- bounds ----------------------------------------------------------------------------------------------------------

# "name: maxLength 64, minLength 1, pattern ^[a-zA-Z0-9_-]+$", "call_id: maxLength 64, minLength 1"
# (FunctionToolParam, FunctionCallItemParam)
# https://github.com/openresponses/openresponses/blob/main/public/openapi/openapi.json
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
CALL_ID_LENGTH = 64

# "max_output_tokens: minimum 16" (CreateResponseBody)
# https://github.com/openresponses/openresponses/blob/main/public/openapi/openapi.json
LIMITS = {"min_output_tokens": 16}

QUIRKS = {
    "no_encrypted_reasoning": "refuses include: reasoning.encrypted_content",
    "reasoning_text": "takes unsigned thinking back as reasoning_text, as hosts of open models do",
    "penalties": "takes presence_penalty and frequency_penalty, as Open Responses hosts do",
    "no_parallel_tool_calls": "refuses parallel_tool_calls",
}

JSON_HINT = "Answer with one JSON object and nothing else."
"""What asks for JSON where nobody said the word, which this API wants to hear."""

CHAT_FIELDS: dict[str, str] = {
    **{
        name: name
        for name in (
            *("metadata", "service_tier", "store", "safety_identifier"),
            *("prompt_cache_key", "prompt_cache_retention"),
        )
    },
    "verbosity": "text.verbosity",
}
"""What a chat client asks in OpenAI's other protocol, and the same thing's name here.

https://platform.openai.com/docs/guides/migrate-to-responses
"""
