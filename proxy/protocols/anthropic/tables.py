"""Lookup tables of Anthropic Messages: stop reasons, error types, quirks and limits."""

from __future__ import annotations

import re

from ...ir import StopReason

NAME = "anthropic"

# https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
STOPS: dict[str, StopReason] = {
    "end_turn": "end",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool",
    "pause_turn": "pause",
    "refusal": "filter",
}
OTHER_STOPS: dict[str, StopReason] = {
    "stop": "end",
    "eos": "end",
    "length": "length",
    "tool_calls": "tool",
    "content_filter": "filter",
    "safety": "filter",
}
"""Stop reasons of other protocols, which hosts of this one write, in lower case."""
STOP_WORDS: dict[StopReason, str] = {
    "end": "end_turn",
    "length": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool": "tool_use",
    "pause": "pause_turn",
    "filter": "refusal",
    "other": "end_turn",
}
INEXACT_STOPS = ("other",)

# https://platform.claude.com/docs/en/api/errors
ERROR_TYPES: dict[str, str] = {
    "authentication": "authentication_error",
    "permission": "permission_error",
    # "402 - billing_error" https://platform.claude.com/docs/en/api/errors
    "budget": "billing_error",
    "over_limit": "rate_limit_error",
    "not_found": "not_found_error",
    "model_not_found": "not_found_error",
    "too_large": "request_too_large",
    "rate_limit": "rate_limit_error",
    "internal": "api_error",
    "upstream_auth": "api_error",
    "no_credentials": "api_error",
    "upstream_error": "api_error",
    "upstream_cut": "api_error",
    "upstream_garbage": "api_error",
    "upstream_unreachable": "api_error",
    "overloaded": "overloaded_error",
    "draining": "overloaded_error",
    "upstream_timeout": "timeout_error",
    "loop": "api_error",
}
"""Any other kind becomes an `invalid_request_error` if its HTTP status is below 500, else an `api_error`."""
# "529 - overloaded_error: The API is temporarily overloaded." (same page)
STATUSES: dict[str, int] = {"overloaded": 529, "draining": 529}
"""Kinds with an HTTP status other than the default one of `proxy.errors`."""
KINDS: dict[str, tuple[str | None, int]] = {
    "invalid_request_error": (None, 400),
    "authentication_error": ("upstream_auth", 401),
    "billing_error": ("upstream_quota", 402),
    "permission_error": ("upstream_auth", 403),
    # {"type": "forbidden", "message": "Request not allowed"}: "Since I am outside of USA. Verified it is working with
    # VPN" https://github.com/enricoros/big-AGI/issues/485
    "forbidden": ("upstream_region", 403),
    "not_found_error": (None, 404),
    "request_too_large": ("too_large", 413),
    "rate_limit_error": ("rate_limit", 429),
    "api_error": ("upstream_error", 500),
    "timeout_error": ("upstream_timeout", 504),
    "overloaded_error": ("overloaded", 529),
}
"""Maps an upstream error type to our kind and to the HTTP status to assume inside a stream, which has none."""
SPEND_LIMIT = "enforced_spend_limit_reached"
"""`details.error_code` of a 429 that is no rate limit.

"the response has no retry-after header" https://platform.claude.com/docs/en/api/rate-limits
"""
THREAD_UNSUPPORTED = "thread_unsupported_request"
"""`details.error_code` of a request that continues a thread where none is kept.

"Send the full conversation without `thread`, or change that field."
https://github.com/anthropics/anthropic-sdk-python/blob/main/src/anthropic/types/thread_unsupported_request_error_details.py
"""
MESSAGES: tuple[tuple[re.Pattern[str], str], ...] = (
    # 403 "this model requires a subscription, upgrade for access" https://github.com/ollama/ollama/issues/15990, of
    # Bedrock: "You don't have access to the model with the specified model ID."
    # https://github.com/anthropics/claude-code/issues/536
    (re.compile(r"model requires a subscription|have access to the model"), "upstream_forbidden"),
    (re.compile(r"content filtering policy"), "content_filter"),
    (re.compile(r"^model: "), "model_not_found"),
)
"""Patterns in an upstream's error message that give a more precise kind than its error type."""
# Claude Code compacts its history when it reads either sentence, and only then: the error type and the status are not
# specific enough. https://github.com/Menci/Floway/pull/166
CONTEXT_LENGTH = re.compile(r"prompt is too long|input length and `max_tokens` exceed context limit", re.IGNORECASE)

# "tool names must match ^[a-zA-Z0-9_-]{1,128}$" https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
TOOL_NAME_LIMIT = 128
# "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'", as the API answers otherwise
TOOL_ID = re.compile(r"[a-zA-Z0-9_-]+")

# "source.media_type: image/jpeg, image/png, image/gif, image/webp" https://platform.claude.com/docs/en/build-with-claude/vision
IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")

# "Tool invocation directly from the model."
# https://github.com/anthropics/anthropic-sdk-python/blob/main/src/anthropic/types/direct_caller.py
DIRECT_CALLER = {"type": "direct"}
"""The default `caller` of a tool call: the model itself."""

# "max_tokens" is required: https://platform.claude.com/docs/en/api/messages/create
DEFAULT_MAX_TOKENS = 8192
"""Default `max_tokens` if neither client nor config sets one and the traits do not know the model's most.

Every model since Claude 3.5 accepts it."""

# "200K tokens" and "1M tokens": https://platform.claude.com/docs/en/about-claude/models/overview
CONTEXT_WINDOW = 200_000
"""The context window of the models that answer less than LARGE_WINDOW_MAX_TOKENS at once."""
LARGE_WINDOW_MAX_TOKENS = 128_000
"""The most that the models with a window of 1,000,000 tokens answer at once."""

# "Max output: 32k tokens", Opus 4 and 4.1: https://platform.claude.com/docs/en/about-claude/models/overview
MAX_OUTPUT_TOKENS = 32_000
"""Upper bound in tokens for thinking plus answer if no limit was set: the lowest maximum of any thinking model."""

LIMITS = {"temperature": 1.0}

# "Must be ≥1024 and less than max_tokens." https://platform.claude.com/docs/en/api/messages/create
MIN_THINKING_BUDGET = 1024

# https://platform.claude.com/docs/en/build-with-claude/effort
EFFORTS: dict[str, str] = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}

# "user_id: An external identifier for the user", maxLength 256: https://platform.claude.com/docs/en/api/messages/create
USER_LIMIT = 256

CONTINUE_HINT = "Continue your last message exactly from where it ends, without repeating any of it."
"""A user message behind the beginning of an answer, for models that do not continue an assistant's message."""

JSON_HINT = "Answer with one JSON object and nothing else: no prose, no code fence."
SCHEMA_HINT = "Answer with JSON that fits this JSON Schema and nothing else, no prose, no code fence: "

QUIRKS = {
    "adaptive": "takes thinking of type adaptive and output_config.effort",
    "no_budget": "refuses thinking with budget_tokens",
    "no_thinking": "refuses thinking of any type",
    "no_thinking_off": "refuses thinking of type disabled",
    "no_xhigh": "refuses the effort xhigh",
    "no_sampling": "refuses temperature, top_p and top_k",
    "one_sampling": "takes temperature or top_p, not both",
    "no_forced_tools": "refuses tool_choice any and tool",
    "no_structured": "refuses output_config.format and strict tools",
    "system_messages": "takes system messages in the midst of a conversation",
}

TOOL_ADDITION = "tool_addition"
"""Type of the block that adds a tool, and the mark of a tool that such a block defines."""
