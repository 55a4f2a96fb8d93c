"""Parses Ollama errors: those of error statuses and those inside a stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crosswire.mockserver.framing import dump

from ..protocol import ParsedError, ParsedReply
from ..reply_checks import error_kind, parse_error_body


def parse_error_reply(status: int, headers: Mapping[str, str], body: bytes) -> ParsedReply:
    """Parses a response of status 400 and above."""
    return parse_error_body(status, headers, body, parse_error)


def parse_error(status: int, error: Any, complaints: list[str]) -> ParsedError:
    """Parses `error`, which is a message and nothing else. https://docs.ollama.com/api/errors"""
    if not isinstance(error, str):
        complaints.append(f"error: `error` is not a string: {dump(error)[:60]}")
    message = error if isinstance(error, str) else dump(error)
    return ParsedError(status, error_kind(status), message, None, error)
