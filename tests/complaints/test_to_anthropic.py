"""Complaints about the streams that Anthropic clients receive (SA)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.proxy.sample_messages import JSON, PROTOCOLS, data, stream, stream_kind
from tests.proxy.scripted_upstream import chunk, head

from .exchange import anthropic, call_delta, chat, exchange, message_blocks, responses

TWO_CALLS = (
    {"role": "assistant", "content": "Let me see."},
    call_delta(0, "", "call_a", "f"),
    call_delta(0, '{"x":'),
    call_delta(0, "1}"),
    call_delta(1, "", "call_b", "g"),
    call_delta(1, '{"y":2}'),
)
CALLS = [
    {"type": "tool_use", "id": "call_a", "name": "f", "input": {"x": 1}},
    {"type": "tool_use", "id": "call_b", "name": "g", "input": {"y": 2}},
]


def without_details(blocks: list[JSON]) -> list[JSON]:
    """Returns the blocks without the fields that no complaint is about."""
    return [{key: value for key, value in block.items() if key not in ("citations", "caller")} for block in blocks]


async def test_sa1_blocks_are_numbered_without_gaps_and_closed_once() -> None:
    deltas = ({"role": "assistant", "content": None}, {"reasoning_content": "Hm."}, *TWO_CALLS)
    it = await exchange("anthropic", "openai-chat", chat(*deltas, finish="tool_calls"), stream=True)
    blocks = message_blocks(it.events)
    assert [block["type"] for block in blocks] == ["thinking", "text", "tool_use", "tool_use"]
    assert [event["index"] for event in it.events if event["type"] == "content_block_stop"] == [0, 1, 2, 3]


async def test_sa2_text_after_a_call_is_a_separate_block() -> None:
    deltas = (call_delta(0, "{}", "call_a", "f"), {"content": "And "}, {"content": "so on."})
    it = await exchange("anthropic", "openai-chat", chat(*deltas, finish="tool_calls"), stream=True)
    kinds = {block["type"]: block for block in message_blocks(it.events)}
    assert kinds["text"]["text"] == "And so on."
    assert kinds["tool_use"]["input"] == {}


async def test_sa3_parallel_calls_are_not_concatenated() -> None:
    it = await exchange("anthropic", "openai-chat", chat(*TWO_CALLS, finish="tool_calls"), stream=True)
    assert without_details(message_blocks(it.events)[1:]) == CALLS


async def test_sa4_interleaved_argument_fragments_are_joined_by_index() -> None:
    deltas = (
        call_delta(0, "", "call_a", "f"),
        call_delta(1, "", "call_b", "g"),
        call_delta(0, '{"x":{"y"'),
        call_delta(1, '{"z"'),
        call_delta(0, ":1}}"),
        call_delta(1, ":2}"),
    )
    it = await exchange("anthropic", "openai-chat", chat(*deltas, finish="tool_calls"), stream=True)
    assert [block["input"] for block in message_blocks(it.events)] == [{"x": {"y": 1}}, {"z": 2}]


def response(status: str, *output: JSON) -> JSON:
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    head = {"id": "resp_1", "object": "response", "created_at": 1_760_000_000, "model": "m"}
    return {**head, "status": status, "output": list(output), "usage": usage if status == "completed" else None}


async def test_sa6_deltas_without_a_start_get_one() -> None:
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "Hello", "annotations": []}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    frames = responses(
        {"type": "response.created", "response": response("in_progress")},
        {"type": "response.output_text.delta", **at, "delta": "Hel"},
        {"type": "response.output_text.delta", **at, "delta": "lo"},
        {"type": "response.output_text.done", **at, "text": "Hello"},
        {"type": "response.completed", "response": response("completed", message)},
    )
    it = await exchange("anthropic", "openai-responses", frames, stream=True)
    assert [block["text"] for block in message_blocks(it.events)] == ["Hello"]
    assert it.events[-1] == {"type": "message_stop"}


async def test_sa7_each_block_start_has_its_empty_fields() -> None:
    deltas = ({"reasoning_content": "Hm."}, {"content": "So."}, call_delta(0, '{"x":1}', "call_a", "f"))
    it = await exchange("anthropic", "openai-chat", chat(*deltas, finish="tool_calls"), stream=True)
    starts = [event["content_block"] for event in it.events if event["type"] == "content_block_start"]
    thinking, text, use = starts
    assert (thinking["thinking"], thinking["signature"]) == ("", "")
    assert text["text"] == ""
    assert use["input"] == {}


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_sa9_thinking_comes_before_the_text(name: str) -> None:
    deltas = ({"role": "assistant", "content": ""}, {name: "First "}, {name: "this."}, {"content": "Then that."})
    it = await exchange("anthropic", "openai-chat", chat(*deltas), stream=True)
    thinking, text = message_blocks(it.events)
    assert (thinking["type"], thinking["thinking"]) == ("thinking", "First this.")
    assert text["text"] == "Then that."


async def test_sa10_an_invalid_stream_request_is_an_http_error() -> None:
    it = await exchange("anthropic", "openai-chat", body={"messages": "none"}, stream=True)
    assert it.answer.status == 400
    assert it.answer.headers["content-type"].startswith("application/json")
    assert (it.body["type"], it.body["error"]["type"]) == ("error", "invalid_request_error")
    assert it.sent == []


@pytest.mark.parametrize("backend", [name for name in PROTOCOLS if name != "anthropic"])
async def test_sa10_sa12_a_lost_connection_is_an_error_event_and_no_end(backend: str) -> None:
    frames = stream(backend)[:-2]
    raw = [head(stream_kind(backend)), *map(chunk, frames), "close"]
    it = await exchange("anthropic", backend, raw=raw, stream=True)
    name, last = it.frames[-1]
    assert (name, last["type"], last["error"]["type"]) == ("error", "error", "api_error")
    assert last["error"]["message"]
    assert b"message_stop" not in it.answer.body
    assert not it.answer.whole


ERRORS: tuple[tuple[str, list[bytes], str], ...] = (
    ("openai-chat", [data({"error": {"message": "busy", "type": "server_error", "code": 503}})], "overloaded_error"),
    ("openai-chat", [data({"error": {"message": "busy", "type": "server_error", "code": None}})], "api_error"),
    ("gemini", [data({"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}})], "overloaded_error"),
    ("ollama", [b'{"error":"busy"}\n'], "api_error"),
)


@pytest.mark.parametrize(("backend", "error", "kind"), ERRORS, ids=[f"{name}-{kind}" for name, _, kind in ERRORS])
async def test_sa11_an_error_in_a_stream_has_its_event_line(backend: str, error: list[bytes], kind: str) -> None:
    it = await exchange("anthropic", backend, [*stream(backend)[:2], *error], stream=True)
    name, last = it.frames[-1]
    assert (name, last["type"], last["error"]["type"]) == ("error", "error", kind)
    assert last["error"]["message"]


async def test_sa14_usage_is_complete_at_the_end() -> None:
    usage = {"prompt_tokens": 105, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 80}}
    it = await exchange("anthropic", "openai-chat", chat({"content": "Hi"}, usage=usage), stream=True)
    (last,) = [event["usage"] for event in it.events if event["type"] == "message_delta"]
    assert {name: last[name] for name in ("input_tokens", "cache_read_input_tokens", "output_tokens")} == {
        "input_tokens": 25,
        "cache_read_input_tokens": 80,
        "output_tokens": 9,
    }


async def test_sa14_early_usage_is_sent_early() -> None:
    chunks = [
        data({"candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}}], "usageMetadata": usage})
        for usage in ({"promptTokenCount": 7}, {"promptTokenCount": 7, "candidatesTokenCount": 2})
    ]
    chunks.append(data({"candidates": [{"finishReason": "STOP"}]}))
    it = await exchange("anthropic", "gemini", chunks, stream=True)
    assert it.events[0]["message"]["usage"]["input_tokens"] == 7


@pytest.mark.parametrize("finish", ["stop", "length", "tool_calls", "content_filter"])
async def test_sa15_the_stop_sequence_is_present_even_if_null(finish: str) -> None:
    deltas: tuple[Any, ...] = TWO_CALLS if finish == "tool_calls" else ({"content": "Hi"},)
    it = await exchange("anthropic", "openai-chat", chat(*deltas, finish=finish), stream=True)
    (last,) = [event["delta"] for event in it.events if event["type"] == "message_delta"]
    assert "stop_sequence" in last
    assert last["stop_sequence"] is None
    assert isinstance(last["stop_reason"], str)


async def test_sa17_a_relayed_stream_is_unchanged() -> None:
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    frames = anthropic(thinking, {"type": "redacted_thinking", "data": "cmVk"}, *CALLS, stop="tool_use")
    it = await exchange("anthropic", "anthropic", frames, stream=True)
    assert it.answer.body == b"".join(frames)


@pytest.mark.parametrize("relay", ["auto", "never"])
async def test_sa17_a_conversion_keeps_the_indices(relay: str) -> None:
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    frames = anthropic(thinking, {"type": "text", "text": "So."}, *CALLS, stop="tool_use")
    it = await exchange("anthropic", "anthropic", frames, stream=True, keys={"relay": relay})
    assert without_details(message_blocks(it.events)) == [thinking, {"type": "text", "text": "So."}, *CALLS]
    assert json.loads(json.dumps(it.events[-2]["delta"]))["stop_reason"] == "tool_use"
