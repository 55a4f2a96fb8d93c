"""Encodes and decodes Anthropic error bodies."""

from __future__ import annotations

from typing import Any

from ...errors import upstream_failure
from ...ir import Failure, Request
from ...wire.account_trouble import account_kind
from ...wire.error_bodies import error_text, parse_error_body, status_in
from ...wire.prompt_length import is_too_long
from .tables import CONTEXT_LENGTH, ERROR_TYPES, KINDS, MESSAGES, SPEND_LIMIT, THREAD_UNSUPPORTED


def encode_failure(failure: Failure, request_id: str) -> dict[str, Any]:
    """Returns the error body for a client."""
    kind = ERROR_TYPES.get(failure.kind, "invalid_request_error" if failure.status < 500 else "api_error")
    error: dict[str, Any] = {"type": kind, "message": _message_out(failure)}
    if failure.code == THREAD_UNSUPPORTED:
        error["details"] = {"error_code": THREAD_UNSUPPORTED}
    return {"type": "error", "error": error, "request_id": request_id}


def refusal_code(request: Request) -> str | None:
    """Returns the code at which a client that continued a thread sends the whole conversation without it."""
    thread = (request.extra or {}).get("thread")
    is_continued = type(thread) is dict and thread.get("type") == "continue"
    return THREAD_UNSUPPORTED if is_continued else None


def _message_out(failure: Failure) -> str:
    """Returns the message, with the phrase by which Anthropic clients recognise an overlong prompt and compact it."""
    if failure.kind != "context_length" or CONTEXT_LENGTH.search(failure.message):
        return failure.message
    return f"prompt is too long: {failure.message}"


def decode_failure(status: int, body: bytes, retry_after: float | None) -> Failure:
    """Maps the error response of a backend to a Failure; `retry_after` is in seconds."""
    return error_in(parse_error_body(body), status, retry_after)


def error_in(error: Any, status: int | None, retry_after: float | None) -> Failure:
    """Maps an `error` value to a Failure; inside a 200 stream `status` is None and follows from the error type."""
    fields = error if type(error) is dict else {"message": error}
    kind, implied = KINDS.get(str(fields.get("type")), (None, status_in(fields) or 502))
    text = error_text(fields)
    too_long = is_too_long(text, status)
    status = implied if status is None else status
    if too_long:
        kind = "context_length"
    elif (told := account_kind(text, status)) is not None:
        kind = told
    elif status < 500 and text is not None:
        kind = next((specific for pattern, specific in MESSAGES if pattern.search(text)), kind)
    details = fields.get("details")
    if type(details) is dict and details.get("error_code") == SPEND_LIMIT:
        kind = "upstream_quota"
    return upstream_failure(status, text, kind=kind, retry_after=retry_after)
