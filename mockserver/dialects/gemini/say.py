"""The answers of the Gemini API, in its wire habits; it knows the scene, not the socket."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any

from ...frames import ARRAY, CONTENT_TYPES, JSON, SSE, sse
from ...speech import (
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
    in_sequence,
)
from ..contract import Failure, Provider, Scene, Spoken, Step, failure, seal, token
from .fields import camel
from .grounding import grounding
from .words import KEY_INVALID, SIGNING, STATUSES, STOPS

# Habits of newer models, as provider files name them; models that want their signatures back have both.
IDS = "call_ids"  # calls carry ids
SIGNED = "signed_calls"  # the first call of every answer is signed, asked or not


def say(scene: Scene) -> Spoken:
    """A unary body, or the responses of a stream and the faults between them."""
    if not scene.stream:
        faults = tuple(item for item in scene.items if isinstance(item, Pause | Cut | Garble))
        return Spoken(200, HEADERS, (*faults, _dump(_body(scene)).encode()))
    steps = tuple(_stream(scene))
    if "alt=sse" in scene.path.partition("?")[2].split("&"):
        framed = tuple(sse(_dump(s), newline="\r\n") if isinstance(s, dict) else s for s in steps)
        return Spoken(200, {"content-type": CONTENT_TYPES[SSE]}, framed, SSE)
    return Spoken(200, HEADERS, tuple(_array(steps)), ARRAY)


def say_error(error: Failure, provider: Provider) -> Spoken:
    """An error before any content; when to try again stands in its details, there is no header for it."""
    return Spoken(error.status, HEADERS, (_dump({"error": _error(error)}).encode(),), JSON)


HEADERS = {"content-type": "application/json; charset=UTF-8"}


def signs(scene_model: str, provider: Provider) -> bool:
    """Whether this model signs its first call and wants the signature back."""
    return SIGNED in provider.habits or SIGNING.match(scene_model) is not None


def _dump(value: Any) -> str:
    """JSON as this service spaces it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ": "))


def _error(error: Failure) -> dict[str, Any]:
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


def _body(scene: Scene) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    for _, found in _parts(scene, scene.items):
        for part in found:
            last = parts[-1] if parts else {}
            joins = "text" in part and "text" in last and "thoughtSignature" not in last
            if joins and part.get("thought") == last.get("thought"):
                parts[-1] = last | part | {"text": last["text"] + part["text"]}
            else:
                parts.append(part)
    content: dict[str, Any] = {"parts": parts, "role": "model"} if parts else {"role": "model"}
    return _blocked(scene) or _response(scene, _ended(scene, content), scene.usage)


def _ended(scene: Scene, content: dict[str, Any]) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": content, "finishReason": STOPS[scene.stop.reason], "index": 0}
    if scene.stop.reason == "tool":
        candidate["finishMessage"] = "Model generated function call(s)."
    sources = grounding(scene.items)
    return candidate | ({"groundingMetadata": sources} if sources else {})


def _response(scene: Scene, candidate: dict[str, Any], usage: Usage) -> dict[str, Any]:
    return {
        "candidates": [candidate],
        "usageMetadata": _usage(usage),
        "modelVersion": scene.model,
        "responseId": token(scene, "id", 23),
    }


def _blocked(scene: Scene) -> dict[str, Any] | None:
    """A filter that lets not a word through has blocked the prompt.

    "blockReason: Optional. If set, the prompt was blocked and no candidates are returned."
    https://ai.google.dev/api/generate-content#PromptFeedback
    """
    if scene.stop.reason != "content_filter" or scene.items:
        return None
    whole = _response(scene, {}, scene.usage)
    del whole["candidates"]
    return {"promptFeedback": {"blockReason": "SAFETY"}} | whole


def _usage(usage: Usage) -> dict[str, Any]:
    """`promptTokenCount`: "When cachedContent is set, this is still the total effective prompt size".

    https://ai.google.dev/api/generate-content#UsageMetadata
    """
    read = usage.cache_read or 0
    prompt = (usage.input or 0) + read + (usage.cache_write or 0)
    thought = usage.reasoning or 0
    said = max((usage.output or 0) - thought, 0)
    counts: dict[str, Any] = {"promptTokenCount": prompt}
    if said:
        counts["candidatesTokenCount"] = said
    counts["totalTokenCount"] = prompt + said + thought
    if usage.cache_read is not None:
        counts["cachedContentTokenCount"] = read
    counts["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": prompt}]
    if usage.cache_read is not None:
        counts["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": read}]
    if usage.reasoning is not None:
        counts["thoughtsTokenCount"] = thought
    return counts


# ---- parts -----------------------------------------------------------------------------------------------------------


