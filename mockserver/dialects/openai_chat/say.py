"""The answers of a Chat Completions provider, in its wire habits; it knows the scene, not the socket."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from ...frames import SSE, dump, sse
from ...speech import (
    Cut,
    Garble,
    Interleave,
    Pause,
    SayCall,
    SayError,
    SayRefusal,
    SayText,
    SayThink,
    Usage,
    in_sequence,
)
from ..contract import CREATED, Failure, Provider, Scene, Spoken, Step, failure, seal, spoken_error, token
from .citations import url_citations
from .words import ERRORS, FINGERPRINTED, STOPS

# Habits of compatible hosts, as provider files name them.
COMMENTS = "sse_comments"  # `: OPENROUTER PROCESSING` before the first chunk
REASONING = "reasoning"  # thinking is shown, as `reasoning` and `reasoning_details`
USAGE_ALWAYS = "usage_with_choice"  # usage comes unasked, beside a last choice
EMPTY_ARGUMENTS = "empty_arguments"  # a call without arguments has `""` for them


def say(scene: Scene) -> Spoken:
    """A unary body, or the chunks of a stream and the faults between them."""
    if scene.stream:
        return Spoken(200, {"x-request-id": f"req_{token(scene, 'request', 32)}"}, tuple(_stream(scene)), SSE)
    faults = tuple(item for item in scene.items if isinstance(item, Pause | Cut | Garble))
    return Spoken(
        200,
        {"x-request-id": f"req_{token(scene, 'request', 32)}"},
        (*faults, dump(_body(scene)).encode()),
    )


def say_error(error: Failure, provider: Provider) -> Spoken:
    """An error before any content."""
    return spoken_error(error, {"error": _error(error)})


def _error(error: Failure) -> dict[str, Any]:
    kind, code = ERRORS[error.kind]
    return {"message": error.message, "type": kind, "param": error.param, "code": error.code or code}


# ---- unary -----------------------------------------------------------------------------------------------------------


def _head(scene: Scene, kind: str) -> dict[str, Any]:
    prefix = "gen" if REASONING in scene.provider.habits else "chatcmpl"
    head = {"id": f"{prefix}-{token(scene, 'id', 29)}", "object": kind, "created": CREATED, "model": scene.model}
    if REASONING in scene.provider.habits:
        return head | {"provider": "Mock"}
    fingerprint = f"fp_{token(scene, 'fingerprint', 10)}" if FINGERPRINTED.match(scene.model) else None
    return head | {"service_tier": "default", "system_fingerprint": fingerprint}


def _body(scene: Scene) -> dict[str, Any]:
    content: list[str] = []
    cited: list[dict[str, Any]] = []
    refusal: list[str] = []
    details: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    seals = 0
    for item in in_sequence(scene.items):
        match item:
            case SayText(deltas, cites=cites):
                cited += url_citations(cites, len("".join(content)), len("".join(deltas)))
                content.extend(deltas)
            case SayRefusal(deltas):
                refusal.extend(deltas)
            case SayThink(deltas, sealed, redacted):
                signature = seal(scene, seals) if sealed else None
                details.append(_detail("".join(deltas), signature, len(details), redacted))
                seals += sealed
            case SayCall(id, name, fragments, sealed, "custom"):
                calls.append({"id": id, "type": "custom", "custom": {"name": name, "input": "".join(fragments)}})
                seals += sealed
            case SayCall(id, name, fragments, sealed):
                function = {"name": name, "arguments": "".join(_fragments(fragments, scene.provider))}
                calls.append({"id": id, "type": "function", "function": function})
                seals += sealed
            case _:
                pass
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(content) if content else None,
        "refusal": "".join(refusal) if refusal else None,
        "annotations": cited,
    }
    if REASONING in scene.provider.habits:
        if not cited:
            del message["annotations"]
        message["reasoning"] = "".join(detail.get("text", "") for detail in details) or None
        if details:
            message["reasoning_details"] = details
    if calls:
        message["tool_calls"] = calls
    choice = {
        "index": 0,
        "message": message,
        "logprobs": _logprobs(scene, content),
        "finish_reason": STOPS[scene.stop.reason],
    }
    choices = [choice | {"index": index} for index in _indices(scene)]
    return _head(scene, "chat.completion") | {"choices": choices, "usage": _usage(scene.usage)}


def _indices(scene: Scene) -> range:
    """`n`: "How many chat completion choices to generate for each input message."

    https://platform.openai.com/docs/api-reference/chat/create; here all of them say the same
    """
    return range(scene.body.get("n") or 1)


def _logprobs(scene: Scene, tokens: list[str]) -> dict[str, Any] | None:
    """The probability of every token, where that is asked for; a token is a piece of the story's text.

    https://platform.openai.com/docs/api-reference/chat/object
    """
    if scene.body.get("logprobs") is not True or not tokens:
        return None
    said = [{"token": text, "logprob": -0.25, "bytes": list(text.encode())} for text in tokens]
    most = scene.body.get("top_logprobs") or 0
    return {"content": [token | {"top_logprobs": [token] * min(most, 1)} for token in said], "refusal": None}


def _detail(text: str, signature: str | None, index: int, redacted: bool = False) -> dict[str, Any]:
    """https://openrouter.ai/docs/use-cases/reasoning-tokens#reasoning_details-array-structure"""
    if redacted:
        return {"type": "reasoning.encrypted", "data": signature or "", "format": "unknown", "index": index}
    detail = {"type": "reasoning.text", "text": text, "format": "unknown", "index": index}
    return detail | ({"signature": signature} if signature else {})


