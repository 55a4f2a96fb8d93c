"""Complaints about the streams that Chat Completions clients receive (SC)."""

from __future__ import annotations

import json

import pytest

from tests.proxy.sample_messages import JSON, PROTOCOLS, data, handshakes, stream

from .exchange import anthropic, anthropic_reply, chat_calls, exchange

OTHERS = [name for name in PROTOCOLS if name != "openai-chat"]

THINKING: JSON = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
CALLS: tuple[JSON, ...] = (
    {"type": "tool_use", "id": "toolu_a", "name": "f", "input": {"x": 1}},
    {"type": "tool_use", "id": "toolu_b", "name": "g", "input": {"y": 2}},
)
EXPECTED_CALLS = [
    {"id": "toolu_a", "name": "f", "arguments": {"x": 1}},
    {"id": "toolu_b", "name": "g", "arguments": {"y": 2}},
]


def parse_arguments(calls: list[JSON]) -> list[JSON]:
    return [{**call, "arguments": json.loads(call["arguments"])} for call in calls]


@pytest.mark.parametrize("before", [(), (THINKING,), (THINKING, {"type": "text", "text": "So."})], ids=len)
async def test_sc1_calls_are_numbered_from_0_after_any_blocks(before: tuple[JSON, ...]) -> None:
    frames = anthropic(*before, *CALLS, stop="tool_use")
    it = await exchange("openai-chat", "anthropic", frames, stream=True)
    assert parse_arguments(chat_calls(it.events)) == EXPECTED_CALLS


async def test_sc1_calls_of_a_body_are_in_order() -> None:
    it = await exchange("openai-chat", "anthropic", anthropic_reply(THINKING, *CALLS, stop="tool_use"))
    calls = it.body["choices"][0]["message"]["tool_calls"]
    assert parse_arguments([{"id": call["id"], **call["function"]} for call in calls]) == EXPECTED_CALLS
    assert [call.get("index", at) for at, call in enumerate(calls)] == [0, 1]


FAILURES: tuple[tuple[str, bytes], ...] = (
    ("anthropic", data({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}, "error")),
    ("gemini", data({"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}})),
    ("ollama", b'{"error":"busy"}\n'),
    (
        "openai-responses",
        data({"type": "error", "code": "server_error", "message": "busy", "sequence_number": 9}, "error"),
    ),
)


@pytest.mark.parametrize(("backend", "error"), FAILURES, ids=[name for name, _ in FAILURES])
async def test_sc2_sc6_an_error_in_a_stream_is_not_a_success(backend: str, error: bytes) -> None:
    before = 6 if backend == "openai-responses" else handshakes(backend) + 2
    it = await exchange("openai-chat", backend, [*stream(backend)[:before], error], stream=True)
    error_said = it.events[-1]["error"]
    assert error_said.keys() == {"message", "type", "param", "code"}
    assert error_said["message"]
    assert b"[DONE]" not in it.answer.body
    assert [c["finish_reason"] for event in it.events[:-1] for c in event["choices"] if c["finish_reason"]] == []
    assert not it.answer.whole


@pytest.mark.parametrize("backend", OTHERS)
async def test_sc3_the_role_is_in_the_first_chunk_only(backend: str) -> None:
    it = await exchange("openai-chat", backend, stream(backend), stream=True)
    roles = [choice["delta"].get("role") for event in it.events for choice in event["choices"]]
    assert roles == ["assistant", *([None] * (len(roles) - 1))]


@pytest.mark.parametrize("backend", OTHERS)
@pytest.mark.parametrize("requested", [True, False])
async def test_sc4_usage_is_a_chunk_without_choices_on_request_only(backend: str, requested: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if requested else {}
    body = {"messages": [{"role": "user", "content": "Hi"}], **options}
    it = await exchange("openai-chat", backend, stream(backend), body, stream=True)
    usage_chunks = [event for event in it.events if event.get("usage")]
    assert [event["choices"] for event in usage_chunks] == ([[]] if requested else [])
    if requested:
        assert usage_chunks == it.events[-1:]
        assert usage_chunks[0]["usage"]["total_tokens"] == 5
    assert it.answer.body.rstrip().endswith(b"data: [DONE]")


@pytest.mark.parametrize("backend", OTHERS)
async def test_sc5_one_id_and_a_time_in_every_chunk(backend: str) -> None:
    streamed = await exchange("openai-chat", backend, stream(backend), stream=True)
    whole = await exchange("openai-chat", backend)
    (id_,) = {event["id"] for event in streamed.events}
    (created,) = {event["created"] for event in streamed.events}
    assert id_.startswith("chatcmpl-")
    assert whole.body["id"].startswith("chatcmpl-")
    assert min(created, whole.body["created"]) > 1_600_000_000


async def test_sc7_a_call_is_a_chunk_with_name_and_id_then_its_arguments() -> None:
    it = await exchange("openai-chat", "anthropic", anthropic(CALLS[0], stop="tool_use"), stream=True)
    pieces = [call for event in it.events for c in event["choices"] for call in c["delta"].get("tool_calls", ())]
    first, *rest = pieces
    assert (first["id"], first["type"], first["function"]["name"]) == ("toolu_a", "function", "f")
    assert rest
    assert all(piece.keys() == {"index", "function"} for piece in rest)
    assert parse_arguments(chat_calls(it.events)) == EXPECTED_CALLS[:1]
    assert [c["finish_reason"] for event in it.events for c in event["choices"]][-1] == "tool_calls"
