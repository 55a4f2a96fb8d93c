"""What holds for any plan and any request: the laws of the order, and that a decision explains all of itself."""

from __future__ import annotations

from fnmatch import fnmatchcase

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.errors import ConfigError
from proxy.routing import (
    MODES,
    Backend,
    Facts,
    NamedMode,
    Plan,
    Route,
    Shape,
    Smart,
    Target,
    decide,
    find_backend_for_model,
)

WORDS = ("text", "tools", "vision")
MODELS = ("m", "m-1", "m-2", "n", "b0/m", "B1/n-1", "away/m", "chat", "auto", "zzz", "")
PATTERNS = ("m", "m-1", "m-*", "m-?", "*-1", "*", "n*", "away/*", "[mn]", "chat", "b0/m")
NAMES = ("b0", "b1", "b2", "b3")

words = st.frozensets(st.sampled_from(WORDS))
names = st.sampled_from(NAMES)
models = st.sampled_from(MODELS)


@st.composite
def routes(draw: st.DrawFn, enabled: bool | None = None) -> Route:
    targets = draw(
        st.lists(st.builds(Target, names, st.sampled_from((None, "up", "m"))), min_size=1, max_size=3, unique=True)
    )
    return Route(
        match=draw(st.sampled_from(PATTERNS)),
        targets=tuple(targets),
        model=draw(st.sampled_from((None, "override"))),
        priority=draw(st.integers(-2, 2)),
        enabled=draw(st.booleans()) if enabled is None else enabled,
    )


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """A plan of four backends and rules of every kind that do not contradict each other."""
    backends = tuple(
        Backend(
            name=name,
            protocol="openai-chat",
            base_url="http://host",
            capabilities=draw(words),
            models=draw(st.sampled_from(({}, {f"own-{name}": "up"}))),
            default_model=draw(st.sampled_from((None, "usual"))),
            priority=draw(st.integers(-1, 1)),
            needs_key=draw(st.integers(0, 5)) == 0,
            reserved=draw(st.integers(0, 5)) == 0,
        )
        for name in NAMES
    )
    modes = {"eco": NamedMode(name="eco", backend=draw(names), models={"chat": "b1/x"})}
    plan = Plan(backends)
    fields = {
        "last_resort": st.sampled_from((None, *NAMES)),
        "providers": st.just({"away": "away"}),
        "modes": st.sampled_from(({}, modes)),
        "smart": st.sampled_from(
            ((), (Smart(name="auto", cheap=Target("b2", "x"), primary=Target("b3", "y"), cascade=True),))
        ),
        "unmapped": st.sampled_from((None, *NAMES)),
        "pins": st.booleans(),
    }
    for field, strategy in fields.items():
        plan = msgspec.structs.replace(plan, **{field: draw(strategy)})
    for route in draw(st.lists(routes(), max_size=5)):
        plan = _with(plan, route) or plan
    return plan


def _with(plan: Plan, route: Route) -> Plan | None:
    """The plan with this route too, or None where they contradict each other."""
    try:
        return msgspec.structs.replace(plan, routes=(*plan.routes, route))
    except ConfigError:
        return None


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    reasons = st.dictionaries(names, st.just("a reason"), max_size=2)
    return Facts(
        draw(models),
        draw(words),
        "openai-chat",
        draw(reasons),
        pin=draw(st.sampled_from((None, None, *NAMES, "zzz"))),
        mode=draw(st.sampled_from((None, None, "eco", "zzz"))),
        down=draw(reasons),
        shape=draw(st.sampled_from((None, Shape(), Shape(thinking=1, reasoning=3)))),
    )


@given(plans(), facts())
def test_a_decision_explains_all_of_itself(plan: Plan, facts: Facts) -> None:
    decision = decide(facts, plan)
    assert decision.mode in MODES
    assert decision.because
    assert (decision.chosen is None) == (decision.refusal is not None)
    assert {candidate.backend for candidate in decision.considered} == set(NAMES)
    assert all(candidate.why for candidate in decision.considered)
    order = {backend.name: place for place, backend in enumerate(plan.ordered)}
    places = [order[candidate.backend] for candidate in decision.considered]
    assert places == sorted(places)
    assert [c for c in decision.considered if c.taken] == ([] if decision.chosen is None else [decision.chosen])
    if decision.chosen is None:
        assert decision.chain == ()
    else:
        assert decision.chain[0] == decision.chosen
        assert all(candidate.model is not None for candidate in decision.chain)
    for candidate in decision.chain:
        assert candidate.backend not in facts.unfit
        assert candidate.backend not in facts.down
        assert plan.by_name[candidate.backend].keyless is None
        assert decision.mode == "failed" or facts.capabilities <= plan.by_name[candidate.backend].capabilities
    if facts.pin is not None and decision.chosen is not None:
        assert {candidate.backend for candidate in decision.chain} == {facts.pin}


