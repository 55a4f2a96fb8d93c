"""Tests of the backends that environment variables create where there is no config file."""

from __future__ import annotations

import itertools
from collections.abc import Collection

import pytest

from crosswire.proxy.config import Settings, from_environment
from crosswire.proxy.config.environment import enabled_by_variable
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.providers import PROVIDERS, find
from crosswire.proxy.routing import RoutingInput, decide, find_backend_for_model

from .sample_config import SECRET, errors_of

ALL_VARIABLES = {
    "OPENAI_API_KEY": "sk-1",
    "ANTHROPIC_API_KEY": "sk-ant-1",
    "GEMINI_API_KEY": "g-1",
    "OPENROUTER_API_KEY": "sk-or-1",
    "OLLAMA_HOST": "localhost",
}

MODELS: list[tuple[str, str]] = [
    ("gpt-5-nano", "openai"),
    ("gpt-", "openai"),
    ("o3", "openai"),
    ("o4-mini", "openai"),
    ("chatgpt-4o-latest", "openai"),
    ("claude-sonnet-4-5", "anthropic"),
    ("gemini-2.5-flash", "gemini"),
    ("meta-llama/llama-3.3-70b", "openrouter"),
    ("openai/gpt-5", "openrouter"),
    ("anthropic/claude-sonnet-4.5:beta", "openrouter"),
    ("llama3.2", "ollama"),
    ("olmo2", "ollama"),
    ("o", "ollama"),
    ("GPT-5", "ollama"),
    ("my-gpt-5", "ollama"),
    ("claude", "ollama"),
    ("gemma3:4b", "ollama"),
]

BACKENDS_BY_NAME = {
    "openai": ("openai-chat", "https://api.openai.com/v1", "sk-1"),
    "anthropic": ("anthropic", "https://api.anthropic.com", "sk-ant-1"),
    "gemini": ("gemini", "https://generativelanguage.googleapis.com", "g-1"),
    "openrouter": ("openai-chat", "https://openrouter.ai/api/v1", "sk-or-1"),
    "ollama": ("ollama", "http://localhost:11434", None),
}


def unprefixed(made: Collection[str]) -> list[tuple[str, str]]:
    """The models whose name is whole: at OpenRouter all, elsewhere not those that begin with a provider's."""
    whole = "openrouter" in made
    return [(model, name) for model, name in MODELS if whole or find(model.partition("/")[0]) is None]


@pytest.mark.parametrize(
    ("variables", "model", "goes"),
    [
        (["OPENAI_API_KEY"], "openai/gpt-5", ("openai", "gpt-5", "prefix")),
        (["OPENAI_API_KEY", "OLLAMA_HOST"], "openai/gpt-5", ("openai", "gpt-5", "prefix")),
        (["OPENAI_API_KEY", "OPENROUTER_API_KEY"], "openai/gpt-5", ("openrouter", "openai/gpt-5", "model_mapping")),
        (["OLLAMA_HOST"], "openai/gpt-5", "set OPENAI_API_KEY"),
        (["OLLAMA_HOST"], "openrouter/mistralai/mistral-nemo", "set OPENROUTER_API_KEY"),
        (["OLLAMA_HOST", "OPENROUTER_API_KEY"], "openrouter/mistralai/mistral-nemo",
         ("openrouter", "mistralai/mistral-nemo", "prefix")),
        (["OLLAMA_HOST", "OPENROUTER_API_KEY"], "local/llama3.2:1b", ("ollama", "llama3.2:1b", "prefix")),
        (["OLLAMA_HOST", "OPENROUTER_API_KEY"], "ollama/llama3.2", ("ollama", "llama3.2", "prefix")),
        (["GEMINI_API_KEY", "OPENROUTER_API_KEY"], "google/gemini-2.5-pro",
         ("openrouter", "google/gemini-2.5-pro", "model_mapping")),
        (["GEMINI_API_KEY", "OPENROUTER_API_KEY"], "gemini/gemini-2.5-pro", ("gemini", "gemini-2.5-pro", "prefix")),
    ],
)  # fmt: skip
def test_a_providers_prefix_in_the_environment(
    variables: list[str], model: str, goes: tuple[str, str, str] | str
) -> None:
    decision = decide(RoutingInput(model), from_environment({name: ALL_VARIABLES[name] for name in variables}).plan)
    if isinstance(goes, str):
        assert decision.refusal is not None
        assert decision.refusal.status == 404
        assert goes in decision.refusal.message
    else:
        assert decision.chosen is not None
        assert (decision.chosen.backend, decision.chosen.model, decision.mode) == goes


