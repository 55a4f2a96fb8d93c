"""Lookup tables of Gemini's generateContent: methods, stop reasons, enum numbers, error statuses, limits, quirks."""

from __future__ import annotations

import re
from typing import Literal

from ...ir import StopReason

NAME = "gemini"

METHODS = {"generateContent": False, "streamGenerateContent": True}
"""The methods that generate content, and whether they stream."""

# https://ai.google.dev/api/generate-content#FinishReason
STOPS: dict[str, StopReason] = {
    "STOP": "end",
    "MAX_TOKENS": "length",
    "SAFETY": "filter",
    "RECITATION": "filter",
    "BLOCKLIST": "filter",
    "PROHIBITED_CONTENT": "filter",
    "SPII": "filter",
    "IMAGE_SAFETY": "filter",
    "IMAGE_PROHIBITED_CONTENT": "filter",
    "IMAGE_RECITATION": "filter",
    "MODEL_ARMOR": "filter",
    "ESCALATION": "filter",
    "PUP_LIMITED_DISABLED": "filter",
    "CONTINUATION": "pause",
    "LANGUAGE": "other",
    "OTHER": "other",
    "MALFORMED_FUNCTION_CALL": "other",
    "MALFORMED_RESPONSE": "other",
    "UNEXPECTED_TOOL_CALL": "other",
    "TOO_MANY_TOOL_CALLS": "other",
    "MISSING_THOUGHT_SIGNATURE": "other",
    "IMAGE_OTHER": "other",
    "NO_IMAGE": "other",
    "FINISH_REASON_UNSPECIFIED": "other",
}
UNEXPECTED_CALL = "UNEXPECTED_TOOL_CALL"
ANSWER_FIELDS = ("candidates", "usageMetadata", "promptFeedback")
"""Every answer and every chunk of one has one of these fields."""
STOP_WORDS: dict[StopReason, str] = {
    "end": "STOP",
    "length": "MAX_TOKENS",
    "tool": "STOP",
    "stop_sequence": "STOP",
    "filter": "SAFETY",
    "pause": "OTHER",
    "other": "OTHER",
}
INEXACT_STOPS = ("pause",)

# Google's REST API sends enums as numbers if the query says `$alt=json;enum-encoding=int`. The numbers are those of
# https://github.com/googleapis/googleapis/tree/master/google/ai/generativelanguage/v1beta; Vertex AI counts harm
# categories from 1, where this API has only those of retired models.
FINISH_NUMBERS: dict[int, str] = {
    0: "FINISH_REASON_UNSPECIFIED",
    1: "STOP",
    2: "MAX_TOKENS",
    3: "SAFETY",
    4: "RECITATION",
    5: "OTHER",
    6: "LANGUAGE",
    7: "BLOCKLIST",
    8: "PROHIBITED_CONTENT",
    9: "SPII",
    10: "MALFORMED_FUNCTION_CALL",
    11: "IMAGE_SAFETY",
    12: "UNEXPECTED_TOOL_CALL",
}
ENUM_NUMBERS: dict[str, dict[int, str]] = {
    "finishReason": FINISH_NUMBERS,
    "blockReason": {1: "SAFETY", 2: "OTHER", 3: "BLOCKLIST", 4: "PROHIBITED_CONTENT", 5: "IMAGE_SAFETY"},
    "category": {
        0: "HARM_CATEGORY_UNSPECIFIED",
        1: "HARM_CATEGORY_HATE_SPEECH",
        2: "HARM_CATEGORY_DANGEROUS_CONTENT",
        3: "HARM_CATEGORY_HARASSMENT",
        4: "HARM_CATEGORY_SEXUALLY_EXPLICIT",
        5: "HARM_CATEGORY_CIVIC_INTEGRITY",
        7: "HARM_CATEGORY_HARASSMENT",
        8: "HARM_CATEGORY_HATE_SPEECH",
        9: "HARM_CATEGORY_SEXUALLY_EXPLICIT",
        10: "HARM_CATEGORY_DANGEROUS_CONTENT",
        11: "HARM_CATEGORY_CIVIC_INTEGRITY",
    },
    "probability": {0: "HARM_PROBABILITY_UNSPECIFIED", 1: "NEGLIGIBLE", 2: "LOW", 3: "MEDIUM", 4: "HIGH"},
    "severity": {
        0: "HARM_SEVERITY_UNSPECIFIED",
        1: "HARM_SEVERITY_NEGLIGIBLE",
        2: "HARM_SEVERITY_LOW",
        3: "HARM_SEVERITY_MEDIUM",
        4: "HARM_SEVERITY_HIGH",
    },
}
"""Enum fields of a reply: number to name; an unknown number is kept."""

