"""Tests of `decide`: the chosen backend, the reasons of all others, and the refusals."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.errors import ConfigError
from crosswire.proxy.ir import CAPABILITIES
from crosswire.proxy.routing import (
    BEHIND,
    ELSEWHERE,
    FAMILY,
    FIRST,
    MODES,
    NAMED,
    RESORT,
    UNSERVED,
    BackendConfig,
    NameFamily,
    Plan,
    RoutingInput,
    backend_supports_capabilities,
    decide,
    find_backend_for_model,
    missing_capabilities,
)

TEXT = frozenset(("text",))
TOOLS = frozenset(("text", "tools"))
VISION = frozenset(("text", "vision"))
ALL = frozenset(CAPABILITIES)


def backend(name: str, can: frozenset[str] = TOOLS, **fields: object) -> BackendConfig:
    return msgspec.structs.replace(
        BackendConfig(name=name, protocol="openai-chat", base_url="http://host", capabilities=can), **fields
    )


# ---- who a mapping names ---------------------------------------------------------------------------------------------

A = backend("a", models={"m": "m-up", "fast": "m-small"})
B = backend("b", models={"n": "n"})
ANY = backend("any")
FAMILIES = (NameFamily("gpt-*", "a"), NameFamily("o[0-9]*", "a"), NameFamily("*/*", "b"), NameFamily("*", "any"))


@pytest.mark.parametrize(
    ("model", "plan", "named"),
    [
        pytest.param("m", Plan(()), None, id="no backend"),
        pytest.param("m", Plan((ANY,)), None, id="none names it"),
        pytest.param("m", Plan((B, A)), "a", id="one names it"),
        pytest.param("fast", Plan((A, B)), "a", id="by the client's name"),
        pytest.param("m-up", Plan((A, B)), None, id="not by the upstream's name"),
        pytest.param("M", Plan((A, B)), None, id="case matters"),
        pytest.param("", Plan((A, B)), None, id="an empty name"),
        pytest.param("gpt-5", Plan((A, B, ANY), FAMILIES), "a", id="a family"),
        pytest.param("o3", Plan((A, B, ANY), FAMILIES), "a", id="a family with a class"),
        pytest.param("gpt-5/x", Plan((A, B, ANY), FAMILIES), "a", id="the first family that fits"),
        pytest.param("x/gpt-5", Plan((A, B, ANY), FAMILIES), "b", id="a later family"),
        pytest.param("GPT-5", Plan((A, B, ANY), FAMILIES), "any", id="a family's case matters"),
        pytest.param("n", Plan((A, B, ANY), FAMILIES), "b", id="models before families"),
        pytest.param("olmo", Plan((A, B), FAMILIES[:3]), None, id="no family fits"),
    ],
)
def test_find_backend_for_model(model: str, plan: Plan, named: str | None) -> None:
    found = find_backend_for_model(model, plan)
    assert (found and found.name) == named


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        pytest.param(
            lambda: Plan((A, backend("c", models={"m": "x"}))),
            "backends.c.models: backends.a names 'm' too; keep one of them",
            id="two name a model",
        ),
        pytest.param(lambda: Plan((A, A)), "backends.a: two backends have this name; rename one", id="two of a name"),
        pytest.param(lambda: Plan((A,), last_resort="z"), "last_resort: unknown backend 'z'", id="no such last resort"),
        pytest.param(
            lambda: Plan((A,), (NameFamily("*", "z"),)),
            "families: '*' belongs to 'z', which is not a backend",
            id="a family of nobody",
        ),
    ],
)
def test_invalid_plans_are_rejected(make: Callable[[], Plan], complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert complaint in caught.value.complaints


@pytest.mark.parametrize(
    ("can", "required", "missing"),
    [
        pytest.param(TOOLS, TEXT, (), id="superset"),
        pytest.param(TOOLS, TOOLS, (), id="equal"),
        pytest.param(TOOLS, ALL, tuple(sorted(ALL - TOOLS)), id="subset"),
        pytest.param(TOOLS, frozenset(), (), id="nothing required"),
        pytest.param(frozenset(), TOOLS, ("text", "tools"), id="nothing offered"),
        pytest.param(frozenset(), frozenset(), (), id="neither"),
        pytest.param(TOOLS, VISION, ("vision",), id="overlap"),
    ],
)
def test_capabilities(can: frozenset[str], required: frozenset[str], missing: tuple[str, ...]) -> None:
    assert missing_capabilities(backend("x", can), required) == missing
    assert backend_supports_capabilities(backend("x", can), required) is (not missing)


# ---- each mode -------------------------------------------------------------------------------------------------------

EYES = backend("eyes", VISION, capabilities_from="explicit", default_model="see", models={"v": "v"})
LOW = backend("low", ALL, priority=-1)


@pytest.mark.parametrize(
    ("plan", "inputs", "mode", "chosen", "considered"),
    [
        pytest.param(
            Plan((B, A, ANY)),
            RoutingInput("fast"),
            "model_mapping",
            ("a", "m-small"),
            [("b", ELSEWHERE), ("a", NAMED), ("any", ELSEWHERE)],
            id="mapped and capable",
        ),
        pytest.param(
            Plan((ANY, A, B), (NameFamily("m*", "any"), NameFamily("*", "b"))),
            RoutingInput("mist"),
            "model_mapping",
            ("any", "mist"),
            [("any", FAMILY), ("a", ELSEWHERE), ("b", ELSEWHERE)],
            id="mapped by a family",
        ),
        pytest.param(
            Plan((A, EYES, LOW)),
            RoutingInput("m", VISION),
            "capability",
            ("eyes", "see"),
            [("a", "lacks vision"), ("eyes", FIRST), ("low", BEHIND)],
            id="mapped, but lacks a capability",
        ),
        pytest.param(
            Plan((A, B, LOW)),
            RoutingInput("m", unfit={"a": "would lose top_k"}),
            "capability",
            ("low", "m"),
            [("a", "would lose top_k"), ("b", UNSERVED), ("low", FIRST)],
            id="mapped, but unfit",
        ),
        pytest.param(
            Plan((A, B, ANY), (NameFamily("gpt-*", "any"), NameFamily("*", "b"))),
            RoutingInput("gpt-5", unfit={"any": "would lose seed"}),
            "capability",
            ("b", "gpt-5"),
            [("a", UNSERVED), ("b", FIRST), ("any", "would lose seed")],
            id="the first family is unfit, the next takes it",
        ),
        pytest.param(
            Plan((A, ANY, LOW)),
            RoutingInput("other"),
            "auto",
            ("any", "other"),
            [("a", UNSERVED), ("any", FIRST), ("low", BEHIND)],
            id="no mapping, the protocol's capabilities",
        ),
        pytest.param(
            Plan((A, EYES, LOW)),
            RoutingInput("other"),
            "explicit",
            ("eyes", "see"),
            [("a", UNSERVED), ("eyes", FIRST), ("low", BEHIND)],
            id="no mapping, a list of capabilities",
        ),
        pytest.param(
            Plan((ANY, backend("second"), backend("high", priority=5))),
            RoutingInput("x"),
            "auto",
            ("high", "x"),
            [("high", FIRST), ("any", BEHIND), ("second", BEHIND)],
            id="higher first, ties by file order",
        ),
        pytest.param(
            Plan((ANY, EYES)),
            RoutingInput("x", unfit={"any": "would lose n"}),
            "explicit",
            ("eyes", "see"),
            [("any", "would lose n"), ("eyes", FIRST)],
            id="unfit without a mapping",
        ),
        pytest.param(
            Plan((A, B), last_resort="b"),
            RoutingInput("zzz"),
            "failed",
            ("b", "zzz"),
            [("a", UNSERVED), ("b", RESORT)],
            id="unknown model, last resort with the client's name",
        ),
        pytest.param(
            Plan((A, EYES), last_resort="eyes"),
            RoutingInput("m", ALL),
            "failed",
            ("eyes", "see"),
            [("a", "lacks " + ", ".join(sorted(ALL - TOOLS))), ("eyes", RESORT)],
            id="nobody capable, last resort with its default",
        ),
        pytest.param(
            Plan((A, B), last_resort="a"),
            RoutingInput("fast", VISION),
            "failed",
            ("a", "m-small"),
            [("a", RESORT), ("b", UNSERVED)],
            id="the mapped one lacks it and is the last resort",
        ),
    ],
)
def test_decide(
    plan: Plan, inputs: RoutingInput, mode: str, chosen: tuple[str, str], considered: list[tuple[str, str]]
) -> None:
    decision = decide(inputs, plan)
    assert decision.mode == mode
    assert decision.chosen is not None
    assert (decision.chosen.backend, decision.chosen.model) == chosen
    assert [(candidate.backend, candidate.why) for candidate in decision.considered] == considered
    assert decision.refusal is None
    assert decision.because


@pytest.mark.parametrize(
    ("plan", "inputs", "status", "code", "says"),
    [
        pytest.param(
            Plan((A, B)), RoutingInput("zzz"), 404, "model_not_found", ["'zzz'", "/v1/models"], id="unknown model"
        ),
        pytest.param(Plan(()), RoutingInput("m"), 404, "model_not_found", ["'m'"], id="no backend at all"),
        pytest.param(
            Plan((A,), (NameFamily("gpt-*", "a"),)),
            RoutingInput("claude"),
            404,
            "model_not_found",
            ["'claude'"],
            id="no family",
        ),
        pytest.param(
            Plan((A, B)), RoutingInput("m", VISION), 400, "capability", ["a: lacks vision"], id="the mapped lacks it"
        ),
        pytest.param(
            Plan((ANY, backend("c", VISION))),
            RoutingInput("m", ALL),
            400,
            "capability",
            ["any: lacks ", "c: lacks ", "tools"],
            id="all lack something",
        ),
        pytest.param(
            Plan((A, B)),
            RoutingInput("m", unfit={"a": "would lose seed"}),
            400,
            "loss",
            ["a: would lose seed"],
            id="unfit",
        ),
        pytest.param(
            Plan((ANY, backend("c", VISION))),
            RoutingInput("m", TOOLS, unfit={"any": "would lose seed"}),
            400,
            "loss",
            ["any: would lose seed", "c: lacks tools"],
            id="one unfit, one incapable",
        ),
        pytest.param(
            Plan((A, B), last_resort="b"),
            RoutingInput("zzz", unfit={"b": "would lose seed"}),
            400,
            "loss",
            ["b: would lose seed"],
            id="the last resort keeps the promise too",
        ),
        pytest.param(
            Plan((A, B), last_resort="a"),
            RoutingInput("m", VISION, unfit={"a": "cannot take an image"}),
            400,
            "loss",
            ["a: cannot take an image"],
            id="the last resort is incapable and unfit",
        ),
    ],
)
def test_refusals(plan: Plan, inputs: RoutingInput, status: int, code: str, says: list[str]) -> None:
    decision = decide(inputs, plan)
    assert decision.chosen is None
    assert decision.mode == "failed"
    assert decision.refusal is not None
    assert (decision.refusal.status, decision.refusal.code) == (status, code)
    for words in says:
        assert words in decision.refusal.message
    assert not any(candidate.taken for candidate in decision.considered)


def test_a_refusal_does_not_repeat_a_huge_name() -> None:
    decision = decide(RoutingInput("x" * 100_000), Plan((A,)))
    assert decision.refusal is not None
    assert len(decision.refusal.message) < 400


# ---- what holds for any plan -----------------------------------------------------------------------------------------

words = st.frozensets(st.sampled_from(("text", "tools", "vision", "audio")))
models = st.sampled_from(("m0", "m1", "m2", "m3", "x/y", "zzz"))


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Up to five backends; each client's name is mapped by one of them at most."""
    count = draw(st.integers(0, 5))
    owners = draw(st.lists(st.integers(0, 8), min_size=4, max_size=4))
    backends = tuple(
        backend(
            f"b{i}",
            draw(words),
            models={f"m{m}": f"up-{m}" for m, owner in enumerate(owners) if owner == i},
            default_model=draw(st.sampled_from((None, "usual"))),
            priority=draw(st.integers(-2, 2)),
            capabilities_from=draw(st.sampled_from(("auto", "explicit"))),
        )
        for i in range(count)
    )
    names = [entry.name for entry in backends]
    families: list[NameFamily] = []
    if names:
        pairs = st.tuples(st.sampled_from(("m*", "*/*", "*", "z??")), st.sampled_from(names))
        families = [NameFamily(*pair) for pair in draw(st.lists(pairs, max_size=3))]
    return Plan(backends, tuple(families), draw(st.sampled_from((None, *names))))


