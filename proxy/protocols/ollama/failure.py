"""Errors in Ollama's words, both ways."""

from __future__ import annotations

from typing import Any

from ... import wire
from ...errors import Malformed, upstream_failure
from ...ir import (
    Failure,
)
from .words import KINDS


def encode_failure(failure: Failure, request_id: str) -> dict[str, Any]:
    # "Errors are returned in the application/json format with the following structure, with the error message in the
    # error property". https://docs.ollama.com/api/errors
    return {"error": failure.message}


def decode_failure(status: int, body: bytes, retry_after: float | None) -> Failure:
    try:
        fields = wire.parse(body)
    except Malformed:
        return upstream_failure(status, retry_after=retry_after)
    return error_in(fields.get("error") if type(fields) is dict else fields, status, retry_after)


def error_in(error: Any, status: int | None, retry_after: float | None) -> Failure:
    """The failure that an `error` value means, in a body or as a line of a 200 stream (which has no status)."""
    message = error.get("message") if type(error) is dict else error  # a gateway before the server may send an object
    text = message if type(message) is str else None
    kind = next((kind for pattern, kind in KINDS if text and pattern.search(text)), None)
    if status not in (None, 400, 404) and not (status == 500 and kind == "context_length"):
        kind = None  # what the status says weighs more than a sentence, but older servers say 500 for a long prompt
    return upstream_failure(status or 502, text, kind=kind, retry_after=retry_after)


def cut() -> Failure:
    return upstream_failure(502, kind="upstream_cut", message="The backend's stream ended before its answer did.")
