"""The words of Anthropic Messages: its stop reasons, error types, fields and bounds. It does nothing."""

from __future__ import annotations

import re

NAME = "anthropic"

PATH = "/messages"

VERSION = "2023-06-01"
"""https://platform.claude.com/docs/en/api/versioning"""

STOPS: dict[str, str] = {
    "end": "end_turn",
    "tool": "tool_use",
    "length": "max_tokens",
    "stop_sequence": "stop_sequence",
    "content_filter": "refusal",
    "pause": "pause_turn",
}
"""Neutral stop -> `stop_reason`. https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons"""

HEARD_STOPS: dict[str, str] = {native: neutral for neutral, native in STOPS.items()}
"""`stop_reason` -> neutral stop; an unknown one is heard as `other`."""

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

HEARD_ERRORS: dict[str, str] = {
    "invalid_request_error": "bad_request",
    "authentication_error": "authentication",
    "permission_error": "permission",
    "billing_error": "permission",
    "not_found_error": "not_found",
    "request_too_large": "too_large",
    "rate_limit_error": "rate_limit",
    "api_error": "internal",
    "overloaded_error": "overloaded",
    "timeout_error": "timeout",
}
"""`error.type` -> kind."""

FIELDS: frozenset[str] = frozenset(
    {
        *("model", "messages", "max_tokens", "system", "tools", "tool_choice", "stream", "stop_sequences"),
        *("temperature", "top_p", "top_k", "thinking", "metadata", "output_config", "service_tier", "container"),
        *("cache_control", "inference_geo", "speed", "diagnostics", "mcp_servers", "context_management"),
    }
)
"""Every field of a request body. https://platform.claude.com/docs/en/api/messages/create"""

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
"""Known fields below the top that the neutral reading has no noun for."""

TOOL_NAME = r"^[a-zA-Z0-9_-]{1,128}$"
"""`name`: "Must match the regex ^[a-zA-Z0-9_-]{1,64}$" in the guide; the service itself allows 128.

https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use
"""

CALL_ID = r"^[a-zA-Z0-9_-]+$"
"""The service says "String should match pattern '^[a-zA-Z0-9_-]+$'" of a `tool_use.id`."""

IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
"""https://platform.claude.com/docs/en/build-with-claude/vision"""

REDACTED = ":redacted"
"""What the mock ends the `data` of a redacted block with: it is no `signature`, and a signature is no such data."""

UNBOUND: dict[str, frozenset[str]] = {
    "integer": (_NUMBERS := frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})),
    "number": _NUMBERS,
    "string": frozenset({"minLength", "maxLength"}),
    "array": frozenset({"maxItems", "uniqueItems"}),
    "object": frozenset({"minProperties", "maxProperties"}),
}
"""Type -> the keywords that a schema of an answer may not have.

https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
"""

ADAPTIVE = re.compile(r"claude-(opus-(4-[789]|5)|(sonnet|haiku)-5|fable|mythos)")
"""Models that choose their own budget and sampling.

https://platform.claude.com/docs/en/about-claude/models/migration-guide
"""

MID_SYSTEM = re.compile(r"claude-(opus-(4-[89]|5)|fable-5|mythos-5)")
"""Models that take a system message in the midst of a conversation.

https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages
"""

MAX_MARKS = 4
"""`cache_control`: "You can define up to 4 cache breakpoints".

https://platform.claude.com/docs/en/build-with-claude/prompt-caching
"""

MIN_BUDGET = 1024
"""`budget_tokens`: "Must be ≥1024 and less than max_tokens."

https://platform.claude.com/docs/en/api/messages/create
"""

DEFAULT_MAX_TOKENS = 1024
"""What the mock's client asks for when the story sets no bound: the field is required."""
