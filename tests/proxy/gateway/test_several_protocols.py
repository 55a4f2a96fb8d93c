"""One key, the whole API: a backend that speaks several protocols is asked by the one that loses least."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crosswire.proxy.config import Config, from_environment, load
from crosswire.proxy.endpoints.explain import explain
from crosswire.proxy.gateway.protocol_choice import protocols_of
from crosswire.proxy.providers import PROVIDERS

from ..proxy_fixture import KEY, Stage, stage
from ..sample_messages import ask, dumps, path, reply, stream, text_of
from ..scripted_upstream import Upstream, http, upstream

WEB_SEARCH = {"type": "web_search"}


def one_key(it: Upstream) -> Config:
    """The proxy with nothing but OpenAI's two variables."""
    return from_environment({"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{it.url}/v1"})


def answers(protocol: str) -> bytes:
    return http(dumps(reply(protocol)))


async def asked(it: Stage, protocol: str, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    answer = await it.ask(path(protocol), body)
    return answer.status, answer.headers, answer.body


@pytest.mark.parametrize(
    ("frontend", "more", "target", "spoken"),
    [
        ("openai-chat", {}, "/v1/chat/completions", "openai-chat"),
        ("openai-responses", {}, "/v1/responses", "openai-responses"),
        ("openai-responses", {"previous_response_id": "resp_1"}, "/v1/responses", "openai-responses"),
        ("openai-responses", {"tools": [WEB_SEARCH]}, "/v1/responses", "openai-responses"),
        ("anthropic", {}, "/v1/chat/completions", "openai-chat"),
        (
            "anthropic",
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            "/v1/responses",
            "openai-responses",
        ),
    ],
)
async def test_a_request_goes_by_the_protocol_that_loses_least(
    frontend: str, more: dict[str, Any], target: str, spoken: str
) -> None:
    async with upstream([answers(spoken)]) as it, stage(one_key(it)) as proxy:
        status, headers, body = await asked(proxy, frontend, ask(frontend, "gpt-5-nano") | more)
        assert status == 200, body
        assert it.requests[0].target == target
        assert it.requests[0].headers["authorization"] == f"Bearer {KEY}"
        assert headers["x-crosswire-route"].endswith(f"; by {spoken}")
        assert "x-crosswire-loss" not in headers


async def test_a_conversion_makes_no_vendor_store_anything() -> None:
    search = {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}
    async with upstream([answers("openai-responses")]) as it, stage(one_key(it)) as proxy:
        await asked(proxy, "anthropic", ask("anthropic", "gpt-5-nano") | search)
        await asked(proxy, "openai-responses", ask("openai-responses", "gpt-5-nano"))
        converted, relayed = (json.loads(heard.body) for heard in it.requests)
        assert converted["store"] is False
        assert "store" not in relayed  # the client's own bytes


@pytest.mark.parametrize("is_streamed", [False, True], ids=["unary", "stream"])
async def test_a_host_without_the_address_is_asked_by_another_protocol(is_streamed: bool) -> None:
    missing = http(b'{"detail":"Not Found"}', "404 Not Found")
    chat = http(b"".join(stream("openai-chat")), kind="text/event-stream") if is_streamed else answers("openai-chat")
    async with upstream([missing], [chat]) as it, stage(one_key(it)) as proxy:
        for _ in range(2):
            status, headers, body = await asked(
                proxy, "openai-responses", ask("openai-responses", "gpt-5-nano", stream=is_streamed)
            )
            assert status == 200, body
            assert headers["x-crosswire-route"].endswith("; by openai-chat")
        if not is_streamed:
            assert text_of("openai-responses", body)
        # the second request does not try the address that was not there
        assert [heard.target for heard in it.requests] == ["/v1/responses", *["/v1/chat/completions"] * 2]


async def test_what_the_host_keeps_may_be_missing_without_the_address_being_so() -> None:
    missing = http(b'{"error":{"message":"Previous response with id resp_1 not found."}}', "404 Not Found")
    async with upstream([missing]) as it, stage(one_key(it)) as proxy:
        body = ask("openai-responses", "gpt-5-nano") | {"previous_response_id": "resp_1"}
        status, _, _ = await asked(proxy, "openai-responses", body)
        assert status == 404
        assert [heard.target for heard in it.requests] == ["/v1/responses"]


async def test_embeddings_and_stored_responses_have_the_same_key() -> None:
    vectors = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}], "model": "m"}
    async with upstream([http(dumps(vectors))], [answers("openai-responses")]) as it, stage(one_key(it)) as proxy:
        made = await proxy.ask("/v1/embeddings", {"model": "text-embedding-3-small", "input": "a wall"})
        assert made.status == 200, made.body
        kept = await proxy.get("/v1/responses/resp_1")
        assert kept.status == 200, kept.body
        assert [heard.target for heard in it.requests] == ["/v1/embeddings", "/v1/responses/resp_1"]


