"""Tests of the routing rules of a config: what loads, and the message and location of every error."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from crosswire.proxy.config import Config, load
from crosswire.proxy.config.routes import RULE_KEYS
from crosswire.proxy.errors import ConfigError
from crosswire.proxy.providers import OPENROUTER_VENDORS
from crosswire.proxy.routing import NamedMode, Route, RouteTarget, decide
from crosswire.proxy.routing.decision import RoutingInput

GUIDE = Path(__file__).parents[3] / "docs" / "routing.md"

BASE = """\
backends:
  local: {protocol: ollama, base_url: "http://h", models: {small: qwen}}
  openai: {protocol: openai-chat, base_url: "http://h/v1", models: {fast: gpt-5-mini}}
  router: {protocol: openai-chat, provider: openrouter, base_url: "http://r/v1"}
"""
"""A config to which the cases of the tables are appended from line 5 on."""


def outcome(text: str) -> Config | ConfigError:
    try:
        return read(text)
    except ConfigError as error:
        return error


def read(text: str) -> Config:
    return load(BASE + text, "c.yaml", {"WHO": "openai"})


def refused(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return list(caught.value.complaints)


# ---- what loads ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "route"),
    [
        ("{match: x, backend: openai}", Route(match="x", targets=(RouteTarget("openai"),))),
        (
            "{match: 'gpt-*', backend: openai, model: gpt-5, priority: 10, enabled: false}",
            Route(match="gpt-*", targets=(RouteTarget("openai"),), model="gpt-5", priority=10, enabled=False),
        ),
        (
            "{match: x, backend: openai, fallback: [{backend: local, model: y}, router]}",
            Route(match="x", targets=(RouteTarget("openai"), RouteTarget("local", "y"), RouteTarget("router"))),
        ),
        (
            "{match: small, to: [local, {backend: router, model: z}]}",
            Route(match="small", targets=(RouteTarget("local"), RouteTarget("router", "z"))),
        ),
        ("{match: 'team-*', backend: '${WHO}', model: '{1}'}", Route(match="team-*", targets=(RouteTarget("openai"),),
     model="{1}")),
    ],
)  # fmt: skip
def test_routes(text: str, route: Route) -> None:
    (found,) = read(f"routes:\n  - {text}\n").plan.routes
    assert found.location == "c.yaml:6: routes[0]"
    fields = [name for name in Route.__struct_fields__ if name != "location"]
    assert {name: getattr(found, name) for name in fields} == {name: getattr(route, name) for name in fields}


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("unmapped: capability", "unmapped", None),
        ("unmapped: local", "unmapped", "local"),
        ("unlisted: [old-*, gpt-4]", "unlisted", ("old-*", "gpt-4")),
        ("pins: false", "pins", False),
        ("pins: true", "pins", True),
        ("prefixes: {mine: openai}", "prefixes", {"mine": "openai"}),
        ("prefixes: {Mine: openai, router: false}", "prefixes", {"mine": "openai", "router": None}),
        ("modes: {eco: {backend: local}}\nmode: eco", "mode", "eco"),
    ],
)
def test_single_keys(text: str, field: str, value: object) -> None:
    assert getattr(read(text).plan, field) == value


def test_modes() -> None:
    plan = read(
        "modes:\n  eco: {backend: local, models: {chat: 'local/nemo:latest'}}\n  fast: {backend: openai}\n"
    ).plan
    assert plan.modes == {
        "eco": NamedMode(
            name="eco", backend="local", models={"chat": "local/nemo:latest"}, location="c.yaml:6: modes.eco"
        ),
        "fast": NamedMode(name="fast", backend="openai", location="c.yaml:7: modes.fast"),
    }


def test_smart() -> None:
    text = AUTO + "cascade: true,\n"
    (smart,) = read(f"{text}    weights: {{code: 0, length: 50}}, thresholds: {{pro: 60}}}}\n").plan.smart
    assert (smart.cheap, smart.primary) == (RouteTarget("local", "x"), RouteTarget("openai", "y"))
    assert (smart.weights, smart.thresholds) == ({"code": 0, "length": 50}, {"pro": 60})
    assert smart.cascade


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        pytest.param("", "home", id="the only one"),
        pytest.param("prefixes: {local: cloud}\n", "cloud", id="bound"),
        pytest.param(
            "  two: {protocol: ollama, base_url: 'http://t'}\nprefixes: {local: two}\n", "two", id="one of two"
        ),
        pytest.param("  two: {protocol: ollama, base_url: 'http://t'}\nprefixes: {local: false}\n", None, id="none"),
        pytest.param("  local: {protocol: ollama, base_url: 'http://t'}\n", "local", id="a backend of that name"),
    ],
)
def test_local(text: str, bound: str | None) -> None:
    home = "  home: {protocol: openai-chat, provider: vllm, base_url: 'http://h/v1'}\n"
    cloud = "  cloud: {protocol: openai-chat, base_url: 'http://c/v1'}\n"
    plan = load(f"backends:\n{home}{cloud}{text}", "c.yaml", {}).plan
    split = plan.split_prefix("local/x")
    assert (split and plan.prefix_backends[split[0]]) == bound


@pytest.mark.parametrize("word", sorted(OPENROUTER_VENDORS))
def test_a_vendors_model_goes_to_the_reseller(word: str) -> None:
    decision = decide(RoutingInput(f"{word}/x"), read("").plan)
    assert decision.chosen is not None
    if word == "openai":  # a backend of that name is there
        assert (decision.chosen.backend, decision.chosen.model) == ("openai", "x")
    else:
        assert (decision.chosen.backend, decision.chosen.model) == ("router", f"{word}/x")


def test_the_guides_example() -> None:
    (example,) = re.findall(r"```yaml\n(# crosswire.yaml.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    assert set(yaml.safe_load(example)) - {"backends"} == set(RULE_KEYS)
    plan = load(example, "c.yaml", {}).plan
    goes = {
        ("small", None): [("home", "small"), ("openai", "gpt-5-mini")],
        ("team-gpt-5", None): [("openai", "gpt-5")],
        ("chat", None): [("home", "mistral-nemo:latest")],
        ("chat", "fast"): [("openrouter", "mistralai/mistral-nemo")],
        ("llama-3", None): [("home", "llama-3")],
        ("auto", None): [("home", "hermes3"), ("openai", "gpt-5")],
    }
    for (model, mode), chain in goes.items():
        decision = decide(RoutingInput(model, mode=mode), plan)
        assert [(candidate.backend, candidate.model) for candidate in decision.chain] == chain


def test_two_backends_may_list_a_name_that_a_route_decides() -> None:
    more = "  cloud: {protocol: openai-chat, base_url: 'http://c/v1', models: {small: gpt-5-mini}}\n"
    assert "the model 'small' is named by backends.local on line 2 too" in refused(more)[0]
    route = "routes: [{match: small, to: [local, cloud]}]\n"
    decision = decide(RoutingInput("small"), read(more + route).plan)
    assert [(c.backend, c.model) for c in decision.chain] == [("local", "qwen"), ("cloud", "gpt-5-mini")]
    assert refused(more + route.replace("}]", ", enabled: false}]"))


def test_a_route_of_lower_priority_is_a_warning() -> None:
    text = "routes:\n  - {match: x, backend: openai}\n  - {match: x, backend: local, priority: 1}\n"
    (warning,) = read(text).warnings
    assert warning.startswith("c.yaml:6: routes[0]: 'x' serves only once c.yaml:7: routes[1]")


# ---- error messages --------------------------------------------------------------------------------------------------

AUTO = "smart:\n  auto: {cheap: {backend: local, model: x}, primary: {backend: openai, model: y}, "

ERRORS: list[tuple[str, str, int, str, str]] = [
    # (what, text, line, path, words)
    ("routes: a mapping", "routes: {match: x}\n", 5, "routes", "is a mapping; give a list of {match, backend}"),
    ("a route: text", "routes:\n  - x\n", 6, "routes[0]", "is text; give a mapping such as"),
    ("a mistyped key", "routes:\n  - {match: x, backand: openai}\n", 6, "routes[0].backand", "did you mean backend?"),
    ("no match", "routes:\n  - {backend: openai}\n", 6, "routes[0].match",
     "is missing; give a model's name, or a pattern"),
    ("no backend", "routes:\n  - {match: x}\n", 6, "routes[0].backend", "is missing; known: local, openai, router"),
    ("an unknown backend", "routes:\n  - match: x\n    backend: opnai\n", 7, "routes[0].backend",
     "no backend is called 'opnai'; did you mean openai?"),
    ("an unknown fallback", "routes:\n  - match: x\n    to: [local,\n      clod]\n", 8, "routes[0].to[1]",
     "no backend is called 'clod'; known: local, openai, router"),
    ("an unknown backend of a target", "routes:\n  - {match: x, backend: local, fallback: [{backend: z}]}\n", 6,
     "routes[0].fallback[0].backend", "no backend is called 'z'"),
    ("a target without a backend", "routes:\n  - {match: x, to: [{model: y}]}\n", 6, "routes[0].to[0].backend",
     "is missing"),
    ("a target's mistyped key", "routes:\n  - {match: x, to: [{backend: local, modle: y}]}\n", 6,
     "routes[0].to[0].modle",
     "did you mean model?"),
    ("no list", "routes:\n  - {match: x, to: local}\n", 6, "routes[0].to", "is not a list of backends; give each"),
    ("an empty list", "routes:\n  - {match: x, to: []}\n", 6, "routes[0].to", "is not a list of backends; give each"),
    ("to and backend", "routes:\n  - {match: x, to: [local], backend: openai}\n", 6, "routes[0].backend",
     "cannot be combined with to; keep one"),
    ("to and fallback", "routes:\n  - {match: x, to: [local], fallback: [openai]}\n", 6, "routes[0].fallback",
     "cannot be combined with to; keep one"),
    ("a target twice", "routes:\n  - {match: x, to: [local, local]}\n", 6, "routes[0]",
     "names local twice for one model"),
    ("a priority", "routes:\n  - {match: x, backend: local, priority: high}\n", 6, "routes[0].priority",
     "is not a whole number"),
    ("enabled", "routes:\n  - {match: x, backend: local, enabled: no}\n", 6, "routes[0].enabled",
     "is not true or false"),
    ("an empty match", "routes:\n  - {match: '', backend: local}\n", 6, "routes[0].match", "is empty"),
    ("a conflict", "routes:\n  - {match: x-*, backend: local}\n  - {match: x-*, backend: openai}\n", 7, "routes[1]",
     "'x-*' is matched by c.yaml:6: routes[0] with the same priority; keep one of them"),
    ("a conflict with models", "routes:\n  - {match: fast, backend: local}\n", 6, "routes[0]",
     "backends.openai.models names 'fast' too, and is not among its targets; add it"),
    ("never reached",
     "routes:\n  - {match: x-*, backend: local}\n  - {match: x-1*, backend: openai, priority: -1}\n", 7,
     "routes[1]", "'x-1*' is never reached: c.yaml:6: routes[0] takes all of its names by 'x-*'; give it a"),
    ("behind a prefix", "routes:\n  - {match: openai/*, backend: local}\n", 6, "routes[0]",
     "'openai/*' is never reached: the prefix 'openai' names a backend; set prefixes: {openai: false}"),
    ("a wildcard that does not exist", "routes:\n  - {match: x-*, backend: local, model: '{2}'}\n", 6, "routes[0]",
     "{2} refers to no wildcard: 'x-*' has 1; use up to {1}"),
    ("prefixes: a list", "prefixes: [local]\n", 5, "prefixes", "is a list; give a mapping"),
    ("a prefix of nobody", "prefixes:\n  x: opnai\n", 6, "prefixes.x",
     "no backend is called 'opnai'; did you mean openai?"),
    ("a prefix with a slash", "prefixes:\n  x/y: openai\n", 6, "prefixes.x/y", "is not a valid prefix; leave"),
    ("a prefix twice", "prefixes:\n  x: openai\n  X: local\n", 7, "prefixes.X", "in another case; keep one"),
    ("unmapped to nobody", "unmapped: opnai\n", 5, "unmapped", "'opnai' is unknown; did you mean openai?"),
    ("unmapped behind everything", "unmapped: local\nroutes: [{match: '*', backend: openai}]\n", 5, "unmapped",
     "is never reached: c.yaml:6: routes[0] takes every name by '*'; remove one"),
    ("pins", "pins: maybe\n", 5, "pins", "is not true or false; give true or false"),
    ("a mode that is none", "modes: {eco: {backend: local}}\nmode: ecco\n", 6, "mode",
     "'ecco' is unknown; did you mean eco?"),
    ("a mode without modes", "mode: eco\n", 5, "mode", "'eco' is unknown; none is defined"),
    ("modes: a list", "modes: [eco]\n", 5, "modes", "is a list; give a mapping"),
    ("an empty mode", "modes:\n  eco: {}\n", 6, "modes.eco", "is empty; give it a backend, models or both"),
    ("a mode of nobody", "modes:\n  eco: {backend: opnai}\n", 6, "modes.eco.backend", "did you mean openai?"),
    ("a mode's key", "modes:\n  eco: {backend: local, model: {}}\n", 6, "modes.eco.model", "did you mean models?"),
    ("a mode's name", "modes:\n  größe: {backend: local}\n", 6, "modes.größe",
     "is not a valid mode name; clients send it in a header, so use"),
    ("an alias: a mapping", "modes:\n  eco: {models: {chat: {}}}\n", 6, "modes.eco.models.chat",
     "is a mapping; give text"),
    ("an alias of nothing", "modes:\n  eco: {models: {chat: x}}\n", 6, "modes.eco",
     "'chat' means 'x', which leads to no backend; write it as backend/model"),
    ("an alias that is mapped", "modes:\n  eco: {models: {fast: local/x}}\n", 6, "modes.eco",
     "'fast' is never reached: backends.openai.models takes it first; rename one"),
    ("smart: a list", "smart: [auto]\n", 5, "smart", "is a list; give a mapping"),
    ("a smart model's key", "smart:\n  auto: {cheep: {}}\n", 6, "smart.auto.cheep", "did you mean cheap?"),
    ("a weight", AUTO + "weights: {lenth: 1}}\n",
     6, "smart.auto.weights.lenth", "did you mean length?"),
    ("a weight below 0",
     AUTO + "weights: {length: -1}}\n",
     6, "smart.auto.weights.length", "of at least 0"),
    ("thresholds that do not ascend",
     AUTO + "thresholds: {standard: 90}}\n",
     6, "smart.auto.thresholds", "standard begins at 90 points, after pro at 35; let them ascend"),
    ("a cascade", AUTO + "cascade: 1}\n",
     6, "smart.auto.cascade", "is not true or false"),
    ("a smart model that is mapped",
     "smart:\n  fast: {cheap: {backend: local, model: x}, primary: {backend: openai, model: y}}\n",
     6, "smart.fast", "'fast' is never reached: backends.openai.models takes it first"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "path", "says"), [pytest.param(*row[1:], id=row[0]) for row in ERRORS])
def test_mistakes(text: str, line: int, path: str, says: str) -> None:
    found = refused(text)
    assert found[0].startswith(f"c.yaml:{line}: {path}: "), found
    assert says in found[0]
    assert "; " in found[0] or "?" in found[0], "a complaint says what to do"


def test_two_local_backends() -> None:
    text = "backends:\n  a: {protocol: ollama, base_url: 'http://a'}\n  b: {provider: lmstudio}\n"
    with pytest.raises(ConfigError) as caught:
        load(text, "c.yaml", {})
    assert caught.value.complaints == (
        "c.yaml:3: backends.b: is local, and so is a; choose one for the prefix local/, as prefixes: {local: a}",
    )


@pytest.mark.parametrize("key", RULE_KEYS)
@pytest.mark.parametrize("value", ["~", "1", "x", "[x]", "{x: y}", "[[x]]", "[{x: y}]", "{x: {y: z}}", "${NONE}"])
def test_property_any_value_loads_or_is_an_error(key: str, value: str) -> None:
    found = outcome(f"{key}: {value}\n")
    assert isinstance(found, Config) or all(said.startswith("c.yaml:") for said in found.complaints)
