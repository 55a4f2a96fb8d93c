"""Encodes and decodes the errors of Chat Completions."""

from __future__ import annotations

from typing import Any

from ...errors import Malformed, upstream_failure
from ...ir import Failure
from ...wire import json_fields
from ..openai.errors import encode_failure, parse_error
from ..openai.tables import STATUS_KINDS
from .tables import CONTEXT_LENGTH, KINDS

__all__ = ["decode_failure", "encode_failure", "error_in"]


def decode_failure(status: int, body: bytes, retry_after: float | None) -> Failure:
    """Maps the error response of a backend to a Failure; `retry_after` is in seconds."""
    try:
        fields = json_fields.parse(body)
    except Malformed:
        return upstream_failure(status, retry_after=retry_after)
    error = fields
    if type(fields) is dict:
        error = fields.get("error", fields.get("detail", fields))
    return error_in(error, status, retry_after)


def error_in(error: Any, status: int | None, retry_after: float | None) -> Failure:
    """Maps an `error` value to a Failure; inside a 200 stream `status` is None and follows from the code."""
    fields = parse_error(error, status, KINDS)
    kind = fields.kind
    if CONTEXT_LENGTH.search(fields.message or "") and status in (None, 400, 413, 422):
        kind = "context_length"
    if fields.status < 429 and kind in STATUS_KINDS:
        kind = None
    return fields.failure(kind, retry_after)
