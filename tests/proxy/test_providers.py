"""Tests of the provider table: its entries, names and aliases, and the backends made from them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from ollama._client import _parse_host

from crosswire.proxy.config import Config, from_environment, load
from crosswire.proxy.config.urls import parse_base_url
from crosswire.proxy.errors import ConfigError
from crosswire.proxy.ir import CAPABILITIES
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.providers import PROVIDERS, Provider, canonical, find, index, ollama_address
from crosswire.proxy.routing import BackendConfig, RoutingInput, decide

KEY = "sk-the-key-of-a-provider"


def read(text: str, env: Mapping[str, str] = {}) -> Config:
    return load(text, "c.yaml", env)


def only(text: str, env: Mapping[str, str] = {}) -> BackendConfig:
    (backend,) = read(text, env).plan.backends
    return backend


# ---- rows ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", PROVIDERS, ids=lambda row: row.name)
def test_providers_use_known_protocols_capabilities_and_quirks(row: Provider) -> None:
    protocol = PROTOCOLS[row.protocol]
    assert row.source.startswith("https://")
    assert row.quirks <= set(protocol.quirks)
    assert row.capabilities is None or {"text"} <= row.capabilities <= protocol.capabilities <= set(CAPABILITIES)
    assert row.name == row.name.lower()
    if row.base_url is not None:
        url, wrong = parse_base_url(row.base_url)
        assert (url, wrong) == (row.base_url, None)
        assert url.startswith("https://") is row.needs_key  # who wants a key is not asked in the clear
    assert row.key_variable or not row.needs_key


def test_names_and_aliases_are_unique() -> None:
    names = [name.lower() for row in PROVIDERS for name in (row.name, *row.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "name",
    [
        *("openai", "anthropic", "gemini", "ollama", "openrouter", "nearai", "groq", "deepseek", "mistral", "together"),
        *("fireworks", "xai", "cerebras", "nvidia", "azure openai", "vllm", "lmstudio", "llama.cpp"),
    ],
)
def test_the_common_providers_are_known(name: str) -> None:
    assert find(name) is not None


@pytest.mark.parametrize(
    ("said", "name"),
    [
        *((said, "nearai") for said in ("nearai", "near_ai", "near", "NEAR-AI", " NearAI ")),
        ("OpenAI", "openai"),
        ("google", "gemini"),
        ("claude", "anthropic"),
        ("azure", "azure-openai"),
        ("llama_cpp", "llama.cpp"),
        ("My-Own", "my-own"),
    ],
)
def test_canonical_names(said: str, name: str) -> None:
    assert canonical(said) == name


def test_a_custom_provider_beats_a_built_in_one() -> None:
    mine = Provider(name="Groq", protocol="ollama", base_url="http://h", needs_key=False)
    near = Provider(name="near", protocol="ollama", base_url="http://h", needs_key=False)
    assert find("GROQ", [mine]) is mine
    assert find("groq") is not mine
    assert canonical("near", [near]) == "near"
    assert index([near])["near_ai"].name == "nearai"  # the other spellings stay what they were


def test_a_providers_key_is_masked() -> None:
    assert KEY not in repr(Provider(name="x", protocol="ollama", base_url="http://h", own_key=KEY))


# ---- a backend of a provider -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [row.name for row in PROVIDERS if row.base_url is not None])
def test_a_built_in_provider_needs_only_its_name(name: str) -> None:
    row = find(name)
    assert row is not None
    env = {row.key_variable: KEY} if row.key_variable else {}
    for text in (f"backends: {{{name}: {{}}}}", f"backends: {{mine: {{provider: {name.upper()}}}}}"):
        made = only(text, env)
        assert (made.protocol, made.base_url, made.provider) == (row.protocol, row.base_url, row.name)
        assert made.api_key == (KEY if row.key_variable else None)
        assert made.quirks == row.quirks
        spoken = (row.protocol, *(each.protocol for each in row.speaks if not each.secondary))
        assert made.capabilities == (
            row.capabilities or frozenset().union(*(PROTOCOLS[each].capabilities for each in spoken))
        )
        assert made.needs_key is row.needs_key
        assert not made.reserved


def test_the_config_overrides_the_provider() -> None:
    text = "backends: {m: {provider: groq, base_url: 'http://h', api_key: own, quirks: [top_k], capabilities: [text]}}"
    made = only(text, {"GROQ_API_KEY": KEY})
    assert (made.base_url, made.api_key, made.protocol) == ("http://h", "own", "openai-chat")
    assert (made.quirks, made.capabilities, made.capabilities_from) == ({"top_k"}, {"text"}, "explicit")


@pytest.mark.parametrize(
    ("text", "key", "needs_key"),
    [
        pytest.param("{provider: openai, protocol: openai-chat, base_url: 'http://h/v1'}", None, False, id="elsewhere"),
        pytest.param("{provider: openai}", KEY, True, id="at its provider's"),
        pytest.param("{provider: openai, base_url: 'https://api.openai.com/v1/'}", KEY, True, id="the same, written"),
        pytest.param(
            "{provider: azure, base_url: 'https://r.openai.azure.com/openai/v1'}", "az-key", True, id="without a home"
        ),
    ],
)
def test_a_providers_key_is_sent_only_to_its_own_address(text: str, key: str | None, needs_key: bool) -> None:
    made = only(f"backends: {{m: {text}}}", {"OPENAI_API_KEY": KEY, "AZURE_OPENAI_API_KEY": "az-key"})
    assert (made.api_key, made.needs_key) == (key, needs_key)


def test_the_base_url_variable_applies_to_provider_and_key() -> None:
    made = only("backends: {openai: {}}", {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "http://gate/v1/"})
    assert (made.base_url, made.api_key) == ("http://gate/v1", KEY)
    assert only("backends: {ollama: {}}", {"OLLAMA_HOST": "box"}).base_url == "http://box:11434"


def test_another_protocol_keeps_the_address_but_not_the_quirks() -> None:
    made = only("backends: {r: {provider: openrouter, protocol: openai-responses}}", {"OPENROUTER_API_KEY": KEY})
    assert (made.base_url, made.api_key, made.quirks) == ("https://openrouter.ai/api/v1", KEY, frozenset())


def test_a_name_with_a_base_url_is_no_provider() -> None:
    made = only("backends: {openrouter: {protocol: openai-chat, base_url: 'http://h'}}", {"OPENROUTER_API_KEY": KEY})
    assert (made.api_key, made.quirks, made.needs_key) == (None, frozenset(), False)


@pytest.mark.parametrize(
    ("text", "env", "says"),
    [
        ("{provider: azure}", {}, "c.yaml:1: backends.m.base_url: is missing"),
        ("{provider: grok2}", {}, "backends.m.protocol: is missing"),
        ("{provider: openai}", {"OPENAI_BASE_URL": "gate"}, "is not an http or https URL"),
        ("{provider: openai}", {"OPENAI_API_KEY": "two words"}, "OPENAI_API_KEY: is empty or not ASCII"),
    ],
)
def test_mistakes(text: str, env: Mapping[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read(f"backends: {{m: {text}}}", env)


# ---- without a key ---------------------------------------------------------------------------------------------------


def test_a_missing_key_is_a_warning() -> None:
    config = read("backends:\n  anthropic: {}\n  o: {provider: ollama}\n")
    (warning,) = config.warnings
    assert warning.startswith("c.yaml:2: backends.anthropic: No credentials configured for anthropic; ")
    assert "set ANTHROPIC_API_KEY" in warning
    assert "crosswire credentials add anthropic" in warning


def test_a_missing_key_is_a_502_before_any_call() -> None:
    decision = decide(RoutingInput("claude-x"), read("backends: {anthropic: {}}").plan)
    assert decision.refusal is not None
    assert (decision.refusal.status, decision.refusal.kind) == (502, "no_credentials")
    assert "No credentials configured for anthropic" in decision.refusal.message


def test_the_next_candidate_serves_instead() -> None:
    decision = decide(RoutingInput("claude-x"), read("backends: {anthropic: {priority: 9}, ollama: {}}").plan)
    assert decision.chosen is not None
    assert decision.chosen.backend == "ollama"


# ---- the environment alone -------------------------------------------------------------------------------------------


def test_each_variable_creates_its_backend() -> None:
    env = {str(row.enabling_variable): KEY for row in PROVIDERS if row.enabling_variable and row.needs_key}
    plan = from_environment(env).plan
    made = {backend.name: backend for backend in plan.backends}
    assert {"openai", "groq", "mistral", "nearai"} <= set(made)
    assert "openai-responses" not in made  # the same variable, and the first row has it
    assert all(backend.api_key == KEY for backend in plan.backends)
    # who has no names of its own is asked by prefix alone
    assert {name for name, backend in made.items() if not backend.reserved} == {
        *("openai", "anthropic", "gemini", "openrouter", "mistral", "deepseek", "xai")
    }
    for model, backend, upstream in (
        ("groq/llama-3.3-70b", "groq", "llama-3.3-70b"),
        ("near_ai/zai-org/GLM-5", "nearai", "zai-org/GLM-5"),
        ("gpt-5", "openai", "gpt-5"),
        ("meta-llama/llama-4", "openrouter", "meta-llama/llama-4"),
    ):
        chosen = decide(RoutingInput(model), plan).chosen
        assert chosen is not None, model
        assert (chosen.backend, chosen.model) == (backend, upstream)


# What ollama's own client makes of the variable; only an address to bind to differs, which nobody can call.
@pytest.mark.parametrize(
    "value",
    [
        "1.2.3.4",
        ":56789",
        "1.2.3.4:56789",
        "http://1.2.3.4",
        "https://1.2.3.4",
        "https://1.2.3.4:56789",
        "example.com",
        "example.com:56789",
        "http://example.com",
        "example.com/",
        "example.com/path",
        "example.com:56789/path/",
        "https://example.com:56789/path",
        "[0001:002:003:0004::1]",
        "[0001:002:003:0004::1]:56789",
        "http://[0001:002:003:0004::1]/path",
    ],
)
def test_ollama_host_is_parsed_like_the_official_client(value: str) -> None:
    theirs = _parse_host(value)
    (backend,) = from_environment({"OLLAMA_HOST": value}).plan.backends
    scheme, _, rest = backend.base_url.partition("://")
    port = {"http": ":80", "https": ":443"}[scheme]
    place, slash, path = rest.partition("/")
    with_port = place if place.rpartition("]")[2].count(":") else place + port
    assert f"{scheme}://{with_port}{slash}{path}" == theirs


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:11434"),  # noqa: S104 - read, not bound to
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("[::]:8080", "http://[::1]:8080"),
        ("http://0.0.0.0:8080", "http://127.0.0.1:8080"),
        (' "localhost" ', "http://localhost:11434"),
    ],
)
def test_wildcard_hosts_become_loopback(value: str, url: str) -> None:
    assert ollama_address(value) == url
