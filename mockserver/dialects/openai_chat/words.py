"""The words of OpenAI Chat Completions: its stop reasons, error types, fields and bounds. It does nothing."""

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
"""Neutral stop -> `finish_reason`; there is no word for a pause."""

HEARD_STOPS: dict[str, str] = {
    "stop": "end",
    "tool_calls": "tool",
    "function_call": "tool",
    "length": "length",
    "content_filter": "content_filter",
}
"""`finish_reason` -> neutral stop; an unknown one is heard as `other`."""

BLURS: dict[str, str] = {"stop_sequence": "end"}
"""`stop` means both "a natural stop point or a provided stop sequence".

https://platform.openai.com/docs/api-reference/chat/object
"""

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

HEARD_ERRORS: dict[str, str] = {
    "invalid_api_key": "authentication",
    "model_not_found": "not_found",
    "request_too_large": "too_large",
    "unsupported_media_type": "media_type",
    "rate_limit_exceeded": "rate_limit",
    "insufficient_quota": "rate_limit",
    "overloaded": "overloaded",
    "upstream_timeout": "timeout",
    "timeout": "timeout",
    "authentication_error": "authentication",
    "permission_error": "permission",
    "not_found_error": "not_found",
    "rate_limit_error": "rate_limit",
    "invalid_request_error": "bad_request",
    "server_error": "internal",
}
"""`error.code`, else `error.type` -> kind, where the HTTP status says nothing (an error inside a stream)."""

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

HARMLESS: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "store": (False,),
    "logprobs": (False,),
    "service_tier": ("auto",),
}
"""Fields whose value asks only for the default."""

FINGERPRINTED = re.compile(r"gpt-4o|gpt-4\.1|gpt-audio|o\d")
"""How the names begin of models that answer with a `system_fingerprint`, as the API answers; others say null.

The vendor's own examples have one of gpt-4o-mini: https://platform.openai.com/docs/api-reference/chat-streaming/streaming
"""

MAX_STOPS = 4
"""`stop`: "Up to 4 sequences where the API will stop generating further tokens."

https://platform.openai.com/docs/api-reference/chat/create
"""

MAX_CALL_ID = 40
"""The longest id of a tool call that is taken back; the service says "Expected a string with maximum length 40"."""

TOOL_NAME = r"^[a-zA-Z0-9_-]{1,64}$"
"""`function.name`: "Must be a-z, A-Z, 0-9, or contain underscores and dashes, with a maximum length of 64."

https://platform.openai.com/docs/api-reference/chat/create
"""

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
"""`reasoning_effort`. https://platform.openai.com/docs/api-reference/chat/create"""
