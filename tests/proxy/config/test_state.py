"""The key `state`: what it takes, and what is said about the rest, never with a password."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest

from crosswire.proxy.config import Config, load
from crosswire.proxy.errors import ConfigError
from crosswire.proxy.state.settings import FailSettings, StateSettings

BACKENDS = {"b": {"protocol": "openai-chat", "base_url": "http://127.0.0.1:1", "api_key": "k"}}


def made(state: Any) -> Config:
    return load(json.dumps({"backends": BACKENDS, "state": state}), "crosswire.yaml", {})


@pytest.mark.parametrize(
    ("state", "read"),
    [
        ("memory", StateSettings()),
        ({"url": "memory"}, StateSettings()),
        ("valkey://10.0.0.1", StateSettings(url="valkey://10.0.0.1")),
        ("rediss://:p%40ss@[::1]:7000/3", StateSettings(url="rediss://:p%40ss@[::1]:7000/3")),
        (
            {"url": "redis://h", "prefix": "a.b", "timeout_s": 0.1, "lease_s": 30, "fails": {"budgets": "closed"}},
            StateSettings(
                url="redis://h", prefix="a.b", timeout_s=0.1, lease_s=30, fails=FailSettings(budgets="closed")
            ),
        ),
    ],
)
def test_what_it_takes(state: Any, read: StateSettings) -> None:
    assert made(state).settings.state == read


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("etcd://:hunter2@h", "neither `memory` nor"),
        ("redis://:hunter2@", "no host"),
        ("redis://:hunter2@h:99999", "no URL"),
        ("redis://:hunter2@h/a", "behind the host"),
        ("redis://:hunter2@h/0?db=3", "behind the host"),
        ({"prefix": "p"}, "state.url: is missing"),
        ({"url": "redis://h", "prefix": "a b"}, "state.prefix"),
        ({"url": "redis://h", "timeout_s": 0}, "state.timeout_s"),
        ({"url": "redis://h", "fails": {"limits": "opne"}}, "state.fails.limits"),
        ({"url": "redis://h", "lease": 3}, "state.lease"),
        ({"url": "rediss://h", "ca_file": "/nowhere/ca.pem"}, "state.ca_file: cannot be read"),
        ({"url": "rediss://h", "ca_file": __file__}, "state.ca_file: is no PEM file"),
        (["redis://h"], "state"),
    ],
)
def test_mistakes(state: Any, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        made(state)
    assert said in str(error.value)
    assert "hunter2" not in str(error.value)


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "crosswire.proxy.state.factory.find_spec", lambda name: None if name == "redis" else found(name)
    )
    assert made("memory").settings.state.url is None
    with pytest.raises(ConfigError, match=r"pip install 'crosswire\[state\]'"):
        made("redis://h")


def test_the_environment_sets_it_and_its_password_is_not_shown() -> None:
    env = {"CROSSWIRE_STATE": "redis://user:hunter2@h:7000"}
    settings = load(json.dumps({"backends": BACKENDS}), "crosswire.yaml", env).settings
    assert settings.state.place == "h:7000"
    assert "hunter2" not in repr(settings)
    assert dict(settings.state.__rich_repr__())["url"] == "redis://user:…@h:7000"
