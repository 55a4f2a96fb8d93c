"""Tests of the plan: contradictory rules are rejected with their location, suspicious ones are warnings."""

from __future__ import annotations

from typing import Any

import pytest

from crosswire.proxy.errors import ConfigError
from crosswire.proxy.routing import (
    BackendConfig,
    NamedMode,
    NameFamily,
    Plan,
    Route,
    RouteTarget,
    RoutingInput,
    SmartModel,
    decide,
)


def backend(name: str, **fields: Any) -> BackendConfig:
    return BackendConfig(name=name, protocol="openai-chat", base_url="http://host", **fields)


def route(line: int, match: str, *targets: str, **fields: Any) -> Route:
    return Route(
        match=match,
        targets=tuple(RouteTarget(target) for target in targets),
        location=f"c.yaml:{line}: routes[{line}]",
        **fields,
    )


A, B = backend("a", models={"m": "up"}), backend("b")
SMART = SmartModel(
    name="auto", cheap=RouteTarget("a", "x"), primary=RouteTarget("b", "y"), location="c.yaml:9: smart.auto"
)

CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "equal in pattern and priority": (
        {"routes": (route(1, "x-*", "a"), route(2, "x-*", "b"))},
        "c.yaml:2: routes[2]: 'x-*' is matched by c.yaml:1: routes[1] with the same priority; keep one of them",
    ),
    "equal in name and priority": (
        {"routes": (route(1, "x", "a", priority=3), route(2, "x", "b", priority=3))},
        "c.yaml:2: routes[2]: 'x' is matched by c.yaml:1: routes[1] with the same priority",
    ),
    "a name that another backend has": (
        {"routes": (route(1, "m", "b"),)},
        "c.yaml:1: routes[1]: backends.a.models names 'm' too, and is not among its targets; add it as a fallback",
    ),
    "a route of nobody": (
        {"routes": (Route(match="x", targets=(), location="c.yaml:1: routes[0]"),)},
        "c.yaml:1: routes[0]: has no targets",
    ),
    "a target that is no backend": ({"routes": (route(1, "x", "a", "z"),)}, "c.yaml:1: routes[1]: unknown backend 'z'"),
    "a text that no wildcard caught": (
        {"routes": (route(1, "x-*", "a", model="{2}"),)},
        "c.yaml:1: routes[1]: {2} refers to no wildcard: 'x-*' has 1; use up to {1}",
    ),
    "a text in a name": (
        {"routes": (route(1, "x", "a", model="{1}"),)},
        "c.yaml:1: routes[1]: {1} refers to no wildcard: 'x' has none; remove it",
    ),
    "behind a wider pattern of a higher priority": (
        {"routes": (route(1, "x-*", "a"), route(2, "x-1*", "b", priority=-1))},
        "c.yaml:2: routes[2]: 'x-1*' is never reached: c.yaml:1: routes[1] takes all of its names by 'x-*'",
    ),
    "behind a prefix": (
        {"routes": (route(1, "a/*", "b"),)},
        "c.yaml:1: routes[1]: 'a/*' is never reached: the prefix 'a' names a backend; set prefixes: {a: false}",
    ),
    "a smart model behind a name": (
        {"smart": (SMART,), "routes": (route(1, "auto", "a"),)},
        "c.yaml:9: smart.auto: 'auto' is never reached: c.yaml:1: routes[1] takes it first; rename one",
    ),
    "a smart model behind models": (
        {"smart": (SMART,), "backends": (A, backend("b", models={"auto": "x"}))},
        "c.yaml:9: smart.auto: 'auto' is never reached: backends.b.models takes it first",
    ),
    "a smart model behind a pattern": (
        {"smart": (SMART,), "routes": (route(1, "au*", "a"),)},
        "c.yaml:9: smart.auto: 'auto' is never reached: c.yaml:1: routes[1] takes it first",
    ),
    "a smart model of nobody": (
        {"smart": (SmartModel(name="s", cheap=RouteTarget("z"), primary=RouteTarget("a")),)},
        "smart: unknown backend 'z'",
    ),
    "two smart models": ({"smart": (SMART, SMART)}, "c.yaml:9: smart.auto: c.yaml:9: smart.auto is called 'auto' too"),
    "an alias behind a name": (
        {"modes": {"eco": NamedMode(name="eco", models={"m": "a/x"})}},
        "modes: 'm' is never reached: backends.a.models takes it first",
    ),
    "an alias behind a prefix": (
        {"modes": {"eco": NamedMode(name="eco", models={"b/x": "a/x"})}},
        "modes: 'b/x' is never reached: the prefix 'b' takes it first",
    ),
    "an alias that leads nowhere": (
        {"modes": {"eco": NamedMode(name="eco", models={"chat": "x"})}},
        "modes: 'chat' means 'x', which leads to no backend; write it as backend/model",
    ),
    "a mode of nobody": ({"modes": {"eco": NamedMode(name="eco", backend="z")}}, "modes: unknown backend 'z'"),
    "a mode behind everything": (
        {"modes": {"eco": NamedMode(name="eco", backend="a")}, "routes": (route(1, "*", "b"),)},
        "modes: is never reached: c.yaml:1: routes[1] takes every name by '*'",
    ),
    "no such mode": ({"mode": "eco", "locations": {"mode": "c.yaml:3"}}, "c.yaml:3: mode: unknown mode 'eco'"),
    "unmapped behind everything": (
        {"unmapped": "a", "routes": (route(1, "**", "b"),), "locations": {"unmapped": "c.yaml:4"}},
        "c.yaml:4: unmapped: is never reached: c.yaml:1: routes[1] takes every name by '**'",
    ),
    "unmapped to nobody": ({"unmapped": "z"}, "unmapped: unknown backend 'z'"),
    "a prefix of nobody": ({"prefixes": {"x": "z"}}, "prefixes.x: unknown backend 'z'"),
}


