"""One small exchange in each protocol: requests, answers, streams, and the shape of its errors.

It knows wire formats by heart, because a test that asked the proxy's own code for them could not find it wrong.
"""

from __future__ import annotations

import json
from typing import Any

PROTOCOLS = ("openai-chat", "openai-responses", "anthropic", "gemini", "ollama")

TEXT = "Hello there."
WORDS = ("Hel", "lo ", "there.")

JSON = dict[str, Any]

LOSSES = "crosswire_losses"
"""The one key that the proxy adds to a protocol's last event, beside or in an error too."""


def dumps(value: object) -> bytes:
    """JSON as real servers write it: with blanks, so that a byte-for-byte relay can be told from a rewrite."""
    return json.dumps(value, ensure_ascii=False).encode()


# ---- what clients send -----------------------------------------------------------------------------------------------

PATHS: dict[str, str] = {
    "openai-chat": "/v1/chat/completions",
    "openai-responses": "/v1/responses",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/{model}:generateContent",
    "ollama": "/api/chat",
}
STREAM_PATHS = PATHS | {"gemini": "/v1beta/models/{model}:streamGenerateContent?alt=sse"}

UPSTREAM_PATHS: dict[str, str] = {
    "openai-chat": "/chat/completions",
    "openai-responses": "/responses",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/{model}:generateContent",
    "ollama": "/api/chat",
}
"""Below a backend's base URL."""


def path(protocol: str, model: str = "m", *, stream: bool = False) -> str:
    return (STREAM_PATHS if stream else PATHS)[protocol].replace("{model}", model)


def ask(protocol: str, model: str = "m", *, stream: bool = False, text: str = "Say hello.", **more: Any) -> JSON:
    """The smallest request; `more` are further top-level fields."""
    body: JSON
    match protocol:
        case "openai-chat":
            body = {"model": model, "messages": [{"role": "user", "content": text}]}
        case "openai-responses":
            body = {"model": model, "input": text}
        case "anthropic":
            body = {"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": text}]}
        case "gemini":
            return {"contents": [{"role": "user", "parts": [{"text": text}]}]} | more
        case _:
            # Ollama streams unless it is told not to
            return {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream} | more
    return body | ({"stream": True} if stream else {}) | more


# ---- what providers send ---------------------------------------------------------------------------------------------


def reply(protocol: str, model: str = "m", text: str = TEXT) -> JSON:
    """A whole answer: three tokens in, two out."""
    match protocol:
        case "openai-chat":
            message = {"role": "assistant", "content": text, "refusal": None}
            return {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1_760_000_000,
                "model": model,
                "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
            }
        case "openai-responses":
            return _response(model, "completed", [_message(text)], {"input": 3, "output": 2})
        case "anthropic":
            return {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": model,
                "content": [{"type": "text", "text": text}],
                "stop_reason": "end_turn",
                "stop_sequence": None,
                "usage": {"input_tokens": 3, "output_tokens": 2},
            }
        case "gemini":
            content = {"role": "model", "parts": [{"text": text}]}
            return {
                "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
                "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5},
                "modelVersion": model,
                "responseId": "r1",
            }
        case _:
            return _line(model, text) | {
                "done": True,
                "done_reason": "stop",
                "prompt_eval_count": 3,
                "eval_count": 2,
            }


