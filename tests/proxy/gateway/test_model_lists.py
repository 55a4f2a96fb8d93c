"""Lists of models come from the providers: asked in the background, kept, bounded, and told if unreachable."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest

from crosswire.proxy.config import Config, from_environment
from crosswire.proxy.gateway import model_lists
from crosswire.proxy.routing import RoutingInput, decide

from ..proxy_fixture import KEY, Stage, config, one, stage
from ..sample_messages import ask, dumps
from ..scripted_upstream import http, upstream

LISTS: dict[str, tuple[str, Any]] = {
    "openai-chat": ("/models", {"object": "list", "data": [{"id": "a"}, {"id": "b"}]}),
    "openai-responses": ("/models", {"object": "list", "data": [{"id": "a"}, {"id": "b"}]}),
    "anthropic": ("/v1/models?limit=1000", {"data": [{"id": "a"}, {"id": "b"}], "has_more": False}),
    "gemini": ("/v1beta/models?pageSize=1000", {"models": [{"name": "models/a"}, {"name": "models/b"}]}),
    "ollama": ("/api/tags", {"models": [{"name": "a", "model": "a"}, {"name": "b", "model": "b"}]}),
}


async def names(proxy: Stage) -> list[str]:
    answer = await proxy.get("/v1/models")
    assert answer.status == 200
    return [each["id"] for each in json.loads(answer.body)["data"]]


def key_alone(url: str) -> Config:
    return from_environment({"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": url})


@pytest.mark.parametrize("protocol", LISTS)
async def test_a_backend_without_models_is_asked(protocol: str) -> None:
    target, body = LISTS[protocol]
    async with upstream([http(dumps(body))]) as it, stage(config(one(protocol, it.url))) as proxy:
        assert await names(proxy) == []
        await proxy.gateway.model_lists.refresh()
        assert await names(proxy) == ["a", "b"]
        await proxy.gateway.model_lists.refresh()
        assert [heard.target for heard in it.requests] == [target]  # the answer is kept


async def test_the_pages_of_a_list() -> None:
    first = {"data": [{"id": "a"}], "has_more": True, "last_id": "a b"}
    second = {"data": [{"id": "b"}], "has_more": False, "last_id": "b"}
    async with upstream([http(dumps(first))], [http(dumps(second))]) as it:
        async with stage(config(one("anthropic", it.url))) as proxy:
            await proxy.gateway.model_lists.refresh()
            assert await names(proxy) == ["a", "b"]
        assert it.requests[1].target == "/v1/models?limit=1000&after_id=a%20b"


async def test_a_list_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_lists, "MOST_MODELS", 2)
    body = {"data": [{"id": each} for each in ("x" * 201, "a", 7, "b", "c")]}
    async with upstream([http(dumps(body))]) as it, stage(config(one("openai-chat", it.url))) as proxy:
        await proxy.gateway.model_lists.refresh()
        assert await names(proxy) == ["a", "b"]


async def test_models_that_the_config_names_are_all_there_are() -> None:
    async with upstream([http(b"{}")]) as it, stage(config(one("openai-chat", it.url, models=["m"]))) as proxy:
        await proxy.gateway.model_lists.refresh()
        assert await names(proxy) == ["m"]
        assert it.requests == []


async def test_nothing_is_asked_where_the_config_says_so() -> None:
    async with (
        upstream([http(b"{}")]) as it,
        stage(config(one("openai-chat", it.url), model_lists_s=0)) as proxy,
    ):
        await proxy.gateway.model_lists.refresh()
        assert it.requests == []


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (http(b"{}", "401 Unauthorized"), "401"),
        (http(b"<html>"), "no list of models"),
        (http(b'{"models": 1}'), "no list of models"),
        (http(b'{"models": [{"na'), "ended before its JSON did"),
    ],
)
async def test_what_cannot_be_asked_is_told(answer: bytes, why: str, caplog: pytest.LogCaptureFixture) -> None:
    async with upstream([answer]) as it, stage(config(one("openai-chat", it.url))) as proxy:
        await proxy.gateway.model_lists.refresh()
        assert await names(proxy) == []
        told = proxy.gateway.model_lists.complaints["b"]
        assert "the models of backend 'b' are not known" in caplog.text
        healthy = await proxy.get("/health")
        assert healthy.status == 200
        assert json.loads(healthy.body) == {"status": "ok", "models_not_known": {"b": told}}
        assert KEY not in told
        if why != "401":
            assert why in told


async def test_a_list_outlives_its_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    _, body = LISTS["openai-chat"]
    async with (
        upstream([http(dumps(body))], [http(b"{}", "500 Internal Server Error")]) as it,
        stage(config(one("openai-chat", it.url), model_lists_s=0.001)) as proxy,
    ):
        lists = proxy.gateway.model_lists
        await lists.refresh()
        monkeypatch.setattr(lists, "_is_due", lambda backend, now: True)
        await lists.refresh()
        assert len(it.requests) == 2
        assert await names(proxy) == ["a", "b"]
        assert "b" in lists.complaints


async def test_a_provider_that_is_starting_is_asked_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again after two seconds, then twice as long each time, and at last once a minute."""
    _, body = LISTS["openai-chat"]
    failed = http(b"{}", "503 Service Unavailable")
    async with (
        upstream(*[[failed] for _ in range(7)], [http(dumps(body))], [failed], [failed]) as it,
        stage(config(one("openai-chat", it.url), model_lists_s=900)) as proxy,
    ):
        lists, now, asked = proxy.gateway.model_lists, 0.0, [0.0]
        monkeypatch.setattr(lists, "_now", lambda: now)
        while len(asked) < 11 and now < 3000:
            before = len(it.requests)
            await lists.refresh()
            if len(it.requests) > before:
                asked.append(now)
            now += 1
        waits = [later - earlier for earlier, later in itertools.pairwise(asked[1:])]
    assert waits == [2, 4, 8, 16, 32, 60, 60, 900, 2]


