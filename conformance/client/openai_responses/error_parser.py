"""Parses Responses errors: those of error statuses, those inside a stream and those of a failed response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..protocol import ParsedError, ParsedReply
from ..reply_checks import error_kind, not_an_object, parse_error_body
from .tables import ERROR_KINDS


def parse_error_reply(status: int, headers: Mapping[str, str], body: bytes) -> ParsedReply:
    """Parses a response of status 400 and above."""
    return parse_error_body(status, headers, body, parse_error)


def parse_error(status: int, error: Any, complaints: list[str]) -> ParsedError:
    """Parses the `error` of a body or of an `error` event."""
    if not isinstance(error, dict):
        return not_an_object(status, error, complaints)
    # "code: string or null, message: string, param: string or null, type: string" are all required.
    # https://platform.openai.com/docs/api-reference (schema Error)
    for key in ("message", "type", "param", "code"):
        if key not in error:
            complaints.append(f"error: `{key}` is missing")
    return parse_error_fields(status, error, complaints)


def parse_error_fields(status: int, error: dict[str, Any], complaints: list[str]) -> ParsedError:
    """Parses an error object that may lack fields, as `response.error` has only `code` and `message`."""
    for key, optional in (("message", False), ("type", False), ("code", True), ("param", True)):
        value = error.get(key, "")
        if not isinstance(value, str) and not (optional and value is None):
            complaints.append(f"error: `{key}` is not a string: {value!r}")
    code, kind = error.get("code"), error.get("type")
    found = ERROR_KINDS.get(str(code)) or ERROR_KINDS.get(str(kind)) or "internal"
    return ParsedError(
        status,
        error_kind(status, found),
        str(error.get("message", "")),
        None if code is None else str(code),
        error,
    )
