"""Renders Chat Completions replies and errors, unary and streamed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from ...framing import SSE, dump, sse
from ...scenarios.model import (
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
    faults_of,
    in_sequence,
)
from ...scenarios.provider import Provider
from ..reply_context import (
    MOCK_CREATED,
    Failure,
    RenderedReply,
    ReplyContext,
    ReplyPart,
    derived_id,
    error_reply,
    failure_of,
    likely_tokens,
    mint_signature,
    token_logprob,
)
from .citations import url_citations
from .tables import ERRORS, FINGERPRINT_MODELS, STOPS

COMMENTS = "sse_comments"
"""Habit of a compatible host: `: OPENROUTER PROCESSING` comments before the first chunk."""

REASONING = "reasoning"
"""Habit of a compatible host: reasoning is returned, as `reasoning` and `reasoning_details`."""

USAGE_ALWAYS = "usage_with_choice"
"""Habit of a compatible host: usage is always sent, in a last chunk that has a choice."""

EMPTY_ARGUMENTS = "empty_arguments"
"""Habit of a compatible host: the arguments of a call without arguments are `""`."""

FEWER_MEMBERS = "fewer_members"
"""Habit of Ollama's own compatible endpoint: no `refusal`, `annotations`, `logprobs`, tier or details of the usage, the
role in every delta, and thinking as `reasoning`.

