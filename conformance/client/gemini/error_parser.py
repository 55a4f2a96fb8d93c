"""Parses Gemini API errors: those of error statuses and those inside a stream."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from crosswire.mockserver.protocols.gemini.tables import KEY_INVALID, STATUSES
from crosswire.mockserver.scenarios.model import kind_of_status

from ..protocol import HttpRequest, ParsedError, ParsedReply
from ..reply_checks import not_an_object, parse_error_body, parse_json
from .tables import OTHER_STATUSES


def parse_error_reply(
    status: int, headers: Mapping[str, str], body: bytes, request: HttpRequest | None = None
) -> ParsedReply:
    """Parses a response of status 400 and above; for a stream that was requested as an array it is an array too."""
    value = parse_json(body)
    if isinstance(value, list) and len(value) == 1 and (request is None or not wants_sse(request)):
        body = json.dumps(value[0]).encode()
    return parse_error_body(status, headers, body, parse_error)


def wants_sse(request: HttpRequest) -> bool:
    """Returns True if the request asks for server-sent events instead of a JSON array."""
    return "alt=sse" in request.path.partition("?")[2].split("&")


def parse_error(status: int, error: Any, complaints: list[str]) -> ParsedError:
    """Parses `error`, a Status that contains the HTTP code. https://cloud.google.com/apis/design/errors#http_mapping"""
    if not isinstance(error, dict):
        return not_an_object(status, error, complaints)
    code, name = error.get("code"), error.get("status")
    if not isinstance(code, int) or isinstance(code, bool):
        complaints.append(f"error: `code` is {code!r}, not an HTTP status")
        code = None
    elif status >= 400 and code != status:
        complaints.append(f"error: `code` is {code}, the status is {status}")
    if not isinstance(error.get("message"), str):
        complaints.append(f"error: `message` is {error.get('message')!r}, not a string")
    if not isinstance(name, str):
        complaints.append(f"error: `status` is {name!r}, not a string")
    elif code is not None and name != STATUSES.get(code) and name not in OTHER_STATUSES.get(code, ()):
        complaints.append(f"error: `status` {name} does not belong to {code}; {STATUSES.get(code)} does")
    if "details" in error and not isinstance(error["details"], list):
        complaints.append("error: `details` is not an array")
    # inside a stream the body's code takes the place of the HTTP status
    number = status if status >= 400 else code if code is not None else 500
    kind = "authentication" if KEY_INVALID in _detail_reasons(error) else kind_of_status(number)
    return ParsedError(number, kind, str(error.get("message", "")), name if isinstance(name, str) else None, error)


def _detail_reasons(error: dict[str, Any]) -> list[Any]:
    """Returns the `reason` of each detail."""
    details = error.get("details")
    return [detail.get("reason") for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []
