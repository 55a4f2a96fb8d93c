"""Routes: the upstream models that they name, and the targets that are equal."""

from __future__ import annotations

from crosswire.proxy.balance.strategy import Balance
from crosswire.proxy.routing import BackendConfig, Plan, Route, RouteTarget, RoutingInput, decide

A, B, C = RouteTarget("a", "big", 3), RouteTarget("b"), RouteTarget("c", "small")


def test_the_upstream_models() -> None:
    assert Route(match="m", targets=(A, B, C)).upstream_models == ("big", "small")
    assert Route(match="m", targets=(A, B), model="own").upstream_models == ("own", "big")


def test_only_the_equals_have_weights_in_the_decision() -> None:
    backends = tuple(BackendConfig(name=name, protocol="openai-chat", base_url="http://h") for name in "abc")
    balance = Balance("weighted", name="m")
    route = Route(match="m", targets=(A, B, C), balance=balance, equals=2)
    decision = decide(RoutingInput("m"), Plan(backends, routes=(route,)))
    assert (decision.balance, decision.weights) == (balance, (3, 1))
    assert [each.why for each in decision.chain] == [
        "the route names it",
        "the route balances it with others",
        "the route falls back to it",
    ]
