"""Renders Anthropic Messages replies and errors, unary and streamed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ...framing import SSE, dump
from ...scenarios.model import (
    Citation,
    Cut,
    Garble,
    Pause,
    SayCall,
    SayError,
    SayRefusal,
    SayText,
    SayThink,
    Usage,
    faults_of,
    in_sequence,
)
from ...scenarios.provider import Provider
from ..reply_context import (
    Failure,
    RenderedReply,
    ReplyContext,
    ReplyPart,
    derived_id,
    error_reply,
    failure_of,
    mint_signature,
)
from .tables import ERRORS, REDACTED_SUFFIX, STOPS


def render_reply(context: ReplyContext) -> RenderedReply:
    """Renders a unary body, or the events of a stream, with the faults of the story."""
    headers = {"request-id": f"req_{derived_id(context, 'request')}"}
    if context.stream:
        return RenderedReply(200, headers, tuple(_stream(context)), SSE)
    return RenderedReply(200, headers, (*faults_of(context.items), dump(_unary_body(context)).encode()))


def render_error(error: Failure, provider: Provider) -> RenderedReply:
    """Renders an error sent before any content, with this provider's status for its kind (529 for overloaded)."""
    status = ERRORS[error.kind][0] if error.status in (500, 503) else error.status
    known = Failure(status, error.kind, error.message, error.code, error.param, error.retry_after)
    rendered = error_reply(known, _error_body(error) | {"request_id": "req_mock"})
    return RenderedReply(rendered.status, rendered.headers | {"request-id": "req_mock"}, rendered.parts)


def _error_body(error: Failure) -> dict[str, Any]:
    """Returns an error body. https://platform.claude.com/docs/en/api/errors"""
    return {"type": "error", "error": {"type": ERRORS[error.kind][1], "message": error.message}}


# ---- unary -----------------------------------------------------------------------------------------------------------


def _envelope(context: ReplyContext) -> dict[str, Any]:
    return {
        "model": context.model,
        "id": f"msg_01{derived_id(context, 'id', 22)}",
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
    }


def _unary_body(context: ReplyContext) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    signatures = 0
    for item in in_sequence(context.items):
        match item:
            case SayText(deltas, cites=cites):
                cited = {"citations": [_citation(cite, context) for cite in cites]} if cites else {}
                content.append({"type": "text", "text": "".join(deltas)} | cited)
            case SayThink(redacted=True):
                content.append(
                    {"type": "redacted_thinking", "data": mint_signature(context, signatures) + REDACTED_SUFFIX}
                )
                signatures += 1
            case SayThink(deltas):
                # This provider signs every thinking block.
                content.append(
                    {"type": "thinking", "thinking": "".join(deltas), "signature": mint_signature(context, signatures)}
                )
                signatures += 1
            case SayCall(id, name, fragments):
                given = json.loads("".join(fragments) or "{}")
                content.append({"type": "tool_use", "id": id, "name": name, "input": given})
            case _:
                pass
    return _envelope(context) | {"content": content} | _stop_fields(context) | {"usage": _usage(context.usage)}


def _citation(cite: Citation, context: ReplyContext) -> dict[str, Any]:
    """Returns a citation of a web page or a document.

    https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool#citations and
    https://platform.claude.com/docs/en/build-with-claude/citations#response-structure
    """
    if cite.url is None:
        place = {"document_index": 0, "start_char_index": 0, "end_char_index": len(cite.quote or "")}
        named = {"document_title": cite.title, "file_id": None}
        return {"type": "char_location", "cited_text": cite.quote or ""} | place | named
    return {
        "type": "web_search_result_location",
        "cited_text": cite.quote or "",
        "url": cite.url,
        "title": cite.title,
        "encrypted_index": derived_id(context, cite.url),
    }


def _stop_fields(context: ReplyContext) -> dict[str, Any]:
    """Returns the stop fields; the text of a refusal goes to `stop_details`, because there is no block for it.

    https://platform.claude.com/docs/en/test-and-evaluate/strengthen-guardrails/handle-streaming-refusals
    """
    refusal = "".join("".join(item.deltas) for item in context.items if isinstance(item, SayRefusal))
    reason = "content_filter" if refusal else context.stop.reason
    details = {"type": "refusal", "category": None, "explanation": refusal} if refusal else None
    matched = context.stop.matched_stop if reason == "stop_sequence" else None
    return {"stop_reason": STOPS[reason], "stop_sequence": matched, "stop_details": details}


