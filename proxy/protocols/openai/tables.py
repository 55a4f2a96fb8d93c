"""Lookup tables of both Chat Completions and Responses: error types and codes, tool names, request fields."""

from __future__ import annotations

import re

CHAT = "openai-chat"
RESPONSES = "openai-responses"
"""The protocols' names, by which an encoder knows a request of the sibling protocol."""

# https://platform.openai.com/docs/guides/error-codes
ERROR_TYPES: dict[str, str] = {
    "permission": "permission_error",
    "budget": "insufficient_quota",
    "over_limit": "rate_limit_error",
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
    # https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
    "exceed_context_size_error": "context_length",
    "model_not_found": "model_not_found",
    "content_filter": "content_filter",
    "rate_limit_exceeded": "rate_limit",
    # "Check error.code in the API response. A billing-related error may still use the broader error.type value
    # insufficient_quota." https://help.openai.com/en/articles/6614457-troubleshooting-api-usage-and-spend-limits
    "insufficient_quota": "upstream_quota",
    "credit_balance_exhausted": "upstream_quota",
    "organization_spend_limit_exceeded": "upstream_quota",
    "organization_usage_limit_exceeded": "upstream_quota",
    "project_spend_limit_exceeded": "upstream_quota",
    # 400 "Billing hard limit has been reached" https://github.com/dfinke/PowerShellAI/issues/127
    "billing_hard_limit_reached": "upstream_quota",
    # 429 "Your account is not active, please check your billing details" https://github.com/BerriAI/litellm/issues/2743
    "billing_not_active": "upstream_quota",
    # AiHubMix, 403 https://github.com/666ghj/BettaFish/issues/498
    "insufficient_user_quota": "upstream_quota",
    # "If you hit your set limit, API calls from any key in your organization will return a 400 with code
    # blocked_api_access." https://console.groq.com/docs/spend-limits
    "blocked_api_access": "upstream_quota",
    # "403 - Country, region, or territory not supported" https://platform.openai.com/docs/guides/error-codes, with this
    # code in https://github.com/home-assistant/core/issues/120072
    "unsupported_country_region_territory": "upstream_region",
    "invalid_api_key": "upstream_auth",  # https://github.com/stackblitz-labs/bolt.diy/issues/176
    "account_deactivated": "upstream_auth",  # 401 https://github.com/ChatGPTNextWeb/NextChat/issues/4175
    "rate_limit_error": "rate_limit",
    "overloaded": "overloaded",
    "overloaded_error": "overloaded",
    "server_is_overloaded": "overloaded",
}
"""The kind of failure by an upstream's `code` or `type`, where that says more than the HTTP status."""
IMPLIED_STATUSES: dict[str, int] = {
    # "tool_use_failed", a 400, also inside a 200 stream: https://console.groq.com/docs/errors
    "tool_use_failed": 400,
    "json_validate_failed": 400,
    "invalid_request_error": 400,
    "BadRequestError": 400,  # vLLM: https://github.com/vllm-project/vllm
    "NotFoundError": 404,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
}
"""The HTTP status that an error's `code` or `type` implies inside a 200, where the error tells no status."""
SENTENCES: tuple[tuple[re.Pattern[str], int], ...] = (
    (re.compile(r"rate.?limit|too many requests", re.IGNORECASE), 429),
    (re.compile(r"\boverloaded\b|at capacity", re.IGNORECASE), 503),
)
"""The HTTP status by the sentence of an error inside a 200 that has nothing else."""
STATUS_KINDS = ("upstream_error", "overloaded", "rate_limit")
"""Kinds that only restate an HTTP status; beside a status below 429 they are ignored."""

# "Project `proj_…` does not have access to model `gpt-4o-mini`" https://github.com/Aider-AI/aider/issues/1903
# "code: model_permission_blocked_org" (Groq) https://github.com/orbi-build/orbi/issues/561
# "This model is not available in your region.", where the key is good for other models
# https://github.com/anomalyco/opencode/issues/41518
MODEL_FORBIDDEN = re.compile(
    r"not have access to model|model_permission_blocked|model is not available in your (?:country|region)",
    re.IGNORECASE,
)
"""Matches a 403 for one model that the key may not use; the key is good for others."""
# "403: Your chosen model requires moderation and your input was flagged"; "If your input was flagged, the
# error_metadata will contain information about the issue." https://openrouter.ai/docs/api/reference/errors-and-debugging
MODERATION = re.compile(r"moderation|\bflagged\b", re.IGNORECASE)
# "Request blocked: prompt injection patterns detected", with `metadata.patterns` (guardrail errors, same page)
MODERATION_FIELDS = ("flagged_input", "reasons", "patterns")
"""Keys of a 403's `metadata` that only the refusal of a text has."""
# "in_flight_budget_exhausted": "This is transient … includes a Retry-After header; wait for it and retry."
# https://openrouter.ai/docs/api/reference/limits
TRANSIENT = "in_flight_budget_exhausted"
"""The `metadata.reason` of a 402 that is a rate limit."""

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

SERVICE_TIER = "serviceTier"
"""Extra field of a Gemini client's request that says the same as `service_tier`."""
SERVICE_TIERS = {"flex": "flex", "priority": "priority", "standard": "default"}
"""Gemini's tiers and those of both protocols: https://platform.openai.com/docs/api-reference/chat/create"""
