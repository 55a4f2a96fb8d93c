"""Parses Chat Completions errors: those of error statuses and those inside a stream."""

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
    """Parses `error`; inside a 200 response its `code` or `type` gives the kind."""
    if not isinstance(error, dict):
        return not_an_object(status, error, complaints)
    # "code: string or null, message: string, param: string or null, type: string" are all required.
    # https://platform.openai.com/docs/api-reference (schema Error)
    for key in ("message", "type", "param", "code"):
        if key not in error:
            complaints.append(f"error: `{key}` is missing")
    for key in ("message", "type"):
        if key in error and not isinstance(error[key], str):
            complaints.append(f"error: `{key}` is not a string")
    code, kind = error.get("code"), error.get("type")
    if code is not None and not isinstance(code, str):
        complaints.append("error: `code` is neither a string nor null")
    found = ERROR_KINDS.get(str(code)) or ERROR_KINDS.get(str(kind)) or "internal"
    return ParsedError(
        status,
        error_kind(status, found),
        str(error.get("message", "")),
        None if code is None else str(code),
        error,
    )
