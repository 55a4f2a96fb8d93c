"""Loops of proxies: what tells one, who is told, and what becomes of a request that goes round."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from crosswire.proxy.backends import httptools_transport
from crosswire.proxy.errors import ClientError
from crosswire.proxy.gateway.hops import check_hops, may_be_proxy, new_instance_id, upstream_headers
from crosswire.proxy.library import BackendRouter, RouteError
from crosswire.proxy.protocols import PROTOCOLS as RECORDS
from crosswire.proxy.providers import PROVIDERS
from crosswire.proxy.routing import BackendConfig
from crosswire.proxy.server.app import gateway_of
from crosswire.proxy.server.reload import Reloader

from ..proxy_fixture import Stage, config, one, stage
from ..sample_messages import PROTOCOLS, TEXT, ask, dumps, error_text, path, reply, text_of
from ..scripted_upstream import http, upstream

VIA = "x-crosswire-via"

CAME: dict[str, tuple[str | None, bool]] = {
    "from a client": (None, True),
    "through one proxy": ("aa", True),
    "through as many as may be": ("aa, bb, cc, dd", True),
    "through one more": ("aa, bb, cc, dd, ee", False),
    "through this one": ("me", False),
    "through this one and others": ("aa,me , bb", False),
    "through one whose name begins like this one": ("me2", True),
    "through nonsense": ("\x7f;;", True),
    "through very many": (", ".join("x" * 5000), False),
}


@pytest.mark.parametrize(("came", "passes"), CAME.values(), ids=CAME)
def test_which_requests_go_round(came: str | None, passes: bool) -> None:
    fields = {} if came is None else {VIA: came}
    if passes:
        check_hops(fields, "me", 5)
        return
    with pytest.raises(ClientError) as caught:
        check_hops(fields, "me", 5)
    assert (caught.value.failure.kind, caught.value.failure.status) == ("loop", 508)
    assert len(caught.value.failure.message) < 200


def backend(base_url: str, **keys: Any) -> BackendConfig:
    return BackendConfig(name="b", protocol="openai-chat", base_url=base_url, **keys)


def test_providers_are_not_told() -> None:
    for provider in PROVIDERS:
        if provider.base_url is not None:
            assert may_be_proxy(backend(provider.base_url)) is provider.base_url.startswith("http://"), provider.name
    for url in ("http://127.0.0.1:9001/v1", "http://litellm:4000", "https://api.openai.com.example/v1"):
        assert may_be_proxy(backend(url, provider="openai")), url


def test_the_hops_of_a_request() -> None:
    chat, other = RECORDS["openai-chat"], RECORDS["ollama"]
    plain = backend("http://x")
    assert upstream_headers(chat, {}, plain, None) == {}
    assert upstream_headers(other, {}, plain, "me") == {VIA: "me"}
    assert upstream_headers(chat, {VIA: "aa, bb"}, plain, "me") == {VIA: "aa, bb, me"}
    assert upstream_headers(chat, {VIA: "aa\r\nx: y"}, plain, "me") == {VIA: "aa??x: y, me"}
    for long in ("x" * 256, ", ".join(["y" * 12] * 30)):  # nothing that a client sends pushes an id out of the header
        assert upstream_headers(chat, {VIA: f"aa, {long}"}, plain, "me")[VIA] == f"aa, {long}, me"
    assert new_instance_id() != new_instance_id()


@pytest.mark.parametrize("streams", [False, True])
async def test_every_kind_of_request_carries_its_hops(streams: bool) -> None:
    """Converted, relayed, streamed, counted and embedded: one instance, with the hops that came before it."""
    script = [http(dumps(reply("openai-chat")))]
    async with upstream(script) as up, stage(config(one("openai-chat", up.url))) as it:
        me = gateway_of(it.app).instance
        for frontend in PROTOCOLS:
            await it.ask(path(frontend, stream=streams), ask(frontend, stream=streams), {VIA: "aa"})
        await it.ask("/v1/embeddings", {"model": "m", "input": "x"}, {VIA: "aa"})
    assert len(up.requests) == len(PROTOCOLS) + 1
    assert {heard.headers[VIA] for heard in up.requests} == {f"aa, {me}"}


async def test_a_provider_of_the_registry_gets_no_hops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its address is the real one here, and the connection goes to the upstream of the test."""
    async with upstream([http(dumps(reply("openai-chat")))]) as up:
        connect = httptools_transport.HttptoolsTransport._address_of

        def address_of(self: Any, url: str, method: str = "POST") -> Any:
            return connect(self, url.replace("https://api.openai.com", up.url), method)

        monkeypatch.setattr(httptools_transport.HttptoolsTransport, "_address_of", address_of)
        cfg = config(one("openai-chat", "https://api.openai.com/v1"))
        async with stage(cfg) as it:
            answer = await it.ask("/v1/chat/completions", ask("openai-chat"), {VIA: "aa"})
    assert text_of("openai-chat", answer.body) == TEXT
    assert VIA not in up.requests[0].headers


