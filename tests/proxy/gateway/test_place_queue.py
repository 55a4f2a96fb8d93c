"""Requests that wait for a place at a full backend: how many, for how long, and in their order."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from crosswire.proxy.gateway.place_queue import PlaceQueues, QueueBound

from ..fake_clock import run
from ..proxy_fixture import Stage, config, one, stage
from ..sample_messages import PROTOCOLS, ask, dumps, path, reply
from ..scripted_upstream import http, upstream


async def send(it: Stage, protocol: str) -> int:
    return (await it.ask(path(protocol), ask(protocol))).status


@pytest.mark.parametrize(
    ("keys", "statuses"),
    [
        ({}, {200: 1, 503: 4}),
        ({"queue": 2}, {200: 3, 503: 2}),
        ({"queue": 9}, {200: 5}),
        ({"queue": 9, "queue_s": 0.05}, {200: 1, 503: 4}),
    ],
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_queue_is_bounded_in_number_and_time(
    protocol: str, keys: dict[str, float], statuses: dict[int, int]
) -> None:
    slow = [0.15, http(dumps(reply("openai-chat")))]
    async with upstream(slow) as up:
        backends = one("openai-chat", up.url, max_in_flight=1, **keys)
        async with stage(config(backends)) as it:
            answers = await asyncio.gather(*(send(it, protocol) for _ in range(5)))
            overloaded = {529: 503}
            assert Counter(overloaded.get(status, status) for status in answers) == statuses
            assert await send(it, protocol) == 200
            assert not it.gateway.places.promised


async def test_another_backend_with_a_place_comes_before_the_queue() -> None:
    slow, fast = [0.3, http(dumps(reply("openai-chat")))], [http(dumps(reply("openai-chat")))]
    async with upstream(slow) as first, upstream(fast) as second:
        backends = {
            "first": {**one("openai-chat", first.url)["b"], "max_in_flight": 1, "queue": 5, "priority": 1},
            "second": one("openai-chat", second.url)["b"],
        }
        async with stage(config(backends)) as it:
            assert await asyncio.gather(*(send(it, "openai-chat") for _ in range(3))) == [200] * 3
            assert (len(first.requests), len(second.requests)) == (1, 2)


async def test_a_client_that_leaves_gives_its_turn_to_the_next() -> None:
    slow = [0.2, http(dumps(reply("openai-chat")))]
    async with upstream(slow) as up, stage(config(one("openai-chat", up.url, max_in_flight=1, queue=5))) as it:
        tasks = [asyncio.ensure_future(send(it, "openai-chat")) for _ in range(3)]
        await asyncio.sleep(0.1)
        tasks[1].cancel()
        assert [await tasks[0], await tasks[2]] == [200, 200]


async def test_one_that_is_refused_after_its_wait_gives_its_turn_to_the_next() -> None:
    slow = [0.1, http(dumps(reply("openai-chat")))]
    limits = {"m": {"requests": "1/h"}}
    async with upstream(slow) as up:
        backends = one("openai-chat", up.url, max_in_flight=1, queue=5, queue_s=30)
        async with stage(config(backends, model_limits=limits)) as it, asyncio.timeout(10):
            first = asyncio.ensure_future(it.ask(path("openai-chat"), ask("openai-chat", "m")))
            await asyncio.sleep(0.05)
            others = [it.ask(path("openai-chat"), ask("openai-chat", model)) for model in ("m", "m", "n")]
            answers = await asyncio.gather(first, *others)
            assert [each.status for each in answers] == [200, 429, 429, 200]


def test_first_come_first_served() -> None:
    async def play() -> list[object]:
        queues, bound, order = PlaceQueues(), QueueBound(3, 10), list[object]()

        async def wait(number: int) -> None:
            order.append((number, await queues.wait("b", bound, asyncio.get_running_loop().time() + 10)))

        tasks = [asyncio.ensure_future(wait(number)) for number in range(4)]
        for _ in range(2):
            await asyncio.sleep(1)
            queues.freed("b")
            assert queues.promised == {"b": 1}
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert queues.promised == {}
        await asyncio.gather(*tasks)
        queues.freed("b")
        assert queues.promised == {}
        return order

    assert run(play()) == [(3, False), (0, True), (1, True), (2, False)]
