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
    # "Check error.code in the API response. A billing-related error may still use the broader error.type value
    # insufficient_quota." https://help.openai.com/en/articles/6614457-troubleshooting-api-usage-and-spend-limits
    "insufficient_quota": "upstream_quota",
    "credit_balance_exhausted": "upstream_quota",
    "organization_spend_limit_exceeded": "upstream_quota",
    "organization_usage_limit_exceeded": "upstream_quota",
    "project_spend_limit_exceeded": "upstream_quota",
    "billing_hard_limit_reached": "upstream_quota",
    "billing_not_active": "upstream_quota",
    # "If you hit your set limit, API calls from any key in your organization will return a 400 with code
    # blocked_api_access." https://console.groq.com/docs/spend-limits
    "blocked_api_access": "upstream_quota",
    # "403 - Country, region, or territory not supported" https://platform.openai.com/docs/guides/error-codes
    "unsupported_country_region_territory": "upstream_region",
    "invalid_api_key": "upstream_auth",
    "account_deactivated": "upstream_auth",
    "rate_limit_error": "rate_limit",
    "overloaded": "overloaded",
    "overloaded_error": "overloaded",
    "server_is_overloaded": "overloaded",
}
"""The kind of failure by an upstream's `code` or `type`, where that says more than the HTTP status."""
STATUS_KINDS = ("upstream_error", "overloaded", "rate_limit")
"""Kinds that only restate an HTTP status; beside a status below 429 they are ignored."""

# "Your team … has either used all available credits or reached its monthly spending limit."
# https://github.com/continuedev/continue/issues/10373 "This request requires more credits, or fewer max_tokens."
# https://github.com/anomalyco/opencode/issues/12219 "402 - Insufficient Balance"
# https://api-docs.deepseek.com/quick_start/error_codes
QUOTA = re.compile(
    r"credit balance is too low|used all available credits|insufficient (?:account )?(?:balance|credits?|funds)"
    r"|requires more credits|key limit exceeded|spend(?:ing)? limit",
    re.IGNORECASE,
)
REGION = re.compile(
    r"country, region,? or territory|unsupported (?:country|region|location)|location is not supported"
    r"|not available in your (?:country|region)",
    re.IGNORECASE,
)
KEY = re.compile(r"(?:incorrect|invalid) api key", re.IGNORECASE)
"""Messages of hosts that name the account's own trouble without a code. xAI answers 400 to a wrong key."""
MODEL_FORBIDDEN = re.compile(r"not have access to (?:the )?model|model_permission_blocked", re.IGNORECASE)
"""Matches a 403 for one model that the key may not use; the key is good for others."""
# "403: Your chosen model requires moderation and your input was flagged"; "If your input was flagged, the
# error_metadata will contain information about the issue." https://openrouter.ai/docs/api/reference/errors-and-debugging
MODERATION = re.compile(r"moderation|\bflagged\b", re.IGNORECASE)
MODERATION_FIELDS = ("flagged_input", "reasons")
"""Keys of a 403's `metadata` that only a moderation's has."""

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