@pytest.mark.parametrize(
    ("model", "target"),
    [
        ("gpt-3.5-turbo-instruct", "/v1/completions"),
        ("davinci-002", "/v1/completions"),
        ("gpt-5", "/v1/chat/completions"),
    ],
)
async def test_the_older_address_is_asked_for_its_models_alone(model: str, target: str) -> None:
    async with upstream([http(b"{}")]) as it, stage(one_key(it)) as proxy:
        await proxy.ask("/v1/completions", {"model": model, "prompt": "Once", "max_tokens": 9})
        assert it.requests[0].target == target


def test_a_protocol_of_ones_own_is_kept_to() -> None:
    config = load("backends: {openai: {protocol: openai-chat, api_key: k}}", "c.yaml", {})
    assert config.plan.backends[0].speaks == ()
    assert config.notes == ()
    several = load("backends: {openai: {api_key: k}}", "c.yaml", {})
    assert [each.protocol for each in protocols_of(several.plan.backends[0])] == ["openai-chat", "openai-responses"]
    assert "`protocol: openai-chat` keeps to one" in several.notes[0]


@pytest.mark.parametrize(
    ("provider", "addresses"),
    [
        ("openai", {"openai-chat": "https://api.openai.com/v1", "openai-responses": "https://api.openai.com/v1"}),
        (
            "openrouter",
            {
                "openai-chat": "https://openrouter.ai/api/v1",
                "anthropic": "https://openrouter.ai/api",
                "openai-responses": "https://openrouter.ai/api/v1",
            },
        ),
        ("ollama", {"ollama": "http://localhost:11434", "openai-chat": "http://localhost:11434/v1"}),
    ],
)
def test_the_addresses_of_a_providers_protocols(provider: str, addresses: dict[str, str]) -> None:
    backend = load(f"backends: {{{provider}: {{api_key: k}}}}", "c.yaml", {}).plan.backends[0]
    assert {each.protocol: each.base_url for each in protocols_of(backend)} == addresses


def test_every_further_protocol_names_its_source() -> None:
    assert all(each.source.startswith("https://") for row in PROVIDERS for each in row.speaks)


async def test_a_bearer_gets_the_key_in_authorization() -> None:
    async with upstream([answers("anthropic")]) as it:
        text = f"backends: {{b: {{provider: openrouter, base_url: '{it.url}/api/v1', api_key: {KEY}}}}}"
        async with stage(load(text, "c.yaml", {})) as proxy:
            status, _, body = await asked(proxy, "anthropic", ask("anthropic", "anthropic/claude-sonnet-4.5"))
            assert status == 200, body
        heard = it.requests[0]
        assert (heard.target, heard.headers["authorization"]) == ("/api/v1/messages", f"Bearer {KEY}")
        assert "x-api-key" not in heard.headers


def test_a_protocol_that_reads_less_comes_last() -> None:
    """Ollama's /v1 takes no word for the context's size, so that an OpenAI client goes by /api as well."""
    config = from_environment({"OLLAMA_HOST": "127.0.0.1:11434"})
    found = explain(config, {"model": "llama3.2", "frontend": "openai-chat"})
    assert list(found["protocols"]) == ["ollama", "openai-chat"]


def test_explain_shows_what_each_protocol_would_lose() -> None:
    config = from_environment({"OPENAI_API_KEY": KEY})
    body = ask("openai-responses", "gpt-5-nano") | {"tools": [WEB_SEARCH]}
    found = explain(config, {"frontend": "openai-responses", "request": body})
    assert next(iter(found["protocols"])) == "openai-responses"
    assert found["protocols"]["openai-responses"] == []
    assert found["protocols"]["openai-chat"] != []
