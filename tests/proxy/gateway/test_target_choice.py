"""Balancing through the whole proxy: who is called, by which key, and what records, explanations and metrics tell."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from crosswire.proxy.balance.strategy import Balance
from crosswire.proxy.gateway.target_choice import conversation_of, subject_of
from crosswire.proxy.ir import Request, Text, Turn

from ..proxy_fixture import Stage, config, one, stage
from ..sample_messages import ask, dumps, path, reply, stream, stream_kind, upstream_error
from ..scripted_upstream import Script, Upstream, chunked, http, upstream

CHAT = "openai-chat"


def fine(**headers: Any) -> Script:
    return [http(dumps(reply(CHAT)), **headers)]


def limited(**headers: Any) -> Script:
    return [http(upstream_error(CHAT, "slow down", 429), "429 Slow", **headers)]


async def came(ups: list[Upstream], count: int) -> None:
    """Waits until so many requests came to all upstreams together."""
    for _ in range(2000):
        if sum(len(up.requests) for up in ups) >= count:
            return
        await asyncio.sleep(0.005)
    raise AssertionError([len(up.requests) for up in ups])


@contextlib.asynccontextmanager
async def equals(strategy: str, *scripts: Script, **settings: Any) -> AsyncIterator[tuple[list[Upstream], Stage]]:
    """A route from `m` to as many equal backends as there are scripts: t0, t1 …"""
    async with contextlib.AsyncExitStack() as stack:
        ups = [await stack.enter_async_context(upstream(script)) for script in scripts]
        backends = {f"t{index}": {"protocol": CHAT, "base_url": up.url} for index, up in enumerate(ups)}
        route = {"match": "m", "to": list(backends), "strategy": strategy}
        made = config(backends, **{"routes": [route | settings.pop("route", {})], **settings})
        yield ups, await stack.enter_async_context(stage(made))


async def test_requests_under_way_are_spread_over_all() -> None:
    go = asyncio.Event()
    async with equals("least_busy", *([[go, *fine()]] * 3)) as (ups, it):
        asked = [asyncio.ensure_future(it.ask(path(CHAT), ask(CHAT))) for _ in range(9)]
        await came(ups, 9)
        spread = [len(up.requests) for up in ups]
        go.set()
        answers = await asyncio.gather(*asked)
        assert it.gateway.beliefs.promised("t0") == 0
    assert spread == [3, 3, 3]
    assert {answer.status for answer in answers} == {200}


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
async def test_the_faster_is_found(streams: bool) -> None:
    def script(after_s: float) -> Script:
        return [after_s, *(chunked(stream(CHAT), stream_kind(CHAT)) if streams else fine())]

    async with equals("latency", script(0.08), script(0)) as (ups, it):
        for _ in range(8):
            answer = await it.ask(path(CHAT, stream=streams), ask(CHAT, stream=streams))
        record = await it.record(answer)
        explained = await it.ask("/admin/explain", {"model": "m"})
    assert [len(up.requests) for up in ups] == [1, 7]
    assert "latency takes 't1'" in record["decision"]["because"]
    assert "latency takes 't1'" in answer.headers["x-crosswire-route"]
    assert record["decision"]["balance"] == {"strategy": "latency"}
    standings = record["decision"]["standings"]
    assert [each["name"] for each in standings] == ["t1", "t0"]
    assert standings[1]["ms"] >= 80
    if not streams:  # an explanation is of a request that does not stream
        assert json.loads(explained.body)["chosen"]["backend"] == "t1"


async def test_a_stream_counts_from_its_first_word_while_it_goes_on() -> None:
    frames = chunked(stream(CHAT), stream_kind(CHAT))
    long = [*frames[:-2], 0.3, *frames[-2:]]
    async with equals("latency", long, [0.1, *long]) as (ups, it):
        for _ in range(3):
            await it.ask(path(CHAT, stream=True), ask(CHAT, stream=True))
        measured = it.gateway.beliefs.latency(("t0", "m", True), it.gateway.now())
    assert [len(up.requests) for up in ups] == [2, 1]
    assert measured is not None
    assert measured[0] < 300


async def test_a_target_that_asked_to_be_left_alone_comes_last() -> None:
    async with equals("cost", limited(retry_after="60"), fine()) as (ups, it):
        for _ in range(3):
            answer = await it.ask(path(CHAT), ask(CHAT))
        record = await it.record(answer)
    assert answer.status == 200
    assert [len(up.requests) for up in ups] == [1, 3]
    assert "t0 no price and resting" in record["decision"]["because"]


async def test_the_fallback_of_a_balanced_route_is_called_last() -> None:
    down = [http(upstream_error(CHAT, "down", 500), "500 Down")]
    async with upstream(down) as a, upstream(down) as b, upstream(fine()) as c:
        backends = {name: {"protocol": CHAT, "base_url": up.url} for name, up in (("a", a), ("b", b), ("c", c))}
        route = {"match": "m", "strategy": "weighted", "to": ["a", "b"], "fallback": ["c"]}
        async with stage(config(backends, routes=[route])) as it:
            answer = await it.ask(path(CHAT), ask(CHAT))
            record = await it.record(answer)
    assert answer.headers["x-crosswire-backend"] == "c"
    assert sorted(each["backend"] for each in record["attempts"][:2]) == ["a", "b"]


# ---- keys ------------------------------------------------------------------------------------------------------------

KEYS = ["sk-the-first-key-of-all", "sk-the-second-key-of-all"]


def used(up: Upstream) -> list[int]:
    return [KEYS.index(heard.headers["authorization"].removeprefix("Bearer ")) for heard in up.requests]


RESETS: dict[str, dict[str, Any]] = {
    "retry-after": {"retry_after": "60"},
    "the limit's own header": {"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "1m0s"},
    "none": {},
}


@pytest.mark.parametrize("strategy", ["order", "weighted", "least_busy", "sticky"])
@pytest.mark.parametrize("headers", RESETS.values(), ids=RESETS)
async def test_a_key_at_its_limit_gives_way_to_the_next_and_rests(strategy: str, headers: dict[str, Any]) -> None:
    async with upstream(limited(**headers), fine()) as up:
        keys = one(CHAT, up.url, api_key=KEYS, key_strategy=strategy)
        async with stage(config(keys)) as it:
            answers = [await it.ask(path(CHAT), ask(CHAT)) for _ in range(4)]
    first, *others = used(up)
    assert {answer.status for answer in answers} == {200}
    assert others == [1 - first] * 4


async def test_where_all_keys_are_at_their_limit_the_client_is_told() -> None:
    async with upstream(limited(retry_after="60")) as up, stage(config(one(CHAT, up.url, api_key=KEYS))) as it:
        answer = await it.ask(path(CHAT), ask(CHAT))
    assert (answer.status, answer.headers["retry-after"], used(up)) == (429, "60", [0, 1])


async def test_keys_are_spread_by_their_load() -> None:
    go = asyncio.Event()
    async with (
        upstream([go, *fine()]) as up,
        stage(config(one(CHAT, up.url, api_key=KEYS, key_strategy="least_busy"))) as it,
    ):
        asked = [asyncio.ensure_future(it.ask(path(CHAT), ask(CHAT))) for _ in range(6)]
        await came([up], 6)
        go.set()
        await asyncio.gather(*asked)
        ring = it.gateway.backends["b"].ring
    assert Counter(used(up)) == {0: 3, 1: 3}
    assert ring is not None
    assert (ring.in_flight(0), ring.in_flight(1)) == (0, 0)


async def test_a_conversation_keeps_its_key() -> None:
    async with upstream(fine()) as up, stage(config(one(CHAT, up.url, api_key=KEYS, key_strategy="sticky"))) as it:
        for text in ("a", "b", "c", "d", "e", "f", "a", "b", "c", "d", "e", "f"):
            await it.ask(path(CHAT), ask(CHAT, text=text))
    keys = used(up)
    assert keys[:6] == keys[6:]
    assert set(keys) == {0, 1}


# ---- what sticks together --------------------------------------------------------------------------------------------


def conversation(*texts: str, system: str = "", **more: Any) -> Request:
    turns = (Turn("system", (Text(system),)),) if system else ()
    roles = ("user", "assistant") * len(texts)
    turns += tuple(Turn(role, (Text(text),)) for role, text in zip(roles, texts, strict=False))  # type: ignore[arg-type]
    return Request(protocol=CHAT, model="m", turns=turns, **more)


def test_a_conversation_is_known_by_its_beginning() -> None:
    begin = conversation_of(conversation("Hello"))
    assert conversation_of(conversation("Hello", "Hi.", "And now?")) == begin
    assert conversation_of(conversation("Hello", system="it is noon")) == begin
    assert conversation_of(conversation("Good evening")) != begin
    assert conversation_of(conversation("Hello", extra={"prompt_cache_key": "k"})) == b"k"


@pytest.mark.parametrize(
    ("by", "client", "user", "subject"),
    [
        ("client", "alice", "bob", b"alice"),
        ("client", None, "bob", b"bob"),
        ("client", None, None, conversation_of(conversation("Hello"))),
        ("conversation", "alice", "bob", conversation_of(conversation("Hello"))),
    ],
)
def test_what_sticky_holds_together(by: Any, client: str | None, user: str | None, subject: bytes) -> None:
    assert subject_of(Balance("sticky", by), client, conversation("Hello", user=user)) == subject


def test_a_request_without_a_conversation() -> None:
    assert subject_of(Balance("sticky"), "alice", None) is None
    assert subject_of(Balance("sticky", "client"), "alice", None) == b"alice"
