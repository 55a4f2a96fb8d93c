"""The words of the Gemini API: its paths, finish reasons, error statuses and bounds. It does nothing."""

from __future__ import annotations

import re

NAME = "gemini"

METHODS = ("generateContent", "streamGenerateContent", "countTokens")

PATH = re.compile(rf"(?:^|/)(?:models/|(?=tunedModels/))(.+):({'|'.join(METHODS)})$")
"""`models/{model}:{method}`, with the colon that counts the last one. https://ai.google.dev/api/generate-content"""

VERSIONED = re.compile(r"^/v1(?:beta\d*|alpha)?/")
"""Every path starts with a version of the API. https://ai.google.dev/gemini-api/docs/api-versions"""

STOPS: dict[str, str] = {
    "end": "STOP",
    "tool": "STOP",
    "length": "MAX_TOKENS",
    "stop_sequence": "STOP",
    "content_filter": "SAFETY",
    "pause": "STOP",
}
"""Neutral stop -> `finishReason`."""

HEARD_STOPS: dict[str, str] = {
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
"""`finishReason` -> neutral stop; `STOP` beside calls is heard as `tool`, any other word as `other`."""

OTHER_STOPS = frozenset(
    {
        *("FINISH_REASON_UNSPECIFIED", "LANGUAGE", "OTHER", "MALFORMED_FUNCTION_CALL", "IMAGE_OTHER", "NO_IMAGE"),
        *("UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE", "MALFORMED_RESPONSE"),
        *("ESCALATION", "PUP_LIMITED_DISABLED", "CONTINUATION"),
    }
)
"""The finish reasons without a neutral word. https://ai.google.dev/api/generate-content#FinishReason"""

FINISH_NUMBERS = (
    *("FINISH_REASON_UNSPECIFIED", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER", "LANGUAGE", "BLOCKLIST"),
    *("PROHIBITED_CONTENT", "SPII", "MALFORMED_FUNCTION_CALL", "IMAGE_SAFETY"),
)
"""The finish reasons by number, for those who ask with `$alt=json;enum-encoding=int`."""

BLURS: dict[str, str] = {"stop_sequence": "end"}
"""`STOP`: "Natural stop point of the model or provided stop sequence."

https://ai.google.dev/api/generate-content#FinishReason
"""

STATUSES: dict[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    412: "FAILED_PRECONDITION",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""HTTP status -> `error.status`. https://cloud.google.com/apis/design/errors#handling_errors"""

ALSO: dict[int, frozenset[str]] = {400: frozenset({"FAILED_PRECONDITION", "OUT_OF_RANGE"}), 500: frozenset({"UNKNOWN"})}
"""Other words that belong to a status. https://ai.google.dev/gemini-api/docs/troubleshooting"""

KEY_INVALID = "API_KEY_INVALID"
"""The reason, in `error.details`, by which a wrong key is told from any other 400."""

ROLES = ("user", "model")
"""`contents[].role`: "Must be either 'user' or 'model'." https://ai.google.dev/api/caching#Content"""

MODES: dict[str, str] = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
"""Neutral tool choice -> `functionCallingConfig.mode`. https://ai.google.dev/api/caching#FunctionCallingConfig"""

EFFORTS = ("minimal", "low", "medium", "high", "xhigh")
"""`thinkingConfig.thinkingLevel`. https://ai.google.dev/gemini-api/docs/thinking"""

BUDGETS: dict[str, int] = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576}
"""Effort -> `thinkingBudget`, for the models before Gemini 3, which know no levels.

https://ai.google.dev/gemini-api/docs/openai#thinking
"""

LEVELLESS = re.compile(r"gemini-[12]\b|gemini-[12]\.")
"""Models that take a budget only: "If you use the thinking_level parameter with a model earlier than Gemini 3, the
model returns an error." https://ai.google.dev/gemini-api/docs/thinking
"""

SIGNING = re.compile(r"gemini-[3-9]")
"""Models that want their signatures back: "When using Gemini 3 models, you must pass back thought signatures during
function calling, otherwise you will get a validation error". https://ai.google.dev/gemini-api/docs/thought-signatures
"""

DUMMY_SEALS = frozenset({"skip_thought_signature_validator", "context_engineering_is_the_way_to_go"})
"""Signatures that switch the check off, for histories that another model wrote.

https://ai.google.dev/gemini-api/docs/thought-signatures#faqs
"""

RANGES = (
    ("temperature", 0, 2),
    ("topP", 0, 1),
    ("presencePenalty", -2, 2),
    ("frequencyPenalty", -2, 2),
)
"""Bounds of `generationConfig`, both included. https://ai.google.dev/api/generate-content#generationconfig"""

MAX_STOPS = 5
"""`stopSequences`: "The set of character sequences (up to 5) that will stop output generation."

https://ai.google.dev/api/generate-content#generationconfig
"""

TOOL_NAME = r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}"
"""A function's name: letters, digits, underscores, dots, colons and dashes, at most 64 of them.

https://ai.google.dev/api/caching#FunctionDeclaration
"""
