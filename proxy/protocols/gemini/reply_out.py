"""The neutral reply as a Gemini client gets it."""

from __future__ import annotations

from typing import Any

from ... import ledger, seals, wire
from ...ir import (
    Audio,
    Block,
    Citation,
    Document,
    Image,
    Loss,
    Media,
    Opaque,
    Own,
    Reasoning,
    Refusal,
    Reply,
    Signature,
    Start,
    StopReason,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from ..contract import Asked
from .fields import put_back
from .grounding import grounding_out
from .words import INEXACT_STOPS, NAME, STOP_WORDS, STOPS


def encode_reply(reply: Reply, asked: Asked) -> tuple[dict[str, Any], list[Loss]]:
    same = reply.dialect == NAME
    losses = [] if same else ledger.reply_leftovers(reply)
    parts: list[dict[str, Any]] = []
    texts: list[tuple[str, tuple[Citation, ...]]] = []
    for b, block in enumerate(reply.blocks):
        part = part_out(block, b, losses)
        if part is not None:
            own = None if isinstance(block, Opaque) else block.own
            if same:
                put_back(part, own)
            parts.append(part)
        if isinstance(block, Text):
            texts.append((block.text, block.citations))
            losses += ledger.quote_losses(block.citations, f"blocks[{b}]")
    losses += stop_losses(reply.stop, reply.matched)
    content: dict[str, Any] = {"parts": parts, "role": "model"} if parts else {"role": "model"}
    candidate: dict[str, Any] = {
        "content": content,
        "finishReason": stop_out(reply.stop, reply.native, same),
        "index": 0,
    }
    if any(citations for _, citations in texts):
        candidate["groundingMetadata"] = grounding_out(texts)
    body: dict[str, Any] = {"candidates": [candidate]}
    if reply.usage is not None:
        body["usageMetadata"] = usage_out(reply.usage)
    body["modelVersion"] = asked.request.model
    body["responseId"] = reply_id(reply, asked)
    if same:
        own_out(reply.own, body, candidate)
        if not parts and is_blocked(body):
            del body["candidates"]  # a blocked prompt has none
    return body, losses


def is_blocked(body: dict[str, Any]) -> bool:
    feedback = body.get("promptFeedback")
    return type(feedback) is dict and feedback.get("blockReason") is not None


def own_out(own: Own, body: dict[str, Any], candidate: dict[str, Any]) -> None:
    for path, value in (own or {}).items():
        if path == "n":
            body.setdefault("candidates", []).extend(value)
        elif path.startswith("candidates[0]."):
            put_back(candidate, {path[14:]: value})
        else:
            put_back(body, {path: value})


def part_out(block: Block, index: int, losses: list[Loss]) -> dict[str, Any] | None:
    """A block as a part; None where nothing is left to say. An empty text is said only to carry a seal.

    "data: Union type … can be only one of the following": a part without any is none, so the service itself sends such
    seals on empty texts. https://ai.google.dev/api/caching#Part
    """
    match block:
        case Text(text, _, seal):
            if not text and seal is None:
                return None
            return sealed({"text": text}, seal)
        case Reasoning(text, seal, redacted=redacted):
            return thought_out(text, seal, redacted)
        case ToolCall():
            return call_out(block, index, losses)
        case Refusal(text):
            losses.append(ledger.loss(f"blocks[{index}]", "refusal"))
            return {"text": text} if text else None
        case Image(media) | Document(media) | Audio(media):
            part = _media_out(media)
            if part is None:
                losses.append(Loss(f"blocks[{index}]", "media_out", "dropped"))
            return part
        case ToolResult():
            losses.append(Loss(f"blocks[{index}]", "hosted_output", "dropped"))
        case Opaque(dialect, _, data) if dialect == NAME:
            return dict(data)
    return None


def thought_out(text: str, seal: Signature | None, redacted: bool) -> dict[str, Any] | None:
    if not text and seal is None:
        return None
    part: dict[str, Any] = {"text": text, "thought": True}
    if redacted:
        part["partMetadata"] = {"redacted": True}  # the client keeps it; see `_redacted_in`
    return sealed(part, seal)


def sealed(part: dict[str, Any], seal: Signature | None) -> dict[str, Any]:
    if seal is not None:
        part["thoughtSignature"] = seals.for_client(seal, NAME)
    return part


def call_out(call: ToolCall, index: int, losses: list[Loss]) -> dict[str, Any]:
    arguments, ok = wire.splice(call.arguments)
    if not ok:
        losses.append(ledger.loss(f"blocks[{index}].arguments", "tool_arguments"))
    name = f"{call.namespace}__{call.name}" if call.namespace else call.name
    return sealed({"functionCall": {"id": call.id, "name": name, "args": arguments}}, call.seal)


def _media_out(media: Media) -> dict[str, Any] | None:
    if media.data is not None:
        return {"inlineData": {"mimeType": media.mime or "application/octet-stream", "data": media.data}}
    uri = media.url or media.file_id
    if uri is not None:
        return {"fileData": {**({"mimeType": media.mime} if media.mime else {}), "fileUri": uri}}
    return {"text": media.text} if media.text else None


def reply_id(reply: Reply | Start, asked: Asked) -> str:
    return reply.id if reply.dialect == NAME and reply.id else asked.id


def stop_out(stop: StopReason, native: str | None, same: bool) -> str:
    return native if same and native in STOPS else STOP_WORDS[stop]


def stop_losses(stop: StopReason, matched: str | None) -> list[Loss]:
    losses = [ledger.loss("stop", "stop_reason")] if stop in INEXACT_STOPS else []
    if matched is not None:
        losses.append(ledger.loss("matched", "matched_stop"))
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
