"""Tables of the Anthropic Messages client: stop reasons, error kinds, and other names that only replies have."""

from __future__ import annotations

from crosswire.mockserver.protocols.anthropic.tables import STOPS

VERSION = "2023-06-01"
"""https://platform.claude.com/docs/en/api/versioning"""

STOP_REASONS: dict[str, str] = {native: neutral for neutral, native in STOPS.items()}
"""`stop_reason` -> neutral stop; an unknown one is parsed as `other`."""

ERROR_KINDS: dict[str, str] = {
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

DEFAULT_MAX_TOKENS = 1024
"""Value of the required field `max_tokens` if the story sets none."""