@asynccontextmanager
async def ring(folder: Path, size: int, frontend: str, **settings: Any) -> AsyncIterator[list[Stage]]:
    """Proxies of which each names the next, and the last the first."""
    from contextlib import AsyncExitStack

    async with AsyncExitStack() as stack:
        proxies = [
            await stack.enter_async_context(stage(config(one("openai-chat", "http://127.0.0.1:1"), **settings)))
            for _ in range(size)
        ]
        for number, it in enumerate(proxies):
            following = proxies[(number + 1) % size]
            new = config(one(frontend, following.url + ("/v1" if "openai" in frontend else "")), **settings)
            assert await Reloader(gateway_of(it.app), lambda new=new: new, None).reload()
        yield proxies


@pytest.mark.parametrize("frontend", PROTOCOLS)
@pytest.mark.parametrize("streams", [False, True])
async def test_two_proxies_that_name_each_other(frontend: str, streams: bool, tmp_path: Path) -> None:
    """One request becomes two, and the client hears of the loop in its own shape; it was 193 and every descriptor."""
    async with ring(tmp_path, 2, frontend, retry={"attempts": 1}) as proxies, asyncio.timeout(10):
        answer = await proxies[0].ask(path(frontend, stream=streams), ask(frontend, stream=streams))
        counts = [len(gateway_of(it.app).records.newest()) for it in proxies]
    assert answer.status == 508
    assert "loop of proxies" in error_text(frontend, 508, answer.body)
    assert counts == [2, 1]


async def test_a_long_ring_ends_at_the_limit(tmp_path: Path) -> None:
    async with ring(tmp_path, 4, "openai-chat", retry={"attempts": 1}, hop_limit=2) as proxies:
        answer = await proxies[0].ask("/v1/chat/completions", ask("openai-chat"))
        counts = [len(gateway_of(it.app).records.newest()) for it in proxies]
    assert (answer.status, counts) == (508, [1, 1, 1, 0])


async def test_with_default_retries_a_loop_stays_small(tmp_path: Path) -> None:
    async with ring(tmp_path, 2, "openai-chat", retry={}) as proxies:
        answer = await proxies[0].ask("/v1/chat/completions", ask("openai-chat"))
        counts = [len(gateway_of(it.app).records.newest()) for it in proxies]
    assert answer.status == 508
    assert sum(counts) <= 6


async def test_a_chain_of_proxies_serves() -> None:
    """Three in a row are no loop, and neither are two workers of one proxy that share its id and forward to another."""
    async with (
        upstream([http(dumps(reply("anthropic")))]) as up,
        stage(config(one("anthropic", up.url))) as last,
        stage(config(one("openai-responses", f"{last.url}/v1"))) as middle,
        stage(config(one("openai-chat", f"{middle.url}/v1"))) as first,
    ):
        answer = await first.ask("/v1/messages", ask("anthropic"))
        ids = [gateway_of(it.app).instance for it in (first, middle, last)]
    assert text_of("anthropic", answer.body) == TEXT
    assert up.requests[0].headers[VIA] == ", ".join(ids)


async def test_the_library_recognises_a_loop_as_well() -> None:
    router = BackendRouter(config(one("ollama", "http://127.0.0.1:1")))
    with pytest.raises(RouteError) as caught:
        await router.route_request("ollama", ask("ollama"), headers={VIA: "a,b,c,d,e"})
    await router.close()
    assert caught.value.status == 508
