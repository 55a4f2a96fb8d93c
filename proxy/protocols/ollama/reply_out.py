"""The neutral reply as an Ollama client gets it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ... import ledger
from ...ir import (
    Audio,
    Block,
    Document,
    Image,
    Loss,
    Media,
    Opaque,
    Own,
    Reasoning,
    Refusal,
    Reply,
    StopReason,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from ..contract import Asked
from .request_out import arguments_out
from .words import INEXACT_STOPS, NAME, STOP_WORDS


def encode_reply(reply: Reply, asked: Asked) -> tuple[dict[str, Any], list[Loss]]:
    same = reply.dialect == NAME
    losses = [] if same else ledger.reply_leftovers(reply)
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    thinking: list[str] = []
    images: list[str] = []
    calls: list[dict[str, Any]] = []
    for b, block in enumerate(reply.blocks):
        losses += block_losses(block, b, same)
        match block:
            case Text(text) | Refusal(text):
                message["content"] += text
            case Reasoning(text):
                thinking.append(text)
            case ToolCall():
                calls.append(call_out(block, len(calls), same))
                if not arguments_out(block)[1]:
                    losses.append(ledger.loss(f"blocks[{b}].arguments", "tool_arguments"))
            case Image(Media(data=str(data))) if same:
                images.append(data)
            case Image() | Document() | Audio() | ToolResult() | Opaque():
                pass  # named above, or by the leftovers
    if any(thinking):
        message["thinking"] = "".join(thinking)
    if images:
        message["images"] = images
    if calls:
        message["tool_calls"] = calls
    body: dict[str, Any] = {
        "model": asked.request.model,
        "created_at": created_at(asked.created),
        "message": message,
        "done": True,
        "done_reason": stop_out(reply.stop, reply.native, same),
    }
    losses += stop_losses(reply.stop, reply.matched, same)
    if reply.usage is not None:
        body |= usage_out(reply.usage)
    if same:
        own_out(reply.own, body, message)
    return body, losses


def own_out(own: Own, body: dict[str, Any], message: dict[str, Any]) -> None:
    for path, value in (own or {}).items():
        if path.startswith("message."):
            message[path[8:]] = value
        else:
            body[path] = value


def block_losses(block: Block, index: int, same: bool) -> list[Loss]:
    """What this wire has no place for in a block of an answer, but for its text.

    It has one for pictures, but the official client fails on an answer that uses it: no foreign picture goes there.
    """
    path = f"blocks[{index}]"
    losses = []
    match block:
        case Image(Media(data=str())) if same:
            pass
        case Image() | Document() | Audio() | ToolResult():
            losses.append(Loss(path, "media_out", "dropped"))
        case Refusal():
            losses.append(ledger.loss(path, "refusal"))
        case Text(citations=citations) if citations:
            losses.append(ledger.loss(f"{path}.citations", "citations"))
    if isinstance(block, Text | Reasoning | ToolCall) and block.seal:
        losses.append(ledger.loss(f"{path}.seal", "signature"))
    return losses


def call_out(call: ToolCall, place: int, same: bool) -> dict[str, Any]:
    """A call as newer servers write it, with its id and its place among the calls."""
    name = f"{call.namespace}__{call.name}" if call.namespace else call.name
    function: dict[str, Any] = {"index": place, "name": name, "arguments": arguments_out(call)[0]}
    out: dict[str, Any] = {"id": call.id, "function": function}
    for key, value in ((call.own or {}) if same else {}).items():
        if key.startswith("function."):
            function[key[9:]] = value
        else:
            out[key] = value
    return out


def created_at(seconds: int) -> str:
    """A time in unix seconds as RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stop_out(stop: StopReason, native: str | None, same: bool) -> str:
    return native if same and native else STOP_WORDS[stop]


def stop_losses(stop: StopReason, matched: str | None, same: bool) -> list[Loss]:
    losses = [ledger.loss("stop", "stop_reason")] if stop in INEXACT_STOPS and not same else []
    if matched is not None:
        losses.append(ledger.loss("matched", "matched_stop"))
    return losses


def usage_out(usage: Usage) -> dict[str, Any]:
    """The counts; the durations beside them are the server's own, and nobody else's to tell."""
    counts = {
        "prompt_eval_count": usage.prompt,
        "prompt_eval_cached_count": usage.cache_read,
        "eval_count": usage.output,
    }
    return {key: count for key, count in counts.items() if count is not None}
