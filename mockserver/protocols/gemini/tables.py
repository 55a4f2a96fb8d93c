"""Tables of the Gemini API: paths, finish reasons, error statuses and bounds."""

from __future__ import annotations

import re

NAME = "gemini"

METHODS = ("generateContent", "streamGenerateContent", "countTokens")
"""Methods of a model that the mock implements."""

PATH = re.compile(rf"(?:^|/)(?:models/|(?=tunedModels/))(.+):({'|'.join(METHODS)})$")
"""`models/{model}:{method}`, where the method follows the last colon. https://ai.google.dev/api/generate-content"""

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
"""Neutral stop reason -> `finishReason`."""

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

KEY_INVALID = "API_KEY_INVALID"
"""Reason in `error.details` that distinguishes a wrong API key from other errors with status 400."""

ROLES = ("user", "model")
"""`contents[].role`: "Must be either 'user' or 'model'." https://ai.google.dev/api/caching#Content"""

WITHOUT_LEVELS = re.compile(r"gemini-[12]\b|gemini-[12]\.")
"""Models that accept a thinking budget only.

"If you use the thinking_level parameter with a model earlier than Gemini 3, the model returns an error."
https://ai.google.dev/gemini-api/docs/thinking
"""

SIGNING_MODELS = re.compile(r"gemini-[3-9]")
"""Models that require their signatures in later requests.

"When using Gemini 3 models, you must pass back thought signatures during function calling, otherwise you will get a
validation error". https://ai.google.dev/gemini-api/docs/thought-signatures
"""

PLACEHOLDER_SIGNATURES = frozenset({"skip_thought_signature_validator", "context_engineering_is_the_way_to_go"})
"""Signatures that disable the check, for histories written by another model.

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
"""Pattern of a function name: letters, digits, underscores, dots, colons and dashes, at most 64 of them.

https://ai.google.dev/api/caching#FunctionDeclaration
"""
