"""Finds the error in an answer's body or frame, in whichever of the shapes that hosts and gateways write."""

from __future__ import annotations

from typing import Any

from ..errors import Malformed
from . import json_fields
from .text_repair import BOM

_MESSAGES = (
    *("message", "msg", "detail", "error_msg", "error_message", "errorMessage", "Message", "error_description"),
    *("faultstring", "fault", "error", "reason"),
)
"""Keys of the sentence that says what is wrong, the likeliest first."""

_DEPTH = 4
"""Levels of nesting within which the sentence is looked for."""


def error_text(value: Any, depth: int = _DEPTH) -> str | None:
    """Returns the sentence of an error: a string, or what the objects and arrays around it hold.

    FastAPI lists one object for each fault: {"detail": [{"loc": ["body", "user"], "msg": "…"}]}.
    https://fastapi.tiangolo.com/tutorial/handling-errors/
    """
    if type(value) is str:
        return value or None
    if depth == 0:
        return None
    if type(value) is list:
        texts = [text for item in value if (text := error_text(item, depth - 1)) is not None]
        return "; ".join(dict.fromkeys(texts)) or None
    if type(value) is dict:
        text = next((text for key in _MESSAGES if (text := error_text(value.get(key), depth - 1)) is not None), None)
        place = value.get("loc")
        if text is not None and type(place) is list:
            return f"{'.'.join(map(str, place))}: {text}"
        return text
    return None


def error_in_body(body: Any) -> dict[str, Any]:
    """Returns the error of a body that is known to hold one, as an object whose `message` is a string where it can be.

    Google answers a stream's error as [{"error": {…}}], Cloudflare {"errors": [{…}]}, FastAPI {"detail": …}, Mistral
    {"object": "error", "message": {"detail": […]}}, xAI {"code": "…", "error": "…"}, MiniMax {"base_resp": {…}}, OAuth
    {"error": "invalid_grant", "error_description": "…"}, Apigee {"fault": {"faultstring": "…"}}.
    """
    if type(body) is list:
        objects = [item for item in body if type(item) is dict]
        body = objects[0] if len(objects) == 1 else {"message": body}
    if type(body) is not dict:
        return {"message": error_text(body)}
    inner = body.get("error") or body.get("errors") or body.get("base_resp")
    if type(inner) is list and len(inner) == 1:
        inner = inner[0]
    if type(inner) is dict:
        # the request's id and the like stay outside; what says more of the error may stand beside it
        beside = {key: body[key] for key in ("code", "type", "status") if key not in inner and _is_plain(body.get(key))}
        if beside.get("type") == "error":
            del beside["type"]
        fields = {**beside, **inner}
        if "status_msg" in fields:  # MiniMax: {"base_resp": {"status_code": 1004, "status_msg": "…"}}
            fields.setdefault("message", fields["status_msg"])
    else:
        fields = {key: value for key, value in body.items() if key not in ("error", "errors")}
        if inner is not None and type(fields.get("error_description")) is not str:
            fields["message"] = inner
    if type(fields.get("message")) is not str:
        fields["message"] = error_text(fields)
    if (cause := _cause_in(fields.get("metadata"))) is not None:
        fields["message"] = cause if fields["message"] is None else f"{fields['message']}: {cause}"
    return fields


def _cause_in(metadata: Any) -> str | None:
    """Returns the sentence of the provider behind OpenRouter, whose own is "Provider returned error".

    "raw: The raw error from the provider": https://openrouter.ai/docs/api-reference/errors#provider-errors
    """
    raw = metadata.get("raw") if type(metadata) is dict else None
    if type(raw) is str:
        try:
            return error_text(json_fields.parse(raw)) or raw or None
        except Malformed:
            return raw or None
    return error_text(raw)


def _is_plain(value: Any) -> bool:
    return type(value) in (str, int)


def is_error(fields: dict[str, Any]) -> bool:
    """Returns whether an object that is no part of an answer tells of an error."""
    if fields.get("error") or fields.get("errors") or fields.get("detail"):
        return True
    if fields.get("object") == "error" or fields.get("type") == "error":
        return True
    if type(found := fields.get("base_resp")) is dict:
        return found.get("status_code") not in (None, 0)
    return (
        error_text(fields, 1) is not None
        and any(_is_plain(fields.get(key)) for key in ("code", "status", "status_code", "error_code"))
        and fields.get("code") not in (0, 200)
    )


def status_in(fields: dict[str, Any]) -> int | None:
    """Returns the HTTP status that an error object tells, by any of its usual keys."""
    for key in ("status_code", "code", "status", "http_code", "statusCode"):
        value = fields.get(key)
        if type(value) is str and value.isdecimal() and len(value) == 3:
            value = int(value)
        if type(value) is int and 400 <= value < 600:
            return value
    return None


def parse_error_body(body: bytes) -> dict[str, Any]:
    """Returns the error of an HTTP error's body; a body that is no JSON is the sentence itself, unless it is a page."""
    try:
        return error_in_body(json_fields.parse(body.removeprefix(BOM)))
    except Malformed:
        text = body.decode(errors="replace").strip()
        return {"message": text if text and not text.startswith("<") else None}
