"""Renders Gemini replies and errors, unary and streamed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ...framing import ARRAY, CONTENT_TYPES, JSON, SSE, sse
from ...scenarios.model import (
    Cut,
    Garble,
    Item,
    Pause,
    SayCall,
    SayError,
    SayImage,
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
    failure_of,
    likely_tokens,
    mint_signature,
    token_logprob,
)
from .grounding import grounding_metadata
from .message_schema import camel
from .tables import KEY_INVALID, SIGNING_MODELS, STATUSES, STOPS

CALL_IDS = "call_ids"
"""Habit of newer models: function calls have ids."""

SIGNED_CALLS = "signed_calls"
"""Habit of newer models: the first function call of every reply is signed, and the signature must be sent back."""

HEADERS = {"content-type": "application/json; charset=UTF-8"}
"""Headers of a unary reply, of a JSON array stream and of an error."""


def render_reply(context: ReplyContext) -> RenderedReply:
    """Renders a unary body, or the responses of a stream, with the faults of the story."""
    if not context.stream:
        return RenderedReply(200, HEADERS, (*faults_of(context.items), _dump(_unary_body(context)).encode()))
    parts = tuple(_stream(context))
    if "alt=sse" in context.path.partition("?")[2].split("&"):
        framed = tuple(sse(_dump(s), newline="\r\n") if isinstance(s, dict) else s for s in parts)
        return RenderedReply(200, {"content-type": CONTENT_TYPES[SSE]}, framed, SSE)
    return RenderedReply(200, HEADERS, tuple(_frame_array(parts)), ARRAY)


def render_error(error: Failure, provider: Provider) -> RenderedReply:
    """Renders an error sent before any content; its retry delay is in the details, not in a header."""
    return RenderedReply(error.status, HEADERS, (_dump({"error": _error_body(error)}).encode(),), JSON)


def requires_signatures(model: str, provider: Provider) -> bool:
    """Returns whether a model signs its first function call and requires the signature in later requests."""
    return SIGNED_CALLS in provider.habits or SIGNING_MODELS.match(model) is not None


def _dump(value: Any) -> str:
    """Returns JSON with the spacing of this service."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ": "))


def _error_body(error: Failure) -> dict[str, Any]:
    body: dict[str, Any] = {
        "code": error.status,
        "message": error.message,
        "status": STATUSES.get(error.status, "UNKNOWN"),
    }
    details: list[dict[str, Any]] = []
    if error.code == KEY_INVALID:
        info = {"reason": KEY_INVALID, "domain": "googleapis.com"}
        metadata = {"service": "generativelanguage.googleapis.com"}
        details.append({"@type": "type.googleapis.com/google.rpc.ErrorInfo"} | info | {"metadata": metadata})
    if error.param is not None:
        violations = [{"field": error.param, "description": error.message}]
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations})
    if error.retry_after is not None:
        # https://cloud.google.com/apis/design/errors#error_payloads
        delay = {"retryDelay": f"{error.retry_after:g}s"}
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo"} | delay)
    return body | ({"details": details} if details else {})


# ---- unary -----------------------------------------------------------------------------------------------------------


def _unary_body(context: ReplyContext) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    tokens: list[str] = []
    for _, found in _render_parts(context, context.items):
        for part in found:
            last = parts[-1] if parts else {}
            joins = "text" in part and "text" in last and "thoughtSignature" not in last
            if joins and part.get("thought") == last.get("thought"):
                parts[-1] = last | part | {"text": last["text"] + part["text"]}
            else:
                parts.append(part)
        tokens += [part["text"] for part in found if _is_answer(part)]
    content: dict[str, Any] = {"parts": parts, "role": "model"} if parts else {"role": "model"}
    candidate = _finished_candidate(context, content) | _logprobs(context.body, tokens)
    return _blocked_prompt(context) or _response(context, candidate, context.usage)


def _is_answer(part: dict[str, Any]) -> bool:
    """Returns whether a part is a piece of the answer's text."""
    return bool(part.get("text")) and not part.get("thought")


