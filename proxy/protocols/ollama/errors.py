"""Encodes and decodes Ollama error bodies."""

from __future__ import annotations

from typing import Any

from ...errors import upstream_failure
from ...ir import Failure
from ...wire.account_trouble import account_kind
from ...wire.error_bodies import error_text, parse_error_body, status_in
from ...wire.prompt_length import is_too_long
from .tables import ACCOUNT_KINDS, KINDS


def encode_failure(failure: Failure, request_id: str) -> dict[str, Any]:
    """Returns the error body for a client."""
    # "Errors are returned in the application/json format with the following structure, with the error message in the
    # error property". https://docs.ollama.com/api/errors
    return {"error": failure.message}


def decode_failure(status: int, body: bytes, retry_after: float | None) -> Failure:
    """Maps the error response of a backend to a Failure; `retry_after` is in seconds."""
    return error_in(parse_error_body(body), status, retry_after)


def error_in(error: Any, status: int | None, retry_after: float | None) -> Failure:
    """Maps an `error` value to a Failure; inside a 200 stream `status` is None."""
    text = error_text(error)  # a gateway in front of the server may send an object
    if status is None and type(error) is dict:
        status = status_in(error)
    kind = next((kind for pattern, kind in KINDS if text and pattern.search(text)), None)
    if status not in (None, 400, 404):
        kind = None  # the status outweighs the sentence
    if is_too_long(text, None if status == 500 else status):  # older servers answer 500
        kind = "context_length"
    kind = account_kind(text, status) or kind
    for refused, pattern, told in ACCOUNT_KINDS:
        if status == refused and text and pattern.search(text):
            kind = told
    return upstream_failure(status or 502, text, kind=kind, retry_after=retry_after)
