"""Complaints about counting tokens and about lists of models (N)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.proxy.proxy_fixture import KEY, config, one, stage
from tests.proxy.sample_messages import JSON, PROTOCOLS, dumps
from tests.proxy.scripted_upstream import http, upstream

COUNT = "/v1/messages/count_tokens"
WORDS = "The quick brown fox jumps over the lazy dog. " * 40
REQUEST: JSON = {"model": "m", "messages": [{"role": "user", "content": WORDS}]}
TOOL: JSON = {
    "name": "search",
    "description": "Searches all documents of the house for the words that are given. " * 10,
    "input_schema": {"type": "object", "properties": {"words": {"type": "string", "description": "What to find."}}},
}
COUNTED: dict[str, JSON] = {
    "anthropic": {"input_tokens": 42},
    "gemini": {"totalTokens": 42},
    "openai-responses": {"object": "response.input_tokens", "input_tokens": 42},
}
"""Answers of the backends that can count tokens."""


@pytest.mark.parametrize("query", ["", "?beta=true"])
@pytest.mark.parametrize("backend", PROTOCOLS)
async def test_n1_tokens_are_counted_for_every_backend(backend: str, query: str) -> None:
    script = [http(dumps(COUNTED[backend]))] if backend in COUNTED else []
    async with upstream(script) as up, stage(config(one(backend, up.url))) as it:
        answer = await it.ask(COUNT + query, REQUEST)
    assert answer.status == 200
    body = json.loads(answer.body)
    assert body.keys() == {"input_tokens"}
    assert body["input_tokens"] == 42 if backend in COUNTED else body["input_tokens"] > 0
    assert [KEY in json.dumps(received.headers) for received in up.requests] == [True] * (backend in COUNTED)


async def count(backend: str, body: JSON, *, model: str = "m") -> tuple[int, list[Any]]:
    async with upstream([]) as up, stage(config(one(backend, up.url))) as it:
        answer = await it.ask(COUNT, {**body, "model": model})
    assert answer.status == 200
    return json.loads(answer.body)["input_tokens"], up.requests


async def test_n2_system_and_tools_are_counted() -> None:
    """About 400 words of English are 400 to 600 tokens to every tokenizer in use, and so on in proportion."""
    plain, _ = await count("ollama", REQUEST)
    with_system, _ = await count("ollama", {**REQUEST, "system": WORDS})
    with_tools, _ = await count("ollama", {**REQUEST, "tools": [TOOL] * 3})
    assert 360 * 0.8 < plain < 360 * 1.6
    assert with_system > plain * 1.9
    assert with_tools > plain + 3 * 100


async def test_n2_a_model_of_another_provider_is_not_counted_by_anthropic() -> None:
    async with upstream([http(dumps({"input_tokens": 1}))]) as claude, upstream([]) as other:
        backends = {
            "claude": {"protocol": "anthropic", "base_url": claude.url, "models": ["claude"], "priority": 9},
            "other": {"protocol": "openai-chat", "base_url": other.url, "models": ["m"]},
        }
        async with stage(config(backends)) as it:
            answer = await it.ask(COUNT, REQUEST)
    assert answer.status == 200
    assert (claude.requests, other.requests) == ([], [])


async def test_n4_an_alias_is_listed_unless_the_config_hides_it() -> None:
    backend = {
        "protocol": "openai-chat",
        "base_url": "http://127.0.0.1:9",
        "models": {"fast": "gpt-5-mini", "old-fast": "gpt-4"},
    }
    routes = [{"match": "best", "backend": "b", "model": "gpt-5"}]
    for unlisted, names in (([], {"fast", "old-fast", "best"}), (["old-*"], {"fast", "best"})):
        async with stage(config({"b": backend}, routes=routes, unlisted=unlisted)) as it:
            listed = json.loads((await it.get("/v1/models")).body)["data"]
            shown = await it.get("/v1/models/old-fast")
        assert {model["id"] for model in listed} == names
        assert shown.status == 200, "what is hidden is served all the same"