def _usage(usage: Usage) -> dict[str, Any]:
    """`cached_tokens` and `reasoning_tokens` are parts of the totals here.

    https://platform.openai.com/docs/api-reference/chat/object
    """
    read, write = usage.cache_read or 0, usage.cache_write or 0
    prompt, output = (usage.input or 0) + read + write, usage.output or 0
    prompt_details = {"cached_tokens": read, "audio_tokens": 0}
    if usage.cache_write is not None:
        prompt_details["cache_write_tokens"] = write
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": prompt_details,
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning or 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


# ---- streaming -------------------------------------------------------------------------------------------------------


def _stream(scene: Scene) -> Iterator[Step]:
    habits = scene.provider.habits
    options = scene.body.get("stream_options") or {}
    wants_usage = bool(options.get("include_usage"))
    padded = options.get("include_obfuscation") is not False and REASONING not in habits
    sent = 0

    def frame(choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
        nonlocal sent
        chunk = _head(scene, "chat.completion.chunk") | {"choices": choices}
        if usage is not None or (wants_usage and USAGE_ALWAYS not in habits):
            # "All other chunks will also include a usage field, but with a null value."
            # https://platform.openai.com/docs/api-reference/chat/create
            chunk["usage"] = usage
        if padded:
            # "Stream obfuscation adds random characters to an obfuscation field on streaming delta events"
            # https://platform.openai.com/docs/api-reference/chat/create
            chunk["obfuscation"] = token(scene, f"pad{sent}", 1 + sent * 7 % 15)
        sent += 1
        return sse(chunk)

    def chunk(delta: dict[str, Any], stop: str | None = None) -> bytes:
        choice: dict[str, Any] = {"delta": delta}
        tokens = _logprobs(scene, [delta["content"]] if delta.get("content") else [])
        if REASONING in habits:
            # This host repeats the role in every delta.
            choice["delta"] = {"role": "assistant", "content": ""} | delta
            choice |= {"finish_reason": stop, "native_finish_reason": stop} | ({"logprobs": tokens} if tokens else {})
        else:
            choice |= {"logprobs": tokens, "finish_reason": stop}
        # Of several choices each has chunks of its own, which its index tells apart.
        return b"".join([frame([{"index": index} | choice]) for index in _indices(scene)])

    if COMMENTS in habits:
        yield b": OPENROUTER PROCESSING\n\n" * 2
    speaks = any(isinstance(item, SayText | SayRefusal) for item in scene.items)
    yield chunk({"role": "assistant", "content": "" if speaks else None, "refusal": None})
    calls = seals = thoughts = said = 0
    for item in scene.items:
        match item:
            case SayText(deltas, cites=cites):
                for text in deltas:
                    yield chunk({"content": text})
                length = len("".join(deltas))
                if cites:
                    yield chunk({"annotations": url_citations(cites, said, length)})
                said += length
            case SayRefusal(deltas):
                for text in deltas:
                    yield chunk({"refusal": text})
            case SayThink(deltas, sealed):
                if REASONING in habits:
                    for text in deltas:
                        yield chunk({"reasoning": text, "reasoning_details": [_detail(text, None, thoughts)]})
                    if sealed:
                        minted = seal(scene, seals)
                        yield chunk({"reasoning_details": [_detail("", minted, thoughts, item.redacted)]})
                    thoughts += 1
                seals += sealed
            case SayCall() as call:
                for delta in _call(call, calls, scene.provider):
                    yield chunk(delta)
                calls += 1
                seals += call.sealed
            case Interleave(together):
                rows = [_call(call, calls + at, scene.provider) for at, call in enumerate(together)]
                for row in zip_longest(*rows):
                    for delta in row:
                        if delta is not None:
                            yield chunk(delta)
                calls += len(together)
            case SayError():
                yield sse({"error": _error(failure(item))})
                return
            case Pause() | Cut() | Garble():
                yield item
            case _:
                pass
    yield chunk({}, STOPS[scene.stop.reason])
    if USAGE_ALWAYS in habits:
        choice = {
            "index": 0,
            "delta": {"role": "assistant", "content": ""},
            "finish_reason": None,
            "native_finish_reason": None,
        }
        yield frame([choice], _usage(scene.usage))
    elif wants_usage:
        yield frame([], _usage(scene.usage))
    yield sse("[DONE]")


def _fragments(fragments: tuple[str, ...], provider: Provider) -> tuple[str, ...]:
    """A call without arguments says `{}`; some hosts say nothing."""
    return fragments or (() if EMPTY_ARGUMENTS in provider.habits else ("{}",))


def _call(call: SayCall, index: int, provider: Provider) -> Iterator[dict[str, Any]]:
    if call.kind == "custom":
        # https://github.com/openai/openai-openapi/issues/576
        begun = {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": ""}}
        yield {"tool_calls": [{"index": index} | begun]}
        for fragment in call.fragments:
            yield {"tool_calls": [{"index": index, "custom": {"input": fragment}}]}
        return
    head = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
    yield {"tool_calls": [{"index": index} | head]}
    for fragment in _fragments(call.fragments, provider):
        yield {"tool_calls": [{"index": index, "function": {"arguments": fragment}}]}
