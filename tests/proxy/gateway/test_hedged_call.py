"""Hedged requests: when a second backend is called, who wins, and what client, record and upstreams see of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from crosswire.proxy.gateway.side_effects import effect_of

from ..proxy_fixture import Answer, Stage, config, stage
from ..sample_messages import PROTOCOLS, ask, dumps, path, reply, said, stream, stream_kind, text_of, upstream_error
from ..scripted_upstream import Script, Upstream, chunked, head, http, upstream

CHAT = "openai-chat"
PRICES = [{"match": "home", "input": 1, "output": 1}, {"match": "big", "input": 1000, "output": 1000}]


@contextlib.asynccontextmanager
async def two(
    first: Script, second: Script, *, hedge: dict[str, Any] | None = None, protocol: str = CHAT, **settings: Any
) -> AsyncIterator[tuple[Upstream, Upstream, Stage]]:
    """A route from `m` to `local`, then to `cloud`, before two scripted upstreams."""
    async with upstream(first) as a, upstream(second) as b:
        backends = {"local": {"protocol": protocol, "base_url": a.url}, "cloud": {"protocol": CHAT, "base_url": b.url}}
        targets = [{"backend": "local", "model": "home"}, {"backend": "cloud", "model": "big"}]
        route = {"match": "m", "to": targets, **({} if hedge is None else {"hedge": hedge})}
        async with stage(config(backends, routes=[route], prices=PRICES, **settings)) as it:
            yield a, b, it


def streamed(*words: str, after_s: float = 0) -> Script:
    return [after_s, *chunked(stream(CHAT, "big", words), stream_kind(CHAT))]


def whole(text: str, after_s: float = 0) -> Script:
    return [after_s, http(dumps(reply(CHAT, "big", text)))]


def failing(status: int, after_s: float = 0) -> Script:
    return [after_s, http(upstream_error(CHAT, "said upstream", status), f"{status} Oops")]


SOON: dict[str, Any] = {"after_s": 0.02, "whole_after_s": 0.02}
SILENT: Script = [head(), "hold"]


async def asked(it: Stage, *, streams: bool, frontend: str = CHAT, **more: Any) -> tuple[Answer, dict[str, Any]]:
    answer = await it.ask(path(frontend, stream=streams), ask(frontend, stream=streams, **more))
    return answer, await it.record(answer)


def outcomes(record: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["backend"], each["outcome"]) for each in record["attempts"]]


@pytest.mark.parametrize("frontend", PROTOCOLS)
@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
async def test_the_second_answers_where_the_first_is_silent(frontend: str, streams: bool) -> None:
    second = streamed("Second ", "words.") if streams else whole("Second words.")
    async with two(SILENT if streams else ["hold"], second, hedge=SOON) as (a, b, it):
        answer, record = await asked(it, streams=streams, frontend=frontend)
        await asyncio.wait_for(a.left.wait(), 5)
        state = it.gateway.breakers.state("local", it.gateway.now())
    text = said(frontend, answer.body) if streams else text_of(frontend, answer.body)
    assert (answer.status, answer.whole, text) == (200, True, "Second words.")
    assert outcomes(record) == [("local", "outrun"), ("cloud", "answered")]
    assert (record["backend_used"], record["model_used"], record["outcome"]) == ("cloud", "big", "answered")
    assert (answer.headers["x-crosswire-backend"], answer.headers["x-crosswire-attempts"]) == ("cloud", "2")
    assert (len(a.requests), len(b.requests), state) == (1, 1, "closed")
    hedged = record["hedged"]
    assert [hedged[key] for key in ("first", "second", "winner", "loser")] == ["local", "cloud", "cloud", "local"]
    assert hedged["after_ms"] >= 20


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
async def test_the_first_answers_after_all(streams: bool) -> None:
    go = asyncio.Event()
    first = [go, *(streamed("First ", "words.") if streams else whole("First words."))]
    async with two(first, ["hold"], hedge=SOON) as (_, b, it):
        asking = asyncio.ensure_future(asked(it, streams=streams))
        await asyncio.wait_for(b.heard.wait(), 5)
        go.set()
        answer, record = await asking
        await asyncio.wait_for(b.left.wait(), 5)
        metrics = await it.metrics()
    assert (said(CHAT, answer.body) if streams else text_of(CHAT, answer.body)) == "First words."
    assert outcomes(record) == [("cloud", "outrun"), ("local", "answered")]
    assert (record["backend_used"], record["model_used"]) == ("local", "home")
    assert answer.headers["x-crosswire-backend"] == "local"
    assert 'crosswire_attempts_total{backend="cloud",outcome="outrun"} 1.0' in metrics
    assert "crosswire_failovers_total{" not in metrics


async def test_both_costs_are_told_and_the_tokens_are_counted_once() -> None:
    async with two(["hold"], whole("Second."), hedge=SOON) as (_, _, it):
        _, record = await asked(it, streams=False)
    usage, hedged = record["usage"], record["hedged"]
    prompt = usage["input"] + (usage["cache_read"] or 0) + (usage["cache_write"] or 0)
    assert hedged["loser_cost_usd"] == pytest.approx(prompt / 1e6)
    assert hedged["cost_usd"] == pytest.approx((prompt + usage["output"]) * 1000 / 1e6)


@pytest.mark.parametrize("hedge", [None, SOON | {"after_s": 5, "whole_after_s": 5}, {"whole_after_s": 0.01}])
async def test_nothing_is_sent_twice_where_it_is_off_or_the_first_is_in_time(hedge: dict[str, Any] | None) -> None:
    async with two(streamed("In ", "time.", after_s=0.05), streamed("Other"), hedge=hedge) as (_, b, it):
        answer, record = await asked(it, streams=True)
    assert said(CHAT, answer.body) == "In time."
    assert "hedged" not in record
    assert not b.requests


async def test_the_budget_is_kept() -> None:
    late = streamed("Late", after_s=0.05)
    async with two(late, streamed("Other"), hedge=SOON | {"budget": 0.01}) as (_, b, it):
        records = [(await asked(it, streams=True))[1] for _ in range(4)]
    assert [("hedged" in each) for each in records] == [True, False, False, False]
    assert len(b.requests) <= 1


@pytest.mark.parametrize(
    ("first", "second", "status", "text"),
    [
        (failing(500, 0.05), whole("Second.", 0.1), 200, "Second."),  # the first fails while the second is under way
        (whole("First.", 0.5), failing(500), 200, "First."),  # the second fails
        (failing(503, 0.05), failing(500), 503, None),  # both fail: the failure of the first is told
    ],
)
async def test_failures(first: Script, second: Script, status: int, text: str | None) -> None:
    async with two(first, second, hedge=SOON) as (a, b, it):
        answer, record = await asked(it, streams=False)
    assert (answer.status, len(a.requests), len(b.requests)) == (status, 1, 1)
    if text is None:
        assert record["hedged"]["winner"] is None
    else:
        assert text_of(CHAT, answer.body) == text
    assert "outrun" not in [outcome for _, outcome in outcomes(record)]


async def test_a_failure_before_the_first_is_late_moves_on_as_ever() -> None:
    async with two(failing(500), whole("Second."), hedge=SOON | {"whole_after_s": 5}) as (_, _, it):
        answer, record = await asked(it, streams=False)
    assert text_of(CHAT, answer.body) == "Second."
    assert outcomes(record) == [("local", "upstream_error"), ("cloud", "answered")]
    assert "hedged" not in record


async def test_a_client_that_leaves_ends_both_calls() -> None:
    async with two(SILENT, SILENT, hedge=SOON) as (a, b, it):
        task = asyncio.ensure_future(it.ask(path(CHAT, stream=True), ask(CHAT, stream=True)))
        await asyncio.wait_for(b.heard.wait(), 5)
        task.cancel()
        await asyncio.wait_for(asyncio.gather(a.left.wait(), b.left.wait()), 5)


async def test_the_deadline_ends_both_calls() -> None:
    async with two(["hold"], ["hold"], hedge=SOON, retry={"attempts": 1, "deadline_s": 0.5}) as (a, b, it):
        answer, record = await asked(it, streams=False)
        await asyncio.wait_for(asyncio.gather(a.left.wait(), b.left.wait()), 5)
    assert answer.status == 504
    assert outcomes(record) == [("local", "upstream_timeout"), ("cloud", "upstream_timeout")]


@pytest.mark.parametrize("more", [{"store": True}, {"tools": [{"type": "web_search"}]}])
async def test_what_has_an_effect_at_the_vendor_is_sent_once(more: dict[str, Any]) -> None:
    async with two(whole("First.", 0.1), whole("Second."), hedge=SOON) as (_, b, it):
        answer, record = await asked(it, streams=False, **more)
    if answer.status == 200:
        assert text_of(CHAT, answer.body) == "First."
    assert "hedged" not in record
    assert not b.requests


EFFECTS: list[tuple[str, dict[str, Any], str | None]] = [
    ("openai-chat", {}, None),
    ("openai-chat", {"store": True}, "store"),
    ("openai-chat", {"store": False}, None),
    ("openai-chat", {"tools": [{"type": "function", "function": {"name": "f"}}]}, None),
    ("openai-responses", {"store": False}, None),
    ("openai-responses", {}, "store"),  # "store: whether to store the generated response", which is the default
    ("openai-responses", {"store": None}, "store"),
    ("openai-responses", {"store": False, "background": True}, "background"),
    ("openai-responses", {"store": False, "conversation": "conv_1"}, "conversation"),
    ("openai-responses", {"store": False, "tools": [{"type": "function", "name": "f"}]}, None),
    ("openai-responses", {"store": False, "tools": [{"type": "mcp", "server_label": "s"}]}, "tools"),
    ("anthropic", {"tools": [{"name": "f", "input_schema": {}}]}, None),
    ("anthropic", {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]}, "tools"),
    ("anthropic", {"mcp_servers": [{"url": "https://h"}]}, "mcp_servers"),
    ("anthropic", {"container": "c_1"}, "container"),
    ("gemini", {"tools": [{"functionDeclarations": [{"name": "f"}]}]}, None),
    ("gemini", {"tools": [{"codeExecution": {}}]}, "tools"),
    ("ollama", {"tools": [{"type": "function", "function": {"name": "f"}}]}, None),
]


@pytest.mark.parametrize(("protocol", "fields", "effect"), EFFECTS)
def test_effects(protocol: str, fields: dict[str, Any], effect: str | None) -> None:
    assert effect_of(dumps(fields), protocol) == effect


def test_a_body_that_is_not_understood_may_have_any_effect() -> None:
    assert effect_of(b"\xff", CHAT) == "body"
