"""Above its limits the proxy refuses new requests at once, and those under way finish; streams end at their limit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ..proxy_fixture import Answer, Stage, config, one, stage
from ..sample_messages import PROTOCOLS, TEXT, ask, data, dumps, error_text, in_band_error, path, reply, said
from ..sample_messages import stream as frames_of
from ..scripted_upstream import chunk, chunked, head, http, upstream

SLOW = [1.0, http(dumps(reply("openai-chat")))]
QUICK = [http(dumps(reply("openai-chat")))]


async def crowd(it: Stage, frontend: str, number: int) -> list[asyncio.Task[Answer]]:
    """So many requests under way."""
    tasks = [asyncio.ensure_future(it.ask(path(frontend), ask(frontend))) for _ in range(number)]
    await asyncio.sleep(0.15)
    return tasks


@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_too_many_requests_are_refused_at_once(frontend: str) -> None:
    async with upstream(SLOW) as up, stage(config(one("openai-chat", up.url), max_in_flight=2)) as it:
        under_way = await crowd(it, frontend, 2)
        refused = await it.ask(path(frontend), ask(frontend))
        assert not any(task.done() for task in under_way)
        assert refused.status == (529 if frontend == "anthropic" else 503)
        assert refused.headers["retry-after"] == "1"
        assert "max_in_flight" in error_text(frontend, refused.status, refused.body)
        assert [answer.status for answer in await asyncio.gather(*under_way)] == [200, 200]
        assert (await it.ask(path(frontend), ask(frontend))).status == 200
    assert len(up.requests) == 3


async def test_a_full_backend_is_passed_over_and_alone_it_refuses() -> None:
    async with upstream(SLOW) as slow, upstream(QUICK) as other:
        a = {"protocol": "openai-chat", "base_url": slow.url, "max_in_flight": 1, "priority": 2}
        b = {"protocol": "openai-chat", "base_url": other.url}
        async with stage(config({"a": a, "b": b})) as it:
            under_way = await crowd(it, "openai-chat", 1)
            second = await it.ask("/v1/chat/completions", ask("openai-chat"))
            assert (second.status, second.headers["x-crosswire-backend"]) == (200, "b")
            assert (await under_way[0]).headers["x-crosswire-backend"] == "a"
            third = await it.ask("/v1/chat/completions", ask("openai-chat"))
            assert third.headers["x-crosswire-backend"] == "a"
        async with stage(config({"a": a})) as it:
            under_way = await crowd(it, "openai-chat", 1)
            refused = await it.ask("/v1/chat/completions", ask("openai-chat"))
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert b"max_in_flight" in refused.body
            assert (await under_way[0]).status == 200


@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_too_many_streams(frontend: str) -> None:
    first, *rest = chunked(frames_of("openai-chat"))
    held = [first, rest[0], rest[1], 1.0, *rest[2:]]
    async with (
        upstream(held, QUICK) as up,
        stage(config(one("openai-chat", up.url), limits={"streams": 1})) as it,
    ):
        under_way = asyncio.ensure_future(it.ask(path(frontend, stream=True), ask(frontend, stream=True)))
        await asyncio.sleep(0.2)
        refused = await it.ask(path(frontend, stream=True), ask(frontend, stream=True))
        assert refused.status == (529 if frontend == "anthropic" else 503)
        assert "limits.streams" in error_text(frontend, refused.status, refused.body)
        assert (await it.ask(path(frontend), ask(frontend))).status == 200  # a unary one is none
        answer = await under_way
        assert (answer.whole, said(frontend, answer.body)) == (True, TEXT)


@pytest.mark.parametrize(
    ("limits", "words"), [({"stream_s": 0.3}, "limits.stream_s"), ({"stream": 20_000}, "limits.stream")]
)
@pytest.mark.parametrize("backend", ["openai-chat", "anthropic"])
@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_an_endless_stream_ends_in_band(frontend: str, backend: str, limits: dict[str, Any], words: str) -> None:
    frames = frames_of(backend)
    text = next(frame for frame in frames if b"Hel" in frame)
    before = frames[: frames.index(text) + 1]
    endless = [head(), *map(chunk, before), *[part for _ in range(200) for part in (0.01, chunk(text))]]
    async with upstream(endless) as up, stage(config(one(backend, up.url), limits=limits)) as it:
        answer = await asyncio.wait_for(it.ask(path(frontend, stream=True), ask(frontend, stream=True)), 10)
        assert (answer.status, answer.whole) == (200, False)
        assert words in in_band_error(frontend, answer.body)
        record = await it.record(answer)
        assert record["outcome"] == "stream_limit"


async def test_endless_handshakes_are_a_failure() -> None:
    ping = data({"type": "ping", "x": "y" * 50_000}, "ping")
    endless = [head(), *map(chunk, frames_of("anthropic")[:1]), *[chunk(ping)] * 200, "hold"]
    async with upstream(endless) as up, upstream([http(b"{}")]) as other:
        backends = {
            "a": {"protocol": "anthropic", "base_url": up.url, "priority": 2},
            "b": {"protocol": "anthropic", "base_url": other.url},
        }
        async with stage(config(backends)) as it:
            answer = await asyncio.wait_for(it.ask(path("anthropic", stream=True), ask("anthropic", stream=True)), 10)
    assert answer.status == 502