def stream(protocol: str, model: str = "m", words: tuple[str, ...] = WORDS) -> list[bytes]:
    """The same answer as frames, the last of them the protocol's end."""
    match protocol:
        case "openai-chat":
            deltas: list[JSON] = [{"role": "assistant", "content": ""}, *({"content": word} for word in words)]
            return [
                *(data(_chunk(model, delta, None)) for delta in deltas),
                data(_chunk(model, {}, "stop")),
                data(_chunk(model) | {"usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}),
                data(b"[DONE]"),
            ]
        case "openai-responses":
            return _response_events(model, words)
        case "anthropic":
            return _anthropic_events(model, words)
        case "gemini":
            return [
                *(data(_gemini_chunk(model, word)) for word in words[:-1]),
                data(
                    _gemini_chunk(model, words[-1], "STOP")
                    | {"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}}
                ),
            ]
        case _:
            last = {"done": True, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2}
            return [dumps(_line(model, word)) + b"\n" for word in words] + [dumps(_line(model, "") | last) + b"\n"]


def data(value: JSON | bytes, event: str | None = None) -> bytes:
    """One SSE frame."""
    head = f"event: {event}\n".encode() if event else b""
    return head + b"data: " + (value if isinstance(value, bytes) else dumps(value)) + b"\n\n"


def stream_kind(protocol: str) -> str:
    """The content type of a stream."""
    return "application/x-ndjson" if protocol == "ollama" else "text/event-stream"


def handshakes(protocol: str) -> int:
    """Returns the number of frames of `stream` before the first content."""
    return {"openai-chat": 1, "openai-responses": 2, "anthropic": 1, "gemini": 0, "ollama": 0}[protocol]


def said(protocol: str, raw: bytes) -> str:
    """The text in a whole stream's bytes, as that protocol's client would put it together."""
    out = []
    for line in raw.decode().splitlines():
        line = line.removeprefix("data:").strip()
        if not line.startswith("{"):
            continue
        event = json.loads(line)
        match protocol:
            case "openai-chat":
                out += [choice["delta"].get("content") or "" for choice in event.get("choices", ())]
            case "openai-responses":
                out.append(event["delta"] if event["type"] == "response.output_text.delta" else "")
            case "anthropic":
                out.append(event["delta"].get("text", "") if event["type"] == "content_block_delta" else "")
            case "gemini":
                out += [part["text"] for c in event.get("candidates", ()) for part in c["content"].get("parts", ())]
            case _:
                out.append(event.get("message", {}).get("content", ""))
    return "".join(out)


def text_of(protocol: str, body: bytes) -> str:
    """The text of a whole answer."""
    answer = json.loads(body)
    match protocol:
        case "openai-chat":
            found = answer["choices"][0]["message"]["content"]
        case "openai-responses":
            found = answer["output"][0]["content"][0]["text"]
        case "anthropic":
            found = answer["content"][0]["text"]
        case "gemini":
            found = answer["candidates"][0]["content"]["parts"][0]["text"]
        case _:
            found = answer["message"]["content"]
    assert isinstance(found, str)
    return found


ENDS: dict[str, bytes] = {
    "openai-chat": b"[DONE]",
    "openai-responses": b"response.completed",
    "anthropic": b"message_stop",
    "gemini": b"finishReason",
    "ollama": b'"done":true',
}
"""The bytes that only a stream which ended well contains."""

PINGS: dict[str, bytes] = {
    "openai-chat": b": ping\n\n",
    "openai-responses": b": ping\n\n",
    "anthropic": b'event: ping\ndata: {"type": "ping"}\n\n',
    "gemini": b"\n",
    "ollama": b'"content":""',
}


# ---- errors ----------------------------------------------------------------------------------------------------------


def error_text(protocol: str, status: int, body: bytes) -> str:
    """The message of an error body, after its shape was held against the protocol's."""
    value = json.loads(body)
    match protocol:
        case "openai-chat" | "openai-responses":
            assert value.keys() == {"error"}
            error = value["error"]
            assert error.keys() == {"message", "type", "param", "code"}
            assert isinstance(error["type"], str)
        case "anthropic":
            assert value.keys() == {"type", "error", "request_id"}
            assert value["type"] == "error"
            error = value["error"]
            assert error.keys() == {"type", "message"}
            assert value["request_id"].startswith("req_")
        case "gemini":
            assert value.keys() == {"error"}
            error = value["error"]
            assert error.keys() - {"details"} == {"code", "message", "status"}
            assert error["code"] == status
            assert error["status"] == error["status"].upper()
        case _:
            assert value.keys() == {"error"}
            error = {"message": value["error"]}
    assert isinstance(error["message"], str)
    assert error["message"]
    return str(error["message"])


# https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
GOOGLE_CODES: dict[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def upstream_error(protocol: str, message: str, status: int) -> bytes:
    """An error body as this protocol's provider sends it."""
    match protocol:
        case "anthropic":
            return dumps({"type": "error", "error": {"type": "invalid_request_error", "message": message}})
        case "gemini":
            named = {"status": GOOGLE_CODES[status]} if status in GOOGLE_CODES else {}
            return dumps({"error": {"code": status, "message": message, **named}})
        case "ollama":
            return dumps({"error": message})
        case _:
            return dumps({"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}})


def in_band_error(protocol: str, raw: bytes) -> str:
    """The message of the error that a broken stream must end with; it may tell of losses beside."""
    lines = [line for line in raw.decode().splitlines() if line.strip()]
    last = json.loads(lines[-1].removeprefix("data:"))
    match protocol:
        case "openai-chat":
            assert last["error"].keys() - {LOSSES} == {"message", "type", "param", "code"}
            found = last["error"]["message"]
        case "openai-responses":
            assert last["type"] == "response.failed"
            assert last["response"]["status"] == "failed"
            found = last["response"]["error"]["message"]
        case "anthropic":
            assert lines[-2] == "event: error"
            assert last["type"] == "error"
            found = last["error"]["message"]
        case "gemini":
            assert last["error"]["code"] >= 400
            found = last["error"]["message"]
        case _:
            assert last.keys() - {LOSSES} == {"error"}
            found = last["error"]
    assert isinstance(found, str)
    assert found
    return found


# ---- the longer formats ----------------------------------------------------------------------------------------------


def _chunk(model: str, delta: JSON | None = None, finish: str | None = None) -> JSON:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_760_000_000,
        "model": model,
        "choices": choices,
    }


def _gemini_chunk(model: str, word: str, finish: str | None = None) -> JSON:
    candidate: JSON = {"content": {"role": "model", "parts": [{"text": word}]}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": model, "responseId": "r1"}


def _line(model: str, text: str) -> JSON:
    message = {"role": "assistant", "content": text}
    return {"model": model, "created_at": "2026-01-01T00:00:00Z", "message": message, "done": False}


def _anthropic_events(model: str, words: tuple[str, ...]) -> list[bytes]:
    start: JSON = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 1},
    }
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    events: list[JSON] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}} for word in words),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    return [data(event, event["type"]) for event in events]


def _message(text: str, status: str = "completed") -> JSON:
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}] if text else []
    return {"id": "msg_1", "type": "message", "status": status, "role": "assistant", "content": content}


def _response(model: str, status: str, output: list[JSON], usage: dict[str, int] | None) -> JSON:
    counted = None
    if usage is not None:
        counted = {
            "input_tokens": usage["input"],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage["output"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage["input"] + usage["output"],
        }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_760_000_000,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": model,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": counted,
    }


def _response_events(model: str, words: tuple[str, ...]) -> list[bytes]:
    text = "".join(words)
    begun = _response(model, "in_progress", [], None)
    done = _response(model, "completed", [_message(text)], {"input": 3, "output": 2})
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    events: list[JSON] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": _message("", "in_progress")},
        {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
        *({"type": "response.output_text.delta", **at, "delta": word, "logprobs": []} for word in words),
        {"type": "response.output_text.done", **at, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **at, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": _message(text)},
        {"type": "response.completed", "response": done},
    ]
    return [data(event | {"sequence_number": n}, event["type"]) for n, event in enumerate(events)]
