"""The neutral reply as a chat client gets it."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ... import ledger, seals
from ...ir import (
    Audio,
    Citation,
    Document,
    Image,
    Loss,
    Opaque,
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
from .request_out import detail_out
from .words import EMPTY, INEXACT_STOPS, NAME, STOP_WORDS


def encode_reply(reply: Reply, asked: Asked) -> tuple[dict[str, Any], list[Loss]]:
    same = reply.dialect == NAME
    losses = [] if same else ledger.reply_leftovers(reply)
    annotations: list[dict[str, Any]] = []
    # the provider's own answers always have a list here, empty or not
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None, "annotations": annotations}
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    details: list[dict[str, Any]] = []
    for b, block in enumerate(reply.blocks):
        match block:
            case Text(text, citations, seal):
                offset = sum(len(said) for said in texts)
                texts.append(text)
                annotations += [citation_out(citation, offset, len(text), same) for citation in citations]
                losses += [] if same else ledger.quote_losses(citations, f"blocks[{b}]")
                if seal:
                    details.append(rider_out(seal))
            case Refusal(text):
                message["refusal"] = (message["refusal"] or "") + text
            case Reasoning(text, seal):
                if text:
                    message["reasoning_content"] = message.get("reasoning_content", "") + text
                own = (block.own or {}) if same else {}
                if same and (seal or own):
                    details.append(detail_out(block, seals.for_client(seal, NAME) if seal else None, own))
                elif not same and (text or seal):
                    details.append(thought_out(block, seal))
            case ToolCall():
                calls.append({**_reply_call_out(block), **((block.own or {}) if same else {})})
            case Image() | Document() | Audio() | ToolResult():
                losses.append(Loss(f"blocks[{b}]", "media_out", "dropped"))
            case Opaque():
                pass  # a hosted tool's doings have no place in a chat message; the leftovers name them
    if same and details:
        message["reasoning_details"] = details
    elif any("signature" in detail or "data" in detail for detail in details):
        # who reads details reads nothing else, so once there is one every thought needs its own
        message["reasoning_details"] = [{**detail, "index": k} for k, detail in enumerate(details)]
    if texts:
        message["content"] = "".join(texts)
    if calls and is_legacy(asked):
        message["function_call"] = calls[0]["function"]
    elif calls:
        message["tool_calls"] = calls
    losses += stop_losses(reply.stop, reply.matched)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": stop_out(reply.stop, asked)}
    body: dict[str, Any] = {
        "id": reply_id(reply, asked),
        "object": "chat.completion",
        "created": asked.created,
        "model": asked.request.model,
        "choices": [choice],
    }
    if reply.usage is not None:
        body["usage"] = usage_out(reply.usage)
    if same and reply.own:
        own_out(reply.own, body, choice, message)
    return body, losses


def own_out(own: dict[str, Any], body: dict[str, Any], choice: dict[str, Any], message: dict[str, Any]) -> None:
    """Put what the same dialect's decoder left over back where it was."""
    for path, value in own.items():
        if path == "n":
            body["choices"] += value
        elif path.startswith("choices[0].message."):
            message[path[19:]] = value
        elif path.startswith("choices[0]."):
            choice[path[11:]] = value
        else:
            body[path] = value


def thought_out(block: Reasoning, seal: Signature | None) -> dict[str, Any]:
    """Another dialect's thinking as a detail; what has no text is encrypted, for an empty text is how others ride."""
    if seal is not None and not block.text and not block.redacted:
        seal = replace(seal, value=EMPTY + seal.value)
    block = replace(block, redacted=not block.text, own=None)
    return detail_out(block, seals.for_client(seal, NAME) if seal else None, {})


def rider_out(seal: Signature) -> dict[str, Any]:
    """The empty thought in which the seal of the text travels."""
    return {"type": "reasoning.text", "text": "", "signature": seals.for_client(seal, NAME)}


def _reply_call_out(call: ToolCall) -> dict[str, Any]:
    name = f"{call.namespace}__{call.name}" if call.namespace else call.name
    out: dict[str, Any] = {"id": call.id, "type": call.kind}
    if call.kind == "custom":
        out["custom"] = {"name": name, "input": call.arguments}
    else:
        out["function"] = {"name": name, "arguments": call.arguments or "{}"}
    if call.seal:
        out["extra_content"] = {"google": {"thought_signature": seals.for_client(call.seal, NAME)}}
    return out


def citation_out(citation: Citation, offset: int, length: int, same: bool) -> dict[str, Any]:
    """An annotation, whose bounds are required: one without any is of the whole block of text."""
    cited: dict[str, Any] = {
        "start_index": (citation.start or 0) + offset,
        "end_index": (length if citation.end is None else citation.end) + offset,
        "title": citation.title or "",
        "url": citation.url,
    }
    if same and citation.text is not None:
        # "content": "Added if available", by OpenRouter: https://openrouter.ai/docs/features/web-search
        cited["content"] = citation.text
    return {"type": "url_citation", "url_citation": cited}


def is_legacy(asked: Asked) -> bool:
    return bool(asked.request.own) and "functions" in (asked.request.own or {})


def reply_id(reply: Reply | Start, asked: Asked) -> str:
    return reply.id if reply.dialect == NAME and reply.id else f"chatcmpl-{asked.id}"


def stop_out(stop: StopReason, asked: Asked) -> str:
    return "function_call" if stop == "tool" and is_legacy(asked) else STOP_WORDS[stop]


def stop_losses(stop: StopReason, matched: str | None) -> list[Loss]:
    losses = [ledger.loss("stop", "stop_reason")] if stop in INEXACT_STOPS else []
    if matched is not None:
        losses.append(ledger.loss("matched", "matched_stop"))
    return losses


def usage_out(usage: Usage) -> dict[str, Any]:
    prompt, output = usage.prompt or 0, usage.output or 0
    out: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
    details = {}
    if usage.cache_read is not None:
        details["cached_tokens"] = usage.cache_read
    if usage.cache_write is not None:
        details["cache_write_tokens"] = usage.cache_write
    if details:
        out["prompt_tokens_details"] = details
    if usage.reasoning is not None:
        out["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning}
    return out
