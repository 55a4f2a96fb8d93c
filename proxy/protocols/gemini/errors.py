"""Encodes and decodes Gemini error bodies."""

from __future__ import annotations

from typing import Any

from ...errors import upstream_failure
from ...ir import Failure
from ...wire.account_trouble import account_kind
from ...wire.error_bodies import error_text, parse_error_body, status_in
from ...wire.prompt_length import is_too_long
from .tables import (
    DAILY,
    ERROR_STATUSES,
    FAILED_STOPS,
    KINDS,
    QUOTA_FAILURE,
    REASONS,
    RETRY_INFO,
    STATUSES,
)


def encode_failure(failure: Failure, request_id: str) -> dict[str, Any]:
    """Returns the error body for a client."""
    error: dict[str, Any] = {
        "code": failure.status,
        "message": failure.message,
        "status": ERROR_STATUSES.get(failure.status, "INVALID_ARGUMENT"),
    }
    if failure.retry_after is not None:
        # "retryDelay: Clients should wait at least this long between retrying the same request."
        # https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto
        error["details"] = [{"@type": RETRY_INFO, "retryDelay": f"{failure.retry_after:g}s"}]
    return {"error": error}


def decode_failure(status: int, body: bytes, retry_after: float | None) -> Failure:
    """Maps the error response of a backend to a Failure; `retry_after` is in seconds."""
    return error_in(parse_error_body(body), status, retry_after)


def error_in(error: Any, status: int | None, retry_after: float | None) -> Failure:
    """Maps an `error` value to a Failure; inside a 200 stream `status` is None and follows from the code."""
    fields = error if type(error) is dict else {"message": error}
    error_status, message = fields.get("status"), error_text(fields)
    error_status = error_status if type(error_status) is str else None
    details = fields.get("details")
    details = [detail for detail in details if type(detail) is dict] if type(details) is list else []
    told = status
    if status is None:
        status = status_in(fields) or STATUSES.get(error_status or "", 502)
    kind = KINDS.get(error_status or "") if status != 400 else None
    if is_too_long(message, told):
        kind = "context_length"
    elif (known := account_kind(message, status)) is not None:
        kind = known
    elif status == 402:
        # "code": 402, "message": "Your prepayment credits are depleted. …", "status": "RESOURCE_EXHAUSTED"
        # https://discuss.ai.google.dev/t/api-update-depleted-prepay-credits-now-return-http-402-instead-of-429/183654
        kind = "upstream_quota"
    else:
        kind = next((found for detail in details if (found := _detail_kind(detail)) is not None), kind)
    if retry_after is None and kind != "upstream_quota":  # a RetryInfo does not tell when a daily quota ends
        retry_after = next((wait for detail in details if (wait := _retry_in(detail)) is not None), None)
    # a failure of the backend's own has a word of its own in each client's protocol
    code = None if status >= 500 else error_status
    return upstream_failure(status, message, kind=kind, code=code, retry_after=retry_after)


def failed_stop(native: str | None, message: Any) -> Failure | None:
    """Returns the failure that a stop reason tells of an answer without content; None where it tells of none."""
    sentence = FAILED_STOPS.get(native or "")
    if sentence is None:
        return None
    return upstream_failure(502, message if type(message) is str and message else sentence)


def _detail_kind(detail: dict[str, Any]) -> str | None:
    """Returns the kind of a refusal that is about the proxy's own account; None where the detail says nothing of it."""
    if detail.get("@type") == QUOTA_FAILURE:
        violations = detail.get("violations")
        for violation in violations if type(violations) is list else ():
            if type(violation) is dict and DAILY in str(violation.get("quotaId")):
                return "upstream_quota"
        return None
    return REASONS.get(str(detail.get("reason")))


def _retry_in(detail: dict[str, Any]) -> float | None:
    """Returns the seconds of a RetryInfo; None if the detail is none.

    The delay is "a duration in seconds with up to nine fractional digits, ending with 's'"
    (https://protobuf.dev/reference/protobuf/google.protobuf/#duration).
    """
    delay = detail.get("retryDelay")
    if detail.get("@type") != RETRY_INFO or type(delay) is not str:
        return None
    try:
        return max(0.0, float(delay.removesuffix("s")))
    except ValueError:
        return None