def _logprobs(body: Any, tokens: Sequence[str]) -> dict[str, Any]:
    """Returns the log probability of every token if requested; a token is a text delta of the story.

    https://ai.google.dev/api/generate-content#LogprobsResult
    """
    config = {camel(key): value for key, value in _generation_config(body).items()}
    if config.get("responseLogprobs") is not True or not tokens:
        return {}
    result: dict[str, Any] = {"chosenCandidates": [_token(text, token_logprob(text)) for text in tokens]}
    if most := config.get("logprobs"):
        steps = [[_token(*likely) for likely in likely_tokens(text, most)] for text in tokens]
        result["topCandidates"] = [{"candidates": step} for step in steps]
    return {"avgLogprobs": sum(map(token_logprob, tokens)) / len(tokens), "logprobsResult": result}


def _generation_config(body: Any) -> dict[str, Any]:
    found = (
        {camel(key): value for key, value in body.items()}.get("generationConfig") if isinstance(body, dict) else None
    )
    return found if isinstance(found, dict) else {}


def _token(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "tokenId": sum(text.encode()), "logProbability": logprob}


def _finished_candidate(context: ReplyContext, content: dict[str, Any]) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": content, "finishReason": STOPS[context.stop.reason], "index": 0}
    if context.stop.reason == "tool":
        candidate["finishMessage"] = "Model generated function call(s)."
    sources = grounding_metadata(context.items)
    return candidate | ({"groundingMetadata": sources} if sources else {})


def _response(context: ReplyContext, candidate: dict[str, Any], usage: Usage) -> dict[str, Any]:
    return {
        "candidates": [candidate],
        "usageMetadata": _usage(usage),
        "modelVersion": context.model,
        "responseId": derived_id(context, "id", 23),
    }


def _blocked_prompt(context: ReplyContext) -> dict[str, Any] | None:
    """Returns the reply to a blocked prompt, if the content filter stopped a reply without content; else None.

    "blockReason: Optional. If set, the prompt was blocked and no candidates are returned."
    https://ai.google.dev/api/generate-content#PromptFeedback
    """
    if context.stop.reason != "content_filter" or context.items:
        return None
    response = _response(context, {}, context.usage)
    del response["candidates"]
    return {"promptFeedback": {"blockReason": "SAFETY"}} | response


def _usage(usage: Usage) -> dict[str, Any]:
    """Returns the usage.

    `promptTokenCount`: "When cachedContent is set, this is still the total effective prompt size".

    https://ai.google.dev/api/generate-content#UsageMetadata
    """
    read = usage.cache_read or 0
    prompt = (usage.input or 0) + read + (usage.cache_write or 0)
    thought = usage.reasoning or 0
    output = max((usage.output or 0) - thought, 0)
    counts: dict[str, Any] = {"promptTokenCount": prompt}
    if output:
        counts["candidatesTokenCount"] = output
    counts["totalTokenCount"] = prompt + output + thought
    if usage.cache_read is not None:
        counts["cachedContentTokenCount"] = read
    counts["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": prompt}]
    if usage.cache_read is not None:
        counts["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": read}]
    if usage.reasoning is not None:
        counts["thoughtsTokenCount"] = thought
    return counts


# ---- parts -----------------------------------------------------------------------------------------------------------


def _render_parts(context: ReplyContext, items: Iterable[Item]) -> Iterator[tuple[Item, list[dict[str, Any]]]]:
    """Yields each item with its parts, one for each delta; faults have none.

    The signature of a text is on an empty text part after it, as in streams of the service.
    """
    shown = _thoughts_requested(context.body)
    signing = requires_signatures(context.model, context.provider)
    signatures = calls = 0
    pending: str | None = None
    for item in in_sequence(items):
        parts: list[dict[str, Any]] = []
        match item:
            case SayText(deltas) | SayRefusal(deltas):
                # The service sends no empty text parts.
                parts = [{"text": text} for text in deltas if text]
                if isinstance(item, SayText) and item.sealed:
                    pending = _signature(context, signatures)
                    signatures += 1
                if pending is not None and parts:
                    parts.append({"text": "", "thoughtSignature": pending})
                    pending = None
            case SayThink(deltas, sealed, redacted):
                signature = _signature(context, signatures) if sealed else None
                signatures += sealed
                if shown and not redacted:
                    parts = [{"text": text, "thought": True} for text in deltas if text]
                    if signature is not None:
                        parts.append({"text": "", "thought": True, "thoughtSignature": signature})
                elif signature is not None:
                    # The signature of hidden reasoning is on the next part.
                    pending = signature
            case SayImage(mime, data):
                # https://ai.google.dev/gemini-api/docs/image-generation
                parts = [{"inlineData": {"mimeType": mime, "data": data}}]
            case SayCall() as call:
                parts = [_call(context, call)]
                if call.sealed or (signing and calls == 0):
                    parts[0]["thoughtSignature"] = _signature(context, signatures)
                    signatures += 1
                elif pending is not None:
                    parts[0]["thoughtSignature"] = pending
                pending = None
                calls += 1
            case _:
                pass
        yield item, parts