@given(plans(), models, words, st.sets(st.integers(0, 4)))
def test_property_decisions(plan: Plan, model: str, required: frozenset[str], unfit: set[int]) -> None:
    inputs = RoutingInput(model, required, "openai-chat", {f"b{i}": f"unfit {i}" for i in unfit})
    decision = decide(inputs, plan)
    # every backend once, in priority order with ties by file order
    order = {entry.name: (-entry.priority, place) for place, entry in enumerate(plan.backends)}
    assert [candidate.backend for candidate in decision.considered] == sorted(order, key=lambda name: order[name])
    assert all(candidate.why for candidate in decision.considered)
    # one answer: somebody serves, or the client hears why not
    assert decision.mode in MODES
    assert (decision.chosen is None) == (decision.refusal is not None)
    assert [candidate for candidate in decision.considered if candidate.taken] == (
        [] if decision.chosen is None else [decision.chosen]
    )
    mapped = find_backend_for_model(model, plan)
    if decision.chosen is not None:
        winner = plan.by_name[decision.chosen.backend]
        assert decision.chosen.model
        assert winner.name not in inputs.unfit
        if decision.mode == "failed":
            assert winner.name == plan.last_resort
        else:
            assert backend_supports_capabilities(winner, required)
        if decision.mode == "model_mapping":
            assert winner is mapped
        if decision.mode == "capability":
            assert mapped is not None
            assert mapped is not winner
        if decision.mode in ("auto", "explicit"):
            assert mapped is None
            assert winner.capabilities_from == decision.mode
    # a mapped backend that can, does
    if mapped is not None and required <= mapped.capabilities and mapped.name not in inputs.unfit:
        assert decision.mode == "model_mapping"
    # nothing is decided by chance or remembered
    fresh = Plan(plan.backends, plan.families, plan.last_resort)
    assert decide(inputs, fresh) == decision == decide(inputs, plan)