def _usage(usage: Usage) -> dict[str, Any]:
    """Returns the usage; input tokens exclude those read from and written to the cache.

    https://platform.claude.com/docs/en/build-with-claude/prompt-caching
    """
    counts: dict[str, Any] = {
        "input_tokens": usage.input or 0,
        "cache_creation_input_tokens": usage.cache_write or 0,
        "cache_read_input_tokens": usage.cache_read or 0,
        "cache_creation": {"ephemeral_5m_input_tokens": usage.cache_write or 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": usage.output or 0,
    }
    if usage.reasoning is not None:
        counts["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return counts | {"service_tier": "standard", "inference_geo": "not_available"}


# ---- streaming -------------------------------------------------------------------------------------------------------


def _stream(context: ReplyContext) -> Iterator[ReplyPart]:
    sent = 0

    def event(data: dict[str, Any]) -> bytes:
        nonlocal sent
        sent += 1
        text = dump(data)
        # The service pads its JSON with spaces before the last brace.
        return f"event: {data['type']}\ndata: {text[:-1]}{' ' * (sent * 7 % 15)}}}\n\n".encode()

    usage = _usage(context.usage) | {"output_tokens": 1}
    usage.pop("output_tokens_details", None)
    index = 0
    pinged = False
    for number, item in enumerate((None, *in_sequence(context.items))):
        if item is None:
            if any(isinstance(first, SayError) for first in context.items[:1]):
                continue
            yield event({"type": "message_start", "message": _envelope(context) | {"usage": usage}})
            continue
        match item:
            case SayText() | SayThink() | SayCall():
                start, deltas = _block_events(item, context, number)
                yield event({"type": "content_block_start", "index": index, "content_block": start})
                if not pinged:
                    pinged = True
                    yield b'event: ping\ndata: {"type": "ping"}\n\n'
                for delta in deltas:
                    yield event({"type": "content_block_delta", "index": index, "delta": delta})
                yield event({"type": "content_block_stop", "index": index})
                index += 1
            case SayError():
                yield event(_error_body(failure_of(item)))
                return
            case Pause() | Cut() | Garble():
                yield item
            case _:
                pass
    counts = _usage(context.usage)
    kept = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
    final = {key: counts[key] for key in (*kept, "output_tokens_details") if key in counts}
    yield event({"type": "message_delta", "delta": _stop_fields(context), "usage": final})
    yield event({"type": "message_stop"})


def _block_events(
    item: SayText | SayThink | SayCall, context: ReplyContext, number: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Returns the `content_block` of the start event of a block, and its deltas."""
    match item:
        case SayText(deltas):
            events = [{"type": "text_delta", "text": text} for text in deltas]
            if not item.cites:
                return {"type": "text", "text": ""}, events
            # "citations_delta" comes "to add the citation to the citations list on the current text content block".
            # https://platform.claude.com/docs/en/build-with-claude/citations#streaming-support
            citations = [{"type": "citations_delta", "citation": _citation(cite, context)} for cite in item.cites]
            return {"type": "text", "text": "", "citations": []}, [*citations, *events]
        case SayThink(deltas):
            # Signatures are numbered in the order of the blocks, as in the unary body.
            before = sum(isinstance(earlier, SayThink) for earlier in list(in_sequence(context.items))[: number - 1])
            if item.redacted:
                return {"type": "redacted_thinking", "data": mint_signature(context, before) + REDACTED_SUFFIX}, []
            thinking = [{"type": "thinking_delta", "thinking": text} for text in deltas]
            signed = {"type": "signature_delta", "signature": mint_signature(context, before)}
            return {"type": "thinking", "thinking": "", "signature": ""}, [*thinking, signed]
        case SayCall(id, name, fragments):
            pieces = ["", *([] if "".join(fragments) == "{}" else fragments)]
            start = {"type": "tool_use", "id": id, "name": name, "input": {}}
            return start, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
