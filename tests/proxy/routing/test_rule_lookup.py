"""Tests of the routing rules in their order: mode, failover chain and upstream models, and refusals."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.routing import (
    BackendConfig,
    Decision,
    NamedMode,
    NameFamily,
    Plan,
    RequestFeatures,
    Route,
    RouteTarget,
    RoutingInput,
    SmartModel,
    decide,
    find_backend_for_model,
)
from crosswire.proxy.routing.decide import KEPT_CANDIDATES

TOOLS = frozenset(("text", "tools"))
EYES = frozenset(("text", "vision"))


def backend(name: str, can: frozenset[str] = TOOLS, protocol: str = "openai-chat", **fields: Any) -> BackendConfig:
    return BackendConfig(name=name, protocol=protocol, base_url="http://host", capabilities=can, **fields)


LOCAL = backend("local", protocol="mlx", local=True, models={"small": "qwen-0.6b", "gpt-4": "qwen-4b"}, priority=5)
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


def route(match: str, *targets: str | RouteTarget, **fields: Any) -> Route:
    return Route(
        match=match, targets=tuple(t if isinstance(t, RouteTarget) else RouteTarget(t) for t in targets), **fields
    )


def asked(decision: Decision) -> list[tuple[str, str | None]]:
    return [(candidate.backend, candidate.model) for candidate in decision.chain]


def plan(*backends: BackendConfig, **fields: Any) -> Plan:
    return Plan(backends or ALL, **{"providers": NAMES, "key_variables": {"groq": "GROQ_API_KEY"}, **fields})


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
    decision = decide(RoutingInput("gpt-4"), found)
    assert asked(decision) == [("openai", "gpt-4")]
    assert decision.mode == ("pattern" if "*" in decision.because or "?" in decision.because else "model_mapping")


@pytest.mark.parametrize("routes", [[], [route("claude-*", "anthropic")], [route("gpt-4", "openai", enabled=False)]])
def test_lookup_finds_none(routes: list[Route]) -> None:
    found = plan(backend("openai"), backend("anthropic"), routes=tuple(routes))
    assert find_backend_for_model("gpt-4", found) is None
    assert decide(RoutingInput("gpt-4"), found).mode == "auto"


# ---- route -----------------------------------------------------------------------------------------------------------

ROUTED: dict[str, tuple[dict[str, Any], RoutingInput, str, list[tuple[str, str]]]] = {
    # what: plan, inputs, mode, chain
    "unmapped": ({}, RoutingInput("zzz"), "auto", [("any", "zzz")]),
    "unmapped, everybody who takes any name in their order": (
        {"backends": (ANY, backend("b", EYES), LOCAL)}, RoutingInput("zzz"), "auto", [("b", "zzz"), ("any", "zzz")],
    ),
    "unmapped, to the local model": (
        {"unmapped": "local", "backends": (msgspec.structs.replace(LOCAL, default_model="qwen-4b"), ANY)},
        RoutingInput("zzz"), "default", [("local", "qwen-4b")],
    ),
    "unmapped, to one that lacks what is needed": (
        {"unmapped": "local"}, RoutingInput("zzz", EYES), "capability", [("any", "zzz")],
    ),
    "by models": ({}, RoutingInput("fast"), "model_mapping", [("openai", "gpt-5-mini")]),
    "by models, and only there": (
        {"backends": (OPENAI, backend("other", priority=9))}, RoutingInput("fast"), "model_mapping",
        [("openai", "gpt-5-mini")],
    ),
    "a local target has its own name": (
        {"routes": (route("small", "local"),)}, RoutingInput("small"), "model_mapping", [("local", "qwen-0.6b")],
    ),
    "an upstream override": (
        {"routes": (route("gpt-*", "openai", model="gpt-5"),)}, RoutingInput("gpt-9"), "pattern", [("openai", "gpt-5")],
    ),
    "the client's name": (
        {"routes": (route("gpt-*", "openai"),)}, RoutingInput("gpt-9"), "pattern", [("openai", "gpt-9")],
    ),
    "what the first wildcard caught": (
        {"routes": (route("team-*", "openai", model="{1}"),)}, RoutingInput("team-gpt-9"), "pattern",
        [("openai", "gpt-9")],
    ),
    "what two caught, turned round": (
        {"routes": (route("*:*", RouteTarget("openai", "{2}-{1}")),)}, RoutingInput("a:b"), "pattern",
        [("openai", "b-a")],
    ),
    "nothing caught": (
        {"routes": (route("team-*", "openai", model="{1}"),)}, RoutingInput("team-"), "pattern", [("openai", "team-")],
    ),
    "an override that is another name of the target's": (
        {"routes": (route("x", "openai", model="fast"),)}, RoutingInput("x"), "model_mapping",
        [("openai", "gpt-5-mini")],
    ),
    "a chain with names": (
        {"routes": (route("small", "local", RouteTarget("openai", "gpt-5"), "any"),)}, RoutingInput("small"),
        "model_mapping",
        [("local", "qwen-0.6b"), ("openai", "gpt-5"), ("any", "small")],
    ),
    "a chain gets the override": (
        {"routes": (route("gpt-*", "openai", "any", RouteTarget("anthropic", "claude-opus"), model="gpt-5"),)},
        RoutingInput("gpt-9"), "pattern", [("openai", "gpt-5"), ("any", "gpt-5"), ("anthropic", "claude-opus-4-6")],
    ),
    "a local fallback keeps its own name": (
        {"routes": (route("gpt-4", "openai", "local", model="gpt-5"),)}, RoutingInput("gpt-4"), "model_mapping",
        [("openai", "gpt-5"), ("local", "qwen-4b")],
    ),
    "two models of one backend": (
        {"routes": (route("x", RouteTarget("openai", "a"), RouteTarget("openai", "b")),)}, RoutingInput("x"),
        "model_mapping",
        [("openai", "a"), ("openai", "b")],
    ),
    "several backends list a name that a route decides": (
        {"backends": (LOCAL, backend("cloud", models={"small": "gpt-5"})), "routes": (route("small", "local",
        "cloud"),)},
        RoutingInput("small"), "model_mapping", [("local", "qwen-0.6b"), ("cloud", "gpt-5")],
    ),
    "the first of the chain lacks what is needed": (
        {"routes": (route("small", "local", "any"),)}, RoutingInput("small", EYES), "model_mapping", [("any", "small")],
    ),
    "nobody of the chain has it": (
        {"routes": (route("small", "local", "openai"),)}, RoutingInput("small", EYES), "capability", [("any", "small")],
    ),
    "the first of the chain is down": (
        {"routes": (route("small", "local", "openai"),)}, RoutingInput("small", down={"local": "its breaker is open"}),
        "model_mapping", [("openai", "small")],
    ),
    "a later one of the chain is down": (
        {"routes": (route("small", "local", "openai", "any"),)}, RoutingInput("small", down={"openai": "x"}),
        "model_mapping", [("local", "qwen-0.6b"), ("any", "small")],
    ),
    "unmapped and the first is down": (
        {"backends": (backend("a"), backend("b"))}, RoutingInput("x", down={"a": "x"}), "auto", [("b", "x")],
    ),
    "unmapped and the first has no key": (
        {"backends": (backend("a", needs_key=True), backend("b"))}, RoutingInput("x"), "auto", [("b", "x")],
    ),
    "a reserved backend is not for any name": (
        {"backends": (backend("a", reserved=True), backend("b"))}, RoutingInput("x"), "auto", [("b", "x")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "inputs", "mode", "chain"), ROUTED.values(), ids=list(ROUTED))
def test_route(fields: dict[str, Any], inputs: RoutingInput, mode: str, chain: list[tuple[str, str]]) -> None:
    decision = decide(inputs, plan(*fields.get("backends", ()), **{k: v for k, v in fields.items() if k != "backends"}))
    assert decision.mode == mode
    assert asked(decision) == chain
    assert decision.chosen == decision.chain[0]


@pytest.mark.parametrize(
    "inputs",
    [
        pytest.param(RoutingInput("small"), id="the same again"),
        pytest.param(RoutingInput("small", EYES), id="it needs more"),
        pytest.param(RoutingInput("small", pin="openai"), id="a pin"),
        pytest.param(RoutingInput("small", mode="none"), id="an unknown mode"),
        pytest.param(RoutingInput("small", unfit={"openai": "cannot take n"}), id="a fallback is unfit"),
        pytest.param(RoutingInput("small", down={"local": "its breaker is open"}), id="the first is down"),
        pytest.param(RoutingInput("small", down={"anthropic": "its breaker is open"}), id="another is down"),
    ],
)
def test_a_cached_decision_is_not_used_for_other_requests(inputs: RoutingInput) -> None:
    fields = {"routes": (route("small", "local", "openai"),)}
    used, fresh = plan(**fields), plan(**fields)
    assert asked(decide(RoutingInput("small"), used)) == [("local", "qwen-0.6b"), ("openai", "small")]
    assert "small" in used.decision_cache
    assert decide(inputs, used) == decide(inputs, fresh)


@pytest.mark.parametrize(
    "inputs",
    [
        pytest.param(RoutingInput("zzz"), id="the same again"),
        pytest.param(RoutingInput("zzz", EYES), id="it needs more"),
        pytest.param(RoutingInput("zzz", pin="openai"), id="a pin"),
        pytest.param(RoutingInput("zzz", mode="none"), id="an unknown mode"),
        pytest.param(RoutingInput("zzz", mode="quick"), id="a mode"),
        pytest.param(RoutingInput("zzz", unfit={"b": "cannot take n"}), id="one is unfit"),
        pytest.param(RoutingInput("zzz", down={"a": "its breaker is open"}), id="the first is down"),
        pytest.param(RoutingInput("zzz", down={"other": "its breaker is open"}), id="another is down"),
    ],
)
def test_a_kept_decision_for_a_name_without_a_rule_is_not_used_for_other_requests(inputs: RoutingInput) -> None:
    backends = (backend("a"), backend("b"), backend("other", models={"own": "own"}))
    modes = {"quick": NamedMode(name="quick", backend="b")}
    used, fresh = plan(*backends, modes=modes), plan(*backends, modes=modes)
    assert asked(decide(RoutingInput("zzz"), used)) == [("a", "zzz"), ("b", "zzz")]
    assert decide(RoutingInput("zzz"), used) is decide(RoutingInput("zzz"), used)
    assert decide(inputs, used) == decide(inputs, fresh)


def test_kept_decisions_are_bounded() -> None:
    """Names without a rule come from clients."""
    many = plan(*(backend(f"b{number}") for number in range(100)))
    for number in range(1000):
        decide(RoutingInput(f"name-{number}"), many)
    decide(RoutingInput("x" * 10_000), many)
    assert 0 < len(many.unmapped_cache) * 100 <= KEPT_CANDIDATES
    assert max(map(len, many.unmapped_cache)) <= 8


# ---- prefixes and pins -----------------------------------------------------------------------------------------------

OLLAMA = backend("ollama", protocol="ollama")
ROUTER = backend("openrouter", priority=-5)
BOTH = (OLLAMA, ROUTER)

PREFIXES: dict[str, tuple[dict[str, Any], RoutingInput, str, list[tuple[str, str]]]] = {
    "a backend's name": ({}, RoutingInput("openrouter/auto"), "prefix", [("openrouter", "auto")]),
    "only its first slash": (
        {}, RoutingInput("openrouter/mistralai/mistral-nemo"), "prefix", [("openrouter", "mistralai/mistral-nemo")],
    ),
    "in any case": ({}, RoutingInput("OpenRouter/x"), "prefix", [("openrouter", "x")]),
    "two backends that differ in case": (
        {"backends": (backend("A"), backend("a"))}, RoutingInput("A/x"), "prefix", [("A", "x")],
    ),
    "the other of them": ({"backends": (backend("A"), backend("a"))}, RoutingInput("a/x"), "prefix", [("a", "x")]),
    "one that is none, in any case": (
        {"backends": (backend("Mine"),), "prefixes": {"mine": None}}, RoutingInput("Mine/x"), "auto",
        [("Mine", "Mine/x")],
    ),
    "a provider that is none": (
        {"backends": (OLLAMA, backend("r", provider="openrouter", priority=-1)), "prefixes": {"openrouter": None}},
        RoutingInput("openrouter/x"), "auto", [("ollama", "openrouter/x"), ("r", "openrouter/x")],
    ),
    "a provider's alias": (
        {"backends": (OLLAMA, backend("mine", provider="near_ai"))}, RoutingInput("NEAR/x"), "prefix", [("mine", "x")],
    ),
    "a bound word": (
        {"prefixes": {"local": "ollama"}}, RoutingInput("local/x:latest"), "prefix", [("ollama", "x:latest")],
    ),
    "a bound word beats a backend's name": (
        {"prefixes": {"openrouter": "ollama"}}, RoutingInput("openrouter/x"), "prefix", [("ollama", "x")],
    ),
    "one that is none": ({"prefixes": {"ollama": None}}, RoutingInput("ollama/x"), "auto", [("ollama", "ollama/x"),
                                                                                     ("openrouter", "ollama/x")]),
    "an unknown word": (
        {}, RoutingInput("meta-llama/x"), "auto", [("ollama", "meta-llama/x"), ("openrouter", "meta-llama/x")],
    ),
    "nothing behind it": ({}, RoutingInput("ollama/"), "auto", [("ollama", "ollama/"), ("openrouter", "ollama/")]),
    "the backend's own name for the rest": (
        {"backends": (backend("openrouter", models={"auto": "openrouter/auto"}),)}, RoutingInput("openrouter/auto"),
        "prefix",
        [("openrouter", "openrouter/auto")],
    ),
    "an exact mapping is never split": (
        {"routes": (route("openrouter/auto", RouteTarget("openrouter",
        "openrouter/auto")),)}, RoutingInput("openrouter/auto"),
        "model_mapping", [("openrouter", "openrouter/auto")],
    ),
    "a name of models is never split": (
        {"backends": (OLLAMA, backend("r", models={"ollama/x": "y"}))}, RoutingInput("ollama/x"), "model_mapping",
        [("r", "y")],
    ),
    "a family of one name is never split": (
        {"families": (NameFamily("openrouter/auto", "openrouter"),)}, RoutingInput("openrouter/auto"), "model_mapping",
        [("openrouter", "openrouter/auto")],
    ),
    "a prefix before every pattern": (
        {"routes": (route("*", "ollama"),)}, RoutingInput("openrouter/x"), "prefix", [("openrouter", "x")],
    ),
    "a prefix before unmapped": ({"unmapped": "ollama"}, RoutingInput("openrouter/x"), "prefix", [("openrouter", "x")]),
    "an absent provider's name that a pattern spells": (
        {"routes": (route("groq/*", "ollama"),)}, RoutingInput("groq/x"), "pattern", [("ollama", "groq/x")],
    ),
    "a vendor's name where its seller is": (
        {"vendors": {"deepseek": "openrouter"}}, RoutingInput("deepseek/x"), "prefix", [("openrouter", "deepseek/x")],
    ),
    "a pin": ({}, RoutingInput("x", pin="openrouter"), "pin", [("openrouter", "x")]),
    "a pin and its own prefix": ({}, RoutingInput("openrouter/x", pin="openrouter"), "pin", [("openrouter", "x")]),
    "a pin beats a mapping": (
        {"routes": (route("x", "ollama"),)}, RoutingInput("x", pin="openrouter"), "pin", [("openrouter", "x")],
    ),
    "a pinned target's own name": (
        {"routes": (route("x", "ollama", RouteTarget("openrouter", "y")),)}, RoutingInput("x", pin="openrouter"), "pin",
        [("openrouter", "y")],
    ),
    "a pinned target's own name by a pattern": (
        {"routes": (route("x-*", "ollama", RouteTarget("openrouter", "{1}")),)}, RoutingInput("x-y", pin="openrouter"),
        "pin",
        [("openrouter", "y")],
    ),
    "a pinned default": (
        {"backends": (backend("a", default_model="usual"),)}, RoutingInput("x", pin="a"), "pin", [("a", "usual")],
    ),
    "no pins, but a provider's prefix": (
        {"pins": False}, RoutingInput("openrouter/x"), "prefix", [("openrouter", "x")],
    ),
    "no pins by a backend's own name": (
        {"pins": False, "backends": (backend("mine"),)}, RoutingInput("mine/x"), "auto", [("mine", "mine/x")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "inputs", "mode", "chain"), PREFIXES.values(), ids=list(PREFIXES))
def test_prefixes_and_pins(
    fields: dict[str, Any], inputs: RoutingInput, mode: str, chain: list[tuple[str, str]]
) -> None:
    rest = {key: value for key, value in fields.items() if key != "backends"}
    decision = decide(inputs, plan(*fields.get("backends", BOTH), **rest))
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
    ("inputs", "mode", "chain"),
    [
        pytest.param(RoutingInput("chat"), "mode", [("ollama", "mistral-nemo:latest")], id="the default mode"),
        pytest.param(RoutingInput("chat", mode="fast"), "mode", [("openrouter", "mistralai/mistral-nemo")],
                     id="a prefix beats the mode's backend"),
        pytest.param(
            RoutingInput("local/mistral-nemo:latest"), "prefix", [("ollama", "mistral-nemo:latest")], id="local",
        ),
        pytest.param(RoutingInput("openrouter/mistralai/mistral-nemo", mode="fast"), "prefix",
                     [("openrouter", "mistralai/mistral-nemo")], id="the client's prefix beats the mode's backend"),
        pytest.param(RoutingInput("odd"), "mode", [("ollama", "nemo")], id="a plain meaning"),
        pytest.param(RoutingInput("odd", mode="fast"), "mode", [("ollama", "odd")], id="an alias of another mode"),
        pytest.param(RoutingInput("zzz"), "mode", [("ollama", "zzz")], id="any other name"),
        pytest.param(
            RoutingInput("mapped"), "model_mapping", [("openrouter", "mapped")], id="a mapping before the mode",
        ),
        pytest.param(RoutingInput("gpt-9"), "pattern", [("openrouter", "gpt-9")], id="a pattern before the mode"),
        pytest.param(RoutingInput("chat", pin="openrouter"), "pin", [("openrouter", "chat")], id="a pin elsewhere"),
        pytest.param(
            RoutingInput("chat", pin="openrouter", mode="fast"), "pin", [("openrouter", "mistralai/mistral-nemo")],
            id="a pin of what the alias means",
        ),
    ],
)  # fmt: skip
def test_modes(inputs: RoutingInput, mode: str, chain: list[tuple[str, str]]) -> None:
    decision = decide(inputs, plan(*BOTH, **MODES))
    assert (decision.mode, asked(decision)) == (mode, chain)


# ---- smart models ----------------------------------------------------------------------------------------------------

HOME = backend("home", protocol="ollama", reserved=True)
SMART = SmartModel(name="auto", cheap=RouteTarget("home", "hermes3"), primary=RouteTarget("anthropic", "claude-opus"))
EASY, HARD = RequestFeatures(length=10), RequestFeatures(thinking=1, reasoning=3)
CHEAP_FIRST, PRIMARY = [("home", "hermes3")], [("anthropic", "claude-opus-4-6")]


@pytest.mark.parametrize(
    ("change", "inputs", "chain"),
    [
        pytest.param({}, RoutingInput("auto", features=EASY), CHEAP_FIRST, id="easy"),
        pytest.param({}, RoutingInput("auto"), CHEAP_FIRST, id="unseen"),
        pytest.param({}, RoutingInput("auto", features=HARD), PRIMARY, id="hard"),
        pytest.param({"weights": {"length": 5000}}, RoutingInput("auto", features=EASY), CHEAP_FIRST, id="a weight"),
        pytest.param(
            {"weights": {"length": 50_000}}, RoutingInput("auto", features=EASY), PRIMARY, id="a greater weight"
        ),
        pytest.param({"thresholds": {"pro": 0}}, RoutingInput("auto", features=EASY), PRIMARY, id="a threshold"),
        pytest.param({"cascade": True}, RoutingInput("auto", features=EASY), CHEAP_FIRST + PRIMARY, id="a cascade"),
        pytest.param({"cascade": True}, RoutingInput("auto", features=HARD), PRIMARY, id="no cascade upward"),
        pytest.param(
            {"cascade": True, "cheap": SMART.primary}, RoutingInput("auto", features=EASY), PRIMARY, id="the same twice"
        ),
        pytest.param(
            {}, RoutingInput("auto", unfit={"home": "cannot take seed"}), PRIMARY, id="the cheap one is unfit"
        ),
        pytest.param({}, RoutingInput("auto", down={"home": "x"}), PRIMARY, id="the cheap one is down"),
        pytest.param({}, RoutingInput("auto", pin="anthropic"), PRIMARY, id="pinned"),
    ],
)
def test_smart(change: dict[str, Any], inputs: RoutingInput, chain: list[tuple[str, str]]) -> None:
    smart = msgspec.structs.replace(SMART, notes=("a note",), **change)
    decision = decide(inputs, plan(ANTHROPIC, HOME, smart=(smart,)))
    assert asked(decision) == chain
    if inputs.pin is None:
        assert decision.mode == "smart"
        assert decision.notes == ("a note",)
        assert decision.score is not None
        assert decision.score.tier in decision.because
        assert decision.cascade == (len(chain) > 1)


def test_an_alias_can_stand_for_a_smart_model() -> None:
    mode = NamedMode(name="eco", models={"chat": "auto"})
    found = plan(ANTHROPIC, HOME, smart=(SMART,), modes={"eco": mode})
    assert found.smart_names == {"auto", "chat"}
    decision = decide(RoutingInput("chat", mode="eco", features=HARD), found)
    assert (decision.mode, asked(decision)) == ("mode", PRIMARY)
    assert decision.score is not None


# ---- the four faults -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["openrouter/mistralai/mistral-nemo", "OPENROUTER/mistralai/mistral-nemo"])
@pytest.mark.parametrize("frontend", PROTOCOLS)
@pytest.mark.parametrize("mode", ["eco", "fast", None])
def test_a_prefix_does_not_depend_on_the_frontend(model: str, frontend: str, mode: str | None) -> None:
    decision = decide(RoutingInput(model, frontend=frontend, mode=mode), plan(*BOTH, **MODES))
    assert asked(decision) == [("openrouter", "mistralai/mistral-nemo")]
    assert [c.backend for c in decision.considered if c.taken] == ["openrouter"]


@pytest.mark.parametrize("frontend", PROTOCOLS)
@pytest.mark.parametrize(("model", "goes"), [("gemini-2.5-pro", "gemini"), ("gpt-5", "openai"), ("claude-x", "claude")])
def test_the_model_decides_and_never_the_frontend(frontend: str, model: str, goes: str) -> None:
    backends = (backend("openai"), backend("gemini"), backend("claude"))
    routes = (route("gemini-*", "gemini"), route("gpt-*", "openai"), route("claude-*", "claude"))
    assert asked(decide(RoutingInput(model, frontend=frontend), plan(*backends, routes=routes))) == [(goes, model)]


@pytest.mark.parametrize("down", [[], ["local"], ["local", "openai"], ["openai"]])
def test_a_failing_local_model_fails_over_only_within_its_route(down: list[str]) -> None:
    found = plan(routes=(route("small", "local", RouteTarget("openai", "gpt-5")),))
    decision = decide(RoutingInput("small", down=dict.fromkeys(down, "its breaker is open")), found)
    left = [pair for pair in [("local", "qwen-0.6b"), ("openai", "gpt-5")] if pair[0] not in down]
    assert asked(decision) == left
    if not left:
        assert decision.refusal is not None
        assert (decision.refusal.status, decision.refusal.kind) == (503, "overloaded")


@pytest.mark.parametrize("features", [EASY, HARD])
def test_the_cheap_model_is_never_sent_to_the_primary_backend(features: RequestFeatures) -> None:
    decision = decide(RoutingInput("auto", features=features), plan(ANTHROPIC, HOME, OPENAI, smart=(SMART,)))
    assert asked(decision) in (CHEAP_FIRST, PRIMARY)
    assert ("anthropic", "hermes3") not in [(c.backend, c.model) for c in decision.considered]


# ---- refusals --------------------------------------------------------------------------------------------------------

KEYLESS = backend("anthropic", models={"claude": "claude"}, needs_key=True)
DOWN = {"openai": "its breaker is open"}

REFUSED: dict[str, tuple[dict[str, Any], RoutingInput, int, str, list[str]]] = {
    "an unknown model": (
        {"backends": (OPENAI,)}, RoutingInput("zzz"), 404, "model_not_found", ["'zzz'", "openai: does not"],
    ),
    "a provider that is not here": (
        {}, RoutingInput("groq/llama"), 404, "model_not_found", ["'groq/llama' asks for groq", "set GROQ_API_KEY",
        "provider:"],
    ),
    "one whose key has no variable": (
        {}, RoutingInput("nearai/x"), 404, "model_not_found", ["add a backend with provider: nearai"],
    ),
    "one although everything goes to the local model": (
        {"unmapped": "local"}, RoutingInput("openrouter/x"), 404, "model_not_found", ["asks for openrouter"],
    ),
    "one although a star takes every name": (
        {"routes": (route("*", "local"),)}, RoutingInput("openrouter/x"), 404, "model_not_found",
        ["asks for openrouter"],
    ),
    "one although a family takes every name": (
        {"families": (NameFamily("*", "any"),)}, RoutingInput("openrouter/x"), 404, "model_not_found",
        ["asks for openrouter"],
    ),
    "a pin that is no backend": (
        {}, RoutingInput("fast", pin="opnai"), 400, "bad_request", ["'opnai'", "did you mean openai?"],
    ),
    "a pin that is like none": ({}, RoutingInput("fast", pin="zzz"), 400, "bad_request", ["there are local, openai"]),
    "a pin where none may be": (
        {"pins": False}, RoutingInput("fast", pin="openai"), 400, "bad_request", ["pins: false"],
    ),
    "a pin that contradicts the prefix": (
        {}, RoutingInput("anthropic/x", pin="openai"), 400, "bad_request", ["'openai'", "'anthropic'"],
    ),
    "a pinned one lacks what is needed": (
        {}, RoutingInput("fast", EYES, pin="openai"), 400, "capability", ["lacks vision"],
    ),
    "a pinned one is unfit": (
        {}, RoutingInput("fast", unfit={"openai": "cannot take n"}, pin="openai"), 400, "loss", ["take n"],
    ),
    "a pinned one is down": (
        {}, RoutingInput("fast", pin="openai", down=DOWN), 503, "overloaded", ["its breaker is open"],
    ),
    "a prefix's one lacks what is needed": (
        {}, RoutingInput("openai/x", EYES), 400, "capability", ["openai: lacks vision"],
    ),
    "a prefix's one is down": ({}, RoutingInput("openai/x", down=DOWN), 503, "overloaded", ["its breaker is open"]),
    "a mapped one is down": ({}, RoutingInput("fast", down=DOWN), 503, "overloaded", ["openai: its breaker is open"]),
    "all of the route are down or lack it": (
        {"routes": (route("small", "local", "openai"),)}, RoutingInput("small", down={**DOWN, "local": "x"}), 503,
        "overloaded",
        ["local: x; openai: its breaker is open"],
    ),
    "nobody who takes any name is up": (
        {"backends": (backend("openai"),)}, RoutingInput("zzz", down=DOWN), 503, "overloaded", ["its breaker is open"],
    ),
    "not even the last resort": (
        {"backends": (OPENAI,), "last_resort": "openai"}, RoutingInput("zzz", down=DOWN), 503, "overloaded",
        ["breaker"],
    ),
    "a mapped one has no key": (
        {"backends": (KEYLESS, ANY)}, RoutingInput("claude"), 502, "no_credentials",
        ["No credentials configured for anthropic"],
    ),
    "the last resort has none": (
        {"backends": (KEYLESS,), "last_resort": "anthropic"}, RoutingInput("zzz"), 502, "no_credentials",
        ["No credentials configured for anthropic"],
    ),
    "an unknown mode": (
        {**MODES, "backends": BOTH}, RoutingInput("x", mode="fsat"), 400, "bad_request", ["did you mean fast?"],
    ),
    "a mode where none is": (
        {}, RoutingInput("fast", mode="eco"), 400, "bad_request", ["'eco'", "this proxy has none"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "inputs", "status", "kind", "says"), REFUSED.values(), ids=list(REFUSED))
def test_refused(fields: dict[str, Any], inputs: RoutingInput, status: int, kind: str, says: list[str]) -> None:
    rest = {key: value for key, value in fields.items() if key != "backends"}
    found = plan(*fields.get("backends", ()), **rest)
    decision = decide(inputs, found)
    assert decision.refusal is not None
    assert (decision.refusal.status, decision.refusal.kind) == (status, kind)
    assert all(words in decision.refusal.message for words in says), decision.refusal.message
    assert (decision.chosen, decision.chain, decision.mode) == (None, (), "failed")
    assert {candidate.backend for candidate in decision.considered} == set(found.by_name)
    assert all(candidate.why and not candidate.taken for candidate in decision.considered)


def test_a_message_does_not_list_a_hundred_backends() -> None:
    found = plan(*(backend(f"b{i}", models={f"m{i}": "x"}) for i in range(100)))
    decision = decide(RoutingInput("zzz"), found)
    assert decision.refusal is not None
    assert "and 88 more" in decision.refusal.message
    assert len(decision.considered) == 100