def _thoughts_requested(body: Any) -> bool:
    """Returns whether reasoning is returned: summaries are requested "by setting includeThoughts to true". https://ai.google.dev/gemini-api/docs/thinking"""
    found = body
    for key in ("generationConfig", "thinkingConfig", "includeThoughts"):
        found = {camel(k): v for k, v in found.items()}.get(key) if isinstance(found, dict) else None
    return found is True


def _call(context: ReplyContext, call: SayCall) -> dict[str, Any]:
    """Returns a function call; `args` is an object, empty for a call without arguments."""
    function: dict[str, Any] = {"name": call.name, "args": json.loads("".join(call.fragments) or "{}")}
    if CALL_IDS in context.provider.habits or SIGNING_MODELS.match(context.model):
        function["id"] = call.id
    return {"functionCall": function}


def _signature(context: ReplyContext, n: int) -> str:
    """Returns the n-th signature; the field is of type bytes, which is base64 in JSON."""
    return base64.b64encode(mint_signature(context, n).encode()).decode()


# ---- streaming -------------------------------------------------------------------------------------------------------


def _stream(context: ReplyContext) -> Iterator[dict[str, Any] | Pause | Cut | Garble]:
    """Yields one response for each delta, with the usage so far; the last response has the finish reason."""
    rendered: list[tuple[Item, list[dict[str, Any]]]] = list(_render_parts(context, context.items))
    last = max((at for at, (_, parts) in enumerate(rendered) if parts), default=-1)
    # If a fault follows the last part, the finish reason needs a response of its own after the fault.
    joined = last >= 0 and last == len(rendered) - 1 and context.stop.reason != "content_filter"
    output = 0
    for at, (item, parts) in enumerate(rendered):
        match item:
            case SayError():
                yield {"error": _error_body(failure_of(item))}
                return
            case Pause() | Cut() | Garble():
                yield item
            case _:
                for n, part in enumerate(parts):
                    content = {"parts": [part], "role": "model"}
                    probable = _logprobs(context.body, [part["text"]]) if _is_answer(part) else {}
                    if joined and at == last and n == len(parts) - 1:
                        yield _response(context, _finished_candidate(context, content) | probable, context.usage)
                        return
                    output += 1
                    candidate = {"content": content, "index": 0} | probable
                    yield _response(context, candidate, _partial_usage(context.usage, output))
    yield _blocked_prompt(context) or _response(context, _finished_candidate(context, {"role": "model"}), context.usage)


def _partial_usage(usage: Usage, output: int) -> Usage:
    """Returns the usage after `output` deltas; reasoning tokens are complete from the start."""
    thought = usage.reasoning or 0
    return Usage(
        usage.input,
        min(output, max((usage.output or 0) - thought, 0)) + thought,
        usage.cache_read,
        usage.cache_write,
        usage.reasoning,
    )


def _frame_array(parts: Iterable[dict[str, Any] | Pause | Cut | Garble]) -> Iterator[ReplyPart]:
    """Frames responses as a JSON array: the first has the opening bracket before it, the others a comma."""
    lead = "["
    for part in parts:
        if isinstance(part, dict):
            yield f"{lead}{_dump(part)}".encode()
            lead = "\n,\r\n"
        else:
            yield part
    yield b"\n]\n"