@pytest.mark.parametrize(("fields", "message"), CONTRADICTIONS.values(), ids=list(CONTRADICTIONS))
def test_contradictory_plans_are_rejected(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Plan(**{"backends": (A, B), **fields})
    assert any(said.startswith(message) for said in caught.value.complaints), caught.value.complaints


DISABLED = [
    pytest.param(fields, id=what)
    for what, (fields, _) in CONTRADICTIONS.items()
    if set(fields) == {"routes"} or (set(fields) == {"smart", "routes"})
]


@pytest.mark.parametrize("fields", DISABLED)
def test_disabled_routes_are_not_checked(fields: dict[str, Any]) -> None:
    off = tuple(
        Route(**{name: getattr(r, name) for name in r.__struct_fields__} | {"enabled": False}) for r in fields["routes"]
    )
    plan = Plan(backends=(A, B), **{**fields, "routes": off})
    assert plan.warnings == ()
    assert decide(RoutingInput("m"), plan) == decide(RoutingInput("m"), Plan((A, B)))


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"routes": (route(1, "x-*", "a"), route(2, "x-1*", "b"))}, id="a narrower pattern comes first"),
        pytest.param({"routes": (route(1, "*", "a"), route(2, "x", "b", priority=-9))}, id="so does a name"),
        pytest.param({"routes": (route(1, "m", "b", "a"),)}, id="a route that falls back to who lists the name"),
        pytest.param({"routes": (route(1, "a/x", "b"),)}, id="a name with a backend's prefix is whole"),
        pytest.param({"routes": (route(1, "a/*", "b"),), "prefixes": {"a": None}}, id="a prefix that is none"),
        pytest.param({"modes": {"eco": NamedMode(name="eco", backend="a", models={"c": "x"})}}, id="any meaning"),
        pytest.param({"families": (NameFamily("au*", "a"),), "smart": (SMART,)}, id="a smart model before a family"),
    ],
)
def test_valid_plans(fields: dict[str, Any]) -> None:
    assert Plan((A, B), **fields).warnings == ()


def test_an_unused_route_of_lower_priority_is_a_warning() -> None:
    plan = Plan((A, B), routes=(route(1, "x-*", "a"), route(2, "x-*", "b", priority=5)))
    (warning,) = plan.warnings
    assert warning == (
        "c.yaml:1: routes[1]: 'x-*' serves only once c.yaml:2: routes[2], of higher priority, is disabled"
    )
