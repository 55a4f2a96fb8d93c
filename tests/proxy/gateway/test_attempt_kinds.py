"""Every kind of request goes through one AttemptLoop: the same failures are retried, or not, whatever was asked.

The retry settings are the defaults but for the length of the waits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import Struct

from ..proxy_fixture import Answer, Stage, config, stage
from ..sample_messages import ask, dumps, path, reply, stream, stream_kind, upstream_error
from ..scripted_upstream import Script, Upstream, chunked, http, upstream

QUICK = {"base_s": 0.001, "cap_s": 0.002}
"""The default retry settings with short waits."""


class Kind(Struct, frozen=True):
    """A kind of request: what a client sends, and how a backend of the same protocol answers it."""

    protocol: str
    path: str
    body: dict[str, Any] | None
    answer: Script

    async def send(self, it: Stage) -> Answer:
        return await it.ask(self.path, self.body)


VECTORS = {"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}]}

KINDS: dict[str, Kind] = {
    "chat": Kind("openai-chat", path("openai-chat"), ask("openai-chat"), [http(dumps(reply("openai-chat")))]),
    "stream": Kind(
        "anthropic",
        path("anthropic"),
        ask("anthropic", stream=True),
        chunked(stream("anthropic"), stream_kind("anthropic")),
    ),
    "count": Kind("anthropic", "/v1/messages/count_tokens", ask("anthropic"), [http(b'{"input_tokens": 7}')]),
    "embeddings": Kind("openai-chat", "/v1/embeddings", {"model": "m", "input": "hi"}, [http(dumps(VECTORS))]),
    "compact": Kind(
        "openai-responses",
        "/v1/responses/compact",
        {"model": "m", "input": "hi"},
        [http(b'{"object": "response.compaction"}')],
    ),
    "stored": Kind("openai-responses", "/v1/responses/resp_7", None, [http(b'{"id": "resp_7"}')]),
}

ROUTED = [name for name in KINDS if name != "stored"]
"""The kinds that name a model; a stored response has an id, and each backend is asked for it."""

kinds = pytest.mark.parametrize("kind", KINDS)
routed = pytest.mark.parametrize("kind", ROUTED)


def error(kind: str, status: int, **headers: Any) -> Script:
    body = upstream_error(KINDS[kind].protocol, "said upstream", status)
    return [http(body, f"{status} No", **headers)]


def no_such_model(kind: str) -> Script:
    """A 404 in the words by which each provider says that it has no such model."""
    if KINDS[kind].protocol == "anthropic":
        return [http(dumps({"type": "error", "error": {"type": "not_found_error", "message": "model: m"}}), "404 No")]
    return [http(dumps({"error": {"message": "no model m", "code": "model_not_found"}}), "404 No")]


@contextlib.asynccontextmanager
async def one_backend(kind: str, *scripts: Script, **settings: Any) -> AsyncIterator[tuple[Upstream, Stage]]:
    keys = settings.pop("keys", {})
    async with upstream(*scripts) as up:
        backends = {"first": {"protocol": KINDS[kind].protocol, "base_url": up.url, **keys}}
        async with stage(config(backends, **{"retry": QUICK, **settings})) as it:
            yield up, it


@contextlib.asynccontextmanager
async def two_backends(
    kind: str, first: Script, second: Script, **settings: Any
) -> AsyncIterator[tuple[Upstream, Upstream, Stage]]:
    """A route from `m` to two backends of the client's own protocol."""
    async with upstream(first) as a, upstream(second) as b:
        protocol = KINDS[kind].protocol
        backends = {
            "first": {"protocol": protocol, "base_url": a.url, "priority": 2},
            "second": {"protocol": protocol, "base_url": b.url, "priority": 1},
        }
        routes = [{"match": "m", "to": ["first", "second"]}]
        async with stage(config(backends, **{"retry": QUICK, "routes": routes, **settings})) as it:
            yield a, b, it


# ---- the same backend again ------------------------------------------------------------------------------------------

RETRIED = {"408": 408, "429": 429, "500": 500, "502": 502, "503": 503, "504": 504, "529": 529}
NOT_RETRIED = {"400": (400, 400), "401": (401, 502), "403": (403, 502), "413": (413, 413), "422": (422, 422)}


@pytest.mark.parametrize("status", RETRIED.values(), ids=list(RETRIED))
@kinds
async def test_a_failure_that_may_pass_is_retried(kind: str, status: int) -> None:
    async with one_backend(kind, error(kind, status), KINDS[kind].answer) as (up, it):
        answer = await KINDS[kind].send(it)
        record = await it.record(answer)
    assert (answer.status, len(up.requests)) == (200, 2)
    assert answer.headers["x-crosswire-attempts"] == "2"
    assert record["attempts"][1]["outcome"] == "answered"


@kinds
async def test_a_connection_that_breaks_is_retried(kind: str) -> None:
    async with one_backend(kind, ["reset"], KINDS[kind].answer) as (up, it):
        answer = await KINDS[kind].send(it)
    assert (answer.status, len(up.requests)) == (200, 2)


