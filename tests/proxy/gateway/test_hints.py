"""Two proxies with one shared state: limits, hints of breakers and keys, and what clients are told where it is gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from crosswire.proxy.resilience.circuit_breaker import BreakerSettings, CircuitBreakers

from ..clients.test_clients import ADA, ADMIN, bearer
from ..proxy_fixture import Stage, config, one, stage
from ..sample_messages import PROTOCOLS, ask, dumps, error_text, path, reply
from ..scripted_upstream import http, upstream
from ..valkey import Mortal

DOWN = http(b"{}", "500 No")


def told(settings: Any) -> dict[str, Any]:
    """The key `state` as a file would say it."""
    return {"url": settings.url, "prefix": settings.prefix, "timeout_s": 2}


@asynccontextmanager
async def replicas(state: Any, url: str, **more: Any) -> AsyncIterator[tuple[Stage, Stage]]:
    """Two proxies of one deployment, connected to its state."""
    backend = one("openai-chat", url, **more.pop("backend", {}))
    made = config(backend, state=state, admin_key=ADMIN, **more)
    async with stage(made) as first, stage(made) as second:
        for each in (first, second):
            await until(lambda each=each: each.gateway.limits.complaint is None and each.gateway.limits.epoch)
        yield first, second


async def until(true: Callable[[], Any]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, "it never came true"
        await asyncio.sleep(0.01)


async def send(it: Stage, protocol: str = "openai-chat") -> Any:
    return await it.ask(path(protocol), ask(protocol), bearer(ADA))


async def test_a_limit_counts_at_both(shared: Any) -> None:
    clients = {"ada": {"key": ADA, "requests": "3/h", "concurrent": 1}}
    async with (
        upstream([http(dumps(reply("openai-chat")))]) as up,
        replicas(told(shared), up.url, clients=clients) as (first, second),
    ):
        answers = [await send(it) for it in (first, second, first, second)]
        assert [each.status for each in answers] == [200, 200, 200, 429]
        left = [int(each.headers["x-ratelimit-remaining-requests"]) for each in answers]
        assert left == [2, 1, 0, 0]
        assert b'outcome="shared"} 2.0' in (await first.get("/metrics", bearer(ADMIN))).body
        assert b"crosswire_state_good 1.0" in (await second.get("/metrics", bearer(ADMIN))).body


async def test_the_limit_of_a_backend_counts_at_both(shared: Any) -> None:
    async with (
        upstream([http(dumps(reply("openai-chat")))]) as up,
        replicas(told(shared), up.url, backend={"requests": "3/h"}) as both,
    ):
        answers = [(await send(both[index % 2])).status for index in range(6)]
        assert answers == [200, 200, 200, 503, 503, 503]
        assert len(up.requests) == 3


async def test_how_many_a_backend_takes_counts_at_each_alone(shared: Any) -> None:
    """As `docs/deployment.md` says: `max_in_flight` is no limit of the shared state."""
    gate = asyncio.Event()
    async with (
        upstream([gate, http(dumps(reply("openai-chat")))]) as up,
        replicas(told(shared), up.url, backend={"max_in_flight": 1}) as both,
    ):
        under_way = [asyncio.ensure_future(send(it)) for it in both]
        await until(lambda: len(up.requests) == 2)
        assert [(await send(it)).status for it in both] == [503, 503]
        gate.set()
        assert [each.status for each in await asyncio.gather(*under_way)] == [200, 200]


async def test_a_breaker_that_opened_elsewhere_opens_with_the_first_failure_here(shared: Any) -> None:
    async with (
        upstream([DOWN]) as up,
        replicas(told(shared), up.url, breaker={"failures": 3, "open_s": 60}) as (first, second),
    ):
        for number in range(3):
            await first.ask(path("openai-chat"), ask("openai-chat", max_tokens=number + 5))
        breakers = second.gateway.breakers
        assert first.gateway.breakers.state("b", first.gateway.now()) == "open"
        await until(lambda: not breakers.quiet)
        assert breakers.state("b", second.gateway.now()) == "closed", "a hint alone opens none"
        await second.ask(path("openai-chat"), ask("openai-chat", max_tokens=99))
        assert breakers.state("b", second.gateway.now()) == "open"


async def test_a_key_that_was_refused_elsewhere_is_not_used_here(shared: Any) -> None:
    refused = http(b'{"error": {"message": "no"}}', "401 No")
    async with (
        upstream([refused], [http(dumps(reply("openai-chat")))]) as up,
        replicas(told(shared), up.url, backend={"api_key": ["sk-first-of-two", "sk-second-of-two"]}) as (first, second),
    ):
        assert second.gateway.backends["b"].key == 0
        assert (await send(first)).status == 200
        await until(lambda: second.gateway.backends["b"].key == 1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_closed_limit_is_a_503_in_each_clients_shape(protocol: str, mortal: Mortal) -> None:
    mortal.kill()
    clients = {"ada": {"key": ADA, "requests": "3/h"}}
    state = {"url": mortal.url, "timeout_s": 0.2, "fails": {"limits": "closed"}}
    async with (
        upstream([http(dumps(reply(protocol)))]) as up,
        stage(config(one(protocol, up.url), clients=clients, state=state, admin_key=ADMIN)) as it,
    ):
        answer = await send(it, protocol)
        status = {"anthropic": 529}.get(protocol, 503)
        assert (answer.status, answer.headers["retry-after"]) == (status, "1")
        assert "client ada is not known" in error_text(protocol, status, answer.body)
        ready = await it.get("/readyz", bearer(ADMIN))
        assert ready.status == 200, "it serves what has no limit"
        assert b"limits closed" in ready.body
        metrics = (await it.get("/metrics", bearer(ADMIN))).body
        assert b"crosswire_state_good 0.0" in metrics
        assert b'crosswire_state_reservations_total{outcome="closed"} 1.0' in metrics
        assert up.requests == []


async def test_a_server_that_comes_back_is_used_again(mortal: Mortal) -> None:
    clients = {"ada": {"key": ADA, "requests": "5/h"}}
    state = {"url": mortal.url, "timeout_s": 0.5}
    async with (
        upstream([http(dumps(reply("openai-chat")))]) as up,
        replicas(state, up.url, clients=clients) as (first, second),
    ):
        assert [(await send(it)).status for it in (first, second)] == [200, 200]
        mortal.kill()
        assert [(await send(first)).status for _ in range(2)] == [200, 200]
        mortal.start()
        for each in (first, second):
            await until(lambda each=each: each.gateway.limits.complaint is None)
        assert (await first.get("/readyz")).body == b"ready\n"
        assert first.gateway.limits.outcomes["shared"] == 1
        assert (await send(first)).status == 200
        assert first.gateway.limits.outcomes["shared"] == 2


async def test_no_request_fails_while_the_server_is_killed_and_started_again(mortal: Mortal) -> None:
    clients = {"ada": {"key": ADA, "requests": "5000/h", "concurrent": 9}}
    state = {"url": mortal.url, "timeout_s": 0.5}
    async with (
        upstream([0.01, http(dumps(reply("openai-chat")))]) as up,
        replicas(state, up.url, clients=clients) as (first, second),
    ):
        statuses: list[int] = []
        ends = asyncio.Event()

        async def keep_asking(it: Stage) -> None:
            while not ends.is_set():
                statuses.append((await send(it)).status)

        asking = [asyncio.ensure_future(keep_asking(it)) for it in (first, first, second, second)]
        await until(lambda: len(statuses) > 10)
        mortal.kill()
        await until(lambda: first.gateway.limits.complaint and second.gateway.limits.complaint)
        seen = len(statuses)
        await until(lambda: len(statuses) > seen + 10)
        mortal.start()
        await until(lambda: not first.gateway.limits.complaint and not second.gateway.limits.complaint)
        seen = len(statuses)
        await until(lambda: len(statuses) > seen + 10)
        ends.set()
        await asyncio.gather(*asking)
        assert set(statuses) == {200}
        client = first.gateway.config.clients.clients["ada"]  # type: ignore[union-attr]
        limits = first.gateway.guard.limits(client, "m").limits  # type: ignore[union-attr]
        total = next(limit for limit in limits if limit.unit == "requests")
        at_once = next(limit for limit in limits if limit.unit == "concurrent")
        gauges = [first.gateway.limits.counter(limit) for limit in (total, at_once)]
        await until(lambda: gauges[1].used() == 0)
        assert gauges[0].used() <= len(statuses) + 4


def test_suspicion_needs_a_failure_of_ones_own_and_ends_with_a_success() -> None:
    breakers = CircuitBreakers(BreakerSettings(failures=5, open_s=10))
    breakers.suspect("b", 1.0)
    assert breakers.state("b", 1.0) == "closed"
    breakers.succeeded("b")
    breakers.failed("b", "upstream_unreachable", 1, 2.0)
    assert breakers.state("b", 2.0) == "closed"
    breakers.suspect("b", 3.0)
    opened: list[str] = []
    breakers.opened = opened.append
    breakers.failed("b", "upstream_unreachable", 2, 4.0)
    assert (breakers.state("b", 4.0), opened) == ("open", ["b"])