@pytest.mark.parametrize(("model", "name"), MODELS)
def test_all_variables_set(model: str, name: str) -> None:
    plan = from_environment(ALL_VARIABLES).plan
    found = find_backend_for_model(model, plan)
    assert found is not None
    assert found.name == name
    decision = decide(RoutingInput(model), plan)
    assert decision.mode == "model_mapping"
    assert decision.chosen is not None
    assert decision.chosen.model == model


def test_the_backends_of_the_environment() -> None:
    config = from_environment(ALL_VARIABLES)
    assert {b.name: (b.protocol, b.base_url, b.api_key) for b in config.plan.backends} == BACKENDS_BY_NAME
    assert all(b.capabilities >= PROTOCOLS[b.protocol].capabilities for b in config.plan.backends)
    assert config.settings == Settings()


@pytest.mark.parametrize("alone", ALL_VARIABLES)
def test_each_variable_alone(alone: str) -> None:
    origin = next(row for row in PROVIDERS if row.enabling_variable == alone)
    env = {name: ALL_VARIABLES[name] if name == alone else "" for name in ALL_VARIABLES}
    plan = from_environment(env).plan
    assert [b.name for b in plan.backends] == [origin.name]
    for model, name in unprefixed(plan.by_name):
        found = find_backend_for_model(model, plan)
        if name == origin.name or origin.name == "ollama":
            assert found is plan.backends[0]
        else:
            assert found is None
            refusal = decide(RoutingInput(model), plan).refusal
            assert refusal is not None
            assert (refusal.status, refusal.code) == (404, "model_not_found")


@pytest.mark.parametrize("names", [pair for n in (2, 3, 4) for pair in itertools.combinations(ALL_VARIABLES, n)])
def test_some_variables(names: tuple[str, ...]) -> None:
    plan = from_environment({name: ALL_VARIABLES[name] for name in names}).plan
    made = [row.name for row in enabled_by_variable() if row.enabling_variable in names]
    assert [b.name for b in plan.backends] == made
    for model, name in unprefixed(plan.by_name):
        found = find_backend_for_model(model, plan)
        expected = name if name in made else "ollama" if "ollama" in made else None
        assert (found and found.name) == expected


def test_no_variable() -> None:
    (message,) = errors_of(lambda: from_environment({"OPENAI_API_KEY": "", "HOME": "/"}))
    assert all(name in message for name in ALL_VARIABLES)
    assert "set one of them" in message


@pytest.mark.parametrize(
    ("variable", "value", "name", "url"),
    [
        ("OPENAI_BASE_URL", "http://gate/v1/", "openai", "http://gate/v1"),
        ("ANTHROPIC_BASE_URL", "http://gate", "anthropic", "http://gate"),
        ("GOOGLE_GEMINI_BASE_URL", "http://gate/", "gemini", "http://gate"),
        ("OPENAI_BASE_URL", "", "openai", "https://api.openai.com/v1"),
    ],
)
def test_base_urls_of_the_sdks(variable: str, value: str, name: str, url: str) -> None:
    plan = from_environment({**ALL_VARIABLES, variable: value}).plan
    assert plan.by_name[name].base_url == url
    others = {b.name: b.base_url for b in plan.backends if b.name != name}
    assert others == {other: address[1] for other, address in BACKENDS_BY_NAME.items() if other != name}


def test_a_key_for_ollama() -> None:
    plan = from_environment({"OLLAMA_HOST": "https://ollama.com", "OLLAMA_API_KEY": "k"}).plan
    assert (plan.backends[0].base_url, plan.backends[0].api_key) == ("https://ollama.com", "k")


@pytest.mark.parametrize(
    ("env", "starts", "says"),
    [
        ({"OPENAI_API_KEY": SECRET + "\n"}, "environment: OPENAI_API_KEY: ", "a line break"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "gate/v1"}, "environment: OPENAI_BASE_URL: ", "is not an http"),
        ({"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "http://u:p@g"}, "environment: ANTHROPIC_BASE_URL: ", "cred"),
        (
            {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "http://localhost:9001"},
            "environment: ANTHROPIC_BASE_URL: ",
            "is the proxy's own address",
        ),
        ({"OLLAMA_HOST": "host:port"}, "environment: OLLAMA_HOST: ", "is not a valid URL"),
        ({"OLLAMA_HOST": "ftp://host"}, "environment: OLLAMA_HOST: ", "is not an http"),
    ],
)
def test_mistakes_of_the_environment(env: dict[str, str], starts: str, says: str) -> None:
    (message,) = errors_of(lambda: from_environment(env))
    assert message.startswith(starts)
    assert says in message
    assert SECRET not in message


def test_own_address_depends_on_the_port() -> None:
    env = {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "http://localhost:9001"}
    assert from_environment(env, port=9002).settings.port == 9002
    assert errors_of(lambda: from_environment(env | {"ANTHROPIC_BASE_URL": "http://[::1]:7"}, port=7))
