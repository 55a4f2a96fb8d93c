"""Complaints about usage, stop reasons and errors (U, P, E)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.proxy.sample_messages import JSON, PROTOCOLS, ask, dumps, reply, upstream_error
from tests.proxy.scripted_upstream import http

from .exchange import anthropic, anthropic_reply, call_delta, candidate, chat, chat_reply, exchange, gemini

# ---- usage -----------------------------------------------------------------------------------------------------------
# 20 tokens fresh, 80 read from a cache, 5 written to one; 30 of output, 12 of them thinking

FROM_ANTHROPIC: JSON = {
    "input_tokens": 20,
    "cache_read_input_tokens": 80,
    "cache_creation_input_tokens": 5,
    "output_tokens": 30,
}
FROM_CHAT: JSON = {
    "prompt_tokens": 100,
    "completion_tokens": 30,
    "total_tokens": 130,
    "prompt_tokens_details": {"cached_tokens": 80},
    "completion_tokens_details": {"reasoning_tokens": 12},
}
FROM_GEMINI: JSON = {
    "promptTokenCount": 100,
    "cachedContentTokenCount": 80,
    "candidatesTokenCount": 18,
    "thoughtsTokenCount": 12,
    "totalTokenCount": 130,
}


def usage_of(frontend: str, body: JSON) -> tuple[Any, ...]:
    """Returns the counts that a client reads: prompt or fresh tokens, cached ones, output."""
    match frontend:
        case "openai-chat":
            usage = body["usage"]
            return usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"], usage["completion_tokens"]
        case "openai-responses":
            usage = body["usage"]
            return usage["input_tokens"], usage["input_tokens_details"]["cached_tokens"], usage["output_tokens"]
        case "anthropic":
            usage = body["usage"]
            return usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]
        case _:
            usage = body["usageMetadata"]
            output = usage["candidatesTokenCount"] + usage.get("thoughtsTokenCount", 0)
            return usage["promptTokenCount"], usage["cachedContentTokenCount"], output


COUNTS: tuple[tuple[str, JSON, dict[str, tuple[int, int, int]]], ...] = (
    (
        "anthropic",
        anthropic_reply({"type": "text", "text": "Hi"}, usage=FROM_ANTHROPIC),
        {"openai-chat": (105, 80, 30), "openai-responses": (105, 80, 30), "gemini": (105, 80, 30)},
    ),
    (
        "openai-chat",
        chat_reply({"content": "Hi"}, usage=FROM_CHAT),
        {"anthropic": (20, 80, 30), "openai-responses": (100, 80, 30), "gemini": (100, 80, 30)},
    ),
    (
        "gemini",
        candidate({"text": "Hi"}, finish="STOP", usageMetadata=FROM_GEMINI),
        {"anthropic": (20, 80, 30), "openai-responses": (100, 80, 30), "openai-chat": (100, 80, 30)},
    ),
)
PAIRS = [
    (backend, script, frontend, expected)
    for backend, script, by_frontend in COUNTS
    for frontend, expected in by_frontend.items()
]


@pytest.mark.parametrize(("backend", "script", "frontend", "expected"), PAIRS, ids=[f"{b}-{f}" for b, _, f, _ in PAIRS])
async def test_u1_usage_is_converted_between_protocols(
    backend: str, script: JSON, frontend: str, expected: tuple[int, int, int]
) -> None:
    it = await exchange(frontend, backend, script)
    assert usage_of(frontend, it.body) == expected


STREAMS: dict[str, list[bytes]] = {
    "anthropic": anthropic({"type": "text", "text": "Hi"}, usage={"output_tokens": 30}, start=FROM_ANTHROPIC),
    "openai-chat": chat({"content": "Hi"}, usage=FROM_CHAT),
    "gemini": gemini(candidate({"text": "Hi"}, finish="STOP", usageMetadata=FROM_GEMINI)),
}


def last_usage(frontend: str, events: list[JSON]) -> JSON:
    """Returns the last usage of a stream, in the form of a whole answer."""
    match frontend:
        case "openai-responses":
            return dict(events[-1]["response"])
        case "anthropic":
            return dict(events[-2])
        case _:
            return events[-1]


@pytest.mark.parametrize(("backend", "script", "frontend", "expected"), PAIRS, ids=[f"{b}-{f}" for b, _, f, _ in PAIRS])
async def test_u4_a_stream_has_the_usage_of_the_body(
    backend: str, script: JSON, frontend: str, expected: tuple[int, int, int]
) -> None:
    more = {"stream_options": {"include_usage": True}} if frontend == "openai-chat" else {}
    it = await exchange(frontend, backend, STREAMS[backend], ask(frontend, stream=True, **more), stream=True)
    assert usage_of(frontend, last_usage(frontend, it.events)) == expected


@pytest.mark.parametrize("backend", ["openai-chat", "gemini"])
async def test_u6_reasoning_tokens_are_reported(backend: str) -> None:
    (script,) = (script for name, script, _ in COUNTS if name == backend)
    in_chat = await exchange("openai-chat", backend, script, keys={"relay": "never"})
    assert in_chat.body["usage"]["completion_tokens_details"]["reasoning_tokens"] == 12
    in_responses = await exchange("openai-responses", backend, script)
    assert in_responses.body["usage"]["output_tokens_details"]["reasoning_tokens"] == 12
    in_gemini = await exchange("gemini", backend, script, keys={"relay": "never"})
    usage = in_gemini.body["usageMetadata"]
    assert (usage["candidatesTokenCount"], usage["thoughtsTokenCount"], usage["totalTokenCount"]) == (18, 12, 130)
    in_anthropic = await exchange("anthropic", backend, script)
    assert in_anthropic.body["usage"]["output_tokens"] == 30


# ---- stop reasons ----------------------------------------------------------------------------------------------------


def stop_of(frontend: str, body: JSON) -> Any:
    match frontend:
        case "openai-chat":
            return body["choices"][0]["finish_reason"]
        case "openai-responses":
            return body["status"], (body["incomplete_details"] or {}).get("reason")
        case "anthropic":
            return body["stop_reason"]
        case "gemini":
            return body["candidates"][0]["finishReason"]
        case _:
            return body["done_reason"]


async def assert_stops(backend: str, script: JSON, by_frontend: JSON) -> None:
    for frontend, expected in by_frontend.items():
        it = await exchange(frontend, backend, script, keys={"relay": "never"})
        assert stop_of(frontend, it.body) == expected, frontend


CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLING = {"openai-chat": "tool_calls", "anthropic": "tool_use", "openai-responses": ("completed", None)}


@pytest.mark.parametrize(
    ("backend", "script"),
    [
        ("openai-chat", chat_reply({"content": None, "tool_calls": [CALL]}, "stop")),
        ("gemini", candidate({"functionCall": {"name": "f", "args": {}}}, finish="STOP")),
        (
            "ollama",
            reply("ollama")
            | {
                "message": {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"function": {"name": "f", "arguments": {}}}],
                }
            },
        ),
    ],
    ids=["openai-chat", "gemini", "ollama"],
)
async def test_p1_a_call_makes_the_stop_reason_tool_use(backend: str, script: JSON) -> None:
    await assert_stops(backend, script, {name: expected for name, expected in CALLING.items() if name != backend})


async def test_p1_a_streamed_call_makes_the_stop_reason_tool_use() -> None:
    script = chat(call_delta(0, "{}", "call_1", "f"), finish="stop")
    it = await exchange("anthropic", "openai-chat", script, stream=True)
    (last,) = [event["delta"] for event in it.events if event["type"] == "message_delta"]
    assert last["stop_reason"] == "tool_use"


async def test_p3_a_filtered_answer_has_its_own_stop_reason() -> None:
    expected = {"anthropic": "refusal", "gemini": "SAFETY", "openai-responses": ("incomplete", "content_filter")}
    await assert_stops("openai-chat", chat_reply({"content": "Well"}, "content_filter"), expected)
    await assert_stops("gemini", candidate({"text": "Well"}, finish="SAFETY"), {"openai-chat": "content_filter"})
    script = anthropic_reply({"type": "text", "text": "I will not."}, stop="refusal")
    await assert_stops("anthropic", script, {"openai-chat": "content_filter", "gemini": "SAFETY"})


async def test_p3_the_text_of_a_refusal_is_delivered() -> None:
    script = chat_reply({"content": None, "refusal": "I will not."})
    for frontend in PROTOCOLS:
        it = await exchange(frontend, "openai-chat", script, keys={"relay": "never"})
        assert b"I will not." in it.answer.body, frontend


async def test_p4_an_answer_that_was_cut_off_has_the_length_stop_reason() -> None:
    script = chat_reply({"content": "Once upon"}, "length")
    expected = {
        "anthropic": "max_tokens",
        "gemini": "MAX_TOKENS",
        "ollama": "length",
        "openai-responses": ("incomplete", "max_output_tokens"),
    }
    await assert_stops("openai-chat", script, expected)
    it = await exchange("openai-responses", "openai-chat", chat({"content": "Once"}, finish="length"), stream=True)
    assert it.events[-1]["type"] == "response.incomplete"
    assert it.events[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


async def test_p6_the_matched_stop_sequence_is_reported() -> None:
    script = anthropic_reply({"type": "text", "text": "one"}, stop="stop_sequence", stop_sequence="END")
    it = await exchange("anthropic", "anthropic", script, keys={"relay": "never"})
    assert (it.body["stop_reason"], it.body["stop_sequence"]) == ("stop_sequence", "END")
    await assert_stops("anthropic", script, {"openai-chat": "stop"})
    it = await exchange("openai-chat", "anthropic", script)
    assert it.losses == ["matched_stop"]


# ---- errors ----------------------------------------------------------------------------------------------------------

SHAPES: dict[str, Any] = {
    "openai-chat": {"error": {"message": "slow down", "type": "rate_limit_error", "param": None}},
    "openai-responses": {"error": {"message": "slow down", "type": "rate_limit_error", "param": None}},
    "anthropic": {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}},
    "gemini": {"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}},
    "ollama": {"error": "slow down"},
}


def without(body: JSON, *names: str) -> JSON:
    """Removes the error fields that hold the request's id, a vendor's code, or details."""
    kept = {key: value for key, value in body.items() if key not in names}
    if isinstance(kept["error"], dict):
        kept["error"] = {key: value for key, value in kept["error"].items() if key not in names}
    return kept


@pytest.mark.parametrize("backend", PROTOCOLS)
@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_e1_e3_a_rate_limit_has_the_clients_error_shape(frontend: str, backend: str) -> None:
    script = http(upstream_error(backend, "slow down", 429), "429 Too Many Requests", retry_after=7)
    it = await exchange(frontend, backend, script)
    names = ("details",) if frontend == "gemini" else ("request_id", "code")
    assert without(it.body, *names) == SHAPES[frontend]
    assert it.answer.status == 429
    assert it.answer.headers["retry-after"] == "7"


STATUSES: tuple[tuple[int, dict[str, int]], ...] = (
    (400, {name: 400 for name in PROTOCOLS}),
    (404, {name: 404 for name in PROTOCOLS}),
    (500, {name: 502 for name in PROTOCOLS}),
    (503, {name: 503 for name in PROTOCOLS} | {"anthropic": 529}),
    (529, {name: 503 for name in PROTOCOLS} | {"anthropic": 529}),
)


@pytest.mark.parametrize(("status", "by_frontend"), STATUSES, ids=[str(status) for status, _ in STATUSES])
async def test_e2_e4_the_status_in_the_body_is_the_http_status(status: int, by_frontend: dict[str, int]) -> None:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    error = {"error": {"message": "no", "type": kind, "param": None, "code": None}}
    for frontend, expected in by_frontend.items():
        script = http(dumps(error), f"{status} Whatever")
        it = await exchange(frontend, "openai-chat", script, keys={"relay": "never"})
        assert it.answer.status == expected, frontend
        if frontend == "gemini":
            assert it.body["error"]["code"] == expected
            assert it.body["error"]["status"] == {
                400: "INVALID_ARGUMENT",
                404: "NOT_FOUND",
                502: "INTERNAL",
                503: "UNAVAILABLE",
            }.get(expected)
        if frontend == "anthropic":
            kinds = {400: "invalid_request_error", 404: "not_found_error", 502: "api_error", 529: "overloaded_error"}
            assert it.body["error"]["type"] == kinds[expected]


INVALID: tuple[tuple[str, JSON], ...] = (
    ("openai-chat", {"messages": []}),
    ("openai-chat", {}),
    ("openai-responses", {}),
    ("anthropic", {"messages": "x"}),
    ("anthropic", {}),
    ("gemini", {"contents": []}),
    ("gemini", {}),
    ("ollama", {"messages": "x"}),
)


@pytest.mark.parametrize(("frontend", "body"), INVALID, ids=[f"{name}-{json.dumps(body)}" for name, body in INVALID])
async def test_e6_an_invalid_request_is_refused_before_any_upstream(frontend: str, body: JSON) -> None:
    it = await exchange(frontend, "openai-chat", body=body)
    assert it.answer.status == 400
    assert "error" in it.body
    assert it.sent == []


@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_e6_an_unknown_model_is_not_found(frontend: str) -> None:
    it = await exchange(frontend, "openai-chat", body=None, model="stranger", keys={"models": ["known"]})
    assert it.answer.status == 404
    assert "stranger" in json.dumps(it.body["error"])
    assert it.sent == []
