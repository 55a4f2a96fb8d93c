"""Tests of stored credentials in a config: the backends that get them, and the warnings about unused ones."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.config import Config, from_environment, load
from crosswire.proxy.errors import ConfigError
from crosswire.proxy.providers import find
from crosswire.proxy.routing import RoutingInput, decide
from crosswire.proxy.store.snapshot import Credential, Snapshot, StoredRoute

STORED, SECOND, OWN = "sk-stored-000000000000001", "sk-stored-000000000000002", "sk-of-the-file-0000000003"


def credential(provider: str, key: str = STORED, name: str = "default", **also: Any) -> Credential:
    return Credential(id=name, provider=provider, name=name, key=key, **also)


def read(backends: dict[str, Any], *found: Credential, env: dict[str, str] | None = None, **also: Any) -> Config:
    return load(yaml.safe_dump({"backends": backends, **also}), "c.yaml", env or {}, stored=Snapshot(credentials=found))


def keys(config: Config, name: str) -> tuple[str, list[str]]:
    """The address of a backend, and its keys in the order in which they are tried."""
    backend = config.plan.by_name[name]
    return backend.base_url, [key for key in (backend.api_key, *backend.spare_keys) if key is not None]


OPENAI, GATE = "https://api.openai.com/v1", "http://gate.example/v1"
ELSEWHERE = {"protocol": "openai-chat", "base_url": GATE}


@pytest.mark.parametrize(
    ("backends", "found", "name", "expected"),
    [
        pytest.param({"openai": {}}, [credential("openai")], "openai", (OPENAI, [STORED]), id="by its name"),
        pytest.param({"m": {"provider": "openai"}}, [credential("OpenAI")], "m", (OPENAI, [STORED]), id="by provider"),
        pytest.param(
            {"m": {"provider": "claude"}},
            [credential("anthropic")],
            "m",
            ("https://api.anthropic.com", [STORED]),
            id="by an alias",
        ),
        pytest.param(
            {"openai": {"api_key": OWN}},
            [credential("openai")],
            "openai",
            (OPENAI, [STORED, OWN]),
            id="before the file's",
        ),
        pytest.param(
            {"openai": {"api_key": OWN}},
            [credential("openai", base_url=GATE + "/")],
            "openai",
            (GATE, [STORED]),
            id="its address beats the registry's, and the file's key stays away from it",
        ),
        pytest.param(
            {"box": ELSEWHERE | {"api_key": OWN}}, [credential("box")], "box", (GATE, [STORED, OWN]), id="of one's own"
        ),
        pytest.param(
            {"openai": {}},
            [
                credential("openai", SECOND, "b"),
                credential("openai", STORED, "default"),
                credential("openai", OWN, "a"),
            ],
            "openai",
            (OPENAI, [STORED, OWN, SECOND]),
            id="several: the default first, then by name",
        ),
        pytest.param(
            {"openai": {"api_key": OWN}},
            [credential("openai", enabled=False)],
            "openai",
            (OPENAI, [OWN]),
            id="disabled",
        ),
        pytest.param(
            {"openai": {"api_key": STORED}}, [credential("openai")], "openai", (OPENAI, [STORED]), id="the same key"
        ),
        pytest.param(
            {"openai": ELSEWHERE}, [credential("openai", base_url=GATE)], "openai", (GATE, [STORED]), id="bound there"
        ),
    ],
)
def test_credentials_are_assigned_to_backends(
    backends: dict[str, Any], found: list[Credential], name: str, expected: tuple[str, list[str]]
) -> None:
    config = read(backends, *found)
    assert keys(config, name) == expected
    assert [backend.name for backend in config.plan.backends] == list(backends)
    assert config.warnings == ()


@pytest.mark.parametrize("backends", [{"openai": ELSEWHERE}, {"m": ELSEWHERE | {"provider": "openai"}}])
def test_a_key_is_never_sent_to_another_address(backends: dict[str, Any]) -> None:
    config = read(backends, credential("openai"))
    (name,) = backends
    assert keys(config, name) == (GATE, [])
    others = [backend for backend in config.plan.backends if backend.name != name]
    assert [(backend.name, backend.base_url, backend.reserved) for backend in others] == (
        [] if name == "openai" else [("openai", OPENAI, True)]
    )
    if name == "openai":
        assert any("is not sent to backends.openai" in warning for warning in config.warnings)


def test_a_credential_creates_its_providers_backend() -> None:
    config = read({"local": {"provider": "ollama"}}, credential("groq"), credential("near", SECOND, base_url=GATE))
    assert keys(config, "groq") == ("https://api.groq.com/openai/v1", [STORED])
    assert keys(config, "nearai") == (GATE, [SECOND])
    chosen = decide(RoutingInput("groq/llama"), config.plan).chosen
    assert chosen is not None
    assert (chosen.backend, chosen.model) == ("groq", "llama")
    for model in ("llama", "gpt-5"):  # nobody else's models go there unasked
        assert (chosen := decide(RoutingInput(model), config.plan).chosen) is not None
        assert chosen.backend == "local"


def test_the_stored_key_beats_the_variable() -> None:
    config = read({"groq": {}}, credential("groq"), env={"GROQ_API_KEY": OWN})
    assert keys(config, "groq")[1] == [STORED, OWN]
    made = read({"local": {"provider": "ollama"}}, credential("groq"), env={"GROQ_API_KEY": OWN})
    assert keys(made, "groq")[1] == [STORED]


def test_without_a_file_a_credential_creates_a_backend() -> None:
    with pytest.raises(ConfigError, match="no backend configured: none of the variables OPENAI_API_KEY"):
        from_environment({})
    config = from_environment({}, stored=Snapshot(credentials=(credential("anthropic"), credential("groq", SECOND))))
    assert keys(config, "anthropic") == ("https://api.anthropic.com", [STORED])
    chosen = decide(RoutingInput("claude-opus-4-6"), config.plan).chosen
    assert chosen is not None
    assert chosen.backend == "anthropic"
    assert decide(RoutingInput("gpt-5"), config.plan).chosen is None


def test_a_stored_key_removes_the_missing_key_warning() -> None:
    assert any("No credentials configured for openai" in warning for warning in read({"openai": {}}).warnings)
    config = read({"openai": {}}, credential("openai"))
    assert (config.warnings, config.plan.backends[0].missing_key) == ((), None)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([credential("nobody")], "credential nobody: no backend or provider has this name"),
        ([credential("azure")], "credential azure-openai: has no address; add it again with --base-url"),
        ([credential("openai", "two words")], "credential openai/default: is empty or not ASCII"),
        ([credential("openai", base_url="ftp://h")], "credential openai/default: its base_url is not an http"),
        (
            [credential("openai"), credential("openai", SECOND, "eu", base_url=GATE)],
            "credential openai/eu: is ignored: its base_url differs from that of default",
        ),
    ],
)
def test_unused_credentials_are_warnings(found: list[Credential], says: str) -> None:
    config = read({"local": {"provider": "ollama"}}, *found)
    assert any(warning.startswith(f"store: {says}") for warning in config.warnings), config.warnings
    assert not any(STORED in warning or "two words" in warning for warning in config.warnings)


def test_warnings_of_the_store_are_passed_on() -> None:
    config = load("backends: {ollama: {}}", "c.yaml", {}, stored=Snapshot(warnings=("store: a row was cut",)))
    assert config.warnings == ("store: a row was cut",)


def test_a_stored_mapping_reaches_a_provider_by_its_credential() -> None:
    """Mappings and credentials in the store, and nothing of either in the file."""
    stored = Snapshot(
        credentials=(credential("openai"),),
        mappings=(StoredRoute(id=1, match="gpt-*", backend="openai", fallback=("local",)),),
    )
    config = load("backends: {local: {provider: ollama, models: {x: y}}}", "c.yaml", {}, stored=stored)
    decision = decide(RoutingInput("gpt-5"), config.plan)
    assert (decision.chain[0].backend, decision.chain[0].model) == ("openai", "gpt-5")
    assert keys(config, "openai") == (OPENAI, [STORED])


def test_no_key_is_shown_in_a_config() -> None:
    config = read({"openai": {"api_key": OWN}}, credential("openai"), store="postgresql://u:hunter2@h/d")
    for secret in (STORED, OWN, "hunter2"):
        assert secret not in repr(config) + str(config.settings)


# ---- the law ---------------------------------------------------------------------------------------------------------

URLS = (None, "http://one.example", "http://two.example", "https://api.openai.com/v1")
PROVIDERS = ("openai", "groq", "box", "anthropic")


@st.composite
def configs(draw: st.DrawFn) -> tuple[dict[str, Any], list[Credential]]:
    """Backends that are a provider's, of its name or at an address of their own, and credentials of any provider."""
    backends: dict[str, Any] = {"box": {"protocol": "ollama", "base_url": "http://box.example"}}
    for name in draw(st.sets(st.sampled_from(("openai", "a", "b")), max_size=3)):
        keys: dict[str, Any] = {"protocol": "openai-chat"}
        provider, url = draw(st.sampled_from((None, *PROVIDERS))), draw(st.sampled_from(URLS[1:]))
        backends[name] = keys | {"base_url": url} | ({} if provider is None else {"provider": provider})
    found = [
        credential(provider, f"sk-{provider}-{number}-000000000000", f"n{number}", base_url=url)
        for number, (provider, url) in enumerate(
            draw(st.lists(st.tuples(st.sampled_from(PROVIDERS), st.sampled_from(URLS)), max_size=5))
        )
    ]
    return backends, found


@given(configs())
def test_property_a_stored_key_is_sent_only_where_it_belongs(made: tuple[dict[str, Any], list[Credential]]) -> None:
    backends, found = made
    config = read(backends, *found)
    owners = {entry.key: entry for entry in found}
    for backend in config.plan.backends:
        for key in (backend.api_key, *backend.spare_keys):
            owner = owners[str(key)] if key else None
            if owner is None:
                continue
            row = find(owner.provider)
            assert owner.provider in (backend.provider, backend.name)
            if owner.base_url is not None:
                assert backend.base_url == owner.base_url
            else:
                assert row is None or row.is_own_address(backend.base_url, {})
    # and none is lost in silence: it is in use, or a warning names its provider
    used = {key for backend in config.plan.backends for key in (backend.api_key, *backend.spare_keys)}
    for entry in found:
        assert entry.key in used or any(f"credential {entry.provider}" in warning for warning in config.warnings)
