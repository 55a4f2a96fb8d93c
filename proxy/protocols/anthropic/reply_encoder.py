"""Encodes neutral replies as Anthropic Messages replies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Raw

from ...ir import (
    Audio,
    Block,
    Citation,
    Document,
    Extra,
    HostedCall,
    Image,
    Loss,
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
from ...ir.losses import declare_loss, reply_extra_losses
from ...wire import json_fields
from ..protocol import NewId, ReplyContext
from .hosted_tools import hosted_blocks_out
from .tables import DIRECT_CALLER, INEXACT_STOPS, NAME, STOP_WORDS, STOPS

# The published schema lists these fields as `required`; they are null if they do not apply.
# https://platform.claude.com/docs/en/api/messages/create
EMPTY_MESSAGE_FIELDS: dict[str, Any] = {"stop_details": None, "container": None}
EMPTY_USAGE_FIELDS: dict[str, Any] = {
    "cache_creation_input_tokens": None,
    "cache_read_input_tokens": None,
    "output_tokens_details": None,
    "server_tool_use": None,
}
"""Fields of every usage object."""
EMPTY_MESSAGE_USAGE_FIELDS: dict[str, Any] = {
    **EMPTY_USAGE_FIELDS,
    "cache_creation": None,
    "service_tier": None,
    "inference_geo": None,
}
"""Fields of the usage of a message, which has more of them than that of a stream's end."""


def encode_reply(reply: Reply, context: ReplyContext) -> tuple[dict[str, Any], list[Loss]]:
    """Returns the body for a client, and the losses."""
    same = reply.protocol == NAME
    losses = [] if same else reply_extra_losses(reply)
    content = [
        block_out
        for b, block in enumerate(reply.blocks)
        for block_out in _block_out(block, f"blocks[{b}]", same, losses, context.new_id)
    ]
    # as in a stream, where most come when their text was already sent
    content += [carrier_out(block.signature) for block in reply.blocks if isinstance(block, Text) and block.signature]
    losses += stop_losses(reply.stop, None if reply.stop == "stop_sequence" else reply.matched)
    refusal = "".join(block.text for block in reply.blocks if isinstance(block, Refusal))
    body: dict[str, Any] = {
        "id": reply_id(reply, context),
        "type": "message",
        "role": "assistant",
        "model": context.request.model,
        "content": content,
        "stop_reason": stop_out(reply.stop, reply.native, same, refused=bool(refusal)),
        "stop_sequence": reply.matched if reply.stop == "stop_sequence" else None,
        **EMPTY_MESSAGE_FIELDS,
        "usage": {**EMPTY_MESSAGE_USAGE_FIELDS, **usage_out(reply.usage)},
    }
    body |= stop_details_out(reply.extra if same else None, refusal)
    if same and reply.extra:
        body |= {key: value for key, value in reply.extra.items() if key not in ("usage", "stop_details")}
        body["usage"] |= reply.extra.get("usage", {})
    return body, losses


def _block_out(block: Block, path: str, same: bool, losses: list[Loss], new_id: NewId) -> Iterator[dict[str, Any]]:
    extra = block.extra if same and not isinstance(block, Opaque) and block.extra else {}
    match block:
        case Text(text, citations, logprobs=logprobs):
            if logprobs:
                losses.append(declare_loss(f"{path}.logprobs", "logprobs"))
            if text or citations:
                yield {**text_out(extra), "text": text, **_citations_out(citations, len(text), extra, path, losses)}
        case Refusal():
            pass  # goes to stop_details, outside of the content
        case Reasoning(text, signature):
            yield {**reasoning_out(text, signature, block.redacted), **extra}
        case ToolCall(signature=signature):
            if signature:
                yield carrier_out(signature)
            yield {**call_out(block), "input": _input_out(block, path, losses), **extra}
        case Opaque(protocol, _, data) if protocol == NAME:
            yield data
        case Opaque(call=HostedCall() as call):
            yield from hosted_blocks_out(call, new_id(""))
        case Image() | Document() | Audio() | Video() | ToolResult():
            losses.append(Loss(path, "media_out", "dropped"))
        case Opaque():
            pass  # hosted tools of another protocol; declared with the extra fields


def stop_details_out(extra: Extra, refusal: str) -> dict[str, Any]:
    """Returns the `stop_details`: those of an Anthropic backend, and the explanation of a refusal.

    "explanation: A human-readable explanation of the refusal."
    https://platform.claude.com/docs/en/test-and-evaluate/strengthen-guardrails/handle-streaming-refusals
    """
    details = (extra or {}).get("stop_details")
    if not refusal:
        return {} if details is None else {"stop_details": details}
    fields = details if type(details) is dict else {}
    return {"stop_details": {"type": "refusal", "category": None, **fields, "explanation": refusal}}


