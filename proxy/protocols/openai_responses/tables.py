"""Lookup tables of OpenAI Responses: stop reasons, item types, event types, error codes, quirks and limits."""

from __future__ import annotations

from ...ir import Block, Reasoning, Refusal, StopReason, Text
from ..openai import tables as openai

NAME = openai.RESPONSES

STOPS: dict[str, StopReason] = {
    "completed": "end",
    "max_output_tokens": "length",
    "content_filter": "filter",
}
"""By the response's `status`, or by the reason where that is `incomplete`."""
INCOMPLETE: dict[StopReason, str] = {"length": "max_output_tokens", "filter": "content_filter"}
"""Stop reasons that make a response incomplete; every other one completes it."""
STATUSES = ("completed", "in_progress", "queued", "cancelled")
"""Native stop reasons that are a status; every other one is the reason of an incomplete response."""

FAILED_STATUSES: dict[str, str] = {
    "failed": "The backend failed to answer.",
    "cancelled": "The answer was cancelled at the backend.",
}
"""Statuses of a response that has no whole answer, and the sentence where it tells no error."""

STORE_RESPONSE = "response.store"
"""Extra field for `store: true`: the answer can be fetched or continued later.

Chat's `store` is another thing, the provider's own records, so the two must not be mixed up.
"""

STORED_INPUT = ("previous_response_id", "conversation", "prompt")
"""Request fields that stand for input which only the provider's store holds."""

LOGPROBS = "message.output_text.logprobs"
"""The value of `include` that asks for the log probabilities of an answer's tokens."""

USER_ITEMS = ("mcp_approval_response",)
"""Item types that are the client's, beside all that end in `_output`; every other type is the model's."""

ADDITIONAL_TOOLS = "additional_tools"
"""Type of an input item that adds tools, and the key that marks such a tool in its extra fields."""

ECHO_FIELDS = (
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
"""Response fields that repeat the request or hold book-keeping, and are not output of the model."""
ECHO_KEY = "response.echo"
"""The key of these fields among a reply's extra fields."""

# ---- streams ---------------------------------------------------------------------------------------------------------

DELTA_EVENTS: dict[str, tuple[str, Block | None]] = {
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
"""Events with a piece of a part: the list of the item that holds the part, and the block that the part starts."""
DONE_EVENTS: dict[str, tuple[str, str]] = {
    "response.output_text.done": ("content", "text"),
    "response.refusal.done": ("content", "refusal"),
    "response.reasoning_text.done": ("content", "text"),
    "response.reasoning_summary_text.done": ("summary", "text"),
    "response.function_call_arguments.done": ("call", "arguments"),
    "response.custom_tool_call_input.done": ("call", "input"),
    "response.reasoning.done": ("content", "text"),
    "response.reasoning_summary.done": ("summary", "text"),
}
"""Events that repeat a part's whole text: the list that holds the part, and the key of the text."""
PART_EVENTS: dict[str, str] = {
    "response.content_part.added": "content",
    "response.content_part.done": "content",
    "response.reasoning_summary_part.added": "summary",
    "response.reasoning_summary_part.done": "summary",
}
"""Events that start or end a part, and the list of the item that holds it."""
START_EVENTS = ("response.created", "response.queued", "response.in_progress")
ERROR_EVENTS = ("error", "response.error")
END_EVENTS = ("response.completed", "response.incomplete", "response.failed")

# ---- errors ----------------------------------------------------------------------------------------------------------

# The closed list of `response.error.code`: https://platform.openai.com/docs/api-reference/responses/object
# `context_length_exceeded` is not on it, but the API sends it and clients compact their history on reading it:
# https://github.com/openai/codex/blob/main/codex-rs/codex-api/src/sse/responses.rs
STREAM_CODES: dict[str, str] = {
    "rate_limit": "rate_limit_exceeded",
    "context_length": "context_length_exceeded",
    "bad_request": "invalid_prompt",
    "content_filter": "invalid_prompt",
    "unprocessable": "invalid_prompt",
    # "server_is_overloaded" and "slow_down" are told apart from a server_error by
    # https://github.com/openai/codex/blob/main/codex-rs/codex-api/src/sse/responses.rs
    "overloaded": "server_is_overloaded",
}
"""The error code of a failed response by the kind of failure; every other kind is a `server_error`."""
SLOW_DOWN = "slow_down"
"""The code of an overload that the client's own haste caused."""
KINDS: dict[str, str] = {
    **openai.KINDS,
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
    "too_many_requests": "rate_limit",
    SLOW_DOWN: "overloaded",
    "vector_store_timeout": "upstream_error",
}
"""The kind of failure by an upstream's `code` or `type`, where that says more than the HTTP status."""

# ---- limits ----------------------------------------------------------------------------------------------------------

# "call_id: maxLength 64, minLength 1" (FunctionCallItemParam)
# https://github.com/openresponses/openresponses/blob/main/public/openapi/openapi.json
CALL_ID_LENGTH = 64

# "temperature: What sampling temperature to use, between 0 and 2."
# https://platform.openai.com/docs/api-reference/responses/create
# "max_output_tokens: minimum 16" (CreateResponseBody)
# https://github.com/openresponses/openresponses/blob/main/public/openapi/openapi.json
LIMITS = {"min_output_tokens": 16, "temperature": 2.0}

# "service_tier: auto, default, flex, scale, priority" (ServiceTier)
# https://platform.openai.com/docs/api-reference/responses/create
SERVICE_TIERS = ("auto", "default", "flex", "scale", "priority")
# "on_demand (default): the standard tier" https://console.groq.com/docs/service-tiers
SAME_TIERS = ("on_demand",)
"""Other hosts' words for the default tier."""

QUIRKS = {
    "no_encrypted_reasoning": "refuses include: reasoning.encrypted_content",
    "reasoning_text": "takes unsigned thinking back as reasoning_text, as hosts of open models do",
    "penalties": "takes presence_penalty and frequency_penalty, as Open Responses hosts do",
    "no_parallel_tool_calls": "refuses parallel_tool_calls",
}

IMAGE_FORMATS = frozenset(("png", "webp", "jpeg", "gif", "svg"))
"""Values of `output_format` of an image in an answer; another format is left unsaid."""