def _parts(scene: Scene, items: Iterable[Item]) -> Iterator[tuple[Item, list[dict[str, Any]]]]:
    """Each item with the parts that it is, one a delta; faults have none. The signature of a text comes after it, on an
    empty one, as it does in streams.
    """
    shown = _thoughts_wanted(scene.body)
    signing = signs(scene.model, scene.provider)
    seals = calls = 0
    waiting: str | None = None
    for item in in_sequence(items):
        parts: list[dict[str, Any]] = []
        match item:
            case SayText(deltas) | SayRefusal(deltas):
                # An empty text is no part.
                parts = [{"text": text} for text in deltas if text]
                if isinstance(item, SayText) and item.sealed:
                    waiting = _seal(scene, seals)
                    seals += 1
                if waiting is not None and parts:
                    parts.append({"text": "", "thoughtSignature": waiting})
                    waiting = None
            case SayThink(deltas, sealed, redacted):
                minted = _seal(scene, seals) if sealed else None
                seals += sealed
                if shown and not redacted:
                    parts = [{"text": text, "thought": True} for text in deltas if text]
                    if minted is not None:
                        parts.append({"text": "", "thought": True, "thoughtSignature": minted})
                elif minted is not None:
                    # Hidden thoughts leave their signature on the next part.
                    waiting = minted
            case SayImage(mime, data):
                # https://ai.google.dev/gemini-api/docs/image-generation
                parts = [{"inlineData": {"mimeType": mime, "data": data}}]
            case SayCall() as call:
                parts = [_call(scene, call)]
                if call.sealed or (signing and calls == 0):
                    parts[0]["thoughtSignature"] = _seal(scene, seals)
                    seals += 1
                elif waiting is not None:
                    parts[0]["thoughtSignature"] = waiting
                waiting = None
                calls += 1
            case _:
                pass
        yield item, parts


def _thoughts_wanted(body: Any) -> bool:
    """Summaries of thoughts come "by setting includeThoughts to true". https://ai.google.dev/gemini-api/docs/thinking"""
    found = body
    for key in ("generationConfig", "thinkingConfig", "includeThoughts"):
        found = {camel(k): v for k, v in found.items()}.get(key) if isinstance(found, dict) else None
    return found is True


def _call(scene: Scene, call: SayCall) -> dict[str, Any]:
    """`args` is an object; a call without arguments has an empty one."""
    function: dict[str, Any] = {"name": call.name, "args": json.loads("".join(call.fragments) or "{}")}
    if IDS in scene.provider.habits or SIGNING.match(scene.model):
        function["id"] = call.id
    return {"functionCall": function}


def _seal(scene: Scene, n: int) -> str:
    """The slot holds bytes, which are base64 in JSON."""
    return base64.b64encode(seal(scene, n).encode()).decode()


# ---- streaming -------------------------------------------------------------------------------------------------------


def _stream(scene: Scene) -> Iterator[dict[str, Any] | Pause | Cut | Garble]:
    """A whole response a delta; the last one of all holds the finish reason, and every one the counts so far."""
    woven: list[tuple[Item, list[dict[str, Any]]]] = list(_parts(scene, scene.items))
    last = max((at for at, (_, parts) in enumerate(woven) if parts), default=-1)
    # What follows the last part (a pause, an error) comes before the finish reason, which needs a response of its own.
    joined = last >= 0 and last == len(woven) - 1 and scene.stop.reason != "content_filter"
    said = 0
    for at, (item, parts) in enumerate(woven):
        match item:
            case SayError():
                yield {"error": _error(failure(item))}
                return
            case Pause() | Cut() | Garble():
                yield item
            case _:
                for n, part in enumerate(parts):
                    content = {"parts": [part], "role": "model"}
                    if joined and at == last and n == len(parts) - 1:
                        yield _response(scene, _ended(scene, content), scene.usage)
                        return
                    said += 1
                    yield _response(scene, {"content": content, "index": 0}, _so_far(scene.usage, said))
    yield _blocked(scene) or _response(scene, _ended(scene, {"role": "model"}), scene.usage)


def _so_far(usage: Usage, said: int) -> Usage:
    """Counts grow within a stream; the thinking is all over before anything is said."""
    thought = usage.reasoning or 0
    return Usage(
        usage.input,
        min(said, max((usage.output or 0) - thought, 0)) + thought,
        usage.cache_read,
        usage.cache_write,
        usage.reasoning,
    )


def _array(steps: Iterable[dict[str, Any] | Pause | Cut | Garble]) -> Iterator[Step]:
    """One JSON array, an element a write: the first brings the bracket, the others the comma before them."""
    lead = "["
    for step in steps:
        if isinstance(step, dict):
            yield f"{lead}{_dump(step)}".encode()
            lead = "\n,\r\n"
        else:
            yield step
    yield b"\n]\n"
