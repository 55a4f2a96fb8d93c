"""Tables of the Gemini API client: stop reasons, error kinds, and other names that only replies have."""

from __future__ import annotations

STOP_REASONS: dict[str, str] = {
    "STOP": "end",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
}
"""`finishReason` -> neutral stop; `STOP` beside calls is parsed as `tool`, an unknown value as `other`."""

OTHER_STOPS = frozenset(
    {
        *("FINISH_REASON_UNSPECIFIED", "LANGUAGE", "OTHER", "MALFORMED_FUNCTION_CALL", "IMAGE_OTHER", "NO_IMAGE"),
        *("UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE", "MALFORMED_RESPONSE"),
        *("ESCALATION", "PUP_LIMITED_DISABLED", "CONTINUATION"),
    }
)
"""Finish reasons without a neutral equivalent. https://ai.google.dev/api/generate-content#FinishReason"""

FINISH_NUMBERS = (
    *("FINISH_REASON_UNSPECIFIED", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER", "LANGUAGE", "BLOCKLIST"),
    *("PROHIBITED_CONTENT", "SPII", "MALFORMED_FUNCTION_CALL", "IMAGE_SAFETY"),
)
"""Finish reasons by number, as sent with `$alt=json;enum-encoding=int`."""

MERGED_STOPS: dict[str, str] = {"stop_sequence": "end"}
"""`STOP`: "Natural stop point of the model or provided stop sequence."

https://ai.google.dev/api/generate-content#FinishReason
"""

OTHER_STATUSES: dict[int, frozenset[str]] = {
    400: frozenset({"FAILED_PRECONDITION", "OUT_OF_RANGE"}),
    500: frozenset({"UNKNOWN"}),
}
"""HTTP code -> further status names that are valid for it. https://ai.google.dev/gemini-api/docs/troubleshooting"""

TOOL_CHOICE_MODES: dict[str, str] = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
"""Neutral tool choice -> `functionCallingConfig.mode`. https://ai.google.dev/api/caching#FunctionCallingConfig"""

BUDGETS: dict[str, int] = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576}
"""Effort -> `thinkingBudget`, for models before Gemini 3, which have no thinking levels.

https://ai.google.dev/gemini-api/docs/openai#thinking
"""
