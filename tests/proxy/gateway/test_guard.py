"""Limits and budgets at a running proxy: refusals in each client's shape, exact counts, and what is settled."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from typing import Any

import pytest

from crosswire.proxy.config import Config
from crosswire.proxy.observability.usage_log import UsageLog

from ..clients.test_clients import ADA, ADMIN, BOB, bearer, serving
from ..proxy_fixture import Stage, config, one, stage
from ..sample_messages import PROTOCOLS, ask, dumps, error_text, path, reply
from ..scripted_upstream import http, upstream

PRICES = [{"match": "m", "input": 1000, "output": 1000}]
"""A dollar for a thousand tokens."""

HEADERS = {
    "openai-chat": ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"),
    "openai-responses": ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"),
    "anthropic": ("anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining"),
}
"""The names by which a protocol's clients learn of a limit; Gemini and Ollama have none."""


def client(**grants: Any) -> dict[str, Any]:
    return {"ada": {"key": ADA, **grants}, "bob": {"key": BOB}}


async def send(it: Stage, protocol: str, key: str = ADA, **more: Any) -> Any:
    return await it.ask(path(protocol), ask(protocol, **more), bearer(key))


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_limit_of_requests(protocol: str) -> None:
    async with serving(protocol, client(requests="2/h")) as (it, up):
        first, second, third = [await send(it, protocol) for _ in range(3)]
        assert [each.status for each in (first, second, third)] == [200, 200, 429]
        assert "2 requests" in error_text(protocol, 429, third.body)
        assert 0 < int(third.headers["retry-after"]) <= 3604
        assert "x-should-retry" not in third.headers
        if protocol in HEADERS:
            limit, left = HEADERS[protocol]
            assert [(each.headers[limit], each.headers[left]) for each in (first, second, third)] == [
                ("2", "1"),
                ("2", "0"),
                ("2", "0"),
            ]
        assert len(up.requests) == 2
        assert (await send(it, protocol, BOB)).status == 200, "the limit is of one client"


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_budget_that_is_spent_is_a_402(protocol: str) -> None:
    budget = {"budgets": {"usd": 1.2, "per": "day"}}
    async with serving(protocol, client(**budget), prices=PRICES, cost_header=True) as (it, _):
        answer = await send(it, protocol)
        assert (answer.status, answer.headers["x-crosswire-cost"]) == (200, "0.005")
        assert (await it.record(answer))["cost_usd"] == 0.005
        limit = it.gateway.guard.all_budgets()[0]  # type: ignore[union-attr]
        it.gateway.limits.counter(limit).add(1_194_000_000)
        answer = await send(it, protocol)
        assert (answer.status, answer.headers["x-should-retry"]) == (402, "false")
        assert "1.20 dollars" in error_text(protocol, 402, answer.body)
        assert (await send(it, protocol, BOB)).status == 200


async def test_a_request_beyond_the_whole_budget_says_so() -> None:
    async with serving("openai-chat", client(budgets={"usd": 0.01, "per": "day"}), prices=PRICES) as (it, up):
        answer = await send(it, "openai-chat")
        assert answer.status == 402
        assert b"may cost more" in answer.body
        assert up.requests == []


async def test_a_budget_warns_at_80_percent_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    prices = [{"match": "m", "input": 1, "output": 1}]
    async with serving("openai-chat", client(budgets={"usd": 0.01, "per": "day"}), prices=prices) as (it, _):
        limit = it.gateway.guard.all_budgets()[0]  # type: ignore[union-attr]
        it.gateway.limits.counter(limit).add(8_000_000)
        assert [(await send(it, "openai-chat")).status for _ in range(2)] == [200, 200]
        assert len([line for line in caplog.messages if "the budget of client ada" in line]) == 1


@pytest.mark.parametrize("unpriced", ["refuse", "allow"])
async def test_a_model_without_a_price(unpriced: str) -> None:
    clients = client(budgets={"usd": 1, "per": "day"})
    async with serving("openai-chat", clients, unpriced=unpriced) as (it, _):
        answer = await send(it, "openai-chat")
        assert answer.status == (403 if unpriced == "refuse" else 200)
        assert (b"price" in answer.body) == (unpriced == "refuse")
        assert (await send(it, "openai-chat", BOB)).status == 200, "a client without a budget needs no price"


async def test_tokens_are_reserved_by_estimate_and_settled() -> None:
    async with serving("openai-chat", client(tokens="1200/h")) as (it, _):
        answer = await send(it, "openai-chat")
        used = json.loads(answer.body)["usage"]["total_tokens"]
        assert answer.headers["x-ratelimit-limit-tokens"] == "1200"
        answer = await send(it, "openai-chat", max_tokens=1)
        settled = 1200 - int(answer.headers["x-ratelimit-remaining-tokens"])
        body = len(dumps(ask("openai-chat", max_tokens=1)))
        assert used < settled <= used + body / 4 + 2, "the first is settled, the second still reserved"
        too_many = await send(it, "openai-chat", max_tokens=4000)
        assert (too_many.status, too_many.headers["x-should-retry"]) == (429, "false")
        assert b"make it smaller" in too_many.body


async def test_a_failed_request_costs_no_tokens() -> None:
    async with (
        upstream([http(b"{}", "400 No")]) as up,
        stage(config(one("openai-chat", up.url), clients=client(tokens="5000/h"))) as it,
    ):
        for _ in range(8):
            assert (await send(it, "openai-chat")).status == 400
        limit = it.gateway.guard.limits(it.gateway.config.clients.clients["ada"], "m").limits[0]  # type: ignore[union-attr]
        assert it.gateway.limits.counter(limit).used() == 0


