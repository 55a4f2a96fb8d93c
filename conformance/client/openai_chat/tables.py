"""Tables of the Chat Completions client: stop reasons, error kinds, and other names that only replies have."""

from __future__ import annotations

STOP_REASONS: dict[str, str] = {
    "stop": "end",
    "tool_calls": "tool",
    "function_call": "tool",
    "length": "length",
    "content_filter": "content_filter",
    "eos": "end",
}
"""`finish_reason` -> neutral stop; an unknown one is parsed as `other`.

"stop | eos | length | tool_calls | function_call": https://docs.together.ai/reference/chat-completions-1
"""

MERGED_STOPS: dict[str, str] = {"stop_sequence": "end"}
"""`stop` means both "a natural stop point or a provided stop sequence".

https://platform.openai.com/docs/api-reference/chat/object
"""

ERROR_KINDS: dict[str, str] = {
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
"""`error.code`, else `error.type` -> kind, for errors inside a 200 response."""
