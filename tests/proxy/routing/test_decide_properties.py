"""Property tests of `decide`, for any plan and any request."""

from __future__ import annotations

from fnmatch import fnmatchcase

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from crosswire.proxy.errors import ConfigError
from crosswire.proxy.routing import (
    MODES,
    BackendConfig,
    NamedMode,
    Plan,
    RequestFeatures,
    Route,
    RouteTarget,
    RoutingInput,
    SmartModel,
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
        st.lists(st.builds(RouteTarget, names, st.sampled_from((None, "up", "m"))), min_size=1, max_size=3, unique=True)
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
        BackendConfig(
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
            ((), (SmartModel(name="auto", cheap=RouteTarget("b2", "x"), primary=RouteTarget("b3", "y"), cascade=True),))
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
def routing_inputs(draw: st.DrawFn) -> RoutingInput:
    reasons = st.dictionaries(names, st.just("a reason"), max_size=2)
    return RoutingInput(
        draw(models),
        draw(words),
        "openai-chat",
        draw(reasons),
        pin=draw(st.sampled_from((None, None, *NAMES, "zzz"))),
        mode=draw(st.sampled_from((None, None, "eco", "zzz"))),
        down=draw(reasons),
        features=draw(st.sampled_from((None, RequestFeatures(), RequestFeatures(thinking=1, reasoning=3)))),
    )


@given(plans(), routing_inputs())
def test_property_a_decision_has_every_backend_and_reason(plan: Plan, inputs: RoutingInput) -> None:
    decision = decide(inputs, plan)
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
        assert candidate.backend not in inputs.unfit
        assert candidate.backend not in inputs.down
        assert plan.by_name[candidate.backend].missing_key is None
        assert decision.mode == "failed" or inputs.capabilities <= plan.by_name[candidate.backend].capabilities
    if inputs.pin is not None and decision.chosen is not None:
        assert {candidate.backend for candidate in decision.chain} == {inputs.pin}


@given(plans(), st.lists(routing_inputs(), max_size=6))
def test_property_decisions_do_not_depend_on_earlier_ones(plan: Plan, asked: list[RoutingInput]) -> None:
    fresh = [decide(one, msgspec.structs.replace(plan)) for one in asked]
    assert [decide(one, plan) for one in asked] == fresh
    assert [decide(one, plan) for one in reversed(asked)] == fresh[::-1]


@given(plans(), routing_inputs(), routes(enabled=False))
def test_property_a_disabled_route_changes_nothing(plan: Plan, inputs: RoutingInput, route: Route) -> None:
    more = _with(plan, route)
    assert more is not None
    assert decide(inputs, more) == decide(inputs, plan)


@given(plans(), routing_inputs(), routes(enabled=True))
def test_property_an_unrelated_route_changes_nothing(plan: Plan, inputs: RoutingInput, route: Route) -> None:
    more = _with(plan, route)
    assume(more is not None and not fnmatchcase(inputs.model, route.match))
    assume(not any(fnmatchcase(name, route.match) for mode in plan.modes.values() for name in mode.models.values()))
    assert more is not None
    assert decide(inputs, more) == decide(inputs, plan)


@given(plans(), st.sampled_from(("m", "m-1", "n", "away/m", "b0/m", "zzz")), names, words)
def test_property_exact_routes_beat_all_but_pins(plan: Plan, model: str, name: str, needs: frozenset[str]) -> None:
    others = tuple(route for route in plan.routes if route.match != model)
    route = Route(match=model, targets=(RouteTarget(name, "x"),), priority=-9)
    more = msgspec.structs.replace(plan, routes=(*others, route))
    mapped = find_backend_for_model(model, more)
    assert mapped is not None
    assert mapped.name == name
    decision = decide(RoutingInput(model, needs), more)
    if needs <= mapped.capabilities and mapped.missing_key is None:
        assert [(c.backend, c.model) for c in decision.chain] == [(name, "x")]
        assert decision.mode == "model_mapping"
    else:
        assert decision.mode in ("capability", "failed")


SPELLED = {"m-*": 2, "m-?": 2, "*-1": 2, "*": 0, "n*": 1, "[mn]": 0, "m-[12]": 2}


@given(
    st.lists(st.tuples(st.sampled_from(list(SPELLED)), st.integers(-1, 1)), max_size=5, unique=True),
    st.sampled_from(("m", "n", "m-1", "m-2", "n-1", "zzz")),
)
def test_property_order_of_patterns(rules: list[tuple[str, int]], model: str) -> None:
    backends = tuple(
        BackendConfig(name=f"b{i}", protocol="openai-chat", base_url="http://host") for i in range(len(rules))
    )
    plan: Plan | None = Plan(backends)
    kept: list[Route] = []
    for index, (pattern, priority) in enumerate(rules):
        route = Route(match=pattern, targets=(RouteTarget(f"b{index}"),), priority=priority)
        if plan is not None and (more := _with(plan, route)) is not None:
            plan, kept = more, [*kept, route]
    assert plan is not None
    fits = [route for route in kept if fnmatchcase(model, route.match)]
    decision = decide(RoutingInput(model), plan)
    if fits:
        first = max(fits, key=lambda route: (route.priority, SPELLED[route.match]))
        assert [candidate.backend for candidate in decision.chain] == [first.targets[0].backend]
        assert decision.mode == "pattern"
    else:
        assert decision.mode in ("auto", "failed")


@given(plans(), routing_inputs())
def test_property_an_outage_only_shortens_the_chain(plan: Plan, inputs: RoutingInput) -> None:
    """No outage adds a backend to a chain: all that serve then were in it when all were up, or need no rule."""
    up = decide(msgspec.structs.replace(inputs, down={}), plan)
    now = decide(inputs, plan)
    if up.chosen is None or up.mode in ("failed", "smart", "explicit", "auto", "capability"):
        return
    left = [candidate for candidate in up.chain if candidate.backend not in inputs.down]
    assert [(c.backend, c.model) for c in now.chain] == [(c.backend, c.model) for c in left]
    if not left:
        assert now.refusal is not None
        assert now.refusal.kind == "overloaded"
