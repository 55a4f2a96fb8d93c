"""Two calls of one answer never have one id."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crosswire.proxy.ir import Reply, Request, Text, ToolCall, ToolResult, Turn
from crosswire.proxy.ir.stream import BlockDelta, BlockStart
from crosswire.proxy.ir.tool_ids import UniqueIds, with_unique_calls, with_unique_ids

from ..proxy_fixture import config, one, stage
from ..sample_messages import ask, data, dumps, path, reply
from ..scripted_upstream import chunked, http, upstream


def call(id_: str) -> ToolCall:
    return ToolCall(id_, "f", "{}")


def test_ids_of_a_reply() -> None:
    plain = Reply(protocol="x", id=None, model=None, blocks=(call("a"), Text("a"), call("b")), stop="tool")
    assert with_unique_ids(plain) is plain
    double = Reply(
        protocol="x", id=None, model=None, blocks=(call("a"), call("a"), call("a-2"), call("a")), stop="tool"
    )
    assert [getattr(block, "id", "") for block in with_unique_ids(double).blocks] == ["a", "a-2", "a-2-2", "a-3"]


def test_ids_of_a_stream() -> None:
    ids = UniqueIds()
    delta = [BlockDelta(0, "x")]
    assert ids.events(delta) is delta
    assert ids.events([BlockStart(0, call("a"))]) == [BlockStart(0, call("a"))]
    assert ids.events([BlockStart(1, call("a")), *delta]) == [BlockStart(1, call("a-2")), *delta]


Said = tuple[str, ...]
"""The ids of a turn's calls, or those of its results."""

HISTORIES: dict[str, tuple[list[Said], list[Said]]] = {
    "distinct": ([("a", "b"), ("a", "b")], [("a", "b"), ("a", "b")]),
    "parallel calls": ([("a", "a"), ("a", "a")], [("a", "a-2"), ("a", "a-2")]),
    "calls of two turns": ([("a",), ("a",), ("a",), ("a",)], [("a",), ("a",), ("a-2",), ("a-2",)]),
    "calls without ids": ([("", ""), ("", "")], [("call-2", "call-3"), ("call-2", "call-3")]),
    "one without an id": ([("a", ""), ("", "a")], [("a", "call-2"), ("call-2", "a")]),
    "a call that nothing answers": ([("a",), (), ("a",), ("a",)], [("a",), (), ("a-2",), ("a-2",)]),
    "a result of no call": ([("a", "a"), ("b", "a", "a")], [("a", "a-2"), ("b", "a", "a-2")]),
}


@pytest.mark.parametrize(("said", "sent"), HISTORIES.values(), ids=HISTORIES)
def test_ids_of_a_conversation(said: list[Said], sent: list[Said]) -> None:
    """Turns of calls and of results take turns; each result keeps its text."""

    def request(ids: list[Said]) -> Request:
        turns = [
            Turn("assistant", tuple(call(id_) for id_ in turn))
            if at % 2 == 0
            else Turn("user", tuple(ToolResult(id_, (Text(f"{at} {n}"),)) for n, id_ in enumerate(turn)))
            for at, turn in enumerate(ids)
        ]
        return Request(protocol="x", model="m", turns=tuple(turns))

    given = request(said)
    assert with_unique_calls(given) == request(sent)
    assert (with_unique_calls(given) is given) == (said == sent)


async def test_repeated_ids_reach_no_backend() -> None:
    """Kimi's hosts count the calls of each answer: functions.f:0."""
    calls = [{"id": "f:0", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    result = {"role": "tool", "tool_call_id": "f:0", "content": "1"}
    turn = [{"role": "assistant", "content": None, "tool_calls": calls}, result]
    body = ask("openai-chat") | {"messages": [{"role": "user", "content": "Call f."}, *turn, *turn]}
    async with (
        upstream([http(dumps(reply("anthropic")))]) as server,
        stage(config(one("anthropic", server.url))) as it,
    ):
        answer = await it.ask(path("openai-chat"), body)
        record = await it.record(answer)
    blocks = [message["content"][0] for message in json.loads(server.requests[0].body)["messages"][1:]]
    ids = [block.get("id", block.get("tool_use_id")) for block in blocks]
    assert (ids[0], ids[2]) == (ids[1], ids[3])
    assert ids[0] != ids[2]
    assert "call_repeated" in record["repaired"]


CALLS: list[dict[str, Any]] = [
    {"index": n, "id": "same", "type": "function", "function": {"name": "f", "arguments": "{}"}} for n in range(2)
]


@pytest.mark.parametrize("frontend", ["openai-chat", "openai-responses", "anthropic"])
async def test_duplicate_ids_of_an_upstream(frontend: str) -> None:
    """In one piece even where the answer would be relayed."""
    body = reply("openai-chat")
    body["choices"][0] |= {"message": {"role": "assistant", "tool_calls": CALLS}, "finish_reason": "tool_calls"}
    frames = [data({"choices": [{"index": 0, "delta": {"tool_calls": [each]}}]}) for each in CALLS]
    frames += [data({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}), b"data: [DONE]\n\n"]
    relay = "never" if frontend == "openai-chat" else "auto"
    async with (
        upstream([http(dumps(body))], chunked(frames)) as up,
        stage(config(one("openai-chat", up.url, relay=relay))) as it,
    ):
        unary = await it.ask(path(frontend), ask(frontend))
        streamed = await it.ask(path(frontend, stream=True), ask(frontend, stream=True))
    for answer in (unary, streamed):
        assert (answer.status, answer.whole) == (200, True)
        assert b'"same-2"' in answer.body


async def test_duplicate_ids_are_not_relayed() -> None:
    body = reply("openai-chat")
    body["choices"][0] |= {"message": {"role": "assistant", "tool_calls": CALLS}, "finish_reason": "tool_calls"}
    async with upstream([http(dumps(body))]) as up, stage(config(one("openai-chat", up.url))) as it:
        answer = await it.ask(path("openai-chat"), ask("openai-chat"))
    assert [each["id"] for each in json.loads(answer.body)["choices"][0]["message"]["tool_calls"]] == ["same", "same-2"]
