"""Errors in Anthropic's words, both ways."""

from __future__ import annotations

from typing import Any

from ... import wire
from ...errors import Malformed, upstream_failure
from ...ir import (
    Failure,
)
from .words import ERROR_TYPES, KINDS, MESSAGES, TOO_LONG


def encode_failure(failure: Failure, request_id: str) -> dict[str, Any]:
    kind = ERROR_TYPES.get(failure.kind, "invalid_request_error" if failure.status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": _message_out(failure)}, "request_id": request_id}


def _message_out(failure: Failure) -> str:
    """The message, in which clients of this dialect look for the words by which they know that they must compact."""
    if failure.kind != "context_length" or TOO_LONG.search(failure.message):
        return failure.message
    return f"prompt is too long: {failure.message}"


def decode_failure(status: int, body: bytes, retry_after: float | None) -> Failure:
    try:
        fields = wire.parse(body)
    except Malformed:
        return upstream_failure(status, retry_after=retry_after)
    return error_in(fields.get("error", fields) if type(fields) is dict else fields, status, retry_after)


def error_in(error: Any, status: int | None, retry_after: float | None) -> Failure:
    """The failure that an `error` value means, in a body or inside a 200 stream (where its type tells the status)."""
    fields = error if type(error) is dict else {"message": error}
    kind, implied = KINDS.get(str(fields.get("type")), (None, 502))
    message = fields.get("message")
    text = message if type(message) is str else None
    status = implied if status is None else status
    if status < 500 and text is not None:
        kind = next((meant for pattern, meant in MESSAGES if pattern.search(text)), kind)
    return upstream_failure(status, text, kind=kind, retry_after=retry_after)


def cut() -> Failure:
    return upstream_failure(502, kind="upstream_cut", message="The backend's stream ended before its answer did.")
