"""The answers of Anthropic Messages, in its wire habits; it knows the scene, not the socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ...frames import SSE, dump
from ...speech import Cite, Cut, Garble, Pause, SayCall, SayError, SayRefusal, SayText, SayThink, Usage, in_sequence
from ..contract import Failure, Provider, Scene, Spoken, Step, failure, seal, spoken_error, token
from .words import ERRORS, REDACTED, STOPS


def say(scene: Scene) -> Spoken:
    """A unary body, or the events of a stream and the faults between them."""
    headers = {"request-id": f"req_{token(scene, 'request')}"}
    if scene.stream:
        return Spoken(200, headers, tuple(_stream(scene)), SSE)
    faults = tuple(item for item in scene.items if isinstance(item, Pause | Cut | Garble))
    return Spoken(200, headers, (*faults, dump(_body(scene)).encode()))


def say_error(error: Failure, provider: Provider) -> Spoken:
    """An error before any content. A kind's own status stands in place of the common one (529 for overloaded)."""
    status = ERRORS[error.kind][0] if error.status in (500, 503) else error.status
    known = Failure(status, error.kind, error.message, error.code, error.param, error.retry_after)
    spoken = spoken_error(known, _error(error) | {"request_id": "req_mock"})
    return Spoken(spoken.status, spoken.headers | {"request-id": "req_mock"}, spoken.steps)


def _error(error: Failure) -> dict[str, Any]:
    """https://platform.claude.com/docs/en/api/errors"""
    return {"type": "error", "error": {"type": ERRORS[error.kind][1], "message": error.message}}


# ---- unary -----------------------------------------------------------------------------------------------------------


def _head(scene: Scene) -> dict[str, Any]:
    return {
        "model": scene.model,
        "id": f"msg_01{token(scene, 'id', 22)}",
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
    }


def _body(scene: Scene) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    seals = 0
    for item in in_sequence(scene.items):
        match item:
            case SayText(deltas, cites=cites):
                cited = {"citations": [_cited(cite, scene) for cite in cites]} if cites else {}
                content.append({"type": "text", "text": "".join(deltas)} | cited)
            case SayThink(redacted=True):
                content.append({"type": "redacted_thinking", "data": seal(scene, seals) + REDACTED})
                seals += 1
            case SayThink(deltas):
                # This provider signs all thinking.
                content.append({"type": "thinking", "thinking": "".join(deltas), "signature": seal(scene, seals)})
                seals += 1
            case SayCall(id, name, fragments):
                given = json.loads("".join(fragments) or "{}")
                content.append({"type": "tool_use", "id": id, "name": name, "input": given})
            case _:
                pass
    return _head(scene) | {"content": content} | _ending(scene) | {"usage": _usage(scene.usage)}


def _cited(cite: Cite, scene: Scene) -> dict[str, Any]:
    """https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool#citations, and for what is in a
    document https://platform.claude.com/docs/en/build-with-claude/citations#response-structure
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
        "encrypted_index": token(scene, cite.url),
    }


def _ending(scene: Scene) -> dict[str, Any]:
    """A refusal's words have no block of their own; they stand in `stop_details`.

    https://platform.claude.com/docs/en/test-and-evaluate/strengthen-guardrails/handle-streaming-refusals
    """
    refusal = "".join("".join(item.deltas) for item in scene.items if isinstance(item, SayRefusal))
    reason = "content_filter" if refusal else scene.stop.reason
    details = {"type": "refusal", "category": None, "explanation": refusal} if refusal else None
    matched = scene.stop.matched if reason == "stop_sequence" else None
    return {"stop_reason": STOPS[reason], "stop_sequence": matched, "stop_details": details}


def _usage(usage: Usage) -> dict[str, Any]:
    """Input tokens exclude those read from and written to the cache.

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


def _stream(scene: Scene) -> Iterator[Step]:
    sent = 0

    def event(data: dict[str, Any]) -> bytes:
        nonlocal sent
        sent += 1
        text = dump(data)
        # The service pads its JSON with spaces before the last brace.
        return f"event: {data['type']}\ndata: {text[:-1]}{' ' * (sent * 7 % 15)}}}\n\n".encode()

    usage = _usage(scene.usage) | {"output_tokens": 1}
    usage.pop("output_tokens_details", None)
    index = 0
    pinged = False
    for number, item in enumerate((None, *in_sequence(scene.items))):
        if item is None:
            if any(isinstance(first, SayError) for first in scene.items[:1]):
                continue
            yield event({"type": "message_start", "message": _head(scene) | {"usage": usage}})
            continue
        match item:
            case SayText() | SayThink() | SayCall():
                start, deltas = _block(item, scene, number)
                yield event({"type": "content_block_start", "index": index, "content_block": start})
                if not pinged:
                    pinged = True
                    yield b'event: ping\ndata: {"type": "ping"}\n\n'
                for delta in deltas:
                    yield event({"type": "content_block_delta", "index": index, "delta": delta})
                yield event({"type": "content_block_stop", "index": index})
                index += 1
            case SayError():
                yield event(_error(failure(item)))
                return
            case Pause() | Cut() | Garble():
                yield item
            case _:
                pass
    counts = _usage(scene.usage)
    kept = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
    final = {key: counts[key] for key in (*kept, "output_tokens_details") if key in counts}
    yield event({"type": "message_delta", "delta": _ending(scene), "usage": final})
    yield event({"type": "message_stop"})


def _block(
    item: SayText | SayThink | SayCall, scene: Scene, number: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block's start and its deltas."""
    match item:
        case SayText(deltas):
            said = [{"type": "text_delta", "text": text} for text in deltas]
            if not item.cites:
                return {"type": "text", "text": ""}, said
            # "citations_delta" comes "to add the citation to the citations list on the current text content block".
            # https://platform.claude.com/docs/en/build-with-claude/citations#streaming-support
            noted = [{"type": "citations_delta", "citation": _cited(cite, scene)} for cite in item.cites]
            return {"type": "text", "text": "", "citations": []}, [*noted, *said]
        case SayThink(deltas):
            # Sealed blocks are counted in their order, as in the unary body.
            before = sum(isinstance(earlier, SayThink) for earlier in list(in_sequence(scene.items))[: number - 1])
            if item.redacted:
                return {"type": "redacted_thinking", "data": seal(scene, before) + REDACTED}, []
            thinking = [{"type": "thinking_delta", "thinking": text} for text in deltas]
            signed = {"type": "signature_delta", "signature": seal(scene, before)}
            return {"type": "thinking", "thinking": "", "signature": ""}, [*thinking, signed]
        case SayCall(id, name, fragments):
            pieces = ["", *([] if "".join(fragments) == "{}" else fragments)]
            start = {"type": "tool_use", "id": id, "name": name, "input": {}}
            return start, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
