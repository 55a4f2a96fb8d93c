"""Reading the ways out of the house: proxies of the config and of the environment, and files that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crosswire.proxy.config import Config, load
from crosswire.proxy.config.way_out import proxy_of_environment
from crosswire.proxy.errors import ConfigError

CORPORATE = {"HTTPS_PROXY": "http://proxy.corp:3128", "HTTP_PROXY": "proxy.corp:8080"}

PROXIES: dict[str, tuple[dict[str, str], str, str | None]] = {
    "with TLS": (CORPORATE, "https://api.example.com", "http://proxy.corp:3128"),
    "without TLS, and without a scheme": (CORPORATE, "http://api.example.com", "http://proxy.corp:8080"),
    "small letters come first": ({**CORPORATE, "https_proxy": "http://b:1"}, "https://api.example.com", "http://b:1"),
    "one for all": ({"ALL_PROXY": "http://all:1"}, "https://api.example.com", "http://all:1"),
    "none": ({}, "https://api.example.com", None),
    "exempt": ({**CORPORATE, "NO_PROXY": "x.org,api.example.com"}, "https://api.example.com", None),
    "exempt by its domain": ({**CORPORATE, "no_proxy": ".example.com"}, "https://api.example.com", None),
    "exempt by a bare domain": ({**CORPORATE, "no_proxy": "example.com"}, "https://api.example.com", None),
    "not by the end of a word": (
        {**CORPORATE, "no_proxy": "ample.com"},
        "https://x.example.com",
        "http://proxy.corp:3128",
    ),
    "exempt altogether": ({**CORPORATE, "no_proxy": "*"}, "https://api.example.com", None),
    "exempt by its port": ({**CORPORATE, "no_proxy": "api.example.com:8443"}, "https://api.example.com:8443", None),
    "not by another port": (
        {**CORPORATE, "no_proxy": "api.example.com:8443"},
        "https://api.example.com",
        "http://proxy.corp:3128",
    ),
    "exempt by its network": ({**CORPORATE, "no_proxy": "10.0.0.0/8"}, "https://10.1.2.3", None),
    "exempt by its address": ({**CORPORATE, "no_proxy": "::1"}, "https://[::1]:8443", None),
    "not by another network": ({**CORPORATE, "no_proxy": "10.0.0.0/8,x"}, "https://11.1.2.3", "http://proxy.corp:3128"),
}


@pytest.mark.parametrize(("env", "url", "proxy"), PROXIES.values(), ids=list(PROXIES))
def test_the_proxy_of_the_environment(env: dict[str, str], url: str, proxy: str | None) -> None:
    assert proxy_of_environment(env, url) == proxy
    assert read({"base_url": url, "proxy": "environment"}, env).plan.backends[0].proxy == proxy
    assert read({"base_url": url}, env).plan.backends[0].proxy is None  # it was not asked for


def read(keys: dict[str, str], env: dict[str, str] | None = None) -> Config:
    backend = {"protocol": "ollama", "base_url": "https://host.example", **keys}
    return load(json.dumps({"backends": {"b": backend}}), "crosswire.yaml", env or {})


MISTAKES: dict[str, tuple[dict[str, str], str]] = {
    "a proxy of another kind": ({"proxy": "socks5://u:geheim@h:1"}, "proxy: is not an http URL"),
    "a proxy without a scheme": ({"proxy": "proxy.corp:3128"}, "proxy: is not an http URL"),
    "a proxy with a path": ({"proxy": "http://h:1/geheim"}, "proxy: has a path"),
    "a proxy without a port's number": ({"proxy": "http://u:geheim@h:x"}, "proxy: is not a valid URL"),
    "a file that is not there": ({"ca_file": "/nowhere/ca.pem"}, "ca_file: is no file"),
    "a file of something else": ({"ca_file": __file__}, "ca_file: is no PEM file of certificates"),
    "a certificate of something else": (
        {"client_cert": __file__},
        "client_cert: does not hold a certificate and its key",
    ),
    "a key alone": ({"client_key": __file__}, "client_key: needs client_cert"),
}


@pytest.mark.parametrize(("keys", "said"), MISTAKES.values(), ids=list(MISTAKES))
def test_mistakes(keys: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(keys)
    assert f"backends.b.{said}" in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_a_password_is_shown_to_nobody() -> None:
    backend = read({"proxy": "http://user:geheim@h:1"}).plan.backends[0]
    assert backend.proxy == "http://user:geheim@h:1"
    assert "geheim" not in repr(backend)


def test_a_home_folder_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="ca_file: is no file"):
        read({"ca_file": "~/ca.pem"})
