"""Encodes and decodes the errors of Responses: the body of an answer, and the last event of a stream."""

from __future__ import annotations

from typing import Any

from ...ir import Failure
from ...wire.error_bodies import parse_error_body
from ...wire.prompt_length import is_too_long
from ..openai.errors import encode_failure, parse_error
from ..openai.tables import STATUS_KINDS
from .tables import KINDS, SLOW_DOWN, STREAM_CODES

__all__ = ["decode_failure", "encode_failure", "error_in", "stream_error"]


def stream_error(failure: Failure) -> dict[str, Any]:
    """Returns the `error` of a failed response, whose codes are a closed list."""
    code = STREAM_CODES.get(failure.kind, "server_error")
    if failure.kind == "overloaded" and failure.code == SLOW_DOWN:
        code = SLOW_DOWN
    return {"code": code, "message": failure.message}


def decode_failure(status: int, body: bytes, retry_after: float | None) -> Failure:
    """Maps the error response of a backend to a Failure; `retry_after` is in seconds."""
    return error_in(parse_error_body(body), status, retry_after)


def error_in(error: Any, status: int | None, retry_after: float | None) -> Failure:
    """Maps an `error` value to a Failure; inside a 200 stream `status` is None and follows from the code."""
    fields = parse_error(error, status, KINDS)
    kind = fields.kind
    if is_too_long(fields.message, status):
        kind = "context_length"
    if status is not None and (kind == "bad_request" or (status < 429 and kind in STATUS_KINDS)):
        kind = None  # the HTTP status says at least as much
    return fields.failure(kind, retry_after)