MODES: dict[str, Literal["auto", "none", "required", "named"]] = {
    "AUTO": "auto",
    "VALIDATED": "auto",
    "MODE_UNSPECIFIED": "auto",
    "NONE": "none",
    "ANY": "required",
}

# https://ai.google.dev/gemini-api/docs/troubleshooting, https://google.aip.dev/193
ERROR_STATUSES: dict[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    # 'Your prepayment credits are depleted. …", "status": "RESOURCE_EXHAUSTED"' with 402
    # https://discuss.ai.google.dev/t/api-update-depleted-prepay-credits-now-return-http-402-instead-of-429/183654
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    508: "INTERNAL",
}
"""HTTP status to error status; any other one becomes `INVALID_ARGUMENT`."""
KINDS: dict[str, str] = {
    "UNAUTHENTICATED": "upstream_auth",
    "PERMISSION_DENIED": "upstream_auth",
    "NOT_FOUND": "model_not_found",
    "RESOURCE_EXHAUSTED": "rate_limit",
    "INTERNAL": "upstream_error",
    "UNKNOWN": "upstream_error",
    "UNAVAILABLE": "overloaded",
    "DEADLINE_EXCEEDED": "upstream_timeout",
}
"""Error status of an upstream to our kind, if it is more precise than the HTTP status."""
STATUSES: dict[str, int] = {name: status for status, name in ERROR_STATUSES.items() if status not in (402, 502, 508)}
"""HTTP status to assume for an error without a code inside a 200 stream."""

REASONS: dict[str, str] = {
    # https://github.com/googleapis/googleapis/blob/master/google/api/error_reason.proto
    "API_KEY_INVALID": "upstream_auth",  # a 400, although it is the key's fault and not the client's
    "BILLING_DISABLED": "upstream_quota",
}
"""The `reason` of an ErrorInfo that is about the proxy's own account, to our kind."""
# 400 FAILED_PRECONDITION: "User location is not supported for the API use."
# https://discuss.ai.google.dev/t/gemini-api-location-support/454, "Gemini API free tier is not available in your
# country. Please enable billing on your project in Google AI Studio."
# https://ai.google.dev/gemini-api/docs/troubleshooting
REGION = re.compile(r"location is not supported|not available in your country", re.IGNORECASE)
# 'quotaId': 'GenerateRequestsPerDayPerProjectPerModel' https://github.com/langgenius/dify/issues/19838
QUOTA_FAILURE = "type.googleapis.com/google.rpc.QuotaFailure"
DAILY = "PerDay"
"""Part of the `quotaId` of a quota that a short wait does not restore, whatever the RetryInfo beside it says."""

RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
# "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
CONTEXT_LENGTH = re.compile(r"token count.{0,60}exceeds the maximum number of tokens", re.IGNORECASE)

# "Must start with a letter or an underscore. Must be a-z, A-Z, 0-9, or contain underscores, dots, colons and dashes,
# with a maximum length of 128." https://ai.google.dev/api/caching#FunctionDeclaration; 64 is what older versions and
# Vertex AI take.
TOOL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")

# The dummy signatures for calls of another model, and their base64 as some SDKs send them: see the FAQs of
# https://ai.google.dev/gemini-api/docs/thought-signatures
BYPASS = "skip_thought_signature_validator"
BYPASSES = (
    BYPASS,
    "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=",
    "context_engineering_is_the_way_to_go",
    "Y29udGV4dF9lbmdpbmVlcmluZ19pc190aGVfd2F5X3RvX2dv",
)

QUIRKS = {
    "gemini_3": "plays by the rules of Gemini 3 (thinking levels, signed calls, media in results), whatever its name",
}

# stopSequences: "The set of character sequences (up to 5) that will stop output generation." temperature: "Values can
# range from [0.0, 2.0]." https://ai.google.dev/api/generate-content#generationconfig
LIMITS = {"stop": 5, "temperature": 2.0}