@kinds
async def test_a_wait_that_the_backend_asks_for_is_kept(kind: str) -> None:
    async with one_backend(kind, error(kind, 429, retry_after="0.05"), KINDS[kind].answer) as (up, it):
        began = asyncio.get_running_loop().time()
        answer = await KINDS[kind].send(it)
        took = asyncio.get_running_loop().time() - began
    assert (answer.status, len(up.requests)) == (200, 2)
    assert took >= 0.05


@pytest.mark.parametrize(("status", "told"), NOT_RETRIED.values(), ids=list(NOT_RETRIED))
@kinds
async def test_a_refusal_is_not_retried(kind: str, status: int, told: int) -> None:
    async with one_backend(kind, error(kind, status), KINDS[kind].answer) as (up, it):
        answer = await KINDS[kind].send(it)
    assert (answer.status, len(up.requests)) == (told, 1)


@kinds
async def test_attempts_are_bounded(kind: str) -> None:
    async with one_backend(kind, error(kind, 503)) as (up, it):
        answer = await KINDS[kind].send(it)
    assert (answer.status, len(up.requests)) == (529 if KINDS[kind].protocol == "anthropic" else 503, 3)
    assert answer.headers["x-should-retry"] == "false"


@kinds
async def test_the_next_key_is_tried(kind: str) -> None:
    keys = {"api_key": ["sk-the-first-key", "sk-the-second-key"]}
    async with one_backend(kind, error(kind, 401), KINDS[kind].answer, keys=keys) as (up, it):
        answer = await KINDS[kind].send(it)
    assert (answer.status, len(up.requests)) == (200, 2)
    name = "x-api-key" if KINDS[kind].protocol == "anthropic" else "authorization"
    assert [request.headers[name].removeprefix("Bearer ") for request in up.requests] == keys["api_key"]


# ---- another backend -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", RETRIED.values(), ids=list(RETRIED))
@kinds
async def test_the_next_backend_is_called(kind: str, status: int) -> None:
    async with two_backends(kind, error(kind, status), KINDS[kind].answer) as (first, second, it):
        answer = await KINDS[kind].send(it)
    assert (answer.status, len(first.requests), len(second.requests)) == (200, 1, 1)
    assert answer.headers["x-crosswire-backend"] == "second"


@kinds
async def test_a_route_goes_on_where_a_backend_has_no_such_model(kind: str) -> None:
    async with two_backends(kind, no_such_model(kind), KINDS[kind].answer) as (first, second, it):
        answer = await KINDS[kind].send(it)
    assert (answer.status, len(first.requests)) == (200, 1)
    # Anthropic has one word for a missing model and a missing endpoint; a count is then an estimate
    if (kind, KINDS[kind].protocol) != ("count", "anthropic"):
        assert len(second.requests) == 1


@pytest.mark.parametrize("status", [400, 413, 422])
@routed
async def test_a_refusal_is_final(kind: str, status: int) -> None:
    async with two_backends(kind, error(kind, status), KINDS[kind].answer) as (_, second, it):
        answer = await KINDS[kind].send(it)
    assert (answer.status, len(second.requests)) == (status, 0)


async def test_a_lookup_asks_every_backend() -> None:
    """That one backend refuses to show a response says nothing of the next, which may have it."""
    async with two_backends("stored", error("stored", 400), KINDS["stored"].answer) as (_, second, it):
        answer = await KINDS["stored"].send(it)
    assert (answer.status, len(second.requests)) == (200, 1)


# ---- nobody answers --------------------------------------------------------------------------------------------------


@routed
async def test_an_open_breaker_says_when_to_come_back(kind: str) -> None:
    async with one_backend(kind, error(kind, 503), breaker={"failures": 1, "open_s": 60}) as (up, it):
        await KINDS[kind].send(it)
        before = len(up.requests)
        answer = await KINDS[kind].send(it)
    assert len(up.requests) == before + 3  # it is the only one, so it is called all the same
    assert answer.status == (529 if KINDS[kind].protocol == "anthropic" else 503)
    assert 50 <= int(answer.headers["retry-after"]) <= 60


@kinds
async def test_the_deadline(kind: str) -> None:
    async with one_backend(kind, ["hold"], retry=QUICK | {"deadline_s": 0.05}) as (_, it):
        answer = await KINDS[kind].send(it)
        record = await it.record(answer)
    assert answer.status == 504
    assert b"retry.deadline_s" in answer.body
    assert record["attempts"][-1]["outcome"] == "upstream_timeout"


@kinds
async def test_failures_open_one_breaker_for_all_kinds(kind: str) -> None:
    """A failure of any kind of request opens the breaker for chats too."""
    keys = {"protocol": KINDS[kind].protocol, "models": {"m": "m"}}
    settings = {"retry": QUICK | {"attempts": 1}, "breaker": {"failures": 1, "open_s": 60}}
    async with one_backend(kind, error(kind, 503), keys=keys, **settings) as (up, it):
        await KINDS[kind].send(it)
        assert 'crosswire_breaker_state{backend="first"} 2.0' in await it.metrics()
        answer = await it.ask(path(KINDS[kind].protocol), ask(KINDS[kind].protocol))
    assert len(up.requests) == 2
    assert b"its breaker is open" in answer.body
    assert answer.status in (503, 529)
