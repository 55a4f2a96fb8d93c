"""Encodes neutral replies as Gemini generateContent replies."""

from __future__ import annotations

from typing import Any

from ...ir import (
    Audio,
    Block,
    Citation,
    Document,
    Extra,
    HostedCall,
    Image,
    Loss,
    Media,
    Opaque,
    Reasoning,
    Refusal,
    Reply,
    ReplyStart,
    Signature,
    StopReason,
    Text,
    ToolCall,
    ToolResult,
    Usage,
    Video,
    signatures,
)
from ...ir.losses import citation_text_losses, declare_loss, opaque_loss, reply_extra_losses
from ...ir.readable import part_break
from ...ir.token_logprobs import NATIVE
from ...wire import json_fields
from ..protocol import ReplyContext
from .fields import restore_extra
from .grounding import grounding_out
from .hosted_tools import code_parts_out, metadata_out
from .logprobs import FIELD as LOGPROBS
from .logprobs import tokens_out
from .tables import INEXACT_STOPS, NAME, STOP_WORDS, STOPS


def encode_reply(reply: Reply, context: ReplyContext) -> tuple[dict[str, Any], list[Loss]]:
    """Returns the body for a client, and the losses."""
    same = reply.protocol == NAME
    losses = [] if same else reply_extra_losses(reply)
    parts: list[dict[str, Any]] = []
    texts: list[tuple[str, tuple[Citation, ...]]] = []
    calls: list[HostedCall] = []
    for b, block in enumerate(reply.blocks):
        if isinstance(block, Opaque) and block.call is not None and not same:
            parts += hosted_call_out(block, b, calls, losses)
            continue
        part = part_out(block, b, losses)
        if part is not None and isinstance(block, Reasoning) and b:
            part["text"] = part_break(reply.blocks[b - 1], block) + part["text"]
        if part is not None:
            extra = None if isinstance(block, Opaque) else block.extra
            if same:
                restore_extra(part, extra)
            parts.append(part)
        if isinstance(block, Text):
            texts.append((block.text, block.citations))
            losses += citation_text_losses(block.citations, f"blocks[{b}]")
    losses += stop_losses(reply.stop, reply.matched)
    content: dict[str, Any] = {"parts": parts, "role": "model"} if parts else {"role": "model"}
    candidate: dict[str, Any] = {
        "content": content,
        "finishReason": stop_out(reply.stop, reply.native, same),
        "index": 0,
    }
    if any(citations for _, citations in texts):
        candidate["groundingMetadata"] = grounding_out(texts)
    metadata_out(calls, candidate)
    if tokens := [token for block in reply.blocks if isinstance(block, Text) for token in block.logprobs]:
        candidate[LOGPROBS] = tokens_out(tokens)
    body: dict[str, Any] = {"candidates": [candidate]}
    if reply.usage is not None:
        body["usageMetadata"] = usage_out(reply.usage)
    body["modelVersion"] = context.request.model
    body["responseId"] = reply_id(reply, context)
    if same:
        extra_out(reply.extra, body, candidate)
        if not parts and is_blocked(body):
            del body["candidates"]  # a blocked prompt has no candidates
    return body, losses


def is_blocked(body: dict[str, Any]) -> bool:
    """Returns whether the body reports a blocked prompt."""
    feedback = body.get("promptFeedback")
    return type(feedback) is dict and feedback.get("blockReason") is not None


def extra_out(extra: Extra, body: dict[str, Any], candidate: dict[str, Any]) -> None:
    """Restores the extra fields of a backend of this same protocol in body and candidate."""
    for path, value in (extra or {}).items():
        if path == "n":
            body.setdefault("candidates", []).extend(value)
        elif path == "candidates[0].nativeGrounding":
            candidate["groundingMetadata"] = value
        elif path == f"candidates[0].{NATIVE}":
            candidate[LOGPROBS] = value
        elif path.startswith("candidates[0]."):
            restore_extra(candidate, {path[14:]: value})
        else:
            restore_extra(body, {path: value})


