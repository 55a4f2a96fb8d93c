"""Parses Anthropic Messages errors: those of error statuses and those inside a stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crosswire.mockserver.scenarios.model import kind_of_status

from ..protocol import ParsedError, ParsedReply
from ..reply_checks import check_content_type, check_keys, error_kind, parse_json
from .tables import ERROR_KINDS


def parse_error_reply(status: int, headers: Mapping[str, str], body: bytes) -> ParsedReply:
    """Parses a response of status 400 and above."""
    complaints: list[str] = []
    check_content_type(headers, "application/json", complaints)
    return ParsedReply(error=parse_error(status, parse_json(body), complaints), complaints=tuple(complaints))


def parse_error(status: int, value: Any, complaints: list[str]) -> ParsedError:
    """Parses an error body or an `error` event. https://platform.claude.com/docs/en/api/errors"""
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(value, dict) or value.get("type") != "error":
        complaints.append('error: `type` is not "error"')
    if not isinstance(error, dict):
        complaints.append("error: the body has no `error` object")
        return ParsedError(status, error_kind(status), str(value))
    check_keys(error, {"type": str, "message": str}, "error", complaints)
    kind = ERROR_KINDS.get(str(error.get("type")))
    if kind is None:
        complaints.append(f"error: {error.get('type')!r} is no type of this protocol")
    if status >= 400 and kind is not None and kind != kind_of_status(status) and kind_of_status(status) != "media_type":
        complaints.append(f"error: {error.get('type')} does not go with status {status}")
    found = error_kind(status, kind or "internal")
    return ParsedError(status, found, str(error.get("message", "")), str(error.get("type")), error)
