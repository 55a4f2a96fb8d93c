"""The config: what loads, what every mistake is told and where, and what the environment alone amounts to."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ollama._client import _parse_host

from proxy.config import Config, Settings, from_environment, load, load_file
from proxy.config.backend import BACKEND
from proxy.config.environment import triggered
from proxy.config.settings import RESPONSE_HEADERS, SETTINGS
from proxy.errors import ConfigError
from proxy.ir import CAPABILITIES
from proxy.protocols import PROTOCOLS
from proxy.registry import ROWS, find, ollama_address
from proxy.routing import Backend, Facts, decide, find_backend_for_model

MIB = 1024 * 1024
SECRET = "sk-verysecretvalue"


class Stand(msgspec.Struct, frozen=True):
    """A protocol as far as a config looks at it."""

    capabilities: frozenset[str] = frozenset(("text", "tools"))
    quirks: Mapping[str, str] = MappingProxyType({"no_index": "calls come without one", "no_done": "no last word"})
    limits: Mapping[str, float] = MappingProxyType({"stop": 4, "temperature": 2})


STAND: dict[str, Stand] = {
    "openai-chat": Stand(),
    "openai-responses": Stand(),
    "anthropic": Stand(quirks={}, limits={}),
    "gemini": Stand(),
    "ollama": Stand(),
}
ENV = {"KEY": SECRET, "EMPTY": "", "PORT": "9005", "BAD": "two\nlines", "ON": "true", "WORD": "gemini"}


def read(text: str, env: Mapping[str, str] = ENV, port: int | None = None, backend: str | None = None) -> Config:
    return load(text, "c.yaml", env, STAND, port=port, backend=backend)


def complaints(make: Callable[[], object]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        make()
    return list(caught.value.complaints)


def outcome(text: str) -> Config | ConfigError:
    try:
        return read(text)
    except ConfigError as error:
        return error


def only(text: str) -> Backend:
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

BACK = """\
backends:
  a:
    protocol: openai-chat
    base_url: http://host/v1
