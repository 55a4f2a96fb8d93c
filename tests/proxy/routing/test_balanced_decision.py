"""Balanced decisions: the strategy reorders the equal candidates alone, and tells why."""

from __future__ import annotations

from msgspec.structs import replace

from crosswire.proxy.balance.strategy import Balance, Standing
from crosswire.proxy.routing import (
    BackendConfig,
    Candidate,
    Decision,
    Plan,
    Route,
    RouteTarget,
    RoutingInput,
    balanced,
    decide,
)

TARGETS = (RouteTarget("a", None, 1), RouteTarget("b", None, 3), RouteTarget("c", None, 2), RouteTarget("spare"))


def plan(strategy: str = "weighted", equals: int = 3) -> Plan:
    balance = Balance(strategy, name="m")  # type: ignore[arg-type]
    route = Route(match="m", targets=TARGETS, balance=balance, equals=equals)
    backends = [BackendConfig(name=each.backend, protocol="openai-chat", base_url="http://h") for each in TARGETS]
    return Plan(tuple(backends), routes=(route,))


def of(decision: Decision, die: float = 0.0, busy: str = "") -> Decision:
    def standing(each: Candidate, weight: float) -> Standing:
        return Standing(each.backend, each.model, weight, in_flight=int(each.backend == busy))

    return balanced(decision, standing, lambda: die, None)


def names(decision: Decision) -> list[str]:
    return [each.backend for each in decision.chain]


def test_the_equals_change_places_and_the_fallback_stays_last() -> None:
    kept = decide(RoutingInput("m"), plan())
    assert names(kept) == ["a", "b", "c", "spare"]
    assert names(of(kept, 0.0)) == ["a", "b", "c", "spare"]
    assert names(of(kept, 0.5)) == ["b", "c", "a", "spare"]
    assert names(of(kept, 0.99)) == ["c", "b", "a", "spare"]


def test_the_reason_has_the_figures() -> None:
    found = of(decide(RoutingInput("m"), plan("least_busy")), busy="b")
    beginning = "the route 'm' balances 3 targets; least_busy takes 'c': c 0 in flight at weight 2, "
    assert found.because.startswith(beginning)
    assert [each.name for each in found.standings] == names(found)[:3]
    assert found.chosen == found.chain[0]
    assert [each.backend for each in found.considered if each.taken] == ["c"]


def test_a_target_that_is_down_or_unfit_is_not_among_the_equals() -> None:
    for facts in (RoutingInput("m", down={"b": "down"}), RoutingInput("m", unfit={"b": "unfit"})):
        found = of(decide(facts, plan()), 0.5)
        assert names(found) == ["c", "a", "spare"]
        assert found.because.startswith("the route 'm' balances 3 targets; weighted takes 'c'")


def test_the_kept_decision_is_not_changed() -> None:
    made = plan()
    first = decide(RoutingInput("m"), made)
    of(first, 0.5)
    assert decide(RoutingInput("m"), made) is first
    assert names(first) == ["a", "b", "c", "spare"]


def test_a_single_target_and_the_order_stay_as_they_are() -> None:
    one_up = decide(RoutingInput("m", down={"b": "down", "c": "down"}), plan())
    assert of(one_up, 0.9) is one_up
    ordered = decide(RoutingInput("m"), plan("order"))
    assert of(ordered, 0.9) is ordered
    plain = replace(ordered, balance=None)
    assert of(plain, 0.9) is plain