async def test_requests_under_way_are_limited_and_given_back() -> None:
    async with (
        upstream([0.3, http(dumps(reply("openai-chat")))]) as up,
        stage(config(one("openai-chat", up.url), clients=client(concurrent=2))) as it,
    ):
        answers = await asyncio.gather(*(send(it, "openai-chat") for _ in range(5)))
        assert Counter(each.status for each in answers) == {200: 2, 429: 3}
        assert (await send(it, "openai-chat")).status == 200


@pytest.mark.parametrize(
    "settings",
    [
        {"model_limits": {"m": {"requests": "3/h"}}},
        {"clients": {"ada": {"key": ADA, "model_limits": {"m*": {"requests": "3/h"}}}}},
        {"clients": {"ada": {"key": ADA, "requests": "3/h"}}, "model_limits": {"other": {"requests": "1/h"}}},
    ],
)
async def test_limits_of_models(settings: dict[str, Any]) -> None:
    settings = dict(settings)
    async with (
        upstream([http(dumps(reply("openai-chat")))]) as up,
        stage(config(one("openai-chat", up.url), **settings)) as it,
    ):
        answers = [(await send(it, "openai-chat")).status for _ in range(5)]
        assert answers == [200, 200, 200, 429, 429]


async def test_a_backend_at_its_limit_is_passed_over() -> None:
    good = http(dumps(reply("openai-chat")))
    async with upstream([good]) as first, upstream([good]) as second:
        backends = {
            "first": {**one("openai-chat", first.url)["b"], "requests": "2/h", "priority": 1},
            "second": {**one("openai-chat", second.url)["b"], "requests": "3/h"},
        }
        async with stage(config(backends)) as it:
            answers = [(await send(it, "openai-chat")).status for _ in range(7)]
            assert answers == [200] * 5 + [503] * 2
            assert (len(first.requests), len(second.requests)) == (2, 3)


async def test_a_limit_outlives_a_reload() -> None:
    async with upstream([http(dumps(reply("openai-chat")))]) as up:

        def made(rate: str) -> Config:
            return config(one("openai-chat", up.url), clients=client(requests=rate))

        async with stage(made("2/h")) as it:
            assert [(await send(it, "openai-chat")).status for _ in range(2)] == [200, 200]
            it.gateway.apply_config(made("2/h"))
            assert (await send(it, "openai-chat")).status == 429
            it.gateway.apply_config(made("3/h"))
            assert [(await send(it, "openai-chat")).status for _ in range(2)] == [200, 429]


async def test_upstream_limits_are_not_passed_on_where_the_client_has_its_own() -> None:
    fields = b"x-ratelimit-limit-requests: 999\r\nx-ratelimit-remaining-requests: 998\r\n"
    body = dumps(reply("openai-chat"))
    script = [
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
        + fields
        + b"content-length: %d\r\n\r\n" % len(body)
        + body
    ]
    async with upstream(script) as up:
        cfg = config(one("openai-chat", up.url), clients=client(requests="5/h"), rate_limit_headers=True)
        async with stage(cfg) as it:
            assert (await send(it, "openai-chat")).headers["x-ratelimit-limit-requests"] == "5"
            assert (await send(it, "openai-chat", BOB)).headers["x-ratelimit-limit-requests"] == "999"


async def test_fifty_clients_are_counted_exactly() -> None:
    """Fifty clients at once, each with a limit of its own: none gets one request more or less."""
    keys = {f"client-{number}": f"cw-load-{number:02}-0123456789abcdef" for number in range(50)}
    clients = {name: {"key": key, "requests": f"{5 + index % 7}/h"} for index, (name, key) in enumerate(keys.items())}
    async with (
        upstream([http(dumps(reply("openai-chat")))]) as up,
        stage(config(one("openai-chat", up.url), clients=clients, records=2000, admin_key=ADMIN)) as it,
    ):
        rows: list[Any] = []

        async def write(batch: Any) -> None:
            rows.extend(batch)

        ledger = it.gateway.ledger = UsageLog(write)
        gate = asyncio.Semaphore(40)

        async def ask_once(name: str) -> tuple[str, int]:
            async with gate:
                return name, (await send(it, "openai-chat", keys[name])).status

        answers = await asyncio.gather(*(ask_once(name) for _ in range(14) for name in keys))
        counts = Counter(answers)
        for index, name in enumerate(keys):
            assert counts[name, 200] == 5 + index % 7
            assert counts[name, 429] == 14 - 5 - index % 7
        await ledger.flush()
        assert len(rows) == len(answers) == 700
        assert Counter(row[2] for row in rows) == Counter(name for name, _ in answers)
        assert len(up.requests) == sum(5 + index % 7 for index in range(50))
        metrics = (await it.get("/metrics", bearer(ADMIN))).body.decode()
        assert 'crosswire_client_requests_total{client="client-0",outcome="answered"} 5.0' in metrics


async def test_a_limit_of_a_model_holds_without_clients_too() -> None:
    async with upstream([http(dumps(reply("openai-chat")))]) as up:
        cfg = config(one("openai-chat", up.url), model_limits={"m": {"requests": "1/h"}})
        async with stage(cfg) as it:
            assert [(await send(it, "openai-chat")).status for _ in range(2)] == [200, 429]
