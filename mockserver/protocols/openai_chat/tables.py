"""Tables of OpenAI Chat Completions: stop reasons, error types, fields and bounds."""

from __future__ import annotations

import re

NAME = "openai-chat"

PATH = "/chat/completions"

STOPS: dict[str, str] = {
    "end": "stop",
    "tool": "tool_calls",
    "length": "length",
    "stop_sequence": "stop",
    "content_filter": "content_filter",
    "pause": "stop",
}
"""Neutral stop reason -> `finish_reason`, which has no value for a pause."""

ERRORS: dict[str, tuple[str, str | None]] = {
    "bad_request": ("invalid_request_error", None),
    "authentication": ("invalid_request_error", "invalid_api_key"),
    "permission": ("permission_error", None),
    "not_found": ("invalid_request_error", None),
    "too_large": ("invalid_request_error", "request_too_large"),
    "media_type": ("invalid_request_error", "unsupported_media_type"),
    "rate_limit": ("rate_limit_error", "rate_limit_exceeded"),
    "internal": ("server_error", None),
    "overloaded": ("server_error", "overloaded"),
    "timeout": ("server_error", "timeout"),
}
"""Kind -> (`error.type`, `error.code`). https://platform.openai.com/docs/guides/error-codes/api-errors"""

FIELDS: frozenset[str] = frozenset(
    {
        *("messages", "model", "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"),
        *("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "stop", "logit_bias"),
        *("max_completion_tokens", "max_tokens", "n", "logprobs", "top_logprobs", "prediction", "response_format"),
        *("reasoning_effort", "verbosity", "modalities", "audio", "stream", "stream_options", "web_search_options"),
        *("metadata", "moderation", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
        *("safety_identifier", "service_tier", "store", "user"),
    }
)
"""Every field of a request body. https://platform.openai.com/docs/api-reference/chat/create"""

NESTED_FIELDS: dict[str, frozenset[str]] = {
    r"messages\[\d+\]": frozenset({"name", "audio", "function_call", "annotations"}),
    r"messages\[\d+\]\.content\[\d+\](\.\w+)?": frozenset({"detail", "file_id", "filename", "prompt_cache_breakpoint"}),
    r"tools\[\d+\].*": frozenset({"custom", "type"}),
    r"tool_choice": frozenset({"type", "allowed_tools", "custom"}),
}
"""Pattern of a path -> the fields there that are valid but have no neutral counterpart.

https://platform.openai.com/docs/api-reference/chat/create
"""

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""`reasoning_effort`: every value that some model takes. https://platform.openai.com/docs/api-reference/chat/create"""

SERVICE_TIERS = ("auto", "default", "fast", "flex", "scale", "priority")
"""`service_tier`. https://platform.openai.com/docs/api-reference/chat/create"""

HARMLESS: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "store": (False,),
    "logprobs": (False,),
    "service_tier": ("auto",),
}
"""Field -> values that equal its default."""

FINGERPRINT_MODELS = re.compile(r"gpt-4o|gpt-4\.1|gpt-audio|o\d")
"""Prefixes of models whose replies have a `system_fingerprint`; it is null for others.

The vendor's examples have one for gpt-4o-mini: https://platform.openai.com/docs/api-reference/chat-streaming/streaming
"""

RANGES = (
    ("temperature", 0, 2),
    ("top_p", 0, 1),
    ("presence_penalty", -2, 2),
    ("frequency_penalty", -2, 2),
)
"""Field, lowest and highest value. https://platform.openai.com/docs/api-reference/chat/create"""

MAX_STOPS = 4
"""`stop`: "Up to 4 sequences where the API will stop generating further tokens."

https://platform.openai.com/docs/api-reference/chat/create
"""

MAX_CALL_ID = 40
"""Maximum length of a tool call's id; the service says "Expected a string with maximum length 40"."""

TOOL_NAME = r"^[a-zA-Z0-9_-]{1,64}$"
"""`function.name`: "Must be a-z, A-Z, 0-9, or contain underscores and dashes, with a maximum length of 64."

https://platform.openai.com/docs/api-reference/chat/create
"""
