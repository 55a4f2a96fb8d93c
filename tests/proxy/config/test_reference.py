"""The reference of the config's keys is complete and true: every key has a row, every default and example loads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import fields as fields_of

from crosswire.proxy.backends.mlx.model_folder import TINY
from crosswire.proxy.backends.mlx.spec import EXTRA
from crosswire.proxy.backends.transport import NameSettings
from crosswire.proxy.config import KEYS, Config, fetch, load
from crosswire.proxy.config.backends import BACKEND_KEYS, PROVIDER_KEYS
from crosswire.proxy.config.clients import CLIENT_KEYS
from crosswire.proxy.config.limits import Limits
from crosswire.proxy.config.reference import KEYS_REFERENCE, REQUIRED, SECTIONS, KeyInfo, section_of
from crosswire.proxy.config.routes import MODE_KEYS, ROUTE_KEYS, SMART_KEYS
from crosswire.proxy.config.settings import PageSettings
from crosswire.proxy.config.tracing import KEYS as TRACING_KEYS
from crosswire.proxy.resilience.circuit_breaker import BreakerSettings
from crosswire.proxy.resilience.retry import RetrySettings
from crosswire.proxy.routing.score import THRESHOLDS, WEIGHTS
from crosswire.proxy.state.settings import FailSettings, StateSettings

from ..backends.test_tls import DAY, NOW, Authority

READERS: dict[str, tuple[str, ...]] = {
    "": KEYS,
    "retry": tuple(field.name for field in fields_of(RetrySettings)),
    "breaker": tuple(field.name for field in fields_of(BreakerSettings)),
    "dns": tuple(field.name for field in fields_of(NameSettings)),
    "fetch": fetch.KEYS,
    "limits": tuple(field.name for field in fields_of(Limits)),
    "ui": tuple(field.name for field in fields_of(PageSettings)),
    "tracing": TRACING_KEYS,
    "state": tuple(field.name for field in fields_of(StateSettings)),
    "state.fails": tuple(field.name for field in fields_of(FailSettings)),
    "backends.*": tuple(BACKEND_KEYS),
    "clients.*": CLIENT_KEYS,
    "routes[]": ROUTE_KEYS,
    "modes.*": MODE_KEYS,
    "smart.*": SMART_KEYS,
    "llm_custom_providers.*": PROVIDER_KEYS,
    "nearai": PROVIDER_KEYS,
}
"""Section to the keys that its reader takes."""

HOME = {"protocol": "ollama", "base_url": "http://127.0.0.1:11434"}
BACKENDS = {"openai": {}, "anthropic": {}, "home": HOME}
SMART = {"cheap": {"backend": "home", "model": "hermes3"}, "primary": {"backend": "openai", "model": "gpt-5"}}

SURROUNDINGS: dict[str, dict[str, Any]] = {
    "backends.*": {"protocol": "openai-chat", "base_url": "http://127.0.0.1:1/v1"},
    "clients.*": {"key": "cw-0123456789abcdef"},
    "tracing": {"endpoint": "http://127.0.0.1:4318/v1/traces"},
    "state": {"url": "valkey://127.0.0.1"},
    "routes[]": {"match": "team-*", "backend": "openai"},
    "modes.*": {"backend": "home"},
    "smart.*": SMART,
    "llm_custom_providers.*": {"protocol": "openai-chat", "base_url": "http://127.0.0.1:8000/v1"},
}
"""Section to the keys without which an entry of it would be refused."""

LOCAL_KEYS = ("backends.*.folder", "backends.*.load")
"""Keys of a backend that only a model in this process has."""

TOGETHER: dict[str, dict[str, Any]] = {
    "mode": {"modes": {"eco": {"backend": "home"}}},
    "jwt": {"clients": {"ada": {"key": "cw-0123456789abcdef"}}},
    "clients.*.claims": {"jwt": {"jwks": "~/keys.json", "audience": "crosswire"}},
    "llm_backend": {"llm_cheap_backend": "home", "llm_cheap_model": "hermes3"},
    "llm_model": {"llm_backend": "anthropic", "llm_cheap_model": "hermes3"},
    "llm_cheap_backend": {"llm_backend": "anthropic/claude-opus-4-6", "llm_cheap_model": "hermes3"},
    "llm_cheap_model": {"llm_backend": "anthropic/claude-opus-4-6"},
}
"""Top-level keys that mean nothing alone, and what else a config with one of them has."""


KEY_SET = {
    "keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "1"}],
}
"""The public key of https://www.rfc-editor.org/rfc/rfc8037#appendix-A.2"""


@pytest.fixture(autouse=True)
def _key_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the key set of the key `jwt` where its example has it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "keys.json").write_text(json.dumps(KEY_SET))


