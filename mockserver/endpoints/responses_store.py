"""Stored responses of the Responses API: retrieve, delete, cancel, input items, and compaction.

https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from typing import Any

from ..journal import Entry
from ..protocols.reply_context import MOCK_CREATED, Failure
from ..scenarios.provider import Provider
from .errors import EndpointReply, invalid_request, unknown_model


def compact(entry: Entry, provider: Provider, path: re.Match[str], before: Sequence[Entry]) -> EndpointReply:
    """Compacts a conversation: keeps the user messages and replaces the rest by one compaction item."""
    body = entry.body
    model = body.get("model")
    if not isinstance(model, str):
        return invalid_request("Missing required parameter: 'model'.", "model")
    if missing := unknown_model(model, provider):
        return missing
    given = body.get("input", [])
    items = given if isinstance(given, list) else [{"role": "user", "content": given}]
    stored = [
        _stored_item(item, n) for n, item in enumerate(items) if isinstance(item, dict) and item.get("role") == "user"
    ]
    size = len(entry.received) // 4
    encrypted = base64.b64encode(f"cmp:{provider.name}:{size}".encode()).decode()
    return {
        "id": "resp_compacted",
        "object": "response.compaction",
        "created_at": MOCK_CREATED,
        "output": [*stored, {"type": "compaction", "id": "cmp_1", "encrypted_content": encrypted}],
        "usage": {
            "input_tokens": size,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 9,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": size + 9,
        },
    }


def _stored_item(item: dict[str, Any], n: int) -> dict[str, Any]:
    """Returns an input item in stored form: with an id, and with its text as a list of parts."""
    given = item.get("content")
    parts = {"content": [{"type": "input_text", "text": given}]} if isinstance(given, str) else {}
    return {"type": "message", "status": "completed", **item, **parts, "id": f"msg_{n}"}


def _find_stored(name: str, provider: Provider, before: Sequence[Entry]) -> tuple[dict[str, Any], Entry] | Failure:
    """Returns a stored response and its request; a 404 if it does not exist, has `store: false`, or was deleted."""
    last: tuple[dict[str, Any], Entry] | None = None
    for entry in before:
        if entry.provider != provider.name or entry.status != 200:
            continue
        if entry.method == "DELETE" and entry.path.endswith(f"/{name}"):
            last = None
        elif entry.method == "POST" and isinstance(entry.body, dict) and entry.body.get("store") is not False:
            try:
                response = json.loads(bytes(entry.sent))
            except ValueError:
                continue
            if response.get("id") == name and response.get("object") == "response":
                last = response, entry
    missing = Failure(404, "not_found", f"Response with id '{name}' not found.", None, "response_id")
    return missing if last is None else last


def retrieve(entry: Entry, provider: Provider, path: re.Match[str], before: Sequence[Entry]) -> EndpointReply:
    """Retrieves a stored response."""
    stored = _find_stored(path[1], provider, before)
    return stored if isinstance(stored, Failure) else stored[0]


def delete(entry: Entry, provider: Provider, path: re.Match[str], before: Sequence[Entry]) -> EndpointReply:
    """Deletes a stored response."""
    stored = _find_stored(path[1], provider, before)
    return stored if isinstance(stored, Failure) else {"id": path[1], "object": "response", "deleted": True}


def cancel(entry: Entry, provider: Provider, path: re.Match[str], before: Sequence[Entry]) -> EndpointReply:
    """Cancels a stored response.

    "Only responses created with the background parameter set to true can be cancelled."
    """
    stored = _find_stored(path[1], provider, before)
    if isinstance(stored, Failure):
        return stored
    response, request = stored
    return response if request.body.get("background") else invalid_request("Cannot cancel a synchronous response.")


def input_items(entry: Entry, provider: Provider, path: re.Match[str], before: Sequence[Entry]) -> EndpointReply:
    """Lists the input items of a stored response."""
    stored = _find_stored(path[1], provider, before)
    if isinstance(stored, Failure):
        return stored
    given = stored[1].body.get("input", [])
    items = given if isinstance(given, list) else [{"role": "user", "content": given}]
    data = [_stored_item(item, n) for n, item in enumerate(items)]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": False}