async def test_one_key_lists_what_its_provider_serves() -> None:
    body = {"data": [{"id": each} for each in ("gpt-5", "text-embedding-3-small", "whisper-1")]}
    async with upstream([http(dumps(body))]) as it, stage(key_alone(it.url)) as proxy:
        await proxy.gateway.model_lists.refresh()
        assert await names(proxy) == ["gpt-5", "text-embedding-3-small"]  # a name of no family is not served


def test_a_provider_without_a_family_is_asked_for_what_it_lists() -> None:
    found = from_environment({"OPENAI_API_KEY": "k", "GROQ_API_KEY": "k"})
    with_lists = model_lists.with_models(found, {"groq": ("llama-3.3-70b", "openai/gpt-oss-20b", "gpt-5")})
    for name, backend in (("llama-3.3-70b", "groq"), ("openai/gpt-oss-20b", "groq"), ("gpt-5", "openai")):
        chosen = decide(RoutingInput(name), with_lists.plan).chosen
        assert chosen is not None
        assert (chosen.backend, chosen.model) == (backend, name)
    assert decide(RoutingInput("llama-3.3-70b"), found.plan).chosen is None


def test_the_only_key_serves_every_name() -> None:
    chosen = decide(RoutingInput("llama-3.3-70b"), from_environment({"GROQ_API_KEY": "k"}).plan).chosen
    assert chosen is not None
    assert chosen.backend == "groq"


async def test_a_misspelt_name_is_told_the_nearest_that_its_vendor_lists() -> None:
    body = {"data": [{"id": "gpt-5-nano"}, {"id": "gpt-5-mini"}, {"id": "whisper-1"}]}
    async with upstream([http(dumps(body))]) as it:
        backend = {"provider": "openai", "base_url": f"{it.url}/v1", "models": []}
        other = {"protocol": "anthropic", "base_url": it.url, "models": ["claude-x"]}
        async with stage(config({"o": backend, "a": other}, unmapped="refuse", unlisted=["gpt-5-mini"])) as proxy:
            await proxy.gateway.model_lists.refresh()
            answer = await proxy.ask("/v1/chat/completions", ask("openai-chat", "gpt-5-nanoo"))
    assert answer.status == 404
    assert "did you mean gpt-5-nano?" in answer.body.decode()


