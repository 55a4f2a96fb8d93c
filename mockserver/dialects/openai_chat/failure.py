"""The errors of Chat Completions as a strict client hears them; it knows no answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...speech import kind_of
from ..contract import Heard, HeardError, content_type, loads
from .words import HEARD_ERRORS


def refused(status: int, headers: Mapping[str, str], body: bytes) -> Heard:
    """A response of status 400 and above."""
    complaints: list[str] = []
    content_type(headers, "application/json", complaints)
    value = loads(body)
    error = value.get("error") if isinstance(value, dict) else None
    if error is None:
        complaints.append("error: the body has no `error`")
    return Heard(error=error_of(status, error, complaints), complaints=tuple(complaints))


def error_of(status: int, error: Any, complaints: list[str]) -> HeardError:
    """The value of `error`; with a status below 400 its own words tell the kind."""
    if not isinstance(error, dict):
        complaints.append("error: `error` is not an object")
        return HeardError(status, kind_of(status) if status >= 400 else "internal", str(error), None, error)
    # "code: string or null, message: string, param: string or null, type: string" are all required.
    # https://platform.openai.com/docs/api-reference (schema Error)
    for key in ("message", "type", "param", "code"):
        if key not in error:
            complaints.append(f"error: `{key}` is missing")
    for key in ("message", "type"):
        if key in error and not isinstance(error[key], str):
            complaints.append(f"error: `{key}` is not a string")
    code, kind = error.get("code"), error.get("type")
    if code is not None and not isinstance(code, str):
        complaints.append("error: `code` is neither a string nor null")
    found = HEARD_ERRORS.get(str(code)) or HEARD_ERRORS.get(str(kind)) or "internal"
    return HeardError(
        status,
        kind_of(status) if status >= 400 else found,
        str(error.get("message", "")),
        None if code is None else str(code),
        error,
    )
