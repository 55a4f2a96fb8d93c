"""The rules in their order: who is asked, for what, one after the other, and why nobody else is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from proxy.protocols import PROTOCOLS
from proxy.routing import (
    Backend,
    Decision,
    Facts,
    Family,
    NamedMode,
    Plan,
    Route,
    Shape,
    Smart,
    Target,
    decide,
    find_backend_for_model,
)

TOOLS = frozenset(("text", "tools"))
EYES = frozenset(("text", "vision"))


def backend(name: str, can: frozenset[str] = TOOLS, protocol: str = "openai-chat", **fields: Any) -> Backend:
    return Backend(name=name, protocol=protocol, base_url="http://host", capabilities=can, **fields)


LOCAL = backend("local", protocol="mlx", models={"small": "qwen-0.6b", "gpt-4": "qwen-4b"}, priority=5)
OPENAI = backend("openai", models={"gpt-5-nano": "gpt-5-nano", "fast": "gpt-5-mini"})
ANTHROPIC = backend("anthropic", protocol="anthropic", models={"claude-opus": "claude-opus-4-6"})
ANY = backend("any", EYES, priority=-1)
ALL = (LOCAL, OPENAI, ANTHROPIC, ANY)
NAMES = {
    "openai": "openai",
    "anthropic": "anthropic",
    "claude": "anthropic",
    "openrouter": "openrouter",
    "groq": "groq",
    "deepseek": "deepseek",
    "ollama": "ollama",
    "nearai": "nearai",
    "near_ai": "nearai",
    "near": "nearai",
}


def route(match: str, *targets: str | Target, **fields: Any) -> Route:
    return Route(match=match, targets=tuple(t if isinstance(t, Target) else Target(t) for t in targets), **fields)


def asked(decision: Decision) -> list[tuple[str, str | None]]:
    return [(candidate.backend, candidate.model) for candidate in decision.chain]


def plan(*backends: Backend, **fields: Any) -> Plan:
    return Plan(backends or ALL, **{"providers": NAMES, "keys": {"groq": "GROQ_API_KEY"}, **fields})


# ---- lookup ----------------------------------------------------------------------------------------------------------

ROUTES = {
    "an exact name": [route("gpt-4", "openai")],
    "a pattern": [route("gpt-*", "openai")],
    "an exact name beats a pattern of any priority": [
        route("gpt-*", "anthropic", priority=99),
        route("gpt-4", "openai", priority=-99),
    ],
    "a higher priority first": [route("gpt-*", "anthropic"), route("*-4", "openai", priority=1)],
    "then the narrower": [route("gp*", "anthropic"), route("gpt-*", "openai")],
    "then the first": [route("gpt-*", "openai"), route("*pt-4", "anthropic")],
    "not a disabled one": [route("gpt-*", "anthropic", enabled=False, priority=9), route("gpt-?", "openai")],
    "not a disabled exact one": [route("gpt-4", "anthropic", enabled=False), route("gpt-*", "openai")],
    "the same pattern of a lower priority waits": [route("gpt-*", "anthropic"), route("gpt-*", "openai", priority=1)],
    "case matters": [route("GPT-*", "anthropic"), route("gpt-*", "openai")],
}


@pytest.mark.parametrize("routes", ROUTES.values(), ids=list(ROUTES))
def test_lookup(routes: list[Route]) -> None:
    backends = (backend("openai"), backend("anthropic"))
    found = plan(*backends, routes=tuple(routes))
    assert find_backend_for_model("gpt-4", found) is backends[0]
    decision = decide(Facts("gpt-4"), found)
    assert asked(decision) == [("openai", "gpt-4")]
    assert decision.mode == ("pattern" if "*" in decision.because or "?" in decision.because else "model_mapping")


@pytest.mark.parametrize("routes", [[], [route("claude-*", "anthropic")], [route("gpt-4", "openai", enabled=False)]])
def test_lookup_finds_none(routes: list[Route]) -> None:
    found = plan(backend("openai"), backend("anthropic"), routes=tuple(routes))
    assert find_backend_for_model("gpt-4", found) is None
    assert decide(Facts("gpt-4"), found).mode == "auto"


# ---- route -----------------------------------------------------------------------------------------------------------

GOES: dict[str, tuple[dict[str, Any], Facts, str, list[tuple[str, str]]]] = {
    # what: plan, facts, mode, chain
    "unmapped": ({}, Facts("zzz"), "auto", [("any", "zzz")]),
    "unmapped, everybody who takes any name in their order": (
        {"backends": (ANY, backend("b", EYES), LOCAL)}, Facts("zzz"), "auto", [("b", "zzz"), ("any", "zzz")],
    ),
    "unmapped, to the local model": (
        {"unmapped": "local", "backends": (msgspec.structs.replace(LOCAL, default_model="qwen-4b"), ANY)},
        Facts("zzz"), "default", [("local", "qwen-4b")],
    ),
    "unmapped, to one that lacks what is needed": (
        {"unmapped": "local"}, Facts("zzz", EYES), "capability", [("any", "zzz")],
    ),
    "by models": ({}, Facts("fast"), "model_mapping", [("openai", "gpt-5-mini")]),
    "by models, and only there": (
        {"backends": (OPENAI, backend("other", priority=9))}, Facts("fast"), "model_mapping",
        [("openai", "gpt-5-mini")],
    ),
    "a local target has its own name": (
        {"routes": (route("small", "local"),)}, Facts("small"), "model_mapping", [("local", "qwen-0.6b")],
    ),
    "an upstream override": (
        {"routes": (route("gpt-*", "openai", model="gpt-5"),)}, Facts("gpt-9"), "pattern", [("openai", "gpt-5")],
    ),
    "the client's name": ({"routes": (route("gpt-*", "openai"),)}, Facts("gpt-9"), "pattern", [("openai", "gpt-9")]),
    "what the first wildcard caught": (
        {"routes": (route("team-*", "openai", model="{1}"),)}, Facts("team-gpt-9"), "pattern", [("openai", "gpt-9")],
    ),
    "what two caught, turned round": (
        {"routes": (route("*:*", Target("openai", "{2}-{1}")),)}, Facts("a:b"), "pattern", [("openai", "b-a")],
    ),
    "nothing caught": (
        {"routes": (route("team-*", "openai", model="{1}"),)}, Facts("team-"), "pattern", [("openai", "team-")],
    ),
    "an override that is another name of the target's": (
        {"routes": (route("x", "openai", model="fast"),)}, Facts("x"), "model_mapping", [("openai", "gpt-5-mini")],
    ),
    "a chain with names": (
        {"routes": (route("small", "local", Target("openai", "gpt-5"), "any"),)}, Facts("small"), "model_mapping",
        [("local", "qwen-0.6b"), ("openai", "gpt-5"), ("any", "small")],
    ),
    "a chain gets the override": (
        {"routes": (route("gpt-*", "openai", "any", Target("anthropic", "claude-opus"), model="gpt-5"),)},
        Facts("gpt-9"), "pattern", [("openai", "gpt-5"), ("any", "gpt-5"), ("anthropic", "claude-opus-4-6")],
    ),
    "a local fallback keeps its own name": (
        {"routes": (route("gpt-4", "openai", "local", model="gpt-5"),)}, Facts("gpt-4"), "model_mapping",
        [("openai", "gpt-5"), ("local", "qwen-4b")],
    ),
    "two models of one backend": (
        {"routes": (route("x", Target("openai", "a"), Target("openai", "b")),)}, Facts("x"), "model_mapping",
        [("openai", "a"), ("openai", "b")],
    ),
    "several backends list a name that a route decides": (
        {"backends": (LOCAL, backend("cloud", models={"small": "gpt-5"})), "routes": (route("small", "local",
        "cloud"),)},
        Facts("small"), "model_mapping", [("local", "qwen-0.6b"), ("cloud", "gpt-5")],
    ),
    "the first of the chain lacks what is needed": (
        {"routes": (route("small", "local", "any"),)}, Facts("small", EYES), "model_mapping", [("any", "small")],
    ),
    "nobody of the chain has it": (
        {"routes": (route("small", "local", "openai"),)}, Facts("small", EYES), "capability", [("any", "small")],
    ),
    "the first of the chain is down": (
        {"routes": (route("small", "local", "openai"),)}, Facts("small", down={"local": "its breaker is open"}),
        "model_mapping", [("openai", "small")],
    ),
    "a later one of the chain is down": (
        {"routes": (route("small", "local", "openai", "any"),)}, Facts("small", down={"openai": "x"}),
        "model_mapping", [("local", "qwen-0.6b"), ("any", "small")],
    ),
    "unmapped and the first is down": (
        {"backends": (backend("a"), backend("b"))}, Facts("x", down={"a": "x"}), "auto", [("b", "x")],
    ),
    "unmapped and the first has no key": (
        {"backends": (backend("a", needs_key=True), backend("b"))}, Facts("x"), "auto", [("b", "x")],
    ),
    "a reserved backend is not for any name": (
        {"backends": (backend("a", reserved=True), backend("b"))}, Facts("x"), "auto", [("b", "x")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "facts", "mode", "chain"), GOES.values(), ids=list(GOES))
def test_route(fields: dict[str, Any], facts: Facts, mode: str, chain: list[tuple[str, str]]) -> None:
    decision = decide(facts, plan(*fields.get("backends", ()), **{k: v for k, v in fields.items() if k != "backends"}))
    assert decision.mode == mode
    assert asked(decision) == chain
    assert decision.chosen == decision.chain[0]


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(Facts("small"), id="the same again"),
        pytest.param(Facts("small", EYES), id="it needs more"),
        pytest.param(Facts("small", pin="openai"), id="a pin"),
        pytest.param(Facts("small", mode="none"), id="an unknown mode"),
        pytest.param(Facts("small", unfit={"openai": "cannot take n"}), id="a fallback is unfit"),
        pytest.param(Facts("small", down={"local": "its breaker is open"}), id="the first is down"),
        pytest.param(Facts("small", down={"anthropic": "its breaker is open"}), id="another is down"),
    ],
)
def test_a_decision_that_is_ready_is_for_its_own_kind_of_request_alone(facts: Facts) -> None:
    fields = {"routes": (route("small", "local", "openai"),)}
    used, fresh = plan(**fields), plan(**fields)
    assert asked(decide(Facts("small"), used)) == [("local", "qwen-0.6b"), ("openai", "small")]
    assert "small" in used.ready
    assert decide(facts, used) == decide(facts, fresh)


# ---- prefixes and pins -----------------------------------------------------------------------------------------------

OLLAMA = backend("ollama", protocol="ollama")
ROUTER = backend("openrouter", priority=-5)
BOTH = (OLLAMA, ROUTER)

PREFIXES: dict[str, tuple[dict[str, Any], Facts, str, list[tuple[str, str]]]] = {
    "a backend's name": ({}, Facts("openrouter/auto"), "prefix", [("openrouter", "auto")]),
    "only its first slash": (
        {}, Facts("openrouter/mistralai/mistral-nemo"), "prefix", [("openrouter", "mistralai/mistral-nemo")],
    ),
    "in any case": ({}, Facts("OpenRouter/x"), "prefix", [("openrouter", "x")]),
    "two backends that differ in case": (
        {"backends": (backend("A"), backend("a"))}, Facts("A/x"), "prefix", [("A", "x")],
    ),
    "the other of them": ({"backends": (backend("A"), backend("a"))}, Facts("a/x"), "prefix", [("a", "x")]),
    "one that is none, in any case": (
        {"backends": (backend("Mine"),), "prefixes": {"mine": None}}, Facts("Mine/x"), "auto", [("Mine", "Mine/x")],
    ),
    "a provider that is none": (
        {"backends": (OLLAMA, backend("r", provider="openrouter", priority=-1)), "prefixes": {"openrouter": None}},
        Facts("openrouter/x"), "auto", [("ollama", "openrouter/x"), ("r", "openrouter/x")],
    ),
    "a provider's alias": (
        {"backends": (OLLAMA, backend("mine", provider="near_ai"))}, Facts("NEAR/x"), "prefix", [("mine", "x")],
    ),
    "a bound word": ({"prefixes": {"local": "ollama"}}, Facts("local/x:latest"), "prefix", [("ollama", "x:latest")]),
    "a bound word beats a backend's name": (
        {"prefixes": {"openrouter": "ollama"}}, Facts("openrouter/x"), "prefix", [("ollama", "x")],
    ),
    "one that is none": ({"prefixes": {"ollama": None}}, Facts("ollama/x"), "auto", [("ollama", "ollama/x"),
                                                                                     ("openrouter", "ollama/x")]),
    "an unknown word": (
        {}, Facts("meta-llama/x"), "auto", [("ollama", "meta-llama/x"), ("openrouter", "meta-llama/x")],
    ),
    "nothing behind it": ({}, Facts("ollama/"), "auto", [("ollama", "ollama/"), ("openrouter", "ollama/")]),
    "the backend's own name for the rest": (
        {"backends": (backend("openrouter", models={"auto": "openrouter/auto"}),)}, Facts("openrouter/auto"), "prefix",
        [("openrouter", "openrouter/auto")],
    ),
    "an exact mapping is never split": (
        {"routes": (route("openrouter/auto", Target("openrouter", "openrouter/auto")),)}, Facts("openrouter/auto"),
        "model_mapping", [("openrouter", "openrouter/auto")],
    ),
    "a name of models is never split": (
        {"backends": (OLLAMA, backend("r", models={"ollama/x": "y"}))}, Facts("ollama/x"), "model_mapping",
        [("r", "y")],
    ),
    "a family of one name is never split": (
        {"families": (Family("openrouter/auto", "openrouter"),)}, Facts("openrouter/auto"), "model_mapping",
        [("openrouter", "openrouter/auto")],
    ),
    "a prefix before every pattern": (
        {"routes": (route("*", "ollama"),)}, Facts("openrouter/x"), "prefix", [("openrouter", "x")],
    ),
    "a prefix before unmapped": ({"unmapped": "ollama"}, Facts("openrouter/x"), "prefix", [("openrouter", "x")]),
    "an absent provider's name that a pattern spells": (
        {"routes": (route("groq/*", "ollama"),)}, Facts("groq/x"), "pattern", [("ollama", "groq/x")],
    ),
    "a vendor's name where its seller is": (
        {"vendors": {"deepseek": "openrouter"}}, Facts("deepseek/x"), "prefix", [("openrouter", "deepseek/x")],
    ),
    "a pin": ({}, Facts("x", pin="openrouter"), "pin", [("openrouter", "x")]),
    "a pin and its own prefix": ({}, Facts("openrouter/x", pin="openrouter"), "pin", [("openrouter", "x")]),
    "a pin beats a mapping": (
        {"routes": (route("x", "ollama"),)}, Facts("x", pin="openrouter"), "pin", [("openrouter", "x")],
    ),
    "a pinned target's own name": (
        {"routes": (route("x", "ollama", Target("openrouter", "y")),)}, Facts("x", pin="openrouter"), "pin",
        [("openrouter", "y")],
    ),
    "a pinned target's own name by a pattern": (
        {"routes": (route("x-*", "ollama", Target("openrouter", "{1}")),)}, Facts("x-y", pin="openrouter"), "pin",
        [("openrouter", "y")],
    ),
    "a pinned default": (
        {"backends": (backend("a", default_model="usual"),)}, Facts("x", pin="a"), "pin", [("a", "usual")],
    ),
    "no pins, but a provider's prefix": ({"pins": False}, Facts("openrouter/x"), "prefix", [("openrouter", "x")]),
    "no pins by a backend's own name": (
        {"pins": False, "backends": (backend("mine"),)}, Facts("mine/x"), "auto", [("mine", "mine/x")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "facts", "mode", "chain"), PREFIXES.values(), ids=list(PREFIXES))
def test_prefixes_and_pins(fields: dict[str, Any], facts: Facts, mode: str, chain: list[tuple[str, str]]) -> None:
    rest = {key: value for key, value in fields.items() if key != "backends"}
    decision = decide(facts, plan(*fields.get("backends", BOTH), **rest))
    assert (decision.mode, asked(decision)) == (mode, chain)


# ---- modes -----------------------------------------------------------------------------------------------------------

ECO = NamedMode(name="eco", backend="ollama", models={"chat": "local/mistral-nemo:latest", "odd": "nemo"})
FAST = NamedMode(name="fast", backend="ollama", models={"chat": "openrouter/mistralai/mistral-nemo"})
MODES: dict[str, Any] = {
    "modes": {"eco": ECO, "fast": FAST},
    "mode": "eco",
    "prefixes": {"local": "ollama"},
    "routes": (route("mapped", "openrouter"), route("gpt-*", "openrouter")),
}


@pytest.mark.parametrize(
    ("facts", "mode", "chain"),
    [
        pytest.param(Facts("chat"), "mode", [("ollama", "mistral-nemo:latest")], id="the default mode"),
        pytest.param(Facts("chat", mode="fast"), "mode", [("openrouter", "mistralai/mistral-nemo")],
                     id="a prefix beats the mode's backend"),
        pytest.param(Facts("local/mistral-nemo:latest"), "prefix", [("ollama", "mistral-nemo:latest")], id="local"),
        pytest.param(Facts("openrouter/mistralai/mistral-nemo", mode="fast"), "prefix",
                     [("openrouter", "mistralai/mistral-nemo")], id="the client's prefix beats the mode's backend"),
        pytest.param(Facts("odd"), "mode", [("ollama", "nemo")], id="a plain meaning"),
        pytest.param(Facts("odd", mode="fast"), "mode", [("ollama", "odd")], id="an alias of another mode"),
        pytest.param(Facts("zzz"), "mode", [("ollama", "zzz")], id="any other name"),
        pytest.param(Facts("mapped"), "model_mapping", [("openrouter", "mapped")], id="a mapping before the mode"),
        pytest.param(Facts("gpt-9"), "pattern", [("openrouter", "gpt-9")], id="a pattern before the mode"),
        pytest.param(Facts("chat", pin="openrouter"), "pin", [("openrouter", "chat")], id="a pin elsewhere"),
        pytest.param(Facts("chat", pin="openrouter", mode="fast"), "pin", [("openrouter", "mistralai/mistral-nemo")],
                     id="a pin of what the alias means"),
    ],
)  # fmt: skip
def test_modes(facts: Facts, mode: str, chain: list[tuple[str, str]]) -> None:
    decision = decide(facts, plan(*BOTH, **MODES))
    assert (decision.mode, asked(decision)) == (mode, chain)


# ---- smart models ----------------------------------------------------------------------------------------------------

HOME = backend("home", protocol="ollama", reserved=True)
SMART = Smart(name="auto", cheap=Target("home", "hermes3"), primary=Target("anthropic", "claude-opus"))
EASY, HARD = Shape(length=10), Shape(thinking=1, reasoning=3)
CHEAP_FIRST, PRIMARY = [("home", "hermes3")], [("anthropic", "claude-opus-4-6")]


@pytest.mark.parametrize(
    ("change", "facts", "chain"),
    [
        pytest.param({}, Facts("auto", shape=EASY), CHEAP_FIRST, id="easy"),
        pytest.param({}, Facts("auto"), CHEAP_FIRST, id="unseen"),
        pytest.param({}, Facts("auto", shape=HARD), PRIMARY, id="hard"),
        pytest.param({"weights": {"length": 5000}}, Facts("auto", shape=EASY), CHEAP_FIRST, id="a weight"),
        pytest.param({"weights": {"length": 50_000}}, Facts("auto", shape=EASY), PRIMARY, id="a greater weight"),
        pytest.param({"thresholds": {"pro": 0}}, Facts("auto", shape=EASY), PRIMARY, id="a threshold"),
        pytest.param({"cascade": True}, Facts("auto", shape=EASY), CHEAP_FIRST + PRIMARY, id="a cascade"),
        pytest.param({"cascade": True}, Facts("auto", shape=HARD), PRIMARY, id="no cascade upward"),
        pytest.param(
            {"cascade": True, "cheap": SMART.primary}, Facts("auto", shape=EASY), PRIMARY, id="the same twice"
        ),
        pytest.param({}, Facts("auto", unfit={"home": "cannot take seed"}), PRIMARY, id="the cheap one is unfit"),
        pytest.param({}, Facts("auto", down={"home": "x"}), PRIMARY, id="the cheap one is down"),
        pytest.param({}, Facts("auto", pin="anthropic"), PRIMARY, id="pinned"),
    ],
)
def test_smart(change: dict[str, Any], facts: Facts, chain: list[tuple[str, str]]) -> None:
    smart = msgspec.structs.replace(SMART, notes=("a note",), **change)
    decision = decide(facts, plan(ANTHROPIC, HOME, smart=(smart,)))
    assert asked(decision) == chain
    if facts.pin is None:
        assert decision.mode == "smart"
        assert decision.notes == ("a note",)
        assert decision.score is not None
        assert decision.score.tier in decision.because
        assert decision.cascade == (len(chain) > 1)


def test_an_alias_may_mean_a_smart_model() -> None:
    mode = NamedMode(name="eco", models={"chat": "auto"})
    found = plan(ANTHROPIC, HOME, smart=(SMART,), modes={"eco": mode})
    assert found.smart_names == {"auto", "chat"}
    decision = decide(Facts("chat", mode="eco", shape=HARD), found)
    assert (decision.mode, asked(decision)) == ("mode", PRIMARY)
    assert decision.score is not None


# ---- the four faults -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["openrouter/mistralai/mistral-nemo", "OPENROUTER/mistralai/mistral-nemo"])
@pytest.mark.parametrize("frontend", PROTOCOLS)
@pytest.mark.parametrize("mode", ["eco", "fast", None])
def test_a_prefix_is_never_the_templates_backend(model: str, frontend: str, mode: str | None) -> None:
    decision = decide(Facts(model, frontend=frontend, mode=mode), plan(*BOTH, **MODES))
    assert asked(decision) == [("openrouter", "mistralai/mistral-nemo")]
    assert [c.backend for c in decision.considered if c.taken] == ["openrouter"]


@pytest.mark.parametrize("frontend", PROTOCOLS)
@pytest.mark.parametrize(("model", "goes"), [("gemini-2.5-pro", "gemini"), ("gpt-5", "openai"), ("claude-x", "claude")])
def test_the_model_decides_and_never_the_frontend(frontend: str, model: str, goes: str) -> None:
    backends = (backend("openai"), backend("gemini"), backend("claude"))
    routes = (route("gemini-*", "gemini"), route("gpt-*", "openai"), route("claude-*", "claude"))
    assert asked(decide(Facts(model, frontend=frontend), plan(*backends, routes=routes))) == [(goes, model)]


@pytest.mark.parametrize("down", [[], ["local"], ["local", "openai"], ["openai"]])
def test_a_failing_local_model_goes_only_where_its_route_says(down: list[str]) -> None:
    found = plan(routes=(route("small", "local", Target("openai", "gpt-5")),))
    decision = decide(Facts("small", down=dict.fromkeys(down, "its breaker is open")), found)
    left = [pair for pair in [("local", "qwen-0.6b"), ("openai", "gpt-5")] if pair[0] not in down]
    assert asked(decision) == left
    if not left:
        assert decision.refusal is not None
        assert (decision.refusal.status, decision.refusal.kind) == (503, "overloaded")


@pytest.mark.parametrize("shape", [EASY, HARD])
def test_the_cheap_model_is_never_asked_of_the_primarys_backend(shape: Shape) -> None:
    decision = decide(Facts("auto", shape=shape), plan(ANTHROPIC, HOME, OPENAI, smart=(SMART,)))
    assert asked(decision) in (CHEAP_FIRST, PRIMARY)
    assert ("anthropic", "hermes3") not in [(c.backend, c.model) for c in decision.considered]


# ---- refusals --------------------------------------------------------------------------------------------------------

KEYLESS = backend("anthropic", models={"claude": "claude"}, needs_key=True)
DOWN = {"openai": "its breaker is open"}

REFUSED: dict[str, tuple[dict[str, Any], Facts, int, str, list[str]]] = {
    "an unknown model": ({"backends": (OPENAI,)}, Facts("zzz"), 404, "model_not_found", ["'zzz'", "openai: does not"]),
    "a provider that is not here": (
        {}, Facts("groq/llama"), 404, "model_not_found", ["'groq/llama' asks for groq", "set GROQ_API_KEY",
        "provider:"],
    ),
    "one whose key has no variable": (
        {}, Facts("nearai/x"), 404, "model_not_found", ["add a backend with provider: nearai"],
    ),
    "one although everything goes to the local model": (
        {"unmapped": "local"}, Facts("openrouter/x"), 404, "model_not_found", ["asks for openrouter"],
    ),
    "one although a star takes every name": (
        {"routes": (route("*", "local"),)}, Facts("openrouter/x"), 404, "model_not_found", ["asks for openrouter"],
    ),
    "one although a family takes every name": (
        {"families": (Family("*", "any"),)}, Facts("openrouter/x"), 404, "model_not_found", ["asks for openrouter"],
    ),
    "a pin that is no backend": (
        {}, Facts("fast", pin="opnai"), 400, "bad_request", ["'opnai'", "did you mean openai?"],
    ),
    "a pin that is like none": ({}, Facts("fast", pin="zzz"), 400, "bad_request", ["there are local, openai"]),
    "a pin where none may be": ({"pins": False}, Facts("fast", pin="openai"), 400, "bad_request", ["pins: false"]),
    "a pin that contradicts the prefix": (
        {}, Facts("anthropic/x", pin="openai"), 400, "bad_request", ["'openai'", "'anthropic'"],
    ),
    "a pinned one lacks what is needed": ({}, Facts("fast", EYES, pin="openai"), 400, "capability", ["lacks vision"]),
    "a pinned one is unfit": (
        {}, Facts("fast", unfit={"openai": "cannot take n"}, pin="openai"), 400, "loss", ["take n"],
    ),
    "a pinned one is down": ({}, Facts("fast", pin="openai", down=DOWN), 503, "overloaded", ["its breaker is open"]),
    "a prefix's one lacks what is needed": ({}, Facts("openai/x", EYES), 400, "capability", ["openai: lacks vision"]),
    "a prefix's one is down": ({}, Facts("openai/x", down=DOWN), 503, "overloaded", ["its breaker is open"]),
    "a mapped one is down": ({}, Facts("fast", down=DOWN), 503, "overloaded", ["openai: its breaker is open"]),
    "all of the route are down or lack it": (
        {"routes": (route("small", "local", "openai"),)}, Facts("small", down={**DOWN, "local": "x"}), 503,
        "overloaded",
        ["local: x; openai: its breaker is open"],
    ),
    "nobody who takes any name is up": (
        {"backends": (backend("openai"),)}, Facts("zzz", down=DOWN), 503, "overloaded", ["its breaker is open"],
    ),
    "not even the last resort": (
        {"backends": (OPENAI,), "last_resort": "openai"}, Facts("zzz", down=DOWN), 503, "overloaded", ["breaker"],
    ),
    "a mapped one has no key": (
        {"backends": (KEYLESS, ANY)}, Facts("claude"), 502, "no_credentials",
        ["No credentials configured for anthropic"],
    ),
    "the last resort has none": (
        {"backends": (KEYLESS,), "last_resort": "anthropic"}, Facts("zzz"), 502, "no_credentials",
        ["No credentials configured for anthropic"],
    ),
    "an unknown mode": (
        {**MODES, "backends": BOTH}, Facts("x", mode="fsat"), 400, "bad_request", ["did you mean fast?"],
    ),
    "a mode where none is": ({}, Facts("fast", mode="eco"), 400, "bad_request", ["'eco'", "this proxy has none"]),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "facts", "status", "kind", "says"), REFUSED.values(), ids=list(REFUSED))
def test_refused(fields: dict[str, Any], facts: Facts, status: int, kind: str, says: list[str]) -> None:
    rest = {key: value for key, value in fields.items() if key != "backends"}
    found = plan(*fields.get("backends", ()), **rest)
    decision = decide(facts, found)
    assert decision.refusal is not None
    assert (decision.refusal.status, decision.refusal.kind) == (status, kind)
    assert all(words in decision.refusal.message for words in says), decision.refusal.message
    assert (decision.chosen, decision.chain, decision.mode) == (None, (), "failed")
    assert {candidate.backend for candidate in decision.considered} == set(found.by_name)
    assert all(candidate.why and not candidate.taken for candidate in decision.considered)


def test_a_message_does_not_list_a_hundred_backends() -> None:
    found = plan(*(backend(f"b{i}", models={f"m{i}": "x"}) for i in range(100)))
    decision = decide(Facts("zzz"), found)
    assert decision.refusal is not None
    assert "and 88 more" in decision.refusal.message
    assert len(decision.considered) == 100