def part_out(block: Block, index: int, losses: list[Loss]) -> dict[str, Any] | None:
    """Encodes a block as a part; None if it is empty. An empty text with a signature is kept.

    "data: Union type … can be only one of the following": a part needs data, so the service itself sends such
    signatures on empty texts. https://ai.google.dev/api/caching#Part
    """
    match block:
        case Text(text, _, signature):
            if not text and signature is None:
                return None
            return with_signature({"text": text}, signature)
        case Reasoning(text, signature, redacted=redacted):
            return reasoning_out(text, signature, redacted)
        case ToolCall():
            return call_out(block, index, losses)
        case Refusal(text):
            losses.append(declare_loss(f"blocks[{index}]", "refusal"))
            return {"text": text} if text else None
        case Image(media) | Document(media) | Audio(media) | Video(media):
            part = _media_out(media)
            if part is None:
                losses.append(Loss(f"blocks[{index}]", "media_out", "dropped"))
            return part
        case ToolResult():
            losses.append(Loss(f"blocks[{index}]", "hosted_output", "dropped"))
        case Opaque(protocol, _, data) if protocol == NAME:
            return dict(data) or None
    return None


def hosted_call_out(block: Opaque, index: int, calls: list[HostedCall], losses: list[Loss]) -> list[dict[str, Any]]:
    """Returns the parts of another provider's hosted call; those that are told in metadata are added to `calls`."""
    call = block.call
    if call is not None and call.kind == "code_execution":
        return code_parts_out(call)
    if call is not None and call.kind in ("web_search", "web_fetch"):
        calls.append(call)
    else:
        losses.append(opaque_loss(block, f"blocks[{index}]"))
    return []


def reasoning_out(text: str, signature: Signature | None, redacted: bool) -> dict[str, Any] | None:
    """Returns a thought part; None if it has neither text nor signature."""
    if not text and signature is None:
        return None
    part: dict[str, Any] = {"text": text, "thought": True}
    if redacted:
        part["partMetadata"] = {"redacted": True}  # clients send it back; see `_redacted_in`
    return with_signature(part, signature)


def with_signature(part: dict[str, Any], signature: Signature | None) -> dict[str, Any]:
    if signature is not None:
        part["thoughtSignature"] = signatures.for_client(signature, NAME)
    return part


def call_out(call: ToolCall, index: int, losses: list[Loss]) -> dict[str, Any]:
    """Returns a functionCall part."""
    arguments, is_object = json_fields.splice(call.arguments)
    if not is_object:
        losses.append(declare_loss(f"blocks[{index}].arguments", "tool_arguments"))
    name = f"{call.namespace}__{call.name}" if call.namespace else call.name
    return with_signature({"functionCall": {"id": call.id, "name": name, "args": arguments}}, call.signature)


def _media_out(media: Media) -> dict[str, Any] | None:
    if media.data is not None:
        return {"inlineData": {"mimeType": media.mime or "application/octet-stream", "data": media.data}}
    uri = media.url or media.file_id
    if uri is not None:
        return {"fileData": {**({"mimeType": media.mime} if media.mime else {}), "fileUri": uri}}
    return {"text": media.text} if media.text else None


def reply_id(reply: Reply | ReplyStart, context: ReplyContext) -> str:
    return reply.id if reply.protocol == NAME and reply.id else context.id


def stop_out(stop: StopReason, native: str | None, same: bool) -> str:
    return native if same and native in STOPS else STOP_WORDS[stop]


def stop_losses(stop: StopReason, matched: str | None) -> list[Loss]:
    losses = [declare_loss("stop", "stop_reason")] if stop in INEXACT_STOPS else []
    if matched is not None:
        losses.append(declare_loss("matched", "matched_stop"))
    return losses


def usage_out(usage: Usage) -> dict[str, Any]:
    prompt, output = usage.prompt, usage.output
    out: dict[str, Any] = {}
    if prompt is not None:
        out["promptTokenCount"] = prompt
    if usage.cache_read is not None:
        out["cachedContentTokenCount"] = usage.cache_read
    if output is not None:
        out["candidatesTokenCount"] = max(0, output - (usage.reasoning or 0))
    if usage.reasoning is not None:
        out["thoughtsTokenCount"] = usage.reasoning
    if prompt is not None or output is not None:
        out["totalTokenCount"] = (prompt or 0) + (output or 0)
    return out
