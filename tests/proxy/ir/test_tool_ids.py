"""Two calls of one answer never have one id."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crosswire.proxy.ir import Reply, Text, ToolCall
from crosswire.proxy.ir.stream import BlockDelta, BlockStart
from crosswire.proxy.ir.tool_ids import UniqueIds, with_unique_ids

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
