"""The shipped JSON Schemas take every shipped file, and refuse what the parsers refuse where a schema can tell."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from crosswire.conformance.matrix.expectations import read_expectations
from crosswire.conformance.target.profile_parser import read_profile
from crosswire.mockserver.scenarios.loader import load_scenarios
from crosswire.mockserver.scenarios.provider import Provider
from crosswire.mockserver.scenarios.provider_parser import read_provider
from crosswire.mockserver.scenarios.story_parser import read_story
from crosswire.mockserver.scenarios.yaml_reader import YamlDocument
from crosswire.proxy.config import load
from crosswire.proxy.config.reference import KEYS_REFERENCE, KeyInfo
from crosswire.proxy.errors import ConfigError

from .docs.markdown import Block
from .docs.test_docs import BLOCKS
from .proxy.config.test_reference import config_with
from .source_tree import ROOT

NAMED = re.compile(r"# yaml-language-server: \$schema=((?:\S*/)?([a-z]+)\.schema\.json)\n")

FILES = [
    *sorted(ROOT.glob("scenarios/**/*.yaml")),
    *sorted(ROOT.glob("tests/*/scenarios/stories/*.yaml")),
    ROOT / "deploy/crosswire.yaml",
    *sorted(ROOT.glob("conformance/target/profiles/*.yaml")),
    ROOT / "conformance/matrix/expectations.yaml",
]


@cache
def validator(name: str) -> Draft202012Validator:
    schema = json.loads((ROOT / f"schemas/{name}.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@cache
def providers() -> dict[str, Provider]:
    return load_scenarios(ROOT / "scenarios").providers


def complaints(name: str, value: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator(name).iter_errors(value)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_shipped_file_names_its_schema_and_fits_it(file: Path) -> None:
    text = file.read_text("utf-8")
    named = NAMED.match(text)
    assert named is not None, "write the line with: python docs/generate.py"
    assert (file.parent / named[1]).resolve() == ROOT / f"schemas/{named[2]}.schema.json"
    assert complaints(named[2], YamlDocument(str(file), text).value) == []


OTHER_TITLES = ("prometheus.yml",)
"""Titles of examples in the guides that are files of other programs."""

EXAMPLES = [
    block
    for block in BLOCKS
    if block.language == "yaml" and block.title.endswith((".yaml", ".yml")) and block.title not in OTHER_TITLES
]


@pytest.mark.parametrize("block", EXAMPLES, ids=lambda block: block.place)
def test_every_file_in_the_guides_names_its_schema_and_fits_it(block: Block) -> None:
    title, _, rest = block.text.partition("\n")
    named = NAMED.match(rest)
    assert named is not None, f"the line behind {title!r} names no schema"
    assert complaints(named[2], YamlDocument(block.place, block.text).value) == []


PLACED_EXPECTATIONS: dict[str, tuple[str, str]] = {
    "an unknown key": (
        "{anthropic: {middle: {}}}",
        ":2: $.protocols.anthropic: Object contains unknown field `middle`",
    ),
    "a loss without its date": (
        "\n  anthropic:\n    backend:\n      losses:\n        image:\n        - {rule: a, url: b}\n",
        ":7: $.protocols.anthropic.backend.losses.image[0]: Object missing required field `checked`",
    ),
    "a wrong type": (
        "\n  anthropic:\n    frontend:\n      refuses: {image: {rule: [a], url: b}}\n",
        ":5: $.protocols.anthropic.frontend.refuses.image.rule: Expected `str`, got `array`",
    ),
    "no YAML": ("{", ":3: invalid YAML: "),
}


@pytest.mark.parametrize("name", PLACED_EXPECTATIONS)
def test_a_mistake_in_the_expectations_is_told_with_its_line(name: str, tmp_path: Path) -> None:
    text, message = PLACED_EXPECTATIONS[name]
    (tmp_path / "e.yaml").write_text(GOOD_EXPECTATIONS.replace("{}", text))
    with pytest.raises(msgspec.ValidationError, match=re.escape(f"{tmp_path / 'e.yaml'}{message}")):
        read_expectations(tmp_path / "e.yaml")


@pytest.mark.parametrize("info", KEYS_REFERENCE, ids=lambda info: info.path)
def test_every_example_and_default_of_the_reference_fits_the_schema(info: KeyInfo) -> None:
    for text in filter(None, (info.example, info.default)):
        assert complaints("config", config_with(info, YamlDocument("", text).value)) == []


HOME = "backends: {home: {protocol: ollama, base_url: 'http://127.0.0.1:11434'}}\n"
GOOD_PROVIDER = "protocol: openai-chat\nauth: {header: authorization, key: k}\n"
GOOD_STORY = "why: w\nsource: s\nneeds: [text]\nask: {user: Hi there}\nsay: [{text: Hello}]\n"
GOOD_PROFILE = "name: p\nfrontends: {anthropic: {}}\nmodels: {openai: '{model}'}\n"
GOOD_EXPECTATIONS = "frontends: [openai-chat]\nprotocols: {}\n"

BAD: dict[str, list[str]] = {
    "config": [
        "listen: 127.0.0.1:9001",
        "backends: {}",
        "backends: [openai]",
        "backends: {'a b': {protocol: ollama, base_url: 'http://h'}}",
        "backends: {home: {protocol: grpc, base_url: 'http://h'}}",
        "backends: {home: {protocol: ollama, base_url: 'ftp://h'}}",
        "backends: {home: {protocol: ollama, base_url: 'http://h', max_tokens: 0}}",
        "backends: {home: {protocol: ollama, base_url: 'http://h', capabilities: [telepathy]}}",
        "backends: {home: {protocol: ollama, base_url: 'http://h', quirks: [sings]}}",
        "backends: {home: {protocol: ollama, base_url: 'http://h', headers: {'a b': c}}}",
        "backends: {home: {protocol: ollama, base_url: 'http://h', relay: sometimes}}",
        "backends: {home: {protocol: ollama, base_url: 'http://h', requests: 60 a minute}}",
        *(f"{HOME}{line}" for line in (
            "lisen: 127.0.0.1:1", "listen: nowhere", "listen: 9001", "strict: 'yes'", "body_limit: 3 apples",
            "read_timeout_s: 0", "drain_s: -1", "hop_limit: 0", "retry: {attempt: 3}", "retry: [1]", "records: many",
            "routes: {match: a, backend: home}", "routes: [{backend: home}]", "routes: [{match: a}]",
            "routes: [{match: a, backend: home, to: [home]}]", "routes: [{match: a, to: []}]",
            "modes: {eco: {}}", "smart: {auto: {cheap: home}}", "ledger: {image: shout}", "ledger: {colour: drop}",
            "relay: always", "prices: [{match: a}]", "prices: [{match: a, input: -1, output: 1}]",
            "clients: {ada: {}}", "clients: {'a b': {key: cw-0123456789abcdef}}",
            "clients: {ada: {key: cw-0123456789abcdef, frontends: [grpc]}}",
            "clients: {ada: {key: cw-0123456789abcdef, budgets: {usd: 1}}}",
            "clients: {ada: {key: cw-0123456789abcdef, budgets: {usd: 1, per: year}}}",
            "clients: {ada: {key: {file: a, command: b}}}", "cors: {origins: [app.example]}",
            "jwt: {jwks: a}", "traits: {'m*': {refuses: [manners]}}", "fetch: {allow: [a.example], types: [png]}",
            "store: mysql://h/d", "prefixes: {a/b: home}", "unpriced: maybe", "response_headers: [x-other]",
            "hosts: ai.example", "aliases: [a]", "ui: {bodies: 1}", "state: memcached://h", "tracing: {sample: 1}",
            "state: {url: memory, fails: {limits: maybe}}", "state: {url: memory, lease_s: 0.5}", "state: {prefix: a}",
            "tracing: {endpoint: 'http://h/v1/traces', sample: 2}", "access_log: {file: a}",
            "routes: [{match: a, to: [home], strategy: random}]",
            "routes: [{match: a, to: [home], hedge: {budget: 0.1}}]",
            "routes: [{match: a, to: [{backend: home, weight: -1}], strategy: weighted}]",
        )),
    ],
    "provider": [
        "protocol: openai-chat",
        "auth: {header: authorization, key: k}",
        *(f"{GOOD_PROVIDER}{line}" for line in (
            "base_path: v1", "base_path: /v1/", "models: [m]", "models: {m: 1}", "capabilities: all",
            "capabilities: [telepathy]", "priority: high", "dialects: [grpc]", "colour: red", "replies: {a: []}",
            "replies: {a: [{sing: b}]}", "habits: ignores_unknown",
        )),
        GOOD_PROVIDER.replace("authorization", "cookie"),
        GOOD_PROVIDER.replace("openai-chat", "grpc"),
    ],
    "story": [
        *(GOOD_STORY.replace(f"{key}: ", f"{key}s: ", 1) for key in ("why", "source", "needs", "ask", "say")),
        *(GOOD_STORY.replace("{user: Hi there}", ask) for ask in (
            "{}", "{user: 1}", "{user: [{picture: a}]}", "{user: [{text: a, image: {url: b}}]}", "{user: Hi, tools: a}",
            "{user: Hi, tools: [{description: d}]}", "{user: Hi, tool_choice: maybe}", "{user: Hi, top_k: 0.5}",
            "{user: Hi, tool_choice: {mode: auto}}", "{user: Hi, reasoning: [1]}", "{user: Hi, format: xml}",
            "{user: Hi, format: {name: a}}", "{user: Hi, also: {grpc: {}}}", "{user: Hi, stop: [1]}",
            "{turns: [{user: Hi}, {robot: a}]}", "{turns: [{user: Hi}, {assistant: [{stop: end}]}]}",
            "{user: Hi, tools: [{name: a, grammar: {syntax: bnf, definition: b}}]}", "{user: Hi, colour: red}",
        )),
        *(GOOD_STORY.replace("[{text: Hello}]", say) for say in (
            "[]", "Hello", "[Hello]", "[{text: 1}]", "[{sing: a}]", "[{call: {name: a}}]", "[{stop: bored}]",
            "[{usage: {input: many}}]", "[{pause: long}]", "[{cut: later}]", "[{garble: 1}]", "[{error: {}}]",
            "[{error: {kind: boredom}}]", "[{text: a, loud: true}]", "[{interleave: [{id: a}]}]", "[{image: {}}]",
            "[{custom: {id: a, name: b}}]", "[{text: a, cites: [{link: b}]}]",
        )),
        *(f"{GOOD_STORY}{line}" for line in (
            "only: both", "clients: [grpc]", "across: 1", "wire: {write: 0}", "wire: {write: half}",
            "wire: {newline: cr}", "hear: {stop: bored}", "hear: {error: {says: {grpc: a}}}", "raw: {grpc: {}}",
            "raw: {anthropic: {frames: a}}", "expect: {anthropic: a}", "then: [{say: [{text: a}]}]",
            "then: [{ask: {user: b}}]", "proxy: {strict: true}", "decide: {mode: sideways, tried: []}",
            "decide: {mode: auto, tried: [{a: b, c: d}]}", "decide: {mode: auto, tier: huge, tried: []}",
        )),
    ],
    "profile": [
        *(GOOD_PROFILE.replace(f"{key}: ", f"{key}x: ") for key in ("name", "frontends", "models")),
        *(f"{GOOD_PROFILE}{line}" for line in (
            "url: localhost", "ready: health", "losses: {a: b}", "cannot: [{stories: a}]", "cannot: [{why: a}]",
            "cannot: [{why: a, needs: [telepathy]}]", "start: {}", "start: {command: run}", "headers: [a]", "x: y",
        )),
        GOOD_PROFILE.replace("{anthropic: {}}", "{grpc: {}}"),
        GOOD_PROFILE.replace("{anthropic: {}}", "{anthropic: {path: v1}}"),
        GOOD_PROFILE.replace("{anthropic: {}}", "{}"),
    ],
    "expectations": [
        "frontends: [a]",
        GOOD_EXPECTATIONS + "more: 1",
        GOOD_EXPECTATIONS.replace("{}", "{anthropic: {middle: {}}}"),
        GOOD_EXPECTATIONS.replace("{}", "{anthropic: {backend: {losses: {image: [{rule: a, url: b}]}}}}"),
        GOOD_EXPECTATIONS.replace("{}", "{anthropic: {backend: {refuses: {image: {rule: a}}}}}"),
    ],
}  # fmt: skip
"""Name of a schema to files that its parser refuses, and whose schema can tell so."""


def is_refused(name: str, text: str, tmp_path: Path) -> bool:
    """Returns whether the parser refuses the file."""
    match name:
        case "config":
            try:
                load(text, "c.yaml", {})
            except ConfigError:
                return True
            return False
        case "provider":
            return bool(read_provider("p", "p.yaml", text)[1])
        case "story":
            return bool(read_story("s", "s.yaml", text)[1])
        case "profile":
            return bool(read_profile("p.yaml", text, providers(), {})[1])
        case _:
            (tmp_path / "e.yaml").write_text(text)
            try:
                read_expectations(tmp_path / "e.yaml")
            except msgspec.ValidationError:
                return True
            return False


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_what_a_parser_refuses_its_schema_refuses(name: str, text: str, tmp_path: Path) -> None:
    assert is_refused(name, text, tmp_path)
    assert complaints(name, YamlDocument("", text).value) != []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("config", HOME), ("provider", GOOD_PROVIDER), ("story", GOOD_STORY), ("profile", GOOD_PROFILE)),
        *(("expectations", GOOD_EXPECTATIONS), ("config", HOME + "body_limit: ${SIZE:-32 MiB}\nstrict: ${S:-true}\n")),
    ],
)
def test_what_the_bad_files_are_made_of_is_good(name: str, text: str, tmp_path: Path) -> None:
    assert not is_refused(name, text, tmp_path)
    assert complaints(name, YamlDocument("", text).value) == []
