"""Several workers with a shared state: they count by it together, and one that is killed leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from crosswire.proxy.state.settings import StateSettings
from crosswire.proxy.workers.listeners import SPREADS
from tests.proxy.proxy_fixture import Answer, one, read_answer, request
from tests.proxy.sample_messages import PATHS, ask, dumps, reply
from tests.proxy.scripted_upstream import Upstream, http, upstream

from .running_workers import LIMIT_S, Workers, answered, until, workers

CHAT = PATHS["openai-chat"]
ADMIN = "an-admin-key-of-the-tests"
ADA, BOB, CYD, EVE = (f"cw-{name}-0123456789abcdef" for name in ("ada", "bob", "cyd", "eve"))
AT_ONCE = 4

LEASE_S = 5
"""Seconds after which what a worker held is free: one that lives tells so three times in it, on a busy machine too."""

USAGE = {"prompt_tokens": 1000, "completion_tokens": 0, "total_tokens": 1000}
ANSWER = http(dumps({**reply("openai-chat"), "usage": USAGE}))

Connection: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]

pytestmark = pytest.mark.skipif(not SPREADS, reason="one port has one socket here, and one worker may get all")


async def test_two_workers_count_by_a_shared_state(tmp_path: Path, shared: StateSettings) -> None:
    settings = {
        "admin_key": ADMIN,
        "state": {
            **{"url": shared.url, "prefix": shared.prefix, "timeout_s": 5, "lease_s": LEASE_S},
            # a successor that is not connected yet lets nothing through
            "fails": {"limits": "closed", "budgets": "closed", "concurrency": "closed"},
        },
        "breaker": {"failures": 3, "open_s": 60},
        "prices": [{"match": "m", "input": 1000, "output": 0}],  # a dollar an answer
        "routes": [{"match": "either", "strategy": "sticky", "to": ["b", "twin"]}],
        "clients": {
            "ada": {"key": ADA, "requests": "10/h"},
            "bob": {"key": BOB, "budgets": {"usd": 5, "per": "day"}},
            "cyd": {"key": CYD, "concurrent": AT_ONCE},
            "eve": {"key": EVE},
        },
    }
    gate = asyncio.Event()
    down = http(b"{}", "500 No")
    async with upstream([ANSWER]) as up, upstream([gate, ANSWER]) as slow, upstream([down]) as broken:
        backends = one("openai-chat", up.url, models={"m": "m"})
        for name, at in {"twin": up, "slow": slow, "broken": broken}.items():
            backends[name] = one("openai-chat", at.url, models={name: name})["b"]
        async with workers(tmp_path, backends, **settings) as it:
            await until(lambda: _share(it))
            await _limits_are_exact(it)
            await _a_conversation_stays_where_it_is(it)
            async with _connections(it) as pairs:
                await _a_breaker_is_a_hint(it, pairs, broken)
                async with asyncio.timeout(LIMIT_S):  # what is admitted and should not be waits for the gate
                    await _what_a_killed_worker_held_is_free_again(it, pairs, slow, gate)
            code, err = await it.stop()
    assert code == 0, err
    assert "Traceback" not in err


async def chats(it: Workers, number: int, key: str, model: str = "m", **keys: Any) -> list[Answer]:
    """So many chats at once, each on a connection of its own, which the system gives to one of the workers."""
    fields = {"authorization": f"Bearer {key}"}
    body = ask("openai-chat", **keys) | {"model": model}
    return await asyncio.gather(*(it.ask(CHAT, body, fields) for _ in range(number)))


async def chat_on(connection: Connection, key: str, model: str = "m", **keys: Any) -> Answer:
    """One chat on a connection, and so with the worker that has it."""
    reader, writer = connection
    body = ask("openai-chat", **keys) | {"model": model}
    writer.write(request(CHAT, body, {"connection": "-", "authorization": f"Bearer {key}"}))
    return await read_answer(reader)


async def own_number(it: Workers, worker: str, sample: str) -> float:
    """A sample of the metrics of one worker alone."""
    found = await it.get(f"/metrics?worker={worker}", {"authorization": f"Bearer {ADMIN}"})
    lines = (line for line in found.body.decode().splitlines() if line.startswith(sample))
    return float(next(lines, "-1").rpartition(" ")[2])


async def _share(it: Workers) -> bool:
    """Returns whether both workers are connected to the state."""
    return [await own_number(it, each, "crosswire_state_good") for each in ("1", "2")] == [1, 1]


async def _limits_are_exact(it: Workers) -> None:
    """A limit and a budget let exactly so much through, whichever workers are asked."""
    statuses = answered(await chats(it, 30, ADA))
    assert (statuses.count(200), statuses.count(429)) == (10, 20)
    assert all([await it.number("crosswire_worker_requests_total", worker=each) for each in ("1", "2")])
    spent = []
    for _ in range(8):  # one after the other, because a request reserves more than it costs
        spent += answered(await chats(it, 1, BOB))
    assert spent == [200] * 5 + [402] * 3
    for worker in ("1", "2"):
        assert await own_number(it, worker, 'crosswire_state_reservations_total{outcome="shared"}') > 0


async def _a_conversation_stays_where_it_is(it: Workers) -> None:
    """A sticky route needs no state: every worker hashes a conversation to the same backend."""
    found = set()
    for number in range(6):
        messages = [{"role": "user", "content": f"conversation {number}"}]
        answers = await chats(it, 6, EVE, "either", messages=messages)
        assert answered(answers) == [200] * 6
        (backend,) = {each.headers["x-crosswire-backend"] for each in answers}
        found.add(backend)
    assert found == {"b", "twin"}


@asynccontextmanager
async def _connections(it: Workers) -> AsyncIterator[tuple[list[Connection], list[Connection]]]:
    """Two connections at each worker, or more."""
    found: dict[str, list[Connection]] = {"1": [], "2": []}
    try:
        while min(map(len, found.values())) < 2:
            connection = await it.connect()
            before = await it.number("crosswire_worker_requests_total", worker="1")
            assert (await chat_on(connection, EVE)).status == 200
            after = await it.number("crosswire_worker_requests_total", worker="1")
            found["1" if after > before else "2"].append(connection)
        yield found["1"][:2], found["2"][:2]
    finally:
        for _, writer in (*found["1"], *found["2"]):
            writer.close()


async def _a_breaker_is_a_hint(it: Workers, pairs: tuple[list[Connection], ...], broken: Upstream) -> None:
    """A breaker that opened at one worker opens at the other with its first failure, and not before."""
    sample = 'crosswire_breaker_state{backend="broken"}'
    for number in range(3):
        assert (await chat_on(pairs[0][0], EVE, "broken", max_tokens=10 + number)).status == 502
    assert [await own_number(it, each, sample) for each in ("1", "2")] == [2, 0]
    await asyncio.sleep(1)  # hints are told within a second
    assert await own_number(it, "2", sample) == 0, "a hint alone opens none"
    assert (await chat_on(pairs[1][0], EVE, "broken", max_tokens=20)).status == 502
    assert [await own_number(it, each, sample) for each in ("1", "2")] == [2, 2]
    assert len(broken.requests) == 4


async def _what_a_killed_worker_held_is_free_again(
    it: Workers, pairs: tuple[list[Connection], ...], slow: Upstream, gate: asyncio.Event
) -> None:
    """Of the requests at once each worker has half; those of the one that is killed are free after `lease_s`."""
    under_way = [asyncio.ensure_future(chat_on(each, CYD, "slow")) for pair in pairs for each in pair]
    await until(lambda: _have_come(slow, AT_ONCE))  # in flight is also what is about to be refused
    assert answered(await chats(it, 6, CYD, "slow")) == [429] * 6
    os.kill(it.pids()[0], signal.SIGKILL)
    await until(lambda: _are_lost(under_way, 2))
    admitted: list[asyncio.Task[list[Answer]]] = []
    while len(admitted) < 2:
        asked = asyncio.ensure_future(chats(it, 1, CYD, "slow"))
        came = len(slow.requests)
        while not asked.done() and len(slow.requests) == came:  # noqa: ASYNC110 - another process makes it so
            await asyncio.sleep(0.02)
        if not asked.done():
            admitted.append(asked)
        else:
            assert answered(asked.result())[0] in (429, 503), asked.result()
    await until(lambda: _share(it))
    assert answered(await chats(it, 6, CYD, "slow")) == [429] * 6
    gate.set()
    ends = await asyncio.gather(*under_way, return_exceptions=True)
    assert [each.status for each in ends if isinstance(each, Answer)] == [200] * 2
    assert [answered(await each) for each in admitted] == [[200]] * 2
    # what was used before is known to the successor too
    assert answered(await chats(it, 8, ADA)) == [429] * 8
    assert answered(await chats(it, 8, BOB)) == [402] * 8


async def _have_come(at: Upstream, number: int) -> bool:
    return len(at.requests) == number


async def _are_lost(asked: list[asyncio.Task[Answer]], number: int) -> bool:
    return sum(each.done() for each in asked) == number
