"""Encodes and decodes error bodies; which code means what, and when, is each protocol's own rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from ...errors import upstream_failure
from ...ir import Failure
from ...wire.account_trouble import account_kind as told_kind
from ...wire.error_bodies import error_text, status_in
from .tables import (
    ERROR_CODES,
    ERROR_TYPES,
    IMPLIED_STATUSES,
    MODEL_FORBIDDEN,
    MODERATION,
    MODERATION_FIELDS,
    SENTENCES,
    TRANSIENT,
)


def encode_failure(failure: Failure, request_id: str) -> dict[str, Any]:
    """Returns the error body for a client."""
    return {
        "error": {
            "message": failure.message,
            "type": ERROR_TYPES.get(failure.kind, "invalid_request_error" if failure.status < 500 else "server_error"),
            "param": failure.param,
            "code": ERROR_CODES.get(failure.kind, failure.code or failure.kind),
        }
    }


class ErrorFields(Struct, frozen=True):
    """The fields of an upstream's error: its HTTP status, and the kind of failure that its code or type names."""

    status: int
    kind: str | None
    message: str | None
    code: str | None
    param: str | None

    def failure(self, kind: str | None, retry_after: float | None) -> Failure:
        """Returns the failure for the client; without a kind the status decides."""
        return upstream_failure(
            self.status, self.message, kind=kind, code=self.code, param=self.param, retry_after=retry_after
        )


def parse_error(error: Any, status: int | None, kinds: Mapping[str, str]) -> ErrorFields:
    """Reads an `error` value, an object or a bare message.

    Without an HTTP status, as inside a 200 stream, the error's own status holds, else that of its type, else 502.
    """
    fields = error if type(error) is dict else {"message": error}
    code, type_ = fields.get("code"), fields.get("type")
    message = error_text(fields)
    if status is None:
        status = status_in(fields) or IMPLIED_STATUSES.get(str(code)) or IMPLIED_STATUSES.get(str(type_))
        status = status or next((told for pattern, told in SENTENCES if pattern.search(message or "")), 502)
    kind = kinds.get(str(code)) or kinds.get(str(type_))
    return ErrorFields(
        status,
        account_kind(status, kind, str(code), message or "", fields.get("metadata")) or kind,
        message,
        _string(code),
        _string(fields.get("param")),
    )


def account_kind(status: int, kind: str | None, code: str, message: str, metadata: Any) -> str | None:
    """Returns the kind of a refusal that is about the proxy's own account; None where it is about anything else."""
    fields = metadata if type(metadata) is dict else {}
    if status == 402:
        return "rate_limit" if fields.get("reason") == TRANSIENT else "upstream_quota"
    if status == 403:
        if kind == "model_not_found" or MODEL_FORBIDDEN.search(f"{code} {message}"):
            return "upstream_forbidden"
        if any(key in fields for key in MODERATION_FIELDS) or MODERATION.search(message):
            return "upstream_moderation"
    return told_kind(message, status)


def _string(value: Any) -> str | None:
    return value if type(value) is str else None
