"""Errors in chat's words, both ways."""

from __future__ import annotations

from typing import Any

from ... import wire
from ...errors import Malformed, upstream_failure
from ...ir import (
    Failure,
)
from .words import CONTEXT_LENGTH, ERROR_CODES, ERROR_TYPES, KINDS


def encode_failure(failure: Failure, request_id: str) -> dict[str, Any]:
    return {
        "error": {
            "message": failure.message,
            "type": ERROR_TYPES.get(failure.kind, "invalid_request_error" if failure.status < 500 else "server_error"),
            "param": failure.param,
            "code": ERROR_CODES.get(failure.kind, failure.code or failure.kind),
        }
    }


def decode_failure(status: int, body: bytes, retry_after: float | None) -> Failure:
    try:
        fields = wire.parse(body)
    except Malformed:
        return upstream_failure(status, retry_after=retry_after)
    error = fields
    if type(fields) is dict:
        error = fields.get("error", fields.get("detail", fields))
    return error_in(error, status, retry_after)


def error_in(error: Any, status: int | None, retry_after: float | None) -> Failure:
    """The failure that an `error` value means, in a body or inside a 200 stream (where its code may be a status)."""
    fields = error if type(error) is dict else {"message": error}
    code, kind = fields.get("code"), fields.get("type")
    in_stream = status is None
    if status is None:
        status = code if type(code) is int and 400 <= code < 600 else 502
    known = KINDS.get(str(code)) or KINDS.get(str(kind))
    message = fields.get("message")
    if type(message) is str and CONTEXT_LENGTH.search(message) and (in_stream or status in (400, 413, 422)):
        known = "context_length"
    return upstream_failure(
        status,
        message if type(message) is str else None,
        kind=known if status >= 429 or known not in ("upstream_error", "overloaded", "rate_limit") else None,
        code=code if type(code) is str else None,
        param=fields["param"] if type(fields.get("param")) is str else None,
        retry_after=retry_after,
    )


def cut() -> Failure:
    return upstream_failure(502, kind="upstream_cut", message="The backend's stream ended before its answer did.")