def config_with(info: KeyInfo, value: Any) -> dict[str, Any]:
    """A config in which this key has this value; without the key where the value is None."""
    section, name = section_of(info.path), info.path.rpartition(".")[2]
    found: dict[str, Any] = {"backends": dict(BACKENDS), **TOGETHER.get(info.path, {})}
    entry = found if section == "" else dict(SURROUNDINGS.get(section, {}))
    if value is not None:
        entry[name] = value
    if info.path in LOCAL_KEYS:
        entry["protocol"] = "mlx"
        del entry["base_url"]
        found["prefixes"] = {"local": "home"}  # two local backends, of which one must be chosen
    if info.path == "backends.*.client_key":
        entry["client_cert"] = "~/certs/crosswire.pem"
    if info.path in ("routes[].to", "routes[].strategy", "routes[].sticky_by"):
        del entry["backend"]
    if info.path in ("routes[].strategy", "routes[].sticky_by"):
        entry["to"] = ["openai", "home"]
        if info.path == "routes[].sticky_by":
            entry["strategy"] = "sticky"
    if info.path in ("backends.*.key_strategy", "backends.*.key_weights"):
        entry["api_key"] = ["one-key", "other-key"]
        if info.path == "backends.*.key_weights":
            entry["key_strategy"] = "weighted"
    if section == "backends.*":
        found["backends"]["example"] = entry
    elif section == "routes[]":
        found["routes"] = [entry]
    elif section.endswith(".*"):
        found[section.removesuffix(".*")] = {"example": entry}
    elif section == "state.fails":
        found["state"] = {**SURROUNDINGS["state"], "fails": entry}
    elif section:
        found[section] = entry
    return found


def loaded(found: Mapping[str, Any]) -> Config:
    return load(yaml.safe_dump(dict(found)), "c.yaml", {})


def meaning_of(config: Config) -> tuple[object, object]:
    """Returns the plan and settings of a config, without the lines of its rules."""
    plan = config.plan
    smart = [(each.cheap, each.primary, each.weights, each.thresholds, each.cascade) for each in plan.smart]
    rules = [(each.match, each.targets, each.model, each.priority, each.enabled, each.balance) for each in plan.routes]
    modes = [(each.name, each.backend, each.models) for each in plan.modes.values()]
    rest = (plan.prefixes, plan.unmapped, plan.pins, plan.unlisted, plan.mode, plan.aliases)
    if config.clients is not None:
        return config.settings, (plan.backends, config.clients.clients)
    return config.settings, (plan.backends, smart, rules, modes, rest)


def test_every_key_has_a_row() -> None:
    rows: dict[str, list[str]] = {}
    for info in KEYS_REFERENCE:
        rows.setdefault(section_of(info.path), []).append(info.path.rpartition(".")[2])
    assert {section: sorted(names) for section, names in rows.items()} == {
        section: sorted(names) for section, names in READERS.items()
    }
    assert set(rows) == set(SECTIONS)


def skip_without_extra() -> None:
    if any(find_spec(name) is None for name in EXTRA):
        pytest.skip("the extra `local` is not installed")


@pytest.mark.parametrize("info", KEYS_REFERENCE, ids=lambda info: info.path)
def test_every_example_loads(info: KeyInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if info.path in ("backends.*.ca_file", "backends.*.client_cert", "backends.*.client_key", "state.ca_file"):
        monkeypatch.setenv("HOME", str(tmp_path))
        key, certificate = Authority().pair("crosswire.example", NOW + DAY)
        (tmp_path / "certs").mkdir()
        (tmp_path / "certs/private-ca.pem").write_bytes(certificate)
        (tmp_path / "certs/crosswire.pem").write_bytes(key + certificate)
        (tmp_path / "certs/crosswire.key").write_bytes(key)
    if info.path in LOCAL_KEYS:
        skip_without_extra()
        monkeypatch.setenv("HOME", str(tmp_path))
        if info.path == "backends.*.folder":
            shutil.copytree(TINY, Path(info.example).expanduser())
    loaded(config_with(info, yaml.safe_load(info.example)))


@pytest.mark.parametrize("info", [info for info in KEYS_REFERENCE if info.default], ids=lambda info: info.path)
def test_every_default_is_that_of_an_absent_key(info: KeyInfo) -> None:
    assert info.default is not None
    if info.path in LOCAL_KEYS:
        skip_without_extra()
    value = yaml.safe_load(info.default)
    if info.path in ("smart.*.weights", "smart.*.thresholds"):  # the plan keeps only what differs from the tables
        assert value == (WEIGHTS if info.path.endswith("weights") else THRESHOLDS)
    else:
        assert meaning_of(loaded(config_with(info, value))) == meaning_of(loaded(config_with(info, None)))


@pytest.mark.parametrize("info", [info for info in KEYS_REFERENCE if not info.default], ids=lambda info: info.path)
def test_a_key_without_a_default_says_what_holds_without_it(info: KeyInfo) -> None:
    value = getattr(loaded({"backends": dict(BACKENDS)}).settings, info.path, None)
    assert value is None, "it has a default"
    assert (info.without == REQUIRED) <= (info.path in ("backends",) or section_of(info.path) in SURROUNDINGS)


@pytest.mark.parametrize("info", KEYS_REFERENCE, ids=lambda info: info.path)
def test_a_meaning_is_one_sentence(info: KeyInfo) -> None:
    assert info.meaning.endswith(".")
    assert "\n" not in info.meaning
    assert info.meaning[0].isupper()
