"""Warnings of what is valid in a config and most likely a mistake."""

from __future__ import annotations

import pytest

from crosswire.proxy.config import from_environment, load

CHAT = "protocol: openai-chat"


def warnings_of(backend: str, rest: str = "") -> str:
    return "\n".join(load(f"backends: {{b: {{{backend}}}}}\n{rest}", "c.yaml", {}).warnings)


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        (f"{CHAT}, base_url: 'http://127.0.0.1:8000'", "hosts of openai-chat are mostly at /v1"),
        ("protocol: openai-responses, base_url: 'https://llm.example.com/'", "mostly at /v1"),
        ("provider: openai, api_key: sk-ant-api03-abc", "the form of a key of anthropic, and is sent to openai"),
        (
            f"{CHAT}, base_url: 'https://api.groq.com/openai/v1', api_key: sk-or-v1-abc",
            "openrouter, and is sent to groq",
        ),
        ("provider: anthropic, api_key: [sk-ant-1, AIzaSyAbc]", "gemini, and is sent to anthropic"),
    ],
)
def test_a_likely_mistake_is_told(backend: str, words: str) -> None:
    found = warnings_of(backend)
    assert words in found
    assert found.startswith("c.yaml:1: backends.b")
    assert "abc" not in found.lower()  # no part of a key


@pytest.mark.parametrize(
    "backend",
    [
        f"{CHAT}, base_url: 'http://127.0.0.1:8000/v1'",
        f"{CHAT}, base_url: 'https://api.deepseek.com', api_key: k",
        "protocol: anthropic, base_url: 'http://127.0.0.1:8000'",
        "provider: openai, api_key: sk-proj-abc",
        "provider: openai, api_key: sk-abc",
        # a gateway of one's own may take any key
        f"{CHAT}, base_url: 'https://gateway.example.com/v1', api_key: sk-ant-api03-abc",
    ],
)
def test_what_is_right_is_no_mistake(backend: str) -> None:
    assert warnings_of(backend) == ""


def test_a_variable_with_another_providers_key() -> None:
    (warning,) = from_environment({"OPENAI_API_KEY": "sk-ant-api03-abc"}).warnings
    assert "the form of a key of anthropic, and is sent to openai" in warning


def test_an_alias_above_a_route() -> None:
    rest = "routes: [{match: 'claude-opus-*', backend: b}]\naliases: {'claude-*': gpt-5}"
    assert "'claude-opus-*' is never reached: the alias 'claude-*' takes" in warnings_of(
        f"{CHAT}, base_url: 'http://b/v1'", rest
    )
    fine = "routes: [{match: 'gpt-*', backend: b}]\naliases: {'claude-*': gpt-5}"
    assert warnings_of(f"{CHAT}, base_url: 'http://b/v1'", fine) == ""
