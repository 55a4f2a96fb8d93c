"""Tables of Anthropic Messages: stop reasons, error types, fields and bounds."""

from __future__ import annotations

import re

NAME = "anthropic"

PATH = "/messages"

COUNT_PATH = f"{PATH}/count_tokens"
"""https://platform.claude.com/docs/en/api/messages/count_tokens"""

STOPS: dict[str, str] = {
    "end": "end_turn",
    "tool": "tool_use",
    "length": "max_tokens",
    "stop_sequence": "stop_sequence",
    "content_filter": "refusal",
    "pause": "pause_turn",
}
"""Neutral stop reason -> `stop_reason`. https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons"""

ERRORS: dict[str, tuple[int, str]] = {
    "bad_request": (400, "invalid_request_error"),
    "authentication": (401, "authentication_error"),
    "permission": (403, "permission_error"),
    "not_found": (404, "not_found_error"),
    "too_large": (413, "request_too_large"),
    "media_type": (415, "invalid_request_error"),
    "rate_limit": (429, "rate_limit_error"),
    "internal": (500, "api_error"),
    "overloaded": (529, "overloaded_error"),
    "timeout": (504, "timeout_error"),
}
"""Kind -> (status, `error.type`). https://platform.claude.com/docs/en/api/errors"""

FIELDS: frozenset[str] = frozenset(
    {
        *("model", "messages", "max_tokens", "system", "tools", "tool_choice", "stream", "stop_sequences"),
        *("temperature", "top_p", "top_k", "thinking", "metadata", "output_config", "service_tier", "container"),
        *("cache_control", "inference_geo", "speed", "diagnostics", "mcp_servers", "context_management"),
    }
)
"""Every field of a request body. https://platform.claude.com/docs/en/api/messages/create"""

NULLABLE = ("cache_control", "container", "inference_geo", "speed", "diagnostics")
"""Fields that may be null. https://platform.claude.com/docs/en/api/messages/create"""

BETA_FIELDS: dict[str, str] = {"output_format": "structured-outputs-", "thread": "message-threads-"}
"""Field -> the beginning of the beta with which it is accepted.

"The API continues to accept the old beta header (structured-outputs-2025-11-13) and the output_format request field for
a transition period". https://platform.claude.com/docs/en/build-with-claude/structured-outputs
`thread` with message-threads-2026-08-12: https://platform.claude.com/docs/en/build-with-claude/message-threads
"""

NESTED: dict[str, frozenset[str]] = {
    r"messages\.\d+\.content\.\d+": frozenset({"cache_control", "citations", "title", "context", "caller", "name"}),
    r"messages\.\d+\.content\.\d+\.content\.\d+": frozenset({"cache_control", "citations", "title", "context"}),
    r"messages\.\d+\.content\.\d+(\.content\.\d+)?\.source": frozenset({"file_id"}),
    r"system\.\d+": frozenset({"cache_control", "citations"}),
    r"tools\.\d+": frozenset(
        {
            *("cache_control", "type", "allowed_callers", "defer_loading", "eager_input_streaming"),
            "input_examples",
        }
    ),
    r"thinking": frozenset({"display"}),
    r"output_config": frozenset({"task_budget"}),
}
"""Pattern of a path -> the fields there that are valid but have no neutral counterpart."""

TOOL_NAME = r"^[a-zA-Z0-9_-]{1,128}$"
"""`name`: "Must match the regex ^[a-zA-Z0-9_-]{1,64}$" in the guide; the service itself allows 128.

https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use
"""

CALL_ID = r"^[a-zA-Z0-9_-]+$"
"""Pattern of a tool call's id: the service says "String should match pattern '^[a-zA-Z0-9_-]+$'" of a `tool_use.id`."""

IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
"""Media types of images. https://platform.claude.com/docs/en/build-with-claude/vision"""

REDACTED_SUFFIX = ":redacted"
"""Suffix of the `data` of a redacted block, so that it cannot be used as a `signature`, nor a signature as data."""

UNSUPPORTED_KEYWORDS: dict[str, frozenset[str]] = {
    "integer": (_NUMBERS := frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})),
    "number": _NUMBERS,
    "string": frozenset({"minLength", "maxLength"}),
    "array": frozenset({"maxItems", "uniqueItems"}),
    "object": frozenset({"minProperties", "maxProperties"}),
}
"""Type -> the keywords that the schema of a response format may not have.

https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
"""

SYSTEM_MESSAGE_MODELS = re.compile(r"claude-(opus-(4-[89]|5)|fable-5|mythos-5)")
"""Models that accept a system message in the middle of a conversation.

https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages
"""

MAX_CACHE_BREAKPOINTS = 4
"""`cache_control`: "You can define up to 4 cache breakpoints".

https://platform.claude.com/docs/en/build-with-claude/prompt-caching
"""

MIN_BUDGET = 1024
"""`budget_tokens`: "Must be ≥1024 and less than max_tokens."

https://platform.claude.com/docs/en/api/messages/create
"""
