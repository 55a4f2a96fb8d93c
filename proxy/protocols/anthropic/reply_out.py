"""The neutral reply as an Anthropic client gets it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Raw

from ... import ledger, seals, wire
from ...ir import (
    Audio,
    Block,
    Citation,
    Document,
    Image,
    Loss,
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
from .words import DIRECT, INEXACT_STOPS, NAME, STOP_WORDS, STOPS

# The schema that the vendor publishes has these among `required`, null where there is nothing to say.
# https://platform.claude.com/docs/en/api/messages/create
UNSAID: dict[str, Any] = {"stop_details": None, "container": None}
UNCOUNTED: dict[str, Any] = {
    "cache_creation_input_tokens": None,
    "cache_read_input_tokens": None,
    "output_tokens_details": None,
    "server_tool_use": None,
}
"""Of every usage."""
UNTOLD: dict[str, Any] = {**UNCOUNTED, "cache_creation": None, "service_tier": None, "inference_geo": None}
"""Of a message's usage."""


def encode_reply(reply: Reply, asked: Asked) -> tuple[dict[str, Any], list[Loss]]:
    same = reply.dialect == NAME
    losses = [] if same else ledger.reply_leftovers(reply)
    content = [said for b, block in enumerate(reply.blocks) for said in _block_out(block, f"blocks[{b}]", same, losses)]
    losses += stop_losses(reply.stop, None if reply.stop == "stop_sequence" else reply.matched)
    body: dict[str, Any] = {
        "id": reply_id(reply, asked),
        "type": "message",
        "role": "assistant",
        "model": asked.request.model,
        "content": content,
        "stop_reason": stop_out(reply.stop, reply.native, same),
        "stop_sequence": reply.matched if reply.stop == "stop_sequence" else None,
        **UNSAID,
        "usage": {**UNTOLD, **usage_out(reply.usage)},
    }
    if same:
        body |= details_out(reply.own, "".join(block.text for block in reply.blocks if isinstance(block, Refusal)))
    if same and reply.own:
        body |= {key: value for key, value in reply.own.items() if key not in ("usage", "stop_details")}
        body["usage"] |= reply.own.get("usage", {})
    return body, losses


def _block_out(block: Block, path: str, same: bool, losses: list[Loss]) -> Iterator[dict[str, Any]]:
    own = block.own if same and not isinstance(block, Opaque) and block.own else {}
    match block:
        case Text(text, citations, seal):
            if seal:
                yield carrier_out(seal)
            if text or citations:
                yield {**text_out(own), "text": text, **_citations_out(citations, len(text), own, path, losses)}
        case Refusal() if same:
            pass  # it stands beside the content
        case Refusal(text):
            losses.append(ledger.loss(path, "refusal"))
            yield {**text_out({}), "text": text}
        case Reasoning(text, seal):
            yield {**thought_out(text, seal, block.redacted), **own}
        case ToolCall(seal=seal):
            if seal:
                yield carrier_out(seal)
            yield {**call_out(block), "input": _input_out(block, path, losses), **own}
        case Opaque(dialect, _, data) if dialect == NAME:
            yield data
        case Image() | Document() | Audio() | ToolResult():
            losses.append(Loss(path, "media_out", "dropped"))
        case Opaque():
            pass  # a hosted tool's doings have no place in this client's message; the leftovers name them


def details_out(own: Own, refusal: str) -> dict[str, Any]:
    """The details of a stop as this very dialect's backend told them, with the words that were taken out."""
    details = (own or {}).get("stop_details")
    if not refusal:
        return {} if details is None else {"stop_details": details}
    told = details if type(details) is dict else {}
    return {"stop_details": {"type": "refusal", "category": None, **told, "explanation": refusal}}


def text_out(own: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in own.items() if key not in ("citations", "web_citations")}
    return {"type": "text", "text": "", "citations": [], **kept}  # required, and clients' schemas refuse a null


def thought_out(text: str, seal: Signature | None, redacted: bool) -> dict[str, Any]:
    """A thinking block; a foreign one without a word is redacted, for an empty one is how other blocks' seals ride."""
    if redacted or (not text and seal is not None and seal.dialect != NAME):
        return {"type": "redacted_thinking", "data": seals.for_client(seal, NAME) if seal else ""}
    signature = seals.for_client(seal, NAME) if seal else ""
    return {"type": "thinking", "thinking": text, "signature": signature}


def carrier_out(seal: Signature) -> dict[str, Any]:
    """The empty thinking block in which the seal of the block after it travels."""
    return {"type": "thinking", "thinking": "", "signature": seals.for_client(seal, NAME)}


def call_out(call: ToolCall) -> dict[str, Any]:
    name = f"{call.namespace}__{call.name}" if call.namespace else call.name
    return {"type": "tool_use", "id": call.id, "name": name, "input": {}, "caller": DIRECT}  # required


def _input_out(call: ToolCall, path: str, losses: list[Loss]) -> Any:
    if call.kind == "custom":
        return {"input": call.arguments}
    arguments, whole = wire.splice(call.arguments)
    if not whole:
        losses.append(ledger.loss(path, "tool_arguments"))
    return arguments if type(arguments) is not Raw else wire.parse(bytes(arguments))


def _citations_out(
    citations: tuple[Citation, ...], length: int, own: dict[str, Any], path: str, losses: list[Loss]
) -> dict[str, Any]:
    raw = raw_citations(own)
    if raw:
        return {"citations": raw}
    if not citations:
        return {}
    losses += [loss for citation in citations for loss in place_losses(citation, length, path)]
    return {"citations": [citation_out(citation) for citation in citations]}


def raw_citations(own: Own) -> list[Any]:
    """The citations as this very dialect said them."""
    found: list[Any] = (own or {}).get("web_citations") or (own or {}).get("citations") or []
    return found


def citation_out(citation: Citation) -> dict[str, Any]:
    return {
        "type": "web_search_result_location",
        "url": citation.url,
        "title": citation.title,
        "cited_text": citation.text or "",
        "encrypted_index": "",  # only the provider's own search can fill it
    }


def place_losses(citation: Citation, length: int, path: str) -> list[Loss]:
    """A citation here speaks of its whole block; that it spoke of a part is lost."""
    whole = (citation.start or 0) == 0 and citation.end in (None, 0, length)
    return [] if whole else [Loss(f"{path}.citations", "citations", "approximated")]


def reply_id(reply: Reply | Start, asked: Asked) -> str:
    return reply.id if reply.dialect == NAME and reply.id else f"msg_{asked.id}"


def stop_out(stop: StopReason, native: str | None, same: bool) -> str:
    if same and native is not None and STOPS.get(native, "other") == stop:
        return native
    return STOP_WORDS[stop]


def stop_losses(stop: StopReason, matched: str | None) -> list[Loss]:
    losses = [ledger.loss("stop", "stop_reason")] if stop in INEXACT_STOPS else []
    if matched is not None:
        losses.append(ledger.loss("matched", "matched_stop"))
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
