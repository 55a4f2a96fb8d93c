"""Invented exchanges with providers in the form of recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from crosswire.conformance.replay.recording import Recording, read_recording
from crosswire.conformance.replay.verdict import Verdict
from crosswire.proxy.protocols import PROTOCOLS

TOOL = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def frames(*values: Any, done: str = "") -> str:
    """Returns server-sent events without names."""
    return "".join(f"data: {json.dumps(value)}\n\n" for value in values) + done


def named_frames(*values: dict[str, Any]) -> str:
    """Returns server-sent events named by their type."""
    return "".join(f"event: {value['type']}\ndata: {json.dumps(value)}\n\n" for value in values)


CHAT_CALL: dict[str, Any] = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city":"Oslo"}'},
}
CHAT_USAGE = {"prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27}
CHAT_HEAD = {"id": "c-1", "created": 1, "model": "m"}
CHAT: dict[str, Any] = {
    "protocol": "openai-chat",
    "path": "/v1/chat/completions",
    "request": {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather in Oslo?"}],
        "tools": [{"type": "function", "function": {"name": "weather", "parameters": TOOL}}],
        "max_completion_tokens": 300,
    },
    "response": {
        **CHAT_HEAD,
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "A moment.", "refusal": None, "tool_calls": [CHAT_CALL]},
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": CHAT_USAGE,
    },
}
CHUNK: dict[str, Any] = {**CHAT_HEAD, "object": "chat.completion.chunk"}


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {**CHUNK, "choices": [choice]}


CHAT_STREAM: dict[str, Any] = {
    **CHAT,
    "response": None,
    "request": {**CHAT["request"], "stream": True, "stream_options": {"include_usage": True}},
    "response_sse": frames(
        chunk(role="assistant", content=""),
        chunk(content="A moment."),
        chunk(tool_calls=[{"index": 0, **CHAT_CALL}]),
        chunk("tool_calls"),
        {**CHUNK, "choices": [], "usage": CHAT_USAGE},
        done="data: [DONE]\n\n",
    ),
}
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}}],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 20, "output_tokens": 7},
}
ANTHROPIC: dict[str, Any] = {
    "protocol": "anthropic",
    "path": "/v1/messages",
    "request": {
        "model": "m",
        "max_tokens": 300,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Weather in Oslo?"}],
        "tools": [{"name": "weather", "input_schema": TOOL}],
    },
    "response": MESSAGE,
}
ANTHROPIC_STREAM: dict[str, Any] = {
    **ANTHROPIC,
    "response": None,
    "request": {**ANTHROPIC["request"], "stream": True},
    "response_sse": named_frames(
        {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Snow — ☃."}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"input_tokens": 20, "output_tokens": 9},
        },
        {"type": "message_stop"},
    ),
}
GEMINI_REPLY: dict[str, Any] = {
    "candidates": [{"content": {"parts": [{"text": "Snow."}], "role": "model"}, "finishReason": "STOP", "index": 0}],
    "usageMetadata": {"promptTokenCount": 20, "candidatesTokenCount": 7, "totalTokenCount": 27},
    "modelVersion": "m",
    "responseId": "r-1",
}
GEMINI: dict[str, Any] = {
    "protocol": "gemini",
    "path": "/v1beta/models/m:generateContent",
    "request": {"contents": [{"role": "user", "parts": [{"text": "Weather in Oslo?"}]}]},
    "response": GEMINI_REPLY,
}
GEMINI_STREAM: dict[str, Any] = {
    **GEMINI,
    "path": "/v1beta/models/m:streamGenerateContent?alt=sse",
    "response": None,
    "response_sse": frames(GEMINI_REPLY).replace("\n", "\r\n"),
}
GEMINI_ARRAY: dict[str, Any] = {**GEMINI, "path": "/v1beta/models/m:streamGenerateContent", "response": [GEMINI_REPLY]}
OLLAMA_REPLY: dict[str, Any] = {
    "model": "m",
    "created_at": "2026-01-01T00:00:00Z",
    "message": {"role": "assistant", "content": "Snow."},
    "done": True,
    "done_reason": "stop",
    "total_duration": 5,
    "load_duration": 1,
    "prompt_eval_count": 20,
    "prompt_eval_duration": 1,
    "eval_count": 7,
    "eval_duration": 3,
}
OLLAMA: dict[str, Any] = {
    "protocol": "ollama",
    "path": "/api/chat",
    "request": {"model": "m", "messages": [{"role": "user", "content": "Weather in Oslo?"}], "stream": False},
    "response": OLLAMA_REPLY,
}
OLLAMA_STREAM: dict[str, Any] = {
    **OLLAMA,
    "request": {**OLLAMA["request"], "stream": True},
    "response": None,
    "response_sse": json.dumps(OLLAMA_REPLY) + "\n",
}
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "completed_at": 2,
    "status": "completed",
    "background": False,
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "model": "m",
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Snow.", "annotations": [], "logprobs": []}],
        }
    ],
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "usage": {
        "input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 27,
    },
    "user": None,
}
RESPONSES: dict[str, Any] = {
    "protocol": "openai-responses",
    "path": "/v1/responses",
    "request": {"model": "m", "input": "Weather in Oslo?"},
    "response": RESPONSE,
}

EXCHANGES: dict[str, dict[str, Any]] = {
    "openai-chat/tools": CHAT,
    "openai-chat/tools-stream": CHAT_STREAM,
    "openai-responses/text": RESPONSES,
    "anthropic/tools": ANTHROPIC,
    "anthropic/text-stream": ANTHROPIC_STREAM,
    "gemini/text": GEMINI,
    "gemini/text-stream": GEMINI_STREAM,
    "gemini/system-stream": GEMINI_ARRAY,
    "ollama/text": OLLAMA,
    "ollama/text-stream": OLLAMA_STREAM,
}

ERROR: dict[str, Any] = {
    **ANTHROPIC,
    "status": 429,
    "response_headers": {"Content-Type": "application/json", "Retry-After": "7"},
    "response": {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}, "request_id": "r"},
}


# ---- replaying them --------------------------------------------------------------------------------------------------


def write(folder: Path, place: str, exchange: dict[str, Any], **changes: Any) -> Path:
    """Writes a recording to the folder `protocol/capability`."""
    file = folder / place / f"{len(list(folder.rglob('*.json'))):03}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    capability = place.partition("/")[2].removesuffix("-stream")
    case = {"capability": capability, "model": "m", "status": 200, "response_headers": {}, **exchange, **changes}
    file.write_text(json.dumps(case))
    return file


def recorded(folder: Path, place: str, exchange: dict[str, Any], **changes: Any) -> Recording:
    return read_recording(write(folder, place, exchange, **changes), folder)


def reasons(verdict: Verdict) -> dict[str, tuple[str, ...]]:
    """Returns the reasons by target protocol, its own included."""
    outcomes = {verdict.protocol: verdict.own, **verdict.cross}
    return {name: outcome.reasons for name, outcome in outcomes.items() if outcome.reasons}


def swap(monkeypatch: pytest.MonkeyPatch, name: str, **functions: Any) -> None:
    monkeypatch.setitem(PROTOCOLS, name, replace(PROTOCOLS[name], **functions))
