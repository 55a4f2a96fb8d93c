"""Tests of the keys `llm_…`, of smart models, and of the precedence of file, environment and store."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from crosswire.proxy.config import Config, load
from crosswire.proxy.errors import ConfigError
from crosswire.proxy.providers import PROVIDERS
from crosswire.proxy.routing import RequestFeatures, RoutingInput, SmartModel, decide
from crosswire.proxy.store.snapshot import Credential, Setting, Snapshot, StoredRoute

PRIMARY_KEY, CHEAP_KEY = "sk-ant-the-primary", "sk-the-cheap-one"

BACKENDS: dict[str, Any] = {
    "anthropic": {"provider": "anthropic", "default_model": "claude-opus-4-6"},
    "local": {"provider": "ollama", "models": ["x"]},
}
ENV = {"ANTHROPIC_API_KEY": PRIMARY_KEY, "GROQ_API_KEY": CHEAP_KEY, "NEARAI_API_KEY": "near-key"}
HOME = {"home": {"protocol": "ollama", "base_url": "http://127.0.0.1:9999"}}

VARIABLES = {
    "llm_backend": "LLM_BACKEND",
    "llm_model": "LLM_MODEL",
    "llm_cheap_backend": "LLM_CHEAP_BACKEND",
    "llm_cheap_model": "LLM_CHEAP_MODEL",
}


def read(
    said: Mapping[str, Any],
    source: str = "file",
    env: Mapping[str, str] = ENV,
    stored: Snapshot | None = None,
    **also: Any,
) -> Config:
    """A config that says these keys in its file, in the environment, or in the store."""
    stored = stored or Snapshot()
    text = {"backends": BACKENDS, **also}
    if source == "file":
        text |= said
    elif source == "environment":
        env = {**env, **{VARIABLES[key]: value for key, value in said.items()}}
    else:
        settings = tuple(Setting(key=key, value=yaml.safe_dump(value)) for key, value in said.items())
        stored = msgspec.structs.replace(stored, settings=(*stored.settings, *settings))
    return load(yaml.safe_dump(text, sort_keys=False), "c.yaml", env, stored=stored)


def auto(config: Config) -> SmartModel:
    return named("auto", config)


def named(name: str, config: Config) -> SmartModel:
    (smart,) = [smart for smart in config.plan.smart if smart.name == name]
    return smart


def targets(config: Config) -> list[tuple[str, str | None, str, str | None]]:
    """Of the primary and of the cheap target: the backend, the model, the address and the key."""
    found = []
    for target in (auto(config).primary, auto(config).cheap):
        backend = config.plan.by_name[target.backend]
        found.append((backend.name, target.model, backend.base_url, backend.api_key))
    return found


OPUS = ("anthropic", "claude-opus-4-6", "https://api.anthropic.com", PRIMARY_KEY)

CASES: dict[str, tuple[dict[str, str], tuple[str, str, str, str | None], bool]] = {
    "1 another": (
        {"llm_cheap_backend": "groq", "llm_cheap_model": "llama-8b"},
        ("groq", "llama-8b", "https://api.groq.com/openai/v1", CHEAP_KEY),
        False,
    ),
    "1 another, configured": (
        {"llm_cheap_backend": "ollama", "llm_cheap_model": "hermes3"},
        ("local", "hermes3", "http://localhost:11434", None),
        False,
    ),
    "1 another, custom": (
        {"llm_cheap_backend": "Home", "llm_cheap_model": "hermes3"},
        ("home", "hermes3", "http://127.0.0.1:9999", None),
        False,
    ),
    "2 the same": (
        {"llm_cheap_backend": "anthropic", "llm_cheap_model": "claude-haiku"},
        ("anthropic", "claude-haiku", *OPUS[2:]),
        False,
    ),
    "2 the same, by an alias": (
        {"llm_cheap_backend": "Claude", "llm_cheap_model": "claude-haiku"},
        ("anthropic", "claude-haiku", *OPUS[2:]),
        False,
    ),
    "3 unknown": ({"llm_cheap_backend": "grokk9", "llm_cheap_model": "llama-8b"}, OPUS, True),
    **{
        f"4 {said}": (
            {"llm_cheap_backend": said, "llm_cheap_model": "zai-org/GLM-5"},
            ("nearai", "zai-org/GLM-5", "https://near.example/v1", "near-key"),
            False,
        )
        for said in ("nearai", "near_ai", "near", "NearAI")
    },
    "5 unset": ({"llm_cheap_model": "claude-haiku"}, ("anthropic", "claude-haiku", *OPUS[2:]), False),
}


@pytest.mark.parametrize("source", ["file", "environment", "store"])
@pytest.mark.parametrize("case", CASES)
def test_cheap_and_primary_targets(case: str, source: str) -> None:
    said, cheap, warns = CASES[case]
    config = read(
        {"llm_backend": "anthropic", **said},
        source,
        llm_custom_providers=HOME,
        nearai={"base_url": "https://near.example/v1"},
    )
    assert targets(config) == [OPUS, cheap]
    warnings = [warning for warning in config.warnings if "cheap provider" in warning]
    assert bool(warnings) is warns
    decision = decide(RoutingInput("auto", features=RequestFeatures()), config.plan)
    if warns:
        assert all("'grokk9'" in text for text in (*warnings, *auto(config).notes, *decision.notes))
        assert decision.notes
    else:
        assert (auto(config).notes, decision.notes) == ((), ())


def test_the_warning_has_the_location_of_the_unknown_name() -> None:
    text = "backends: {anthropic: {api_key: k}}\nllm_backend: anthropic/x\nllm_cheap_backend: grok9\n"
    (warning,) = load(text, "c.yaml", {}).warnings
    assert warning.startswith("c.yaml:3: llm_cheap_backend: the cheap provider 'grok9' is unknown")
    (warning,) = load(text, "c.yaml", {"LLM_CHEAP_BACKEND": "other"}).warnings
    assert warning.startswith("environment: LLM_CHEAP_BACKEND: llm_cheap_backend: the cheap provider 'other'")


@pytest.mark.parametrize(("case", "logged"), [("1 another", True), ("2 the same", False), ("3 unknown", False)])
def test_a_cross_backend_cheap_provider_is_logged(case: str, logged: bool, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "crosswire"):
        read({"llm_backend": "anthropic", **CASES[case][0]})
    assert ("Creating cross-backend cheap provider" in caplog.text) is logged


# ---- who beats whom --------------------------------------------------------------------------------------------------

SOURCES = ("file", "environment", "store")


@pytest.mark.parametrize("sources", [pair for n in (1, 2, 3) for pair in itertools.combinations(SOURCES, n)])
@pytest.mark.parametrize("key", ["llm_cheap_model", "llm_cheap_backend", "llm_backend", "llm_model"])
def test_the_store_beats_the_environment_beats_the_file(key: str, sources: tuple[str, ...]) -> None:
    usual = {
        "llm_backend": "anthropic",
        "llm_model": "opus",
        "llm_cheap_backend": "anthropic",
        "llm_cheap_model": "haiku",
    }
    values = dict(zip(SOURCES, ("groq", "ollama", "openai") if key.endswith("backend") else "abc", strict=True))
    text: dict[str, Any] = {"backends": BACKENDS, **{name: value for name, value in usual.items() if name != key}}
    env = dict(ENV)
    settings: tuple[Setting, ...] = ()
    for source in sources:
        if source == "file":
            text[key] = values[source]
        elif source == "environment":
            env[VARIABLES[key]] = values[source]
        else:
            settings = (Setting(key=key, value=values[source]), Setting(key="mode", value="x", enabled=False))
    config = load(yaml.safe_dump(text), "c.yaml", env, stored=Snapshot(settings=settings))
    part = auto(config).cheap if "cheap" in key else auto(config).primary
    wanted = values[sources[-1]]
    found = config.plan.by_name[part.backend].provider if key.endswith("backend") else part.model
    assert found == wanted


def test_a_disabled_setting_is_ignored() -> None:
    stored = Snapshot(settings=(Setting(key="llm_cheap_model", value="b", enabled=False),))
    config = read({"llm_backend": "anthropic", "llm_cheap_model": "a"}, stored=stored)
    assert auto(config).cheap.model == "a"


def test_an_empty_variable_is_ignored() -> None:
    config = read({"llm_backend": "anthropic", "llm_cheap_model": "a"}, env={**ENV, "LLM_CHEAP_MODEL": ""})
    assert auto(config).cheap.model == "a"


# ---- with the file's smart models ------------------------------------------------------------------------------------


def test_variables_do_not_override_the_files_entry() -> None:
    written = {"auto": {"cheap": {"backend": "home", "model": "hermes3"}, "cascade": True, "weights": {"tools": 3}}}
    said = {"llm_backend": "anthropic/claude-x", "llm_cheap_model": "not-this", "llm_cheap_backend": "groq"}
    config = read(said, llm_custom_providers=HOME, smart=written)
    assert targets(config)[0][:2] == ("anthropic", "claude-x")
    assert targets(config)[1] == ("home", "hermes3", "http://127.0.0.1:9999", None)
    assert (auto(config).cascade, dict(auto(config).weights)) == (True, {"tools": 3})


def test_a_smart_model_of_the_file_is_resolved_by_provider_names() -> None:
    written = {"mine": {"cheap": {"backend": "near", "model": "a"}, "primary": {"backend": "claude", "model": "b"}}}
    config = read({}, smart=written)
    smart = named("mine", config)
    assert (smart.cheap.backend, smart.primary.backend) == ("nearai", "anthropic")
    assert config.plan.by_name["nearai"].reserved


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"primary": {"backend": "anthropic"}}, "smart.mine.cheap: is missing"),
        ({"cheap": {"model": "a"}}, "smart.mine.primary: is missing"),
        ({"cheap": {"model": "a"}, "primary": {"backend": "anthropik", "model": "b"}}, "did you mean anthropic?"),
        ({"cheap": {"backend": "groq"}, "primary": {"backend": "anthropic"}}, "smart.mine.cheap.backend: 'groq' names"),
        ({"cheap": {"model": "a"}, "primary": {"backend": "groq"}}, "'groq' names no model; give it a model"),
    ],
)
def test_mistakes_of_the_file(written: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=r"c\.yaml:") as caught:
        read({}, smart={"mine": written})
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"llm_cheap_model": "a"}, None),
        ({"llm_backend": "nobody", "llm_cheap_model": "a"}, "no backend and no provider is called 'nobody'"),
        ({"llm_backend": "groq", "llm_cheap_model": "a"}, "names no model; set llm_model, or write PROVIDER/MODEL"),
        ({"llm_backend": "anthropic", "llm_cheap_backend": "groq"}, "names no model; set llm_cheap_model"),
        ({"llm_backend": "anthropic"}, None),
    ],
)
def test_invalid_variables_do_not_prevent_a_start(said: dict[str, str], says: str | None) -> None:
    config = read(said, "environment")
    assert "auto" not in config.plan.smart_names
    if says is not None:
        assert any("environment: LLM_" in warning and says in warning for warning in config.warnings), config.warnings


def test_a_rule_named_auto_beats_the_smart_model() -> None:
    routes = [{"match": "auto", "backend": "local", "model": "x"}]
    config = read({"llm_backend": "anthropic", "llm_cheap_model": "a"}, "environment", routes=routes)
    assert "auto" not in config.plan.smart_names
    assert any("'auto' is never reached" in warning for warning in config.warnings)
    chosen = decide(RoutingInput("auto"), config.plan).chosen
    assert chosen is not None
    assert (chosen.backend, chosen.model) == ("local", "x")


def test_the_guides_example() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text("utf-8")
    (example,) = re.findall(r"```yaml\n(# providers\.yaml\n.*?)```", guide, re.DOTALL)
    config = load(example, "providers.yaml", ENV)
    assert targets(config) == [OPUS, ("home", "hermes3", "http://127.0.0.1:11434", None)]
    assert config.settings.store == "sqlite:///crosswire.db"
    assert config.warnings == ()
    named = set(re.findall(r"[a-z][a-z.-]+", guide.partition("Known, in any case, are ")[2].partition("\n\n")[0]))
    assert {row.name for row in PROVIDERS} <= {name.rstrip(".") for name in named}


# ---- custom providers ------------------------------------------------------------------------------------------------


def test_a_custom_provider_beats_a_built_in_one() -> None:
    custom = {"groq": {"protocol": "ollama", "base_url": "http://mine:1", "api_key": "own", "default_model": "d"}}
    config = read({"llm_backend": "anthropic", "llm_cheap_backend": "groq"}, llm_custom_providers=custom)
    assert targets(config)[1] == ("groq", "d", "http://mine:1", "own")  # the variable is another provider's
    assert "own" not in repr(config)


def test_the_nearai_key_configures_only_near_ai() -> None:
    block = {"base_url": "https://near.example/v1", "api_key": "file-key", "default_model": "glm"}
    said = {"llm_backend": "anthropic", "llm_cheap_backend": "near"}
    assert targets(read(said, env={"ANTHROPIC_API_KEY": PRIMARY_KEY}, nearai=block))[1] == (
        *("nearai", "glm"),
        *("https://near.example/v1", "file-key"),
    )
    env = {**ENV, "NEARAI_BASE_URL": "https://moved.example/v1"}
    assert targets(read(said, env=env, nearai=block))[1] == ("nearai", "glm", "https://moved.example/v1", "near-key")


@pytest.mark.parametrize(
    ("custom", "says"),
    [
        ({"home": {"base_url": "http://h"}}, "llm_custom_providers.home.protocol: is missing"),
        ({"home": {"protocol": "ollama"}}, "llm_custom_providers.home.base_url: is missing"),
        ({"home": {"protocol": "mlx", "base_url": "http://h"}}, "llm_custom_providers.home.protocol: 'mlx' is unknown"),
        ({"two words": {"protocol": "ollama", "base_url": "http://h"}}, "is not a valid provider name"),
        ({"line\nend": {"protocol": "ollama", "base_url": "http://h"}}, "is not a valid provider name"),
        ({"home": {"protocol": "olama", "base_url": "http://h"}}, "did you mean ollama?"),
        ({"home": {"protocol": "ollama", "base_url": "http://h", "url": "x"}}, "did you mean base_url?"),
    ],
)
def test_mistakes_of_custom_providers(custom: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read({}, llm_custom_providers=custom)
    assert says in str(caught.value)


def test_custom_providers_can_be_stored_with_credentials() -> None:
    stored = Snapshot(credentials=(Credential(id="1", provider="home", name="default", key="sk-stored-home"),))
    said = {"llm_backend": "anthropic", "llm_cheap_backend": "home", "llm_cheap_model": "hermes3"}
    config = read({**said, "llm_custom_providers": HOME}, "store", stored=stored)
    assert targets(config) == [OPUS, ("home", "hermes3", "http://127.0.0.1:9999", "sk-stored-home")]


# ---- what the store lays over ----------------------------------------------------------------------------------------


def stored(**settings: str) -> Snapshot:
    return Snapshot(settings=tuple(Setting(key=key, value=value) for key, value in settings.items()))


def test_which_keys_can_be_stored() -> None:
    config = read({}, stored=stored(keepalive_s="3", retry="{attempts: 2}", unmapped="local"))
    assert (config.settings.keepalive_s, config.settings.retry.attempts, config.plan.unmapped) == (3, 2, "local")


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("keepalive", "3", "unknown key; did you mean keepalive_s?"),
        ("keepalive_s", "soon", "is not a number of at least 0"),
        ("keepalive_s", "${SECRET}", "is resolved in the file only"),
        ("admin_key", "x", "settings are not encrypted"),
        ("llm_custom_providers", "{h: {api_key: x}}", "crosswire credentials add"),
        ("routes", "[]", "crosswire mappings add"),
        ("listen", "127.0.0.1:1", "only at a start"),
        ("keepalive_s", "{", "invalid YAML"),
        ("keepalive_s", "", "is empty"),
        ("store", "sqlite:///x", "the address of the store"),
    ],
)
def test_mistakes_of_stored_settings(key: str, value: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read({}, stored=stored(**{key: value}))
    (complaint,) = caught.value.complaints
    assert complaint.startswith(f"store: settings: {key}: ")
    assert says in complaint


def rules(*found: StoredRoute) -> Snapshot:
    return Snapshot(mappings=found)


def test_stored_mappings_are_routes() -> None:
    rule = StoredRoute(
        id=7,
        match="team-*",
        backend="groq",
        model="{1}",
        priority=5,
        fallback=("local", {"backend": "claude", "model": "c"}),
    )
    config = read({}, stored=rules(rule, StoredRoute(id=8, match="team-*", backend="gone", priority=5, enabled=False)))
    decision = decide(RoutingInput("team-blue"), config.plan)
    assert [(step.backend, step.model) for step in decision.chain] == [
        ("groq", "blue"),
        ("local", "blue"),
        ("anthropic", "c"),
    ]


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (
            StoredRoute(id=7, match="a", backend="lokal"),
            "store: mapping 7: no backend and no provider is called 'lokal'; did you mean local?",
        ),
        (StoredRoute(id=7, match="a", backend="local", fallback=("nobody",)), "store: mapping 7: no backend"),
        (StoredRoute(id=7, match="a", backend="local", fallback=({"model": "x"},)), "store: mapping 7: no backend"),
        (StoredRoute(id=7, match="gpt-*", backend="local", model="{2}"), "{2} refers to no wildcard"),
        (StoredRoute(id=7, match="dup", backend="local"), "matched by"),
    ],
)
def test_mistakes_of_stored_mappings(rule: StoredRoute, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read({}, stored=rules(rule), routes=[{"match": "dup", "backend": "anthropic"}])
    assert says in str(caught.value)
