"""A Responses backend's answer as the neutral form."""

from __future__ import annotations

from itertools import count
from typing import Any

from msgspec.structs import replace

from ...errors import UpstreamError
from ...ir import (
    Block,
    Opaque,
    Own,
    Reasoning,
    Reply,
    Signature,
    StopReason,
    ToolCall,
    Usage,
)
from ...wire import each, need, take
from ..contract import NewId, Sent
from .failure import error_in
from .request_in import Key, call_in, message_in, reasoning_in
from .words import ECHO, ECHO_KEY, NAME, STOPS


def decode_reply(body: dict[str, Any], sent: Sent, new_id: NewId) -> Reply:
    if body.get("error"):
        raise UpstreamError(error_in(body["error"], None, None))
    place = count()
    items = each(need(body, "output", list), "output", lambda item: item_in(item, next(place), sent, new_id))
    blocks = tuple(block for item in items for _, block in item)
    id_, model = take(body, "id", str), take(body, "model", str)
    native = native_in(body)
    usage = take(body, "usage", dict)
    return Reply(
        dialect=NAME,
        id=id_,
        model=model,
        blocks=blocks,
        stop=stop_in(native, any(isinstance(block, ToolCall) for block in blocks)),
        native=native,
        usage=usage_in(usage) if usage else None,
        own=own_in(body),
    )


def item_in(item: dict[str, Any], index: int, sent: Sent, new_id: NewId) -> list[tuple[Key, Block]]:
    """The blocks of one output item, each under the place of its part; `index` ties them as a group."""
    kind = need(item, "type", str)
    match kind:
        case "message":
            item.pop("status", None)
            return message_in(item, index)
        case "reasoning":
            item.pop("status", None)
            return [(key, _minted(block, sent)) for key, block in reasoning_in(item, index)]
        case "function_call" | "custom_tool_call":
            return [(("call", 0), called_in(kind, item, sent, new_id))]
        case _:
            return [(("item", 0), Opaque(NAME, kind, {"type": kind, **item}))]


def called_in(kind: str, item: dict[str, Any], sent: Sent, new_id: NewId) -> ToolCall:
    item.pop("status", None)
    if not item.get("call_id"):
        item["call_id"] = new_id("call_")
    call = call_in(kind, item)
    alias = sent.names.get(call.name)
    return call if alias is None else replace(call, name=alias.name, namespace=alias.namespace)


def _minted(block: Block, sent: Sent) -> Block:
    """A provider's own seal is minted by that provider, whatever client will carry it."""
    if isinstance(block, Reasoning) and block.seal is not None:
        return replace(block, seal=Signature(block.seal.value, NAME, sent.target.provider))
    return block


def native_in(response: dict[str, Any]) -> str:
    """Why the response ended: its status, or where that is `incomplete` the reason."""
    status = take(response, "status", str, "completed")
    details = take(response, "incomplete_details", dict)
    if status != "incomplete":
        return status
    reason = take(details, "reason", str) if details else None
    return reason or status


def stop_in(native: str, called: bool) -> StopReason:
    stop = STOPS.get(native, "other")
    return "tool" if called and stop == "end" else stop


def own_in(response: dict[str, Any]) -> Own:
    """What is left of a response; of what only repeats the request, the parts that we would not know."""
    for key in ("object", "error", "output", "tools", "tool_choice", "instructions"):
        response.pop(key, None)
    echo = {key: response.pop(key) for key in ECHO if key in response}
    own = {key: value for key, value in response.items() if value is not None}
    if echo:
        own[ECHO_KEY] = echo
    return own or None


def usage_in(usage: dict[str, Any]) -> Usage:
    details = usage.get("input_tokens_details")
    prompt, output = _count(usage, "input_tokens"), _count(usage, "output_tokens")
    read, written = _count(details, "cached_tokens"), _count(details, "cache_write_tokens")
    reasoning = _count(usage.get("output_tokens_details"), "reasoning_tokens")
    total = _count(usage, "total_tokens")
    if reasoning and output is not None and total == (prompt or 0) + output + reasoning:
        output += reasoning  # xAI counts reasoning outside the output
    new = None if prompt is None else max(0, prompt - (read or 0) - (written or 0))
    return Usage(new, output, read, written, reasoning)


def _count(fields: Any, key: str) -> int | None:
    value = fields.get(key) if type(fields) is dict else None
    return max(0, value) if type(value) is int else None