ADA, ADMIN = "cw-ada-0123456789abcdef", "admin-0123456789abcdef"


async def test_a_client_sees_those_that_it_may_use() -> None:
    clients = {"ada": {"key": ADA, "models": ["a*"]}}
    listed = http(dumps({"data": [{"id": "a"}, {"id": "b"}, {"id": "ab"}]}))
    async with (
        upstream([listed]) as it,
        stage(config(one("openai-chat", it.url), clients=clients, admin_key=ADMIN)) as proxy,
    ):
        await proxy.gateway.model_lists.refresh()
        answer = await proxy.get("/v1/models", {"authorization": f"Bearer {ADA}"})
        assert [each["id"] for each in json.loads(answer.body)["data"]] == ["a", "ab"]
        assert (await proxy.get("/v1/models/b", {"authorization": f"Bearer {ADA}"})).status == 404


async def test_only_the_operator_is_told_whose_models_are_not_known() -> None:
    settings: dict[str, Any] = {"clients": {"ada": {"key": ADA}}, "admin_key": ADMIN}
    async with upstream([http(b"{}")]) as it, stage(config(one("openai-chat", it.url), **settings)) as proxy:
        await proxy.gateway.model_lists.refresh()
        for key, told in ((ADMIN, True), (ADA, False), (None, False)):
            answer = await proxy.get("/health", {"authorization": f"Bearer {key}"} if key else {})
            assert (answer.status, "models_not_known" in json.loads(answer.body)) == (200, told)


@pytest.mark.parametrize("path", ["/health", "/healthz", "/livez", "/readyz", "/metrics", "/crosswire/requests/none"])
async def test_who_answers_is_said_and_no_library(path: str) -> None:
    async with stage(config(one("ollama", "http://127.0.0.1:1"))) as proxy:
        assert (await proxy.get(path)).headers["server"] == "crosswire"


async def test_health() -> None:
    async with stage(config(one("ollama", "http://127.0.0.1:1"))) as proxy:
        answer = await proxy.get("/health")
        assert (answer.status, json.loads(answer.body)) == (200, {"status": "ok"})
        proxy.gateway.draining = True
        answer = await proxy.get("/health")
        assert (answer.status, json.loads(answer.body)) == (503, {"status": "draining"})


async def test_nobody_is_asked_before_a_client_wants_a_list() -> None:
    async with (
        upstream([http(dumps(LISTS["openai-chat"][1]))]) as it,
        stage(config(one("openai-chat", it.url))) as proxy,
    ):
        watching = asyncio.ensure_future(proxy.gateway.model_lists.watch())
        await asyncio.sleep(0.05)
        assert it.requests == []
        assert await names(proxy) == ["a", "b"]  # the first list waits for the provider's
        assert await names(proxy) == ["a", "b"]
        assert len(it.requests) == 1
        watching.cancel()


async def test_without_a_config_file_they_are_asked_from_the_start() -> None:
    async with upstream([http(dumps(LISTS["openai-chat"][1]))]) as it, stage(key_alone(it.url)) as proxy:
        watching = asyncio.ensure_future(proxy.gateway.model_lists.watch())
        async with asyncio.timeout(10):
            while not it.requests:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        watching.cancel()


async def test_the_first_list_waits_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_lists, "FIRST_S", 0.02)
    async with upstream(["hold"]) as it, stage(config(one("openai-chat", it.url))) as proxy:
        watching = asyncio.ensure_future(proxy.gateway.model_lists.watch())
        await asyncio.sleep(0)
        assert await names(proxy) == []
        assert len(it.requests) == 1
        watching.cancel()
