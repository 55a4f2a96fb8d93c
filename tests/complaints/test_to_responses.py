"""Complaints about the streams that Responses clients receive (SR)."""

from __future__ import annotations

import json

import pytest

from tests.proxy.sample_messages import JSON, PROTOCOLS, stream

from .exchange import anthropic, call_delta, chat, chat_reply, exchange

OTHERS = [name for name in PROTOCOLS if name != "openai-responses"]
CALLS = (call_delta(0, '{"x":1}', "call_a", "f"), call_delta(1, "", "call_b", "g"))


def kinds(events: list[JSON]) -> list[str]:
    """Returns the types of the events, consecutive equal ones as one."""
    found: list[str] = []
    for event in events:
        kind = event["type"].removeprefix("response.")
        if found[-1:] != [kind]:
            found.append(kind)
    return found


@pytest.mark.parametrize("backend", OTHERS)
async def test_sr1_the_event_sequence_of_a_text(backend: str) -> None:
    it = await exchange("openai-responses", backend, stream(backend), stream=True)
    assert kinds(it.events) == [
        *("created", "in_progress", "output_item.added", "content_part.added", "output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]


@pytest.mark.parametrize("backend", OTHERS)
async def test_sr2_the_completed_response_equals_the_stream(backend: str) -> None:
    it = await exchange("openai-responses", backend, stream(backend), stream=True)
    last = it.events[-1]["response"]
    assert last["id"].startswith("resp_")
    assert (last["object"], last["model"], last["status"]) == ("response", "m", "completed")
    assert last["output"] == [e["item"] for e in it.events if e["type"] == "response.output_item.done"]
    deltas = [event for event in it.events if event["type"] == "response.output_text.delta"]
    assert {(e["output_index"], e["content_index"], e["item_id"]) for e in deltas} == {(0, 0, last["output"][0]["id"])}
    assert "".join(event["delta"] for event in deltas) == last["output"][0]["content"][0]["text"] == "Hello there."


async def test_sr4_sr5_thinking_is_announced_before_its_text() -> None:
    deltas = ({"reasoning_content": "First "}, {"reasoning_content": "this."}, *CALLS)
    it = await exchange("openai-responses", "openai-chat", chat(*deltas, finish="tool_calls"), stream=True)
    steps = [event for event in it.events if "reasoning" in event["type"]]
    assert kinds(steps) == [
        *("reasoning_summary_part.added", "reasoning_summary_text.delta"),
        *("reasoning_summary_text.done", "reasoning_summary_part.done"),
    ]
    added = next(event for event in it.events if event["type"] == "response.output_item.added")
    assert added["item"]["type"] == "reasoning"
    assert {(event["item_id"], event["summary_index"]) for event in steps} == {(added["item"]["id"], 0)}
    assert [event for event in it.events if "output_text" in event["type"]] == []


@pytest.mark.parametrize("backend", OTHERS)
async def test_sr6_events_are_numbered_without_gaps(backend: str) -> None:
    it = await exchange("openai-responses", backend, stream(backend), stream=True)
    numbers = [event["sequence_number"] for event in it.events]
    assert numbers[0] in (0, 1)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def test_sr7_each_call_is_closed() -> None:
    it = await exchange("openai-responses", "openai-chat", chat(*CALLS, finish="tool_calls"), stream=True)
    done = [event for event in it.events if event["type"] == "response.function_call_arguments.done"]
    items = [event["item"] for event in it.events if event["type"] == "response.output_item.done"]
    assert [event["arguments"] for event in done] == [item["arguments"] for item in items] == ['{"x":1}', "{}"]
    assert [item["call_id"] for item in items] == ["call_a", "call_b"]
    assert [item["status"] for item in items] == ["completed", "completed"]


async def test_sr7_parallel_calls_are_sent_back_as_one_message() -> None:
    items = [
        {"role": "user", "content": "Do both."},
        {"type": "function_call", "call_id": "call_a", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "call_b", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_a", "output": "1"},
        {"type": "function_call_output", "call_id": "call_b", "output": "2"},
    ]
    it = await exchange("openai-responses", "openai-chat", body={"input": items})
    user, assistant, *results = it.upstream["messages"]
    assert user["role"] == "user"
    assert [call["id"] for call in assistant["tool_calls"]] == ["call_a", "call_b"]
    assert [(result["role"], result["tool_call_id"]) for result in results] == [("tool", "call_a"), ("tool", "call_b")]


@pytest.mark.parametrize("backend", OTHERS)
async def test_sr9_each_event_has_its_envelope(backend: str) -> None:
    it = await exchange("openai-responses", backend, stream(backend), stream=True)
    assert all(name == event["type"] for name, event in it.frames)
    first = it.events[0]
    assert first.keys() == {"type", "response", "sequence_number"}
    assert (first["response"]["object"], first["response"]["status"]) == ("response", "in_progress")


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_sr10_a_call_has_an_item_id_and_a_call_id(stream: bool) -> None:
    use = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    script = anthropic(use, stop="tool_use")
    if stream:
        it = await exchange("openai-responses", "anthropic", script, stream=True)
        (item,) = it.events[-1]["response"]["output"]
    else:
        message = {"content": None, "tool_calls": [{"id": "toolu_1", "type": "function", "function": {"name": "f"}}]}
        it = await exchange("openai-responses", "openai-chat", chat_reply(message, "tool_calls"))
        (item,) = it.body["output"]
    assert item["id"].startswith("fc_")
    assert (item["call_id"], item["arguments"]) == ("toolu_1", "{}")
    assert json.loads(item["arguments"]) == {}
