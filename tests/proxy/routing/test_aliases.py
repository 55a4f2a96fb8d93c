"""Aliases: names that stand for another one, for clients whose models have fixed names."""

from __future__ import annotations

import pytest

from crosswire.proxy.config import Config, from_environment, load
from crosswire.proxy.endpoints.models import listed_models
from crosswire.proxy.errors import ConfigError
from crosswire.proxy.routing import RoutingInput, decide

TEXT = """
backends:
  home: {protocol: ollama, base_url: "http://h", models: {small: llama3.2, claude-mine: mine}}
  cloud: {protocol: openai-chat, base_url: "http://c", models: [gpt-5]}
smart: {auto: {cheap: {backend: home, model: small}, primary: {backend: cloud, model: gpt-5}}}
aliases: {"claude-*": gpt-5, "claude-haiku-*": small, fast: small, "think-*": auto, "*-local": home/qwen3}
"""


@pytest.fixture(scope="module")
def config() -> Config:
    return load(TEXT, "c.yaml", {})


@pytest.mark.parametrize(
    ("name", "backend", "model", "why"),
    [
        ("claude-sonnet-4-5", "cloud", "gpt-5", "the alias 'claude-*' means 'gpt-5': "),
        ("claude-sonnet-4-5[1m]", "cloud", "gpt-5", "the alias 'claude-*' means 'gpt-5': "),
        ("claude-haiku-4-5", "home", "llama3.2", "the alias 'claude-haiku-*' means 'small': "),
        ("fast", "home", "llama3.2", "the alias 'fast' means 'small': "),
        ("claude-mine", "home", "mine", "the models of 'home' name it"),
        ("my-local", "home", "qwen3", "the alias '*-local' means 'home/qwen3': "),
        ("gpt-5", "cloud", "gpt-5", "the models of 'cloud' name it"),
    ],
)
def test_a_name_stands_for_another(config: Config, name: str, backend: str, model: str, why: str) -> None:
    decision = decide(RoutingInput(name), config.plan)
    assert decision.chosen is not None
    assert (decision.chosen.backend, decision.chosen.model) == (backend, model)
    assert decision.because.startswith(why)


def test_an_alias_may_stand_for_a_smart_model(config: Config) -> None:
    assert config.plan.alias_table.meaning("think-hard") in config.plan.smart_names
    assert decide(RoutingInput("think-hard"), config.plan).mode == "smart"


def test_a_pattern_may_lead_to_a_name_of_its_own() -> None:
    text = "backends: {b: {protocol: anthropic, base_url: 'http://b'}}\naliases: {claude-*: claude-opus-4-7}"
    plan = load(text, "c.yaml", {}).plan
    for name in ("claude-sonnet-4-5", "claude-opus-4-7"):
        chosen = decide(RoutingInput(name), plan).chosen
        assert chosen is not None
        assert chosen.model == "claude-opus-4-7"


def test_exact_aliases_are_listed(config: Config) -> None:
    names = [each.name for each in listed_models(config.plan)]
    assert "fast" in names
    assert not any("*" in name for name in names)


@pytest.mark.parametrize(
    ("aliases", "complaint"),
    [
        ("{a: b, b: gpt-5}", "an alias too"),
        ("{a: 'gpt-*'}", "stands for a pattern"),
        ("{gpt-5: small}", "never reached"),
        ("{' a': small}", "white space"),
        ("[a]", "mapping"),
    ],
)
def test_what_no_alias_can_be(aliases: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(TEXT.partition("aliases:")[0] + f"aliases: {aliases}", "c.yaml", {})
    assert complaint in "\n".join(caught.value.complaints)


def test_the_environment_alone_has_none() -> None:
    assert from_environment({"OPENAI_API_KEY": "k"}).plan.aliases == {}