@given(plans(), st.lists(facts(), max_size=6))
def test_nothing_is_remembered(plan: Plan, asked: list[Facts]) -> None:
    fresh = [decide(one, msgspec.structs.replace(plan)) for one in asked]
    assert [decide(one, plan) for one in asked] == fresh
    assert [decide(one, plan) for one in reversed(asked)] == fresh[::-1]


@given(plans(), facts(), routes(enabled=False))
def test_a_disabled_route_never_matters(plan: Plan, facts: Facts, route: Route) -> None:
    more = _with(plan, route)
    assert more is not None
    assert decide(facts, more) == decide(facts, plan)


@given(plans(), facts(), routes(enabled=True))
def test_an_unrelated_route_changes_nothing(plan: Plan, facts: Facts, route: Route) -> None:
    more = _with(plan, route)
    assume(more is not None and not fnmatchcase(facts.model, route.match))
    assume(not any(fnmatchcase(name, route.match) for mode in plan.modes.values() for name in mode.models.values()))
    assert more is not None
    assert decide(facts, more) == decide(facts, plan)


@given(plans(), st.sampled_from(("m", "m-1", "n", "away/m", "b0/m", "zzz")), names, words)
def test_an_exact_route_beats_all_but_a_pin(plan: Plan, model: str, name: str, needs: frozenset[str]) -> None:
    others = tuple(route for route in plan.routes if route.match != model)
    route = Route(match=model, targets=(Target(name, "x"),), priority=-9)
    more = msgspec.structs.replace(plan, routes=(*others, route))
    mapped = find_backend_for_model(model, more)
    assert mapped is not None
    assert mapped.name == name
    decision = decide(Facts(model, needs), more)
    if needs <= mapped.capabilities and mapped.keyless is None:
        assert [(c.backend, c.model) for c in decision.chain] == [(name, "x")]
        assert decision.mode == "model_mapping"
    else:
        assert decision.mode in ("capability", "failed")


SPELLED = {"m-*": 2, "m-?": 2, "*-1": 2, "*": 0, "n*": 1, "[mn]": 0, "m-[12]": 2}


@given(
    st.lists(st.tuples(st.sampled_from(list(SPELLED)), st.integers(-1, 1)), max_size=5, unique=True),
    st.sampled_from(("m", "n", "m-1", "m-2", "n-1", "zzz")),
)
def test_patterns_by_priority_then_literals_then_place(rules: list[tuple[str, int]], model: str) -> None:
    backends = tuple(Backend(name=f"b{i}", protocol="openai-chat", base_url="http://host") for i in range(len(rules)))
    plan: Plan | None = Plan(backends)
    kept: list[Route] = []
    for index, (pattern, priority) in enumerate(rules):
        route = Route(match=pattern, targets=(Target(f"b{index}"),), priority=priority)
        if plan is not None and (more := _with(plan, route)) is not None:
            plan, kept = more, [*kept, route]
    assert plan is not None
    fits = [route for route in kept if fnmatchcase(model, route.match)]
    decision = decide(Facts(model), plan)
    if fits:
        first = max(fits, key=lambda route: (route.priority, SPELLED[route.match]))
        assert [candidate.backend for candidate in decision.chain] == [first.targets[0].backend]
        assert decision.mode == "pattern"
    else:
        assert decision.mode in ("auto", "failed")


@given(plans(), facts())
def test_an_outage_sends_a_request_only_where_a_rule_says(plan: Plan, facts: Facts) -> None:
    """Whoever is down, nobody serves who was not in the chain when all were up: of those who need no rule, any may."""
    up = decide(msgspec.structs.replace(facts, down={}), plan)
    now = decide(facts, plan)
    if up.chosen is None or up.mode in ("failed", "smart", "explicit", "auto", "capability"):
        return
    left = [candidate for candidate in up.chain if candidate.backend not in facts.down]
    assert [(c.backend, c.model) for c in now.chain] == [(c.backend, c.model) for c in left]
    if not left:
        assert now.refusal is not None
        assert now.refusal.kind == "overloaded"