"""
"""The least that loads; a row of the tables adds line 5 and on."""


# ---- what loads ------------------------------------------------------------------------------------------------------


def test_the_documented_example() -> None:
    config = load(EXAMPLE, "crosswire.yaml", {"OPENAI_API_KEY": "sk-1", "GEMINI_API_KEY": "g-1"})
    openai, gemini = config.plan.backends
    assert openai == Backend(
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
    assert decide(Facts("fast"), config.plan).mode == "model_mapping"


def test_the_least_and_its_defaults() -> None:
    config = read(BACK)
    assert config.settings == Settings()
    assert only(BACK) == Backend(
        name="a", protocol="openai-chat", base_url="http://host/v1", capabilities=STAND["openai-chat"].capabilities
    )
    assert (config.settings.host, config.settings.port) == ("127.0.0.1", 9001)
    assert (config.settings.body_limit, config.settings.max_frame) == (32 * MIB, 64 * MIB)
    assert config.settings.response_headers == frozenset(RESPONSE_HEADERS)


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("listen: localhost:1", ("host", "port"), ("localhost", 1)),
        ("listen: '[::1]:0'", ("host", "port"), ("::1", 0)),
        ("listen: 127.0.0.1:${PORT}", ("host", "port"), ("127.0.0.1", 9005)),
        ("body_limit: 1000", ("body_limit",), (1000,)),
        ("body_limit: 2 MiB", ("body_limit",), (2 * MIB,)),
        ("max_frame: 1GiB", ("max_frame",), (1024 * MIB,)),
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
        ("response_headers: true", ("response_headers",), (frozenset(RESPONSE_HEADERS),)),
        ("response_headers: [x-crosswire-loss]", ("response_headers",), (frozenset(("x-crosswire-loss",)),)),
        ("admin_key: ${KEY}", ("admin_key",), (SECRET,)),
    ],
)
def test_settings(line: str, field: tuple[str, ...], value: tuple[object, ...]) -> None:
    settings = read(f"{BACK}{line}\n").settings
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
        ("relay: never", "relay", "never"),
        ("strict: true", "strict", True),
        ("headers: {X-Team: blue}", "headers", {"x-team": "blue"}),
        ("betas: [context-1m-*, a]", "betas", ("context-1m-*", "a")),
        ("betas: []", "betas", ()),
    ],
)
def test_backends(line: str, field: str, value: object) -> None:
    assert getattr(only(f"{BACK}    {line}\n"), field) == value


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
    assert only(BACK.replace("http://host/v1", f"'{given_url}'")).base_url == kept


def test_a_backend_follows_the_settings_unless_it_says_otherwise() -> None:
    other = "  b: {protocol: gemini, base_url: http://g, relay: auto, strict: false}\n"
    text = f"relay: never\nstrict: true\n{BACK}{other}"
    a, b = read(text).plan.backends
    assert (a.relay, a.strict) == ("never", True)
    assert (b.relay, b.strict) == ("auto", False)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("listen: 0.0.0.0:9001\n" + BACK, "c.yaml:1: listen: other machines can reach it"),
        ("listen: example.org:9001\n" + BACK, "c.yaml:1: listen: other machines can reach it"),
        (BACK.replace("openai-chat", "anthropic"), "c.yaml:4: backends.a.base_url: ends in /v1, which anthropic adds"),
        (BACK + "listen: '[::1]:9001'\n", None),
        (BACK + "listen: 127.1.2.3:9001\n", None),
    ],
)
def test_warnings(text: str, warning: str | None) -> None:
    warnings = read(text).warnings
    assert len(warnings) == (warning is not None)
    assert warning is None or warnings[0].startswith(warning)


def test_flags() -> None:
    config = read(BACK, port=1234, backend="a")
    assert (config.settings.port, config.plan.last_resort) == (1234, "a")
    assert complaints(lambda: read(BACK, port=70000, backend="aa")) == [
        "--port: 70000 is no port; give one from 0 to 65535",
        "--backend: no backend is called 'aa'; did you mean a?",
    ]


# ---- every mistake, where and what to do -----------------------------------------------------------------------------

MISTAKES: list[tuple[str, str, int, str, str]] = [
    # (what, text, line, path, words)
    ("nothing", "", 1, "", "is empty"),
    ("only a comment", "# soon\n", 1, "", "is empty"),
    ("no mapping", "- a\n", 1, "", "is a list; give a mapping"),
    ("no backends", "strict: true\n", 1, "backends", "is missing; name at least one"),
    ("backends: empty", "backends: {}\n", 1, "backends", "is empty; name at least one"),
    ("backends: null", "strict: true\nbackends:\n", 2, "backends", "is empty; give a mapping"),
    ("backends: a list", "backends:\n  - a\n", 2, "backends", "is a list; give a mapping"),
    ("a backend: null", "backends:\n  a:\n", 2, "backends.a", "is empty; give a mapping"),
    ("a backend's name", BACK.replace("  a:", "  'a b':"), 2, "backends.'a b'", "is no name for a backend"),
    ("syntax", "backends: {a: [\n", 2, "", "is no YAML"),
    ("a tab", "backends:\n\ta: 1\n", 2, "", "is no YAML"),
    ("two documents", f"{BACK}---\n{BACK}", 5, "", "is no YAML"),
    ("a control character", BACK + "# \x07\n", 5, "", "a character that YAML forbids"),
    ("a key twice", BACK + "    protocol: gemini\n", 5, "backends.a.protocol", "is on line 3 already"),
    ("a backend twice", BACK + "  a: {}\n", 5, "backends.a", "is on line 2 already"),
    ("a model twice", BACK + "    models:\n      m: x\n      m: y\n", 7, "backends.a.models.m", "on line 6 already"),
    ("a model twice in a list", BACK + "    models: [m,\n      m]\n", 6, "backends.a.models[1]", "on line 5 already"),
    (
        "two name a model",
        BACK + "    models: {m: x}\n  b:\n    protocol: gemini\n    base_url: http://g\n    models: [\n      n, m]\n",
        10,
        "backends.b.models.m",
        "the model 'm' is named by backends.a on line 5 too; keep one of them",
    ),
    ("an unknown key", BACK + "colour: red\n", 5, "colour", "is no key here; known are backends, routes"),
    ("a mistyped key", BACK + "lissten: x\n", 5, "lissten", "did you mean listen?"),
    ("port", BACK + "port: 9001\n", 5, "port", "did you mean listen?"),
    ("a backend's mistyped key", BACK + "    priorty: 1\n", 5, "backends.a.priorty", "did you mean priority?"),
    ("url", BACK + "    url: http://x\n", 5, "backends.a.url", "did you mean base_url?"),
    ("model_mapping", BACK + "    model_mapping: {}\n", 5, "backends.a.model_mapping", "did you mean models?"),
    ("key", BACK + "    key: x\n", 5, "backends.a.key", "did you mean api_key?"),
    ("a merge", BACK + "    <<: {}\n", 5, "backends.a.'<<'", "is no key here"),
    ("no protocol", "backends:\n  a:\n    base_url: http://x\n", 2, "backends.a.protocol", "is missing; one of openai"),
    ("no base_url", "backends:\n  a:\n    protocol: gemini\n", 2, "backends.a.base_url", "is missing; give the"),
    ("unknown protocol", BACK.replace("openai-chat", "openai-chats"), 3, "backends.a.protocol", "mean openai-chat?"),
    ("no such protocol", BACK.replace("openai-chat", "smtp"), 3, "backends.a.protocol", "'smtp' is unknown; known are"),
    ("protocol: a list", BACK.replace("openai-chat", "[gemini]"), 3, "backends.a.protocol", "is a list; give one of"),
    ("ftp", BACK.replace("http:", "ftp:"), 4, "backends.a.base_url", "is no http or https URL"),
    ("no scheme", BACK.replace("http://", ""), 4, "backends.a.base_url", "is no http or https URL"),
    ("no host", BACK.replace("host", ""), 4, "backends.a.base_url", "is no URL"),
    ("a bad port", BACK.replace("host", "host:99999"), 4, "backends.a.base_url", "is no URL"),
    ("credentials", BACK.replace("host", "u:p@host"), 4, "backends.a.base_url", "has credentials in it"),
    ("a query", BACK.replace("/v1", "/v1?v=2"), 4, "backends.a.base_url", "has a query"),
    ("white space", BACK.replace("host", "ho st"), 4, "backends.a.base_url", "white space"),
    ("an endpoint", BACK.replace("/v1", "/v1/chat/completions"), 4, "backends.a.base_url", "ends in the endpoint"),
    ("itself", BACK.replace("host", "localhost:9001"), 4, "backends.a.base_url", "is the proxy's own address"),
    ("an unset variable", BACK + "    api_key: ${NONE}\n", 5, "backends.a.api_key", "set the variable NONE"),
    ("one in a list", BACK + "    models: [\n      '${NONE}']\n", 6, "backends.a.models[0]", "${NONE} is not set"),
    ("an empty variable", BACK + "    api_key: ${EMPTY}\n", 5, "backends.a.api_key", "is empty or not ASCII"),
    ("a key of two lines", BACK + "    api_key: ${BAD}\n", 5, "backends.a.api_key", "a line break"),
    ("an open reference", BACK + "    api_key: ${KEY\n", 5, "backends.a.api_key", "write $${"),
    ("a reference as key", BACK + "    models:\n      ${KEY}: x\n", 6, "backends.a.models.'${KEY}'", "values only"),
    ("a number as text", BACK + "    api_key: 12345\n", 5, "backends.a.api_key", "is a number, not text; put it"),
    ("a truth as text", BACK + "    default_model: true\n", 5, "backends.a.default_model", "put it in quotes"),
    ("null as text", BACK + "    default_model:\n", 5, "backends.a.default_model", "is empty; give text"),
    ("a tag", BACK + "    default_model: !x y\n", 5, "backends.a.default_model", "has a tag"),
    ("models: text", BACK + "    models: m\n", 5, "backends.a.models", "is text; give a mapping or a list"),
    ("a model of two lines", BACK + '    models: {m: "x\\ny"}\n', 5, "backends.a.models.m", "a control character"),
    ("an empty model", BACK + "    models: {m: ''}\n", 5, "backends.a.models.m", "is empty"),
    ("an unknown capability", BACK + "    capabilities:\n      - text\n      - fly\n", 7, "backends.a.capabilities[1]",
     "'fly' is unknown; known are " + ", ".join(CAPABILITIES)),
    ("a mistyped capability", BACK + "    capabilities: [tool]\n", 5, "backends.a.capabilities[0]", "mean tools?"),
    ("a capability twice", BACK + "    capabilities: [text, text]\n", 5, "backends.a.capabilities[1]", "there twice"),
    ("capabilities: all", BACK + "    capabilities: all\n", 5, "backends.a.capabilities", "give auto, or a list"),
    ("priority: text", BACK + "    priority: high\n", 5, "backends.a.priority", "is not a whole number"),
    ("priority: quoted", BACK + "    priority: '1'\n", 5, "backends.a.priority", "without quotes"),
    ("priority: a fraction", BACK + "    priority: 1.5\n", 5, "backends.a.priority", "is not a whole number"),
    ("max_tokens: 0", BACK + "    max_tokens: 0\n", 5, "backends.a.max_tokens", "whole number of at least 1"),
    ("an unknown quirk", BACK + "    quirks: [no_indx]\n", 5, "backends.a.quirks[0]", "did you mean no_index?"),
    ("a quirk where none is", BACK.replace("openai-chat", "anthropic").replace("/v1", "") + "    quirks: [x]\n", 5,
     "backends.a.quirks[0]", "there is none to choose from"),
    ("an unknown limit", BACK + "    limits: {stops: 1}\n", 5, "backends.a.limits.stops", "did you mean stop?"),
    ("a limit below 0", BACK + "    limits: {stop: -1}\n", 5, "backends.a.limits.stop", "of at least 0"),
    ("an own header", BACK + "    headers: {Host: x}\n", 5, "backends.a.headers.Host", "is set by the proxy itself"),
    ("a header's name", BACK + "    headers: {'x y': z}\n", 5, "backends.a.headers.'x y'", "is no header's name"),
    ("a header's value", BACK + '    headers: {x: "a\\r\\nb"}\n', 5, "backends.a.headers.x", "is no header's value"),
    ("a header twice", BACK + "    headers: {x-a: b, X-A: c}\n", 5, "backends.a.headers.X-A", "in another case"),
    ("backend relay", BACK + "    relay: always\n", 5, "backends.a.relay", "is unknown; known are auto, never"),
    ("strict: yes", BACK + "strict: yes\n", 5, "strict", "is not true or false"),
    ("strict: True", BACK + "strict: True\n", 5, "strict", "is not true or false"),
    ("strict: quoted", BACK + "strict: 'true'\n", 5, "strict", "without quotes"),
    ("listen: a number", BACK + "listen: 9001\n", 5, "listen", "is a number, not text"),
    ("listen: no port", BACK + "listen: localhost\n", 5, "listen", "is no host:port"),
    ("listen: a big port", BACK + "listen: localhost:65536\n", 5, "listen", "is no host:port"),
    ("listen: a URL", BACK + "listen: http://x:1\n", 5, "listen", "is no host:port"),
    ("body_limit: 0", BACK + "body_limit: 0\n", 5, "body_limit", "is no size"),
    ("body_limit: MB", BACK + "body_limit: 3 MB\n", 5, "body_limit", "such as 32 MiB"),
    ("a timeout of 0", BACK + "read_timeout_s: 0\n", 5, "read_timeout_s", "above 0"),
    ("a timeout below 0", BACK + "keepalive_s: -1\n", 5, "keepalive_s", "of at least 0"),
    ("an endless timeout", BACK + "keepalive_s: .inf\n", 5, "keepalive_s", "is not a number"),
    ("a huge timeout", BACK + "keepalive_s: 1e999\n", 5, "keepalive_s", "is not a number"),
    ("a timeout with a unit", BACK + "keepalive_s: 15s\n", 5, "keepalive_s", "is not a number"),
    ("records below 0", BACK + "records: -1\n", 5, "records", "of at least 0"),
    ("ledger: a word", BACK + "ledger:\n  top_kk: drop\n", 6, "ledger.top_kk", "did you mean top_k?"),
    ("ledger: an action", BACK + "ledger:\n  top_k: forget\n", 6, "ledger.top_k", "known are refuse, drop, appr"),
    ("response_headers: a word", BACK + "response_headers: [x-crosswire-los]\n", 5, "response_headers[0]", "-loss?"),
    ("response_headers: text", BACK + "response_headers: some\n", 5, "response_headers", "a list of headers to keep"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "path", "says"), [pytest.param(*row[1:], id=row[0]) for row in MISTAKES])
def test_mistakes(text: str, line: int, path: str, says: str) -> None:
    (complaint,) = complaints(lambda: read(text))
    assert complaint.startswith(f"c.yaml:{line}: {path}: " if path else f"c.yaml:{line}: ")
    assert says in complaint
    assert "; " in complaint or "?" in complaint, "a complaint says what to do"
    assert SECRET not in complaint
    assert "\n" not in complaint


def test_all_mistakes_at_once_in_the_order_of_the_lines() -> None:
    a, b = "  a: {protocol: x, base_url: y, colour: red}\n", "  b:\n    api_key: ${NONE}\n"
    text = f"strict: 1\nbackends:\n{a}{b}records: many\n"
    found = [complaint.split(": ")[:2] for complaint in complaints(lambda: read(text))]
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
        *(f"{BACK}    {key}: ${{KEY}}\n" for key in BACKEND if key not in ("protocol", "base_url")),
        *(f"{BACK}    {key}: [${{KEY}}, {SECRET}]\n" for key in BACKEND if key not in ("protocol", "base_url")),
        *(f"{BACK}{key}: ${{KEY}}\n" for key in SETTINGS),
        *(f"{BACK}{key}: {SECRET}\n" for key in SETTINGS),
        *(f"{BACK}{key}: *{SECRET}\n" for key in SETTINGS),
        BACK.replace("openai-chat", "${KEY}"),
        BACK.replace("openai-chat", SECRET),
        BACK.replace("http://host", f"http://{SECRET}@host"),
        BACK.replace("http://host/v1", SECRET),
        f"{BACK}    {SECRET}: x\n",
        f"{BACK}{SECRET}: x\n",
        f"{BACK}    api_key: ${{NONE}}{SECRET}\n",
        f"{BACK}    api_key: {SECRET} {SECRET}\n",
        f"{BACK}    api_key: !{SECRET} x\n",
        f"{BACK}    api_key: !a!{SECRET} x\n",
        f"{BACK}    api_key: &{SECRET} x\n    provider: &{SECRET} y\n    headers: *{SECRET}\n",
    ],
)
def test_no_complaint_repeats_a_secret(place: str) -> None:
    found = outcome(place)
    if isinstance(found, ConfigError):
        assert SECRET not in str(found)
    else:
        # where a key is right, or text is free, it loads, and shows nowhere that hides keys
        assert all(SECRET not in warning for warning in found.warnings)
        assert SECRET not in repr(found.settings)


@given(st.text(max_size=60))
def test_any_text_loads_or_complains(text: str) -> None:
    found = outcome(text)
    assert isinstance(found, Config) or all(complaint.startswith("c.yaml:") for complaint in found.complaints)


@given(
    st.recursive(
        st.sampled_from(("a", "auto", "1", "true", "~", "${KEY}", "${NO}", "'x'", "http://h")),
        lambda inner: (
            st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
            | st.dictionaries(st.sampled_from((*BACKEND, *SETTINGS, "backends", "a")), inner, max_size=5).map(
                lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs.items()) + "}"
            )
        ),
        max_leaves=12,
    )
)
def test_any_tree_loads_or_complains(text: str) -> None:
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
    (complaint,) = complaints(lambda: load_file(path, {}, STAND))
    assert complaint.startswith(str(path))
    assert says in complaint


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "crosswire.yaml"
    path.write_text(EXAMPLE)
    env = {"OPENAI_API_KEY": "sk-1", "GEMINI_API_KEY": "g-1"}
    assert load_file(path, env) == load(EXAMPLE, "crosswire.yaml", env)


# ---- the environment -------------------------------------------------------------------------------------------------

FULL = {
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

ADDRESSES = {
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
    decision = decide(Facts(model), from_environment({name: FULL[name] for name in variables}).plan)
    if isinstance(goes, str):
        assert decision.refusal is not None
        assert decision.refusal.status == 404
        assert goes in decision.refusal.message
    else:
        assert decision.chosen is not None
        assert (decision.chosen.backend, decision.chosen.model, decision.mode) == goes


@pytest.mark.parametrize(("model", "name"), MODELS)
def test_all_variables_set(model: str, name: str) -> None:
    plan = from_environment(FULL).plan
    found = find_backend_for_model(model, plan)
    assert found is not None
    assert found.name == name
    decision = decide(Facts(model), plan)
    assert decision.mode == "model_mapping"
    assert decision.chosen is not None
    assert decision.chosen.model == model


def test_the_backends_of_the_environment() -> None:
    config = from_environment(FULL)
    assert {b.name: (b.protocol, b.base_url, b.api_key) for b in config.plan.backends} == ADDRESSES
    assert all(b.capabilities == PROTOCOLS[b.protocol].capabilities for b in config.plan.backends)
    assert config.settings == Settings()


@pytest.mark.parametrize("alone", FULL)
def test_each_variable_alone(alone: str) -> None:
    origin = next(row for row in ROWS if row.trigger == alone)
    env = {name: FULL[name] if name == alone else "" for name in FULL}
    plan = from_environment(env).plan
    assert [b.name for b in plan.backends] == [origin.name]
    for model, name in unprefixed(plan.by_name):
        found = find_backend_for_model(model, plan)
        if name == origin.name or origin.name == "ollama":
            assert found is plan.backends[0]
        else:
            assert found is None
            refusal = decide(Facts(model), plan).refusal
            assert refusal is not None
            assert (refusal.status, refusal.code) == (404, "model_not_found")


@pytest.mark.parametrize("names", [pair for n in (2, 3, 4) for pair in itertools.combinations(FULL, n)])
def test_some_variables(names: tuple[str, ...]) -> None:
    plan = from_environment({name: FULL[name] for name in names}).plan
    made = [row.name for row in triggered() if row.trigger in names]
    assert [b.name for b in plan.backends] == made
    for model, name in unprefixed(plan.by_name):
        found = find_backend_for_model(model, plan)
        expected = name if name in made else "ollama" if "ollama" in made else None
        assert (found and found.name) == expected


def test_no_variable() -> None:
    (complaint,) = complaints(lambda: from_environment({"OPENAI_API_KEY": "", "HOME": "/"}))
    assert all(name in complaint for name in FULL)
    assert "set one of them" in complaint


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
    plan = from_environment({**FULL, variable: value}).plan
    assert plan.by_name[name].base_url == url
    others = {b.name: b.base_url for b in plan.backends if b.name != name}
    assert others == {other: address[1] for other, address in ADDRESSES.items() if other != name}


def test_a_key_for_ollama() -> None:
    plan = from_environment({"OLLAMA_HOST": "https://ollama.com", "OLLAMA_API_KEY": "k"}).plan
    assert (plan.backends[0].base_url, plan.backends[0].api_key) == ("https://ollama.com", "k")


@pytest.mark.parametrize(
    ("env", "starts", "says"),
    [
        ({"OPENAI_API_KEY": SECRET + "\n"}, "environment: OPENAI_API_KEY: ", "a line break"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "gate/v1"}, "environment: OPENAI_BASE_URL: ", "is no http"),
        ({"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "http://u:p@g"}, "environment: ANTHROPIC_BASE_URL: ", "cred"),
        (
            {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "http://localhost:9001"},
            "environment: ANTHROPIC_BASE_URL: ",
            "is the proxy's own address",
        ),
        ({"OLLAMA_HOST": "host:port"}, "environment: OLLAMA_HOST: ", "is no URL"),
        ({"OLLAMA_HOST": "ftp://host"}, "environment: OLLAMA_HOST: ", "is no http"),
    ],
)
def test_mistakes_of_the_environment(env: dict[str, str], starts: str, says: str) -> None:
    (complaint,) = complaints(lambda: from_environment(env))
    assert complaint.startswith(starts)
    assert says in complaint
    assert SECRET not in complaint


def test_another_port_is_no_loop() -> None:
    env = {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "http://localhost:9001"}
    assert from_environment(env, port=9002).settings.port == 9002
    assert complaints(lambda: from_environment(env | {"ANTHROPIC_BASE_URL": "http://[::1]:7"}, port=7))


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
def test_ollama_host_as_its_client_reads_it(value: str) -> None:
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
def test_ollama_host_as_its_server_reads_it(value: str, url: str) -> None:
    assert ollama_address(value) == url
