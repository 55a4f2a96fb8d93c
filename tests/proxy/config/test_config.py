"""Tests of loading a config: values, defaults, and the message and location of every error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.config import Config, Settings, load, load_file
from crosswire.proxy.config.backends import BACKEND_KEYS
from crosswire.proxy.config.changed_defaults import CHANGED_DEFAULTS
from crosswire.proxy.config.limits import Limits
from crosswire.proxy.config.reference import KEYS_REFERENCE
from crosswire.proxy.config.settings import SETTINGS, CorsSettings
from crosswire.proxy.errors import ConfigError
from crosswire.proxy.headers import ROUTING
from crosswire.proxy.ir import CAPABILITIES
from crosswire.proxy.ir.loss_tables import LOSS_RULES
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.routing import BackendConfig, RoutingInput, decide

from .sample_config import CONFIG_VARIABLES, SECRET, SPECS, errors_of

MIB = 1024 * 1024


def read(
    text: str, env: Mapping[str, str] = CONFIG_VARIABLES, port: int | None = None, backend: str | None = None
) -> Config:
    return load(text, "c.yaml", env, SPECS, port=port, backend=backend)


def outcome(text: str) -> Config | ConfigError:
    try:
        return read(text)
    except ConfigError as error:
        return error


def only(text: str) -> BackendConfig:
    (backend,) = read(text).plan.backends
    return backend


EXAMPLE = """\
# crosswire.yaml
listen: 127.0.0.1:9001
backends:
  openai:
    protocol: openai-chat
    base_url: https://api.openai.com/v1          # what that protocol's official SDK takes: OpenAI with /v1; Anthropic, Gemini, Ollama without
    api_key: ${OPENAI_API_KEY}
    models: {gpt-5-nano: gpt-5-nano, fast: gpt-5-mini}        # the client's name: the upstream's name
    capabilities: auto                           # auto = what the protocol's table can say; or an explicit list
    priority: 10                                 # higher first, ties by file order
  gemini:
    protocol: gemini
    base_url: https://generativelanguage.googleapis.com
    api_key: ${GEMINI_API_KEY}
    models: {gemini-2.5-flash: gemini-2.5-flash, gemini-2.0-flash: gemini-2.0-flash-exp}
    default_model: gemini-2.5-flash
"""  # noqa: E501 - the documented example, to the letter

BASE = """\
backends:
  a:
    protocol: openai-chat
    base_url: http://host/v1
