"""Encodes neutral replies as Ollama chat replies."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ...ir import (
    Audio,
    Block,
    Document,
    HostedCall,
    Image,
    Loss,
    Media,
    Opaque,
    Reasoning,
    Refusal,
    Reply,
    StopReason,
    Text,
    ToolCall,
    ToolResult,
    Usage,
    Video,
)
from ...ir.losses import declare_loss, opaque_loss, reply_extra_losses
from ...ir.readable import joined_thinking
from ...ir.token_logprobs import tokens_out
from ..protocol import ReplyContext
from .fields import restore_extra
from .request_encoder import arguments_out
from .tables import INEXACT_STOPS, NAME, STOP_WORDS


def encode_reply(reply: Reply, context: ReplyContext) -> tuple[dict[str, Any], list[Loss]]:
    """Returns the body for a client, and the losses."""
    same = reply.protocol == NAME
    losses = [] if same else reply_extra_losses(reply)
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
                    losses.append(declare_loss(f"blocks[{b}].arguments", "tool_arguments"))
            case Image(Media(data=str(data))) if same:
                images.append(data)
            case Image() | Document() | Audio() | Video() | ToolResult() | Opaque():
                pass  # declared above, or with the extra fields
    if any(thinking):
        message["thinking"] = joined_thinking(thinking)
    if images:
        message["images"] = images
    if calls:
        message["tool_calls"] = calls
    body: dict[str, Any] = {
        "model": context.request.model,
        "created_at": created_at(context.created),
        "message": message,
        "done": True,
        "done_reason": stop_out(reply.stop, reply.native, same),
    }
    if tokens := [token for block in reply.blocks if isinstance(block, Text) for token in block.logprobs]:
        body["logprobs"] = tokens_out(tokens)
    losses += stop_losses(reply.stop, reply.matched, same)
    if reply.usage is not None:
        body |= usage_out(reply.usage)
    if same:
        restore_extra(body, "message", reply.extra)
    return body, losses


def block_losses(block: Block, index: int, same: bool) -> list[Loss]:
    """Returns what is lost of a block of a reply, apart from its arguments.

    Ollama has a field for images, but the official client fails on a reply with one, so that only those of an Ollama
    backend are sent.
    """
    path = f"blocks[{index}]"
    losses = []
    match block:
        case Image(Media(data=str())) if same:
            pass
        case Image() | Document() | Audio() | Video() | ToolResult():
            losses.append(Loss(path, "media_out", "dropped"))
        case Opaque(call=HostedCall()):
            losses.append(opaque_loss(block, path))
        case Refusal():
            losses.append(declare_loss(path, "refusal"))
        case Text(citations=citations) if citations:
            losses.append(declare_loss(f"{path}.citations", "citations"))
    if isinstance(block, Text | Reasoning | ToolCall) and block.signature:
        losses.append(declare_loss(f"{path}.seal", "signature"))
    return losses


def call_out(call: ToolCall, position: int, same: bool) -> dict[str, Any]:
    """Returns a tool call as newer servers write it, with its id and its position among the calls."""
    name = f"{call.namespace}__{call.name}" if call.namespace else call.name
    function: dict[str, Any] = {"index": position, "name": name, "arguments": arguments_out(call)[0]}
    out: dict[str, Any] = {"id": call.id, "function": function}
    if same:
        restore_extra(out, "function", call.extra)
    return out


def created_at(seconds: int) -> str:
    """Formats unix seconds as RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stop_out(stop: StopReason, native: str | None, same: bool) -> str:
    return native if same and native else STOP_WORDS[stop]


def stop_losses(stop: StopReason, matched: str | None, same: bool) -> list[Loss]:
    losses = [declare_loss("stop", "stop_reason")] if stop in INEXACT_STOPS and not same else []
    if matched is not None:
        losses.append(declare_loss("matched", "matched_stop"))
    return losses


def usage_out(usage: Usage) -> dict[str, Any]:
    """Returns the token counts; the durations of an Ollama server are extra fields."""
    counts = {
        "prompt_eval_count": usage.prompt,
        "prompt_eval_cached_count": usage.cache_read,
        "eval_count": usage.output,
    }
    return {key: count for key, count in counts.items() if count is not None}
