"""Errors in Responses' words, both ways: a body, and the last event of a stream."""

from __future__ import annotations

from typing import Any

from ... import wire
from ...errors import Malformed, upstream_failure
from ...ir import (
    Failure,
)
from .words import CONTEXT_LENGTH, ERROR_CODES, ERROR_TYPES, KINDS, STREAM_CODES


def encode_failure(failure: Failure, request_id: str) -> dict[str, Any]:
    return {
        "error": {
            "message": failure.message,
            "type": ERROR_TYPES.get(failure.kind, "invalid_request_error" if failure.status < 500 else "server_error"),
            "param": failure.param,
            "code": ERROR_CODES.get(failure.kind, failure.code or failure.kind),
        }
    }


def stream_error(failure: Failure) -> dict[str, Any]:
    """The `error` of a response that failed, whose codes are a closed list."""
    return {"code": STREAM_CODES.get(failure.kind, "server_error"), "message": failure.message}


def decode_failure(status: int, body: bytes, retry_after: float | None) -> Failure:
    try:
        fields = wire.parse(body)
    except Malformed:
        return upstream_failure(status, retry_after=retry_after)
    error = fields
    if type(fields) is dict:
        error = fields.get("error", fields.get("detail", fields))
        if type(error) is str:  # xAI: {"code": …, "error": "what went wrong"}
            error = {**fields, "message": error}
    return error_in(error, status, retry_after)


def error_in(error: Any, status: int | None, retry_after: float | None) -> Failure:
    """The failure that an `error` value means, in a body or inside a 200 stream (where its code may be a status)."""
    fields = error if type(error) is dict else {"message": error}
    code, kind, message = fields.get("code"), fields.get("type"), fields.get("message")
    in_stream = status is None
    if status is None:
        status = code if type(code) is int and 400 <= code < 600 else 502
    known = KINDS.get(str(code)) or KINDS.get(str(kind))
    if type(message) is str and CONTEXT_LENGTH.search(message) and (in_stream or status in (400, 413)):
        known = "context_length"
    # beside a status of its own, a word that says no more than some other status is not heard
    vague = not in_stream and status < 429 and known in ("upstream_error", "overloaded", "rate_limit")
    if known == "bad_request" and not in_stream:
        vague = True
    return upstream_failure(
        status,
        message if type(message) is str else None,
        kind=None if vague else known,
        code=code if type(code) is str else None,
        param=fields["param"] if type(fields.get("param")) is str else None,
        retry_after=retry_after,
    )


def cut() -> Failure:
    return upstream_failure(502, kind="upstream_cut", message="The backend's stream ended before its answer did.")