"""
"""The smallest valid config; the cases of the tables are appended from line 5 on."""


# ---- what loads ------------------------------------------------------------------------------------------------------


def test_the_documented_example() -> None:
    config = load(EXAMPLE, "crosswire.yaml", {"OPENAI_API_KEY": "sk-1", "GEMINI_API_KEY": "g-1"})
    openai, gemini = config.plan.backends
    assert openai == BackendConfig(
        name="openai",
        protocol="openai-chat",
        base_url="https://api.openai.com/v1",
        api_key="sk-1",
        models={"gpt-5-nano": "gpt-5-nano", "fast": "gpt-5-mini"},
        capabilities=PROTOCOLS["openai-chat"].capabilities,
        priority=10,
    )
    assert (gemini.default_model, gemini.api_key, gemini.priority) == ("gemini-2.5-flash", "g-1", 0)
    assert config.settings == Settings()
    assert (config.warnings, config.plan.last_resort) == ((), None)
    assert decide(RoutingInput("fast"), config.plan).mode == "model_mapping"


def test_defaults() -> None:
    config = read(BASE)
    assert config.settings == Settings()
    assert only(BASE) == BackendConfig(
        name="a", protocol="openai-chat", base_url="http://host/v1", capabilities=SPECS["openai-chat"].capabilities
    )
    assert (config.settings.host, config.settings.port) == ("127.0.0.1", 9001)
    assert (config.settings.body_limit, config.settings.max_frame) == (32 * MIB, 64 * MIB)
    assert config.settings.response_headers == frozenset(ROUTING)


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("listen: localhost:1", ("host", "port"), ("localhost", 1)),
        ("listen: '[::1]:0'", ("host", "port"), ("::1", 0)),
        ("listen: 127.0.0.1:${PORT}", ("host", "port"), ("127.0.0.1", 9005)),
        ("body_limit: 1000", ("body_limit",), (1000,)),
        ("body_limit: 2 MiB", ("body_limit",), (2 * MIB,)),
        ("max_frame: 1GiB", ("max_frame",), (1024 * MIB,)),
        ("max_in_flight: 7", ("max_in_flight",), (7,)),
        ("max_in_flight: 0", ("max_in_flight",), (0,)),
        ("limits: {header: 1 KiB, depth: 9}", ("limits",), (Limits(header=1024, depth=9),)),
        ("limits: {stream_s: 0.5, streams: 1}", ("limits",), (Limits(stream_s=0.5, streams=1),)),
        ("connect_timeout_s: 0.05", ("connect_timeout_s",), (0.05,)),
        ("read_timeout_s: 1e3", ("read_timeout_s",), (1000,)),
        ("keepalive_s: ${NONE:-2}", ("keepalive_s",), (2,)),
        ("drain_s: 0", ("drain_s",), (0,)),
        ("records: 0", ("records",), (0,)),
        ("records: ${EMPTY:-7}", ("records",), (7,)),
        ("strict: true", ("strict",), (True,)),
        ("strict: ${ON}", ("strict",), (True,)),
        ("relay: never", ("relay",), ("never",)),
        ("ledger: {top_k: refuse, image: drop}", ("ledger",), ({"top_k": "refuse", "image": "drop"},)),
        ("response_headers: false", ("response_headers",), (frozenset(),)),
        ("response_headers: true", ("response_headers",), (frozenset(ROUTING),)),
        ("response_headers: [x-crosswire-loss]", ("response_headers",), (frozenset(("x-crosswire-loss",)),)),
        ("admin_key: ${KEY}", ("admin_key",), (SECRET,)),
        ("listen: 0.0.0.0:1\nopen: true", ("host", "port", "open"), ("0.0.0.0", 1, True)),  # noqa: S104
        (
            "hosts: [Ai.Example, '::1', '[2001:db8:0::1]']",
            ("hosts",),
            (frozenset(("ai.example", "::1", "2001:db8::1")),),
        ),
        ("hosts: [münchen.example.]", ("hosts",), (frozenset(("xn--mnchen-3ya.example",)),)),
        (
            "cors: {origins: ['https://a.example']}",
            ("cors",),
            (CorsSettings(origins=frozenset(("https://a.example",))),),
        ),
        ("cors: {}", ("cors",), (CorsSettings(),)),
        ("hop_limit: 2", ("hop_limit",), (2,)),
        ("reload_settle_s: 0", ("reload_settle_s",), (0,)),
        ("exit_s: 0.5", ("exit_s",), (0.5,)),
        ("log_buffer: 1 MiB", ("log_buffer",), (MIB,)),
        ("log_end_s: 0", ("log_end_s",), (0,)),
        ("store: {url: 'sqlite:///x.db'}", ("store",), ("sqlite:///x.db",)),
        (
            "store: {url: 'sqlite:///x.db', create: true}",
            ("store", "store_create"),
            ("sqlite:///x.db", True),
        ),
    ],
)
def test_settings(line: str, field: tuple[str, ...], value: tuple[object, ...]) -> None:
    settings = read(f"{BASE}{line}\n").settings
    assert tuple(getattr(settings, name) for name in field) == value
    others = set(Settings.__struct_fields__) - set(field)
    assert all(getattr(settings, name) == getattr(Settings(), name) for name in others)


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("api_key: ${KEY}", "api_key", SECRET),
        ("api_key: '${KEY}'", "api_key", SECRET),
        ("api_key: ${NONE:-}", "api_key", None),
        ("api_key: '12345'", "api_key", "12345"),
        ("api_key: ${PORT}", "api_key", "9005"),
        ("api_key: a$${KEY}$b", "api_key", "a${KEY}$b"),
        ("models: [m, n]", "models", {"m": "m", "n": "n"}),
        ("models: {fast: '${WORD}-${NONE:-2.5}'}", "models", {"fast": "gemini-2.5"}),
        ("models: {yes: off, 5: x}", "models", {"yes": "off", "5": "x"}),
        ("default_model: 2024-05-01", "default_model", "2024-05-01"),
        ("provider: vendor", "provider", "vendor"),
        ("capabilities: [vision]", "capabilities", frozenset(("text", "vision"))),
        ("capabilities: [tools.parallel]", "capabilities", frozenset(("text", "tools", "tools.parallel"))),
        ("capabilities: []", "capabilities", frozenset(("text",))),
        ("capabilities: [text]", "capabilities_from", "explicit"),
        ("capabilities: auto", "capabilities_from", "auto"),
        ("priority: -3", "priority", -3),
        ("quirks: [no_index]", "quirks", frozenset(("no_index",))),
        ("limits: {temperature: 1.5}", "limits", {"temperature": 1.5}),
        ("max_tokens: 4096", "max_tokens", 4096),
        ("max_in_flight: 3", "max_in_flight", 3),
        ("relay: never", "relay", "never"),
        ("strict: true", "strict", True),
        ("headers: {X-Team: blue}", "headers", {"x-team": "blue"}),
        ("betas: [context-1m-*, a]", "betas", ("context-1m-*", "a")),
        ("betas: []", "betas", ()),
    ],
)
def test_backends(line: str, field: str, value: object) -> None:
    assert getattr(only(f"{BASE}    {line}\n"), field) == value


@pytest.mark.parametrize(
    ("given_url", "kept"),
    [
        ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
        ("http://host:8080", "http://host:8080"),
        ("http://[::1]:8080//", "http://[::1]:8080"),
        ("https://host/a/b", "https://host/a/b"),
        ("http://127.0.0.1:9002/v1", "http://127.0.0.1:9002/v1"),
    ],
)
def test_base_url(given_url: str, kept: str) -> None:
    assert only(BASE.replace("http://host/v1", f"'{given_url}'")).base_url == kept


def test_backends_override_settings() -> None:
    other = "  b: {protocol: gemini, base_url: http://g, relay: auto, strict: false}\n"
    text = f"relay: never\nstrict: true\n{BASE}{other}"
    a, b = read(text).plan.backends
    assert (a.relay, a.strict) == ("never", True)
    assert (b.relay, b.strict) == ("auto", False)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            BASE.replace("openai-chat", "anthropic"),
            "c.yaml:4: backends.a.base_url: ends in /v1, which anthropic adds",
        ),
        (BASE + "listen: '[::1]:9001'\n", None),
        (BASE + "listen: 127.1.2.3:9001\n", None),
        (BASE + "listen: 0.0.0.0:9001\nopen: true\n", None),
    ],
)
def test_warnings(text: str, warning: str | None) -> None:
    warnings = read(text).warnings
    assert len(warnings) == (warning is not None)
    assert warning is None or warnings[0].startswith(warning)


HOSTS: dict[str, bool] = {
    "api.example.org": True,
    "localhost": True,
    "a_b.internal": True,
    "trailing.dot.": True,
    "127.0.0.1": True,
    "[::1]": True,
    "[fe80::1%25eth0]": True,
    "127.1": True,
    "münchen.example": True,
    "xn--mnchen-3ya.example": True,
    "xn--fa-hia.de": True,
    "a..b": False,
    ".a": False,
    "xn--zzzzzz": False,
    "xn--": False,
    f"{'a' * 64}.example": False,
    f"{'a.' * 130}example": False,
    "999.999.999.999": False,
    "1.2.3.4.5": False,
    "a,b": False,
    "a%20b": False,
    "exa%mple": False,
    "*": False,
}
"""Hosts of a base URL, and whether a resolver could look them up."""


@pytest.mark.parametrize(("host", "good"), HOSTS.items(), ids=list(HOSTS))
def test_hosts_that_cannot_be_are_mistakes_with_file_and_line(host: str, good: bool) -> None:
    text = BASE.replace("http://host/v1", f"http://{host}/v1")
    if good:
        assert only(text).base_url.isascii()
        return
    (complaint,) = errors_of(lambda: read(text))
    assert complaint.startswith("c.yaml:4: backends.a.base_url: is no ")
    assert len(host) < 3 or host not in complaint


def test_flags() -> None:
    config = read(BASE, port=1234, backend="a")
    assert (config.settings.port, config.plan.last_resort) == (1234, "a")
    assert errors_of(lambda: read(BASE, port=70000, backend="aa")) == [
        "--port: 70000 is not a port; give one from 0 to 65535",
        "--backend: no backend is called 'aa'; did you mean a?",
    ]


# ---- error messages --------------------------------------------------------------------------------------------------

ERRORS: list[tuple[str, str, int, str, str]] = [
    # (what, text, line, path, words)
    ("nothing", "", 1, "", "is empty"),
    ("only a comment", "# soon\n", 1, "", "is empty"),
    ("no mapping", "- a\n", 1, "", "is a list; give a mapping"),
    ("no backends", "strict: true\n", 1, "backends", "is missing; name at least one"),
    ("backends: empty", "backends: {}\n", 1, "backends", "is empty; name at least one"),
    ("backends: null", "strict: true\nbackends:\n", 2, "backends", "is empty; give a mapping"),
    ("backends: a list", "backends:\n  - a\n", 2, "backends", "is a list; give a mapping"),
    ("a backend: null", "backends:\n  a:\n", 2, "backends.a", "is empty; give a mapping"),
    ("a backend's name", BASE.replace("  a:", "  'a b':"), 2, "backends.'a b'", "is not a valid backend name"),
    ("syntax", "backends: {a: [\n", 2, "", "invalid YAML"),
    ("a tab", "backends:\n\ta: 1\n", 2, "", "invalid YAML"),
    ("two documents", f"{BASE}---\n{BASE}", 5, "", "invalid YAML"),
    ("a control character", BASE + "# \x07\n", 5, "", "a forbidden character"),
    ("a key twice", BASE + "    protocol: gemini\n", 5, "backends.a.protocol", "duplicate key, first on line 3"),
    ("a backend twice", BASE + "  a: {}\n", 5, "backends.a", "duplicate key, first on line 2"),
    ("a model twice", BASE + "    models:\n      m: x\n      m: y\n", 7, "backends.a.models.m", "first on line 6"),
    ("a model twice in a list", BASE + "    models: [m,\n      m]\n", 6, "backends.a.models[1]", "first on line 5"),
    (
        "two name a model",
        BASE + "    models: {m: x}\n  b:\n    protocol: gemini\n    base_url: http://g\n    models: [\n      n, m]\n",
        10,
        "backends.b.models.m",
        "the model 'm' is named by backends.a on line 5 too; keep one of them",
    ),
    ("an unknown key", BASE + "zebra: red\n", 5, "zebra", "unknown key; known: backends, routes"),
    ("a mistyped key", BASE + "lissten: x\n", 5, "lissten", "did you mean listen?"),
    ("port", BASE + "port: 9001\n", 5, "port", "did you mean listen?"),
    ("a backend's mistyped key", BASE + "    priorty: 1\n", 5, "backends.a.priorty", "did you mean priority?"),
    ("url", BASE + "    url: http://x\n", 5, "backends.a.url", "did you mean base_url?"),
    ("model_mapping", BASE + "    model_mapping: {}\n", 5, "backends.a.model_mapping", "did you mean models?"),
    ("key", BASE + "    key: x\n", 5, "backends.a.key", "did you mean api_key?"),
    ("a merge", BASE + "    <<: {}\n", 5, "backends.a.'<<'", "unknown key"),
    ("no protocol", "backends:\n  a:\n    base_url: http://x\n", 2, "backends.a.protocol", "is missing; one of openai"),
    ("no base_url", "backends:\n  a:\n    protocol: gemini\n", 2, "backends.a.base_url", "is missing; give the"),
    ("unknown protocol", BASE.replace("openai-chat", "openai-chats"), 3, "backends.a.protocol", "mean openai-chat?"),
    ("no such protocol", BASE.replace("openai-chat", "smtp"), 3, "backends.a.protocol", "'smtp' is unknown; known:"),
    ("protocol: a list", BASE.replace("openai-chat", "[gemini]"), 3, "backends.a.protocol", "is a list; give one of"),
    ("ftp", BASE.replace("http:", "ftp:"), 4, "backends.a.base_url", "is not an http or https URL"),
    ("no scheme", BASE.replace("http://", ""), 4, "backends.a.base_url", "is not an http or https URL"),
    ("no host", BASE.replace("host", ""), 4, "backends.a.base_url", "is not a valid URL"),
    ("a bad port", BASE.replace("host", "host:99999"), 4, "backends.a.base_url", "is not a valid URL"),
    ("credentials", BASE.replace("host", "u:p@host"), 4, "backends.a.base_url", "has credentials in it"),
    ("a query", BASE.replace("/v1", "/v1?v=2"), 4, "backends.a.base_url", "has a query"),
    ("white space", BASE.replace("host", "ho st"), 4, "backends.a.base_url", "white space"),
    ("an endpoint", BASE.replace("/v1", "/v1/chat/completions"), 4, "backends.a.base_url", "ends in the endpoint"),
    ("itself", BASE.replace("host", "localhost:9001"), 4, "backends.a.base_url", "is the proxy's own address"),
    ("an unset variable", BASE + "    api_key: ${NONE}\n", 5, "backends.a.api_key", "set the variable NONE"),
    ("one in a list", BASE + "    models: [\n      '${NONE}']\n", 6, "backends.a.models[0]", "${NONE} is not set"),
    ("an empty variable", BASE + "    api_key: ${EMPTY}\n", 5, "backends.a.api_key", "is empty or not ASCII"),
    ("a key of two lines", BASE + "    api_key: ${BAD}\n", 5, "backends.a.api_key", "a line break"),
    ("an open reference", BASE + "    api_key: ${KEY\n", 5, "backends.a.api_key", "write $${"),
    ("a reference as key", BASE + "    models:\n      ${KEY}: x\n", 6, "backends.a.models.'${KEY}'", "values only"),
    ("a number as text", BASE + "    api_key: 12345\n", 5, "backends.a.api_key", "is a number, not text; put it"),
    ("a truth as text", BASE + "    default_model: true\n", 5, "backends.a.default_model", "put it in quotes"),
    ("null as text", BASE + "    default_model:\n", 5, "backends.a.default_model", "is empty; give text"),
    ("a tag", BASE + "    default_model: !x y\n", 5, "backends.a.default_model", "has a YAML tag"),
    ("models: text", BASE + "    models: m\n", 5, "backends.a.models", "is text; give a mapping or a list"),
    ("a model of two lines", BASE + '    models: {m: "x\\ny"}\n', 5, "backends.a.models.m", "a control character"),
    ("an empty model", BASE + "    models: {m: ''}\n", 5, "backends.a.models.m", "is empty"),
    ("an unknown capability", BASE + "    capabilities:\n      - text\n      - fly\n", 7, "backends.a.capabilities[1]",
     "'fly' is unknown; known: " + ", ".join(CAPABILITIES)),
    ("a mistyped capability", BASE + "    capabilities: [tool]\n", 5, "backends.a.capabilities[0]", "mean tools?"),
    ("a capability twice", BASE + "    capabilities: [text, text]\n", 5, "backends.a.capabilities[1]", "listed twice"),
    ("capabilities: all", BASE + "    capabilities: all\n", 5, "backends.a.capabilities", "give auto, or a list"),
    ("priority: text", BASE + "    priority: high\n", 5, "backends.a.priority", "is not a whole number"),
    ("priority: quoted", BASE + "    priority: '1'\n", 5, "backends.a.priority", "without quotes"),
    ("priority: a fraction", BASE + "    priority: 1.5\n", 5, "backends.a.priority", "is not a whole number"),
    ("max_tokens: 0", BASE + "    max_tokens: 0\n", 5, "backends.a.max_tokens", "whole number of at least 1"),
    ("an unknown quirk", BASE + "    quirks: [no_indx]\n", 5, "backends.a.quirks[0]", "did you mean no_index?"),
    ("a quirk where none is", BASE.replace("openai-chat", "anthropic").replace("/v1", "") + "    quirks: [x]\n", 5,
     "backends.a.quirks[0]", "none is defined"),
    ("an unknown limit", BASE + "    limits: {stops: 1}\n", 5, "backends.a.limits.stops", "did you mean stop?"),
    ("a limit below 0", BASE + "    limits: {stop: -1}\n", 5, "backends.a.limits.stop", "of at least 0"),
    ("an own header", BASE + "    headers: {Host: x}\n", 5, "backends.a.headers.Host", "is set by the proxy itself"),
    ("a header's name", BASE + "    headers: {'x y': z}\n", 5, "backends.a.headers.'x y'", "not a valid header name"),
    ("a header's value", BASE + '    headers: {x: "a\\r\\nb"}\n', 5, "backends.a.headers.x", "not a valid header"),
    ("a header twice", BASE + "    headers: {x-a: b, X-A: c}\n", 5, "backends.a.headers.X-A", "in another case"),
    ("backend relay", BASE + "    relay: always\n", 5, "backends.a.relay", "is unknown; known: auto, never"),
    ("strict: yes", BASE + "strict: yes\n", 5, "strict", "is not true or false"),
    ("strict: True", BASE + "strict: True\n", 5, "strict", "is not true or false"),
    ("strict: quoted", BASE + "strict: 'true'\n", 5, "strict", "without quotes"),
    ("listen: any address", BASE + "listen: 0.0.0.0:1\n", 5, "listen", "with the line: open: true"),
    ("listen: another machine's name", BASE + "listen: ai.example:1\n", 5, "listen", "with the line: open: true"),
    ("listen: a name that is none", BASE + "listen: a..b:1\n", 5, "listen", "is no host name"),
    ("open: a word", BASE + "open: yes\n", 5, "open", "is not true or false"),
    ("hosts: a text", BASE + "hosts: a.example\n", 5, "hosts", "give a list"),
    ("hosts: a port", BASE + "hosts: ['a.example:80']\n", 5, "hosts", "give no port, path or wildcard"),
    ("hosts: a wildcard", BASE + "hosts: ['*.example']\n", 5, "hosts", "give no port, path or wildcard"),
    ("hosts: a URL", BASE + "hosts:\n  - http://a.example\n", 6, "hosts", "give no port, path or wildcard"),
    ("cors: all", BASE + "cors: {origins: ['*']}\n", 5, "cors.origins", "all pages at once cannot be allowed"),
    ("cors: a path", BASE + "cors: {origins: ['https://a.example/']}\n", 5, "cors.origins", "is no origin"),
    ("cors: no origin that can be said", BASE + "cors: {origins: ['null']}\n", 5, "cors.origins", "is no origin"),
    ("cors: a list", BASE + "cors: ['https://a.example']\n", 5, "cors", "is a list"),
    ("cors: another key", BASE + "cors: {methods: []}\n", 5, "cors.methods", "known: origins"),
    ("hop_limit: 0", BASE + "hop_limit: 0\n", 5, "hop_limit", "at least 1"),
    ("store: no URL", BASE + "store: {create: true}\n", 5, "store.url", "is missing"),
    ("store: create", BASE + "store: {url: 'sqlite:///x', create: 1}\n", 5, "store.create", "is not true or false"),
    ("admin_key: short", BASE + "admin_key: 0123456789abcde\n", 5, "admin_key", "openssl rand -hex 16"),
    ("listen: a number", BASE + "listen: 9001\n", 5, "listen", "is a number, not text"),
    ("listen: no port", BASE + "listen: localhost\n", 5, "listen", "is not host:port"),
    ("listen: a big port", BASE + "listen: localhost:65536\n", 5, "listen", "is not host:port"),
    ("listen: a URL", BASE + "listen: http://x:1\n", 5, "listen", "is not host:port"),
    ("body_limit: 0", BASE + "body_limit: 0\n", 5, "body_limit", "is not a size"),
    ("a limit", BASE + "limits: {dept: 5}\n", 5, "limits.dept", "did you mean depth?"),
    ("a limit of 0", BASE + "limits: {streams: 0}\n", 5, "limits.streams", "of at least 1"),
    ("a limit of no size", BASE + "limits: {stream: 0}\n", 5, "limits.stream", "is not a size"),
    ("a limit of no time", BASE + "limits: {write_s: 0}\n", 5, "limits.write_s", "above 0"),
    ("max_in_flight below 0", BASE + "max_in_flight: -1\n", 5, "max_in_flight", "of at least 0"),
    ("body_limit: MB", BASE + "body_limit: 3 MB\n", 5, "body_limit", "such as 32 MiB"),
    ("a timeout of 0", BASE + "read_timeout_s: 0\n", 5, "read_timeout_s", "above 0"),
    ("a timeout below 0", BASE + "keepalive_s: -1\n", 5, "keepalive_s", "of at least 0"),
    ("an endless timeout", BASE + "keepalive_s: .inf\n", 5, "keepalive_s", "is not a number"),
    ("a huge timeout", BASE + "keepalive_s: 1e999\n", 5, "keepalive_s", "is not a number"),
    ("a timeout with a unit", BASE + "keepalive_s: 15s\n", 5, "keepalive_s", "is not a number"),
    ("records below 0", BASE + "records: -1\n", 5, "records", "of at least 0"),
    ("ledger: a word", BASE + "ledger:\n  top_kk: drop\n", 6, "ledger.top_kk", "did you mean top_k?"),
    ("ledger: an action", BASE + "ledger:\n  top_k: forget\n", 6, "ledger.top_k", "known: refuse, drop, appr"),
    ("response_headers: a word", BASE + "response_headers: [x-crosswire-los]\n", 5, "response_headers[0]", "-loss?"),
    ("response_headers: text", BASE + "response_headers: some\n", 5, "response_headers", "a list of headers to keep"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "path", "says"), [pytest.param(*row[1:], id=row[0]) for row in ERRORS])
def test_mistakes(text: str, line: int, path: str, says: str) -> None:
    (message,) = errors_of(lambda: read(text))
    assert message.startswith(f"c.yaml:{line}: {path}: " if path else f"c.yaml:{line}: ")
    assert says in message
    assert "; " in message or "?" in message, "a complaint says what to do"
    assert SECRET not in message
    assert "\n" not in message


def test_all_errors_are_reported_in_line_order() -> None:
    a, b = "  a: {protocol: x, base_url: y, colour: red}\n", "  b:\n    api_key: ${NONE}\n"
    text = f"strict: 1\nbackends:\n{a}{b}records: many\n"
    found = [message.split(": ")[:2] for message in errors_of(lambda: read(text))]
    assert found == [
        ["c.yaml:1", "strict"],
        ["c.yaml:3", "backends.a.colour"],
        ["c.yaml:3", "backends.a.protocol"],
        ["c.yaml:3", "backends.a.base_url"],
        ["c.yaml:4", "backends.b.protocol"],
        ["c.yaml:4", "backends.b.base_url"],
        ["c.yaml:5", "backends.b.api_key"],
        ["c.yaml:6", "records"],
    ]


@pytest.mark.parametrize(
    "place",
    [
        *(f"{BASE}    {key}: ${{KEY}}\n" for key in BACKEND_KEYS if key not in ("protocol", "base_url")),
        *(f"{BASE}    {key}: [${{KEY}}, {SECRET}]\n" for key in BACKEND_KEYS if key not in ("protocol", "base_url")),
        *(f"{BASE}{key}: ${{KEY}}\n" for key in SETTINGS),
        *(f"{BASE}{key}: {SECRET}\n" for key in SETTINGS),
        *(f"{BASE}{key}: *{SECRET}\n" for key in SETTINGS),
        BASE.replace("openai-chat", "${KEY}"),
        BASE.replace("openai-chat", SECRET),
        BASE.replace("http://host", f"http://{SECRET}@host"),
        BASE.replace("http://host/v1", SECRET),
        f"{BASE}    {SECRET}: x\n",
        f"{BASE}{SECRET}: x\n",
        f"{BASE}    api_key: ${{NONE}}{SECRET}\n",
        f"{BASE}    api_key: {SECRET} {SECRET}\n",
        f"{BASE}    api_key: !{SECRET} x\n",
        f"{BASE}    api_key: !a!{SECRET} x\n",
        f"{BASE}    api_key: &{SECRET} x\n    provider: &{SECRET} y\n    headers: *{SECRET}\n",
    ],
)
def test_no_error_message_repeats_a_secret(place: str) -> None:
    found = outcome(place)
    if isinstance(found, ConfigError):
        assert SECRET not in str(found)
    else:
        # where a key is right, or text is free, it loads, and shows nowhere that hides keys
        assert all(SECRET not in warning for warning in found.warnings)
        assert SECRET not in repr(found.settings)


@given(st.text(max_size=60))
def test_property_any_text_loads_or_is_an_error(text: str) -> None:
    found = outcome(text)
    assert isinstance(found, Config) or all(message.startswith("c.yaml:") for message in found.complaints)


@given(
    st.recursive(
        st.sampled_from(("a", "auto", "1", "true", "~", "${KEY}", "${NO}", "'x'", "http://h")),
        lambda inner: (
            st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
            | st.dictionaries(st.sampled_from((*BACKEND_KEYS, *SETTINGS, "backends", "a")), inner, max_size=5).map(
                lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs.items()) + "}"
            )
        ),
        max_leaves=12,
    )
)
def test_property_any_yaml_tree_loads_or_is_an_error(text: str) -> None:
    for tree in (text, f"{{backends: {text}}}", f"{{backends: {{a: {text}}}}}"):
        found = outcome(tree)
        assert isinstance(found, Config) or (found.complaints and SECRET not in str(found))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(None, "cannot be read: No such file or directory; give the path", id="missing"),
        pytest.param(b"a: b\nc: \xff\n", ":2: is not UTF-8; save it as UTF-8", id="latin-1"),
        pytest.param(b"[" * 100_000, ":1: is nested too deeply", id="too deep"),
        pytest.param(b"&a [*a]\n", ":1: is a list; give a mapping", id="holds itself"),
    ],
)
def test_files_that_are_no_config(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "crosswire.yaml"
    if content is not None:
        path.write_bytes(content)
    (message,) = errors_of(lambda: load_file(path, {}, SPECS))
    assert message.startswith(str(path))
    assert says in message


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "crosswire.yaml"
    path.write_text(EXAMPLE)
    env = {"OPENAI_API_KEY": "sk-1", "GEMINI_API_KEY": "g-1"}
    assert load_file(path, env) == load(EXAMPLE, "crosswire.yaml", env)


NOTED = {
    "admin_key: sixteen-characters": "is now needed for /metrics",
    "retry: {attempts: 1}": "counts rounds",
    "retry: {budget: 0.5}": "of each backend",
    "retry: {floor_per_s: 1}": "for each backend",
    "connect_timeout_s: 3": "includes the look-up",
    "max_frame: 1 MiB": "limits.response",
    "body_limit: 64 MiB": "limits.elements",
    "records: 2000": "limits.record_memory",
    "open: true\nlisten: 0.0.0.0:80": "hosts: [NAME]",
    "relay: auto": "takes away what the model refuses",
    "response_headers: true": "crosswire_losses",
    "ledger: {media_out: refuse}": "media_asked",
    "ledger: {logprobs: refuse}": "logit_bias",
    "ledger: {service_tier: refuse}": "data_residency",
    "ledger: {hosted_tools: refuse}": "tool_loading",
    "ledger: {unknown_field: drop}": "compaction",
    "fetch: {max_bytes: 1 MiB}": "lists no host",
    "unmapped: capability": "to no other now",
}
NOT_NOTED = (
    *("response_headers: false", "response_headers: [x-crosswire-backend]"),
    *("ledger: {media_out: refuse, media_asked: drop}", "ledger: {seed: refuse}"),
    "unmapped: capability\nroutes: [{match: 'gpt-*', backend: openai}]",
    *("relay: never", "retry: {attempts: 2}", "max_frame: 64 MiB", "body_limit: 1 MiB", "records: 10"),
    *("max_frame: 1 MiB\nlimits: {response: 1 MiB}", "records: 2000\nlimits: {record_memory: 32 MiB}"),
    *("ledger: {logprobs: refuse, logit_bias: refuse}", "ledger: {unknown_field: drop, content: drop}"),
    *("ledger: {seed: refuse}", "fetch: {allow: [a.example]}"),
    *("body_limit: 64 MiB\nlimits: {elements: 5000000}", "open: true\nlisten: 0.0.0.0:80\nhosts: [a.example]"),
)


BAD_FETCH = {
    "allow: [https://a.example]": "fetch.allow: is no host",
    "allow: ['*']": "fetch.allow: is no host",
    "allow: ['a.example:0']": "fetch.allow: is no host",
    "allow: ['a.example:99999']": "fetch.allow: is no host",
    "allow: a.example": "fetch.allow",
    "allow: [a.example], private: [home]": "fetch.private: is no address or network",
    "allow: [a.example], types: [png]": "fetch.types: is no media type",
    "allow: [a.example], max_bytes: 0": "fetch.max_bytes",
    "allow: [a.example], max_files: 0": "fetch.max_files",
    "allow: [a.example], timeout_s: 0": "fetch.timeout_s",
    "allow: [a.example], redirects: true": "fetch.redirects: unknown key",
}


@pytest.mark.parametrize("keys", BAD_FETCH)
def test_a_fetch_that_says_nothing_sensible_is_an_error(keys: str) -> None:
    text = f"backends: {{openai: {{api_key: k}}}}\nfetch: {{{keys}}}"
    (message,) = errors_of(lambda: load(text, "c.yaml", {}))
    assert BAD_FETCH[keys] in message


@pytest.mark.parametrize(
    ("written", "host"),
    [
        *(("A.Example", "a.example"), ("'*.a.example:8443'", "*.a.example:8443"), ("'[::1]:8080'", "[::1]:8080")),
        *(("'::1'", "::1"), ("192.0.2.7", "192.0.2.7"), ("bücher.example", "xn--bcher-kva.example")),
    ],
)
def test_hosts_to_fetch_from(written: str, host: str) -> None:
    config = load(f"backends: {{openai: {{api_key: k}}}}\nfetch: {{allow: [{written}]}}", "c.yaml", {})
    assert config.settings.fetch.allow == {host}


@pytest.mark.parametrize("keys", [*NOTED, *NOT_NOTED])
def test_a_value_that_relied_on_an_earlier_default_is_noted(keys: str) -> None:
    config = load(f"backends: {{openai: {{protocol: openai-chat, api_key: k}}}}\n{keys}", "c.yaml", {})
    text = NOTED.get(keys)
    assert [note for note in config.notes if text is None or text not in note] == []
    assert len(config.notes) == (text is not None)
    assert all(note.startswith("c.yaml:") for note in config.notes)


def test_every_changed_default_is_a_key() -> None:
    paths = {info.path for info in KEYS_REFERENCE} | {f"ledger.{word}" for word in LOSS_RULES}
    assert {change.path for change in CHANGED_DEFAULTS} <= paths
    assert len(CHANGED_DEFAULTS) == len(NOTED) - 1  # one of them is about a key without an effect
