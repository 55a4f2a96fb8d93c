"""Faults in upstream requests: dropped, changed or added content, and leaked credentials."""

from __future__ import annotations

import re
from typing import Any

from msgspec.structs import replace

from .fault_proxy import FaultContext, ProxiedRequest

EXTRA_FIELD: dict[str, dict[str, Any]] = {
    "openai-chat": {"prompt_cache_key": "pier-7"},
    "openai-responses": {"prompt_cache_key": "pier-7"},
    "anthropic": {"inference_geo": "us"},
    "gemini": {"safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]},
    "ollama": {"keep_alive": "5m"},
}
"""Protocol -> a field that its providers accept and that no client sends."""


def drop_system(context: FaultContext, request: ProxiedRequest) -> ProxiedRequest:
    """Drops the system prompt."""
    body = request.json()
    for key in ("system", "instructions", "systemInstruction", "system_instruction"):
        body.pop(key, None)
    for key in ("messages", "input"):
        if isinstance(body.get(key), list):
            body[key] = [item for item in body[key] if item.get("role") not in ("system", "developer")]
    return request.with_json(body)


def split_system(context: FaultContext, request: ProxiedRequest) -> ProxiedRequest:
    """Sends the system prompt as parts, which is equivalent but not what the story expects."""
    body = request.json()
    return request.with_json(body | {"system": [{"type": "text", "text": body["system"]}]})


def drop_history(context: FaultContext, request: ProxiedRequest) -> ProxiedRequest:
    """Drops the first two messages of the history."""
    body = request.json()
    for key in ("messages", "input", "contents"):
        if isinstance(body.get(key), list):
            messages = [item for item in body[key] if item.get("role") not in ("system", "developer")]
            body[key] = [item for item in body[key] if item not in messages[:2]]
    return request.with_json(body)


def drop_result(context: FaultContext, request: ProxiedRequest) -> ProxiedRequest:
    """Drops the last tool result."""
    body = request.json()
    within: list[Any] = next(body[key] for key in ("messages", "input", "contents") if key in body)
    parts = {"anthropic": "content", "gemini": "parts"}.get(context.protocol)
    if parts is not None and isinstance(within[-1].get(parts), list):
        within = within[-1][parts]
    results = [at for at, item in enumerate(within) if _is_result(item)]
    if results:
        del within[results[-1]]
    return request.with_json(body)


def _is_result(item: dict[str, Any]) -> bool:
    kind = item.get("type") or item.get("role")
    return kind in ("tool", "tool_result", "function_call_output") or "functionResponse" in item


def swap_results(context: FaultContext, request: ProxiedRequest) -> ProxiedRequest:
    """Swaps the texts of the first two tool results."""
    first, second = b"18 and clouds", b"22 and mist"  # of the story tools-parallel
    return replace(request, body=request.body.replace(first, b"\0").replace(second, first).replace(b"\0", second))


def drop_tool(context: FaultContext, request: ProxiedRequest) -> ProxiedRequest:
    """Drops the last tool."""
    body = request.json()
    tools = body.get("tools") or []
    (tools[0]["functionDeclarations"] if context.protocol == "gemini" else tools).pop()
    return request.with_json(body)


def loosen_schema(context: FaultContext, request: ProxiedRequest) -> ProxiedRequest:
    """Makes a required parameter of a tool optional."""
    return replace(request, body=re.sub(rb'"required": *\["city"\]', b'"required":[]', request.body))


def drop_seed(context: FaultContext, request: ProxiedRequest) -> ProxiedRequest:
    """Drops the seed, although the provider supports it."""
    body = request.json()
    for place in (body, body.get("generationConfig", {}), body.get("options", {})):
        place.pop("seed", None)
    return request.with_json(body)


def add_blank_upstream(context: FaultContext, request: ProxiedRequest) -> ProxiedRequest:
    """Adds a blank to the JSON of the request."""
    return replace(request, body=request.body.replace(b'":', b'": ', 1))


def change_call_in_history(context: FaultContext, request: ProxiedRequest) -> ProxiedRequest:
    """Changes one character of a call in the history."""
    head, name, tail = request.body.rpartition(b"Porto")
    return replace(request, body=head + b"Portu" + tail) if b"Porto" in head and name else request


def add_field(context: FaultContext, request: ProxiedRequest) -> ProxiedRequest:
    """Adds a field that the client never sent."""
    return request.with_json(request.json() | EXTRA_FIELD[context.protocol])


def set_temperature(context: FaultContext, request: ProxiedRequest) -> ProxiedRequest:
    """Adds a temperature that the client never sent."""
    body = request.json()
    place = {"gemini": "generationConfig", "ollama": "options"}.get(context.protocol)
    (body if place is None else body.setdefault(place, {}))["temperature"] = 0.25
    return request.with_json(body)


def forward_key_in_header(context: FaultContext, request: ProxiedRequest) -> ProxiedRequest:
    """Forwards the client's credential in a header of another name."""
    return replace(request, headers={**request.headers, "x-client-authorization": _client_key(context.client)})


def add_feature_header(context: FaultContext, request: ProxiedRequest) -> ProxiedRequest:
    """Forwards a feature header of one protocol to a provider of another."""
    return replace(request, headers={**request.headers, "anthropic-beta": "extended-cache-ttl-2025-04-11"})


def drop_feature_header(context: FaultContext, request: ProxiedRequest) -> ProxiedRequest:
    """Drops a feature header on the way to a provider that needs it."""
    return replace(
        request, headers={name: value for name, value in request.headers.items() if name != "anthropic-beta"}
    )


def forward_key_in_query(context: FaultContext, request: ProxiedRequest) -> ProxiedRequest:
    """Forwards the client's credential in the query."""
    joint = "&" if "?" in request.path else "?"
    return replace(request, path=f"{request.path}{joint}client={_client_key(context.client)}")


def _client_key(client: ProxiedRequest) -> str:
    names = ("authorization", "x-api-key", "x-goog-api-key")
    return next(client.headers[name] for name in names if name in client.headers).removeprefix("Bearer ")
