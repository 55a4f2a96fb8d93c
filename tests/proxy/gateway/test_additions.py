"""Additions that a target needs and the client did not say: told, no loss, and not fatal under strict."""

from __future__ import annotations

from typing import Any

import pytest

from crosswire.proxy.endpoints.explain import explain, table
from tests.complaints.exchange import anthropic_reply, exchange

from ..proxy_fixture import config, one
from ..sample_messages import ask

MOST: dict[str, int] = {
    "claude-3-haiku-20240307": 4096,
    "claude-3-5-sonnet-20241022": 8192,
    "claude-opus-4-1": 32_000,
    "claude-sonnet-4-20250514": 64_000,
    "claude-sonnet-4-5": 64_000,
    "claude-opus-4-7": 128_000,
    "some-model-of-another-host": 8192,
}

FRONTENDS = ("openai-chat", "openai-responses", "gemini", "ollama")


@pytest.mark.parametrize(("model", "most"), MOST.items())
async def test_the_bound_is_the_most_that_the_model_can(model: str, most: int) -> None:
    found = await exchange("openai-chat", "anthropic", anthropic_reply({"type": "text", "text": "Hi."}), model=model)
    assert found.upstream["max_tokens"] == most
    (added,) = found.record["added"]
    assert (added["path"], added["value"]) == ("max_tokens", most)


@pytest.mark.parametrize("frontend", FRONTENDS)
async def test_it_is_no_loss_and_not_fatal_under_strict(frontend: str) -> None:
    found = await exchange(frontend, "anthropic", model="claude-sonnet-4-5", keys={"strict": True})
    assert found.answer.status == 200
    assert found.losses == []
    assert [each["path"] for each in found.record["added"]] == ["max_tokens"]


@pytest.mark.parametrize("frontend", FRONTENDS)
async def test_a_bound_that_the_client_gave_is_no_addition(frontend: str) -> None:
    given: dict[str, Any] = {
        "openai-chat": {"max_completion_tokens": 99},
        "openai-responses": {"max_output_tokens": 99},
        "gemini": {"generationConfig": {"maxOutputTokens": 99}},
        "ollama": {"options": {"num_predict": 99}},
    }[frontend]
    body = ask(frontend, "claude-sonnet-4-5") | given
    found = await exchange(frontend, "anthropic", body=body, model="claude-sonnet-4-5")
    assert found.upstream["max_tokens"] == 99
    assert "added" not in found.record


async def test_the_configs_own_bound_comes_before_the_models() -> None:
    found = await exchange("openai-chat", "anthropic", model="claude-sonnet-4-5", keys={"max_tokens": 1000})
    assert found.upstream["max_tokens"] == 1000
    assert found.record["added"] == [{"path": "max_tokens", "value": 1000, "why": "the backend's max_tokens"}]


async def test_a_long_request_leaves_less_room() -> None:
    """A bound that does not fit into the window beside the request is a 400 of the older models."""
    long = ask("openai-chat", "claude-sonnet-4-20250514", text="word " * 120_000)
    found = await exchange("openai-chat", "anthropic", body=long, model="claude-sonnet-4-20250514")
    assert 8192 <= found.upstream["max_tokens"] < 64_000


async def test_thinking_gets_its_whole_budget_beside_the_models_most() -> None:
    body = ask("gemini", text="Think.") | {"generationConfig": {"thinkingConfig": {"thinkingBudget": 30_000}}}
    found = await exchange("gemini", "anthropic", body=body, model="claude-sonnet-4-5")
    assert found.upstream["thinking"]["budget_tokens"] == 30_000
    assert found.upstream["max_tokens"] == 64_000
    assert found.losses == []
    assert found.record["added"][0]["value"] == 64_000


def test_explain_tells_it() -> None:
    found = explain(config(one("anthropic", "http://127.0.0.1:1")), {"model": "claude-opus-4-1"})
    assert [(each["path"], each["value"]) for each in found["added"]] == [("max_tokens", 32_000)]
    assert "added: max_tokens = 32000, the most that the model can" in table(found)


def test_explain_says_nothing_where_nothing_is_added() -> None:
    assert "added" not in explain(config(one("openai-chat", "http://127.0.0.1:1")), {"model": "gpt-5"})