def text_out(extra: dict[str, Any]) -> dict[str, Any]:
    """Returns an empty text block with these extra fields."""
    kept = {key: value for key, value in extra.items() if key not in ("citations", "web_citations")}
    return {"type": "text", "text": "", "citations": [], **kept}  # citations are required, and clients refuse null


def reasoning_out(text: str, signature: Signature | None, redacted: bool) -> dict[str, Any]:
    """Returns a thinking block.

    Empty thinking of another provider becomes `redacted_thinking`: an empty thinking block is a signature carrier.
    """
    if redacted or (not text and signature is not None and signature.protocol != NAME):
        return {"type": "redacted_thinking", "data": signatures.for_client(signature, NAME) if signature else ""}
    value = signatures.for_client(signature, NAME) if signature else ""
    return {"type": "thinking", "thinking": text, "signature": value}


def carrier_out(signature: Signature) -> dict[str, Any]:
    """Returns a signature carrier: an empty thinking block with the signature of the call that follows.

    At the end of the content it has that of a text.
    """
    return {"type": "thinking", "thinking": "", "signature": signatures.for_client(signature, NAME)}


def call_out(call: ToolCall) -> dict[str, Any]:
    """Returns a tool_use block without arguments."""
    name = f"{call.namespace}__{call.name}" if call.namespace else call.name
    return {"type": "tool_use", "id": call.id, "name": name, "input": {}, "caller": DIRECT_CALLER}  # required


def _input_out(call: ToolCall, path: str, losses: list[Loss]) -> Any:
    if call.kind == "custom":
        return {"input": call.arguments}
    arguments, is_object = json_fields.splice(call.arguments)
    if not is_object:
        losses.append(declare_loss(path, "tool_arguments"))
    return arguments if type(arguments) is not Raw else json_fields.parse(bytes(arguments))


def _citations_out(
    citations: tuple[Citation, ...], length: int, extra: dict[str, Any], path: str, losses: list[Loss]
) -> dict[str, Any]:
    raw = raw_citations(extra)
    if raw:
        return {"citations": raw}
    if not citations:
        return {}
    losses += [loss for citation in citations for loss in citation_range_losses(citation, length, path)]
    return {"citations": [citation_out(citation) for citation in citations]}


def raw_citations(extra: Extra) -> list[Any]:
    """Returns the citations as an Anthropic backend sent them."""
    found: list[Any] = (extra or {}).get("web_citations") or (extra or {}).get("citations") or []
    return found


def citation_out(citation: Citation) -> dict[str, Any]:
    return {
        "type": "web_search_result_location",
        "url": citation.url,
        "title": citation.title,
        "cited_text": citation.text or "",
        "encrypted_index": "",  # only Anthropic's web search can fill it
    }


def citation_range_losses(citation: Citation, length: int, path: str) -> list[Loss]:
    """Declares the range of a citation that covers part of its text: Anthropic citations cover a whole block."""
    is_whole = (citation.start or 0) == 0 and citation.end in (None, 0, length)
    return [] if is_whole else [Loss(f"{path}.citations", "citations", "approximated")]


def reply_id(reply: Reply | ReplyStart, context: ReplyContext) -> str:
    return reply.id if reply.protocol == NAME and reply.id else f"msg_{context.id}"


def stop_out(stop: StopReason, native: str | None, same: bool, *, refused: bool) -> str:
    if refused and stop == "end":
        return "refusal"  # the details of a refusal come with this reason alone
    if same and native is not None and STOPS.get(native, "other") == stop:
        return native
    return STOP_WORDS[stop]


def stop_losses(stop: StopReason, matched: str | None) -> list[Loss]:
    losses = [declare_loss("stop", "stop_reason")] if stop in INEXACT_STOPS else []
    if matched is not None:
        losses.append(declare_loss("matched", "matched_stop"))
    return losses


def usage_out(usage: Usage | None) -> dict[str, Any]:
    usage = usage or Usage()
    out: dict[str, Any] = {"input_tokens": usage.input or 0, "output_tokens": usage.output or 0}
    if usage.cache_write is not None:
        out["cache_creation_input_tokens"] = usage.cache_write
    if usage.cache_read is not None:
        out["cache_read_input_tokens"] = usage.cache_read
    if usage.reasoning is not None:
        out["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return out