https://github.com/ollama/ollama/blob/main/openai/openai.go
"""


def render_reply(context: ReplyContext) -> RenderedReply:
    """Renders a unary body, or the chunks of a stream, with the faults of the story."""
    headers = {"x-request-id": f"req_{derived_id(context, 'request', 32)}"}
    if context.stream:
        return RenderedReply(200, headers, tuple(_stream(context)), SSE)
    return RenderedReply(200, headers, (*faults_of(context.items), dump(_unary_body(context)).encode()))


def render_error(error: Failure, provider: Provider) -> RenderedReply:
    """Renders an error sent before any content."""
    return error_reply(error, {"error": _error_body(error)})


def _error_body(error: Failure) -> dict[str, Any]:
    kind, code = ERRORS[error.kind]
    return {"message": error.message, "type": kind, "param": error.param, "code": error.code or code}


# ---- unary -----------------------------------------------------------------------------------------------------------


def _envelope(context: ReplyContext, kind: str) -> dict[str, Any]:
    prefix = "gen" if REASONING in context.provider.habits else "chatcmpl"
    head = {
        "id": f"{prefix}-{derived_id(context, 'id', 29)}",
        "object": kind,
        "created": MOCK_CREATED,
        "model": context.model,
    }
    if REASONING in context.provider.habits:
        return head | {"provider": "Mock"}
    if FEWER_MEMBERS in context.provider.habits:
        return head | {"system_fingerprint": "fp_ollama"}
    fingerprint = f"fp_{derived_id(context, 'fingerprint', 10)}" if FINGERPRINT_MODELS.match(context.model) else None
    return head | {"service_tier": "default", "system_fingerprint": fingerprint}


def _unary_body(context: ReplyContext) -> dict[str, Any]:
    content: list[str] = []
    cited: list[dict[str, Any]] = []
    refusal: list[str] = []
    details: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    signatures = 0
    for item in in_sequence(context.items):
        match item:
            case SayText(deltas, cites=cites):
                cited += url_citations(cites, len("".join(content)), len("".join(deltas)))
                content.extend(deltas)
            case SayRefusal(deltas):
                refusal.extend(deltas)
            case SayThink(deltas, sealed, redacted):
                signature = mint_signature(context, signatures) if sealed else None
                details.append(_reasoning_detail("".join(deltas), signature, len(details), redacted))
                signatures += sealed
            case SayCall(id, name, fragments, sealed, "custom"):
                calls.append({"id": id, "type": "custom", "custom": {"name": name, "input": "".join(fragments)}})
                signatures += sealed
            case SayCall(id, name, fragments, sealed):
                function = {"name": name, "arguments": "".join(_argument_fragments(fragments, context.provider))}
                calls.append({"id": id, "type": "function", "function": function})
                signatures += sealed
            case _:
                pass
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(content) if content else None,
        "refusal": "".join(refusal) if refusal else None,
        "annotations": cited,
    }
    if REASONING in context.provider.habits:
        if not cited:
            del message["annotations"]
        message["reasoning"] = "".join(detail.get("text", "") for detail in details) or None
        if details:
            message["reasoning_details"] = details
    if FEWER_MEMBERS in context.provider.habits:
        thought = "".join(detail.get("text", "") for detail in details)
        message = {"role": "assistant", "content": "".join((*content, *refusal))}
        message |= {"reasoning": thought} if thought else {}
    if calls:
        message["tool_calls"] = calls
    choice = {
        "index": 0,
        "message": message,
        "logprobs": _logprobs(context, content),
        "finish_reason": STOPS[context.stop.reason],
    }
    if FEWER_MEMBERS in context.provider.habits:
        del choice["logprobs"]
    choices = [choice | {"index": index} for index in _choice_indices(context)]
    return _envelope(context, "chat.completion") | {"choices": choices, "usage": _usage_of(context)}


def _choice_indices(context: ReplyContext) -> range:
    """Returns the indices of the choices; `n`: "How many chat completion choices to generate for each input message."

    https://platform.openai.com/docs/api-reference/chat/create; the mock returns the same content in all
    """
    return range(context.body.get("n") or 1)


def _logprobs(context: ReplyContext, tokens: list[str]) -> dict[str, Any] | None:
    """Returns the log probability of every token if requested; a token is a text delta of the story.

    https://platform.openai.com/docs/api-reference/chat/object
    """
    if context.body.get("logprobs") is not True or not tokens:
        return None
    most = context.body.get("top_logprobs") or 0
    content = [
        _token(text, token_logprob(text)) | {"top_logprobs": [_token(*likely) for likely in likely_tokens(text, most)]}
        for text in tokens
    ]
    return {"content": content, "refusal": None}


def _token(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def _reasoning_detail(text: str, signature: str | None, index: int, redacted: bool = False) -> dict[str, Any]:
    """Returns an item of `reasoning_details`.

    https://openrouter.ai/docs/use-cases/reasoning-tokens#reasoning_details-array-structure
    """
    if redacted:
        return {"type": "reasoning.encrypted", "data": signature or "", "format": "unknown", "index": index}
    detail = {"type": "reasoning.text", "text": text, "format": "unknown", "index": index}
    return detail | ({"signature": signature} if signature else {})


def _usage_of(context: ReplyContext) -> dict[str, Any]:
    """Returns the usage as this host tells it."""
    usage = _usage(context.usage)
    if FEWER_MEMBERS in context.provider.habits:
        return {key: value for key, value in usage.items() if not key.endswith("_details")}
    return usage


def _usage(usage: Usage) -> dict[str, Any]:
    """Returns the usage; `cached_tokens` and `reasoning_tokens` are included in the totals.

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


