"""Renders Ollama chat replies and errors, unary and streamed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from ...framing import JSON, NDJSON, dump
from ...scenarios.model import (
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
    MOCK_CREATED,
    Failure,
    RenderedReply,
    ReplyContext,
    ReplyPart,
    error_reply,
    failure_of,
    likely_tokens,
    token_logprob,
)
from .tables import STOPS

NO_CALL_IDS = "no_call_ids"
"""Habit of older servers: tool calls have no ids."""

ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})
"""Characters that the server's JSON encoder escapes. https://pkg.go.dev/encoding/json#HTMLEscape"""

HEADERS = {"content-type": "application/json; charset=utf-8"}
"""Headers of a unary reply and of an error."""


def render_reply(context: ReplyContext) -> RenderedReply:
    """Renders a unary body, or the lines of a stream, with the faults of the story."""
    if context.stream:
        return RenderedReply(200, {}, tuple(_stream(context)), NDJSON)
    return RenderedReply(200, HEADERS, (*faults_of(context.items), _dump(_unary_body(context)).encode()), JSON)


def render_error(error: Failure, provider: Provider) -> RenderedReply:
    """Renders an error sent before any content."""
    rendered = error_reply(error, {"error": error.message})
    return RenderedReply(rendered.status, HEADERS | rendered.headers, rendered.parts, rendered.framing)


def _dump(value: Any) -> str:
    return dump(value).translate(ESCAPES)


# ---- unary -----------------------------------------------------------------------------------------------------------


def _unary_body(context: ReplyContext) -> dict[str, Any]:
    text: list[str] = []
    thinking: list[str] = []
    calls: list[dict[str, Any]] = []
    for item in in_sequence(context.items):
        match item:
            case SayText(deltas) | SayRefusal(deltas):
                text.extend(deltas)
            case SayThink(deltas) if _thinking_enabled(context):
                thinking.extend(deltas)
            case SayCall() as call:
                calls.append(_call(context, call, len(calls)))
            case _:
                pass
    message: dict[str, Any] = {"role": "assistant", "content": "".join(text)}
    if thinking:
        message["thinking"] = "".join(thinking)
    if calls:
        message["tool_calls"] = calls
    head = {"model": context.model, "created_at": _timestamp(0), "message": message}
    return head | _stop_fields(context) | _logprobs(context.body, text)


def _logprobs(body: dict[str, Any], tokens: list[str]) -> dict[str, Any]:
    """Returns the log probability of every token if requested; a token is a text delta of the story.

    "logprobs: Log probability information for the generated tokens when logprobs are enabled"
    https://docs.ollama.com/api/chat
    """
    if body.get("logprobs") is not True or not tokens:
        return {}
    most = body.get("top_logprobs") or 0
    entries = []
    for text in tokens:
        top = [_token(*likely) for likely in likely_tokens(text, most)]
        entries.append(_token(text, token_logprob(text)) | ({"top_logprobs": top} if top else {}))
    return {"logprobs": entries}


def _token(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def _thinking_enabled(context: ReplyContext) -> bool:
    """Returns whether thinking is returned: a model that supports it thinks unless `think` is false. https://docs.ollama.com/capabilities/thinking"""
    return context.body.get("think") is not False


def _call(context: ReplyContext, call: SayCall, index: int) -> dict[str, Any]:
    """Returns a tool call; `arguments` is an object, empty for a call without arguments."""
    arguments = json.loads("".join(call.fragments) or "{}")
    function = {"index": index, "name": call.name, "arguments": arguments}
    return {"function": function} if NO_CALL_IDS in context.provider.habits else {"id": call.id, "function": function}


def _timestamp(line: int) -> str:
    made = datetime.fromtimestamp(MOCK_CREATED, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    # The server omits trailing zeros of the fraction.
    return f"{made}.{line * 12000 + 352639:06d}".rstrip("0") + "Z"


def _stop_fields(context: ReplyContext) -> dict[str, Any]:
    prompt, output = _token_counts(context.usage)
    return {
        "done": True,
        "done_reason": STOPS[context.stop.reason],
        "total_duration": 142639084 + output * 5000000,
        "load_duration": 44742834,
        "prompt_eval_count": prompt,
        "prompt_eval_duration": 38787583,
        "eval_count": output,
        "eval_duration": output * 4900000,
    }


def _token_counts(usage: Usage) -> tuple[int, int]:
    """Returns prompt and output tokens; the prompt includes cached tokens, the output includes reasoning.

    https://docs.ollama.com/api/usage
    """
    return (usage.input or 0) + (usage.cache_read or 0) + (usage.cache_write or 0), usage.output or 0


# ---- streaming -------------------------------------------------------------------------------------------------------


def _stream(context: ReplyContext) -> Iterator[ReplyPart]:
    sent = calls = 0

    def line(message: dict[str, Any], more: dict[str, Any]) -> bytes:
        nonlocal sent
        sent += 1
        head = {"model": context.model, "created_at": _timestamp(sent)}
        return f"{_dump(head | {'message': {'role': 'assistant', 'content': ''} | message} | more)}\n".encode()

    for item in in_sequence(context.items):
        match item:
            case SayText(deltas) | SayRefusal(deltas):
                for text in deltas:
                    yield line({"content": text}, {"done": False} | _logprobs(context.body, [text]))
            case SayThink(deltas):
                for text in deltas if _thinking_enabled(context) else ():
                    yield line({"thinking": text}, {"done": False})
            case SayCall() as call:
                # A call is sent complete, in a line of its own.
                yield line({"tool_calls": [_call(context, call, calls)]}, {"done": False})
                calls += 1
            case SayError():
                yield f"{_dump({'error': failure_of(item).message})}\n".encode()
                return
            case Pause() | Cut() | Garble():
                yield item
            case _:
                pass
    yield line({}, _stop_fields(context))