@given(plans(), words)
def test_priority_decides_among_the_capable(plan: Plan, required: frozenset[str]) -> None:
    decision = decide(RoutingInput("nobody maps this", required), plan)
    if decision.mode in ("auto", "explicit") and decision.chosen is not None:
        fits = [
            entry
            for entry in plan.backends
            if required <= entry.capabilities
            and (entry.default_model or not (entry.models or entry.name in {f.backend for f in plan.families}))
        ]
        assert decision.chosen.backend == max(fits, key=lambda entry: entry.priority).name


def test_secrets_are_masked() -> None:
    shown = BackendConfig(
        name="a", protocol="p", base_url="http://h", api_key="sk-hidden-1", headers={"x-extra": "hidden-2"}
    )
    for text in (repr(shown), str(shown), repr(Plan((shown,))), str(dict(shown.__rich_repr__()))):
        assert "hidden" not in text
        assert "x-extra" in text
    assert "hidden" not in repr(decide(RoutingInput("m"), Plan((shown,))))


@pytest.mark.parametrize(("given_name", "provider"), [("", "a"), ("vendor", "vendor")])
def test_the_default_provider_is_the_backends_name(given_name: str, provider: str) -> None:
    assert BackendConfig(name="a", protocol="p", base_url="http://h", provider=given_name).provider == provider