def _stream(context: ReplyContext) -> Iterator[ReplyPart]:
    habits = context.provider.habits
    options = context.body.get("stream_options") or {}
    wants_usage = bool(options.get("include_usage"))
    is_openai = REASONING not in habits and FEWER_MEMBERS not in habits
    obfuscated = options.get("include_obfuscation") is not False and is_openai
    sent = 0

    def frame(choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
        nonlocal sent
        chunk = _envelope(context, "chat.completion.chunk") | {"choices": choices}
        if usage is not None or (wants_usage and is_openai and USAGE_ALWAYS not in habits):
            # "All other chunks will also include a usage field, but with a null value."
            # https://platform.openai.com/docs/api-reference/chat/create
            chunk["usage"] = usage
        if obfuscated:
            # "Stream obfuscation adds random characters to an obfuscation field on streaming delta events"
            # https://platform.openai.com/docs/api-reference/chat/create
            chunk["obfuscation"] = derived_id(context, f"pad{sent}", 1 + sent * 7 % 15)
        sent += 1
        return sse(chunk)

    def chunk(delta: dict[str, Any], stop: str | None = None) -> bytes:
        choice: dict[str, Any] = {"delta": delta}
        tokens = _logprobs(context, [delta["content"]] if delta.get("content") else [])
        if REASONING in habits:
            # This host repeats the role in every delta.
            choice["delta"] = {"role": "assistant", "content": ""} | delta
            choice |= {"finish_reason": stop, "native_finish_reason": stop} | ({"logprobs": tokens} if tokens else {})
        elif FEWER_MEMBERS in habits:
            known = {key: value for key, value in delta.items() if key not in ("refusal", "annotations")}
            choice["delta"] = {"role": "assistant", "content": delta.get("refusal") or ""} | known
            choice["delta"]["content"] = choice["delta"]["content"] or ""
            choice["finish_reason"] = stop
        else:
            choice |= {"logprobs": tokens, "finish_reason": stop}
        # With several choices each one has its own chunks, distinguished by the index.
        return b"".join([frame([{"index": index} | choice]) for index in _choice_indices(context)])

    if COMMENTS in habits:
        yield b": OPENROUTER PROCESSING\n\n" * 2
    has_text = any(isinstance(item, SayText | SayRefusal) for item in context.items)
    yield chunk({"role": "assistant", "content": "" if has_text else None, "refusal": None})
    calls = signatures = reasoning_blocks = offset = 0
    for item in context.items:
        match item:
            case SayText(deltas, cites=cites):
                for text in deltas:
                    yield chunk({"content": text})
                length = len("".join(deltas))
                if cites:
                    yield chunk({"annotations": url_citations(cites, offset, length)})
                offset += length
            case SayRefusal(deltas):
                for text in deltas:
                    yield chunk({"refusal": text})
            case SayThink(deltas, sealed):
                for text in deltas if FEWER_MEMBERS in habits else ():
                    yield chunk({"reasoning": text})
                if REASONING in habits:
                    for text in deltas:
                        yield chunk(
                            {"reasoning": text, "reasoning_details": [_reasoning_detail(text, None, reasoning_blocks)]}
                        )
                    if sealed:
                        signature = mint_signature(context, signatures)
                        yield chunk(
                            {"reasoning_details": [_reasoning_detail("", signature, reasoning_blocks, item.redacted)]}
                        )
                    reasoning_blocks += 1
                signatures += sealed
            case SayCall() as call:
                for delta in _call_deltas(call, calls, context.provider):
                    yield chunk(delta)
                calls += 1
                signatures += call.sealed
            case Interleave(together):
                rows = [_call_deltas(call, calls + at, context.provider) for at, call in enumerate(together)]
                for row in zip_longest(*rows):
                    for delta in row:
                        if delta is not None:
                            yield chunk(delta)
                calls += len(together)
            case SayError():
                yield sse({"error": _error_body(failure_of(item))})
                return
            case Pause() | Cut() | Garble():
                yield item
            case _:
                pass
    yield chunk({}, STOPS[context.stop.reason])
    if USAGE_ALWAYS in habits:
        choice = {
            "index": 0,
            "delta": {"role": "assistant", "content": ""},
            "finish_reason": None,
            "native_finish_reason": None,
        }
        yield frame([choice], _usage_of(context))
    elif wants_usage:
        yield frame([], _usage_of(context))
    yield sse("[DONE]")


def _argument_fragments(fragments: tuple[str, ...], provider: Provider) -> tuple[str, ...]:
    """Returns argument fragments; a call without arguments sends `{}`, or nothing on some hosts."""
    return fragments or (() if EMPTY_ARGUMENTS in provider.habits else ("{}",))


def _call_deltas(call: SayCall, index: int, provider: Provider) -> Iterator[dict[str, Any]]:
    """Yields the deltas of a tool call."""
    if call.kind == "custom":
        # https://github.com/openai/openai-openapi/issues/576
        begun = {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": ""}}
        yield {"tool_calls": [{"index": index} | begun]}
        for fragment in call.fragments:
            yield {"tool_calls": [{"index": index, "custom": {"input": fragment}}]}
        return
    head = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
    yield {"tool_calls": [{"index": index} | head]}
    for fragment in _argument_fragments(call.fragments, provider):
        yield {"tool_calls": [{"index": index, "function": {"arguments": fragment}}]}
