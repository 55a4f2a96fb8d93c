"""`python -m benchmarks.decide`: what one decision costs, with a thousand mappings; prints µs a call.

Exact names are looked up; patterns are one expression that the engine tries branch by branch, so the last pattern and a
name that none fits are the dearest. Each figure is the best of its rounds: what is slower is the machine's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from time import perf_counter

from crosswire.proxy.routing import (
    BackendConfig,
    Decision,
    Plan,
    RequestFeatures,
    Route,
    RouteTarget,
    RoutingInput,
    SmartModel,
    decide,
)

TARGET_US = 50
TEXT = frozenset(("text",))


def a_plan(mappings: int, backends: int) -> Plan:
    """Half of the mappings are names, a quarter patterns with a common beginning, a quarter with a common end."""
    names = [f"b{i}" for i in range(backends)]
    routes = [
        Route(match=match, targets=(RouteTarget(names[i % backends]), RouteTarget(names[(i + 1) % backends], "spare")))
        for i, match in enumerate(
            [f"model-{i}" for i in range(mappings // 2)]
            + [f"family-{i}-*" for i in range(mappings // 4)]
            + [f"*-{i}-turbo" for i in range(mappings // 4)]
        )
    ]
    made = tuple(BackendConfig(name=name, protocol="openai-chat", base_url="http://host") for name in names)
    smart = SmartModel(name="auto", cheap=RouteTarget("b0", "small"), primary=RouteTarget("b1", "large"), cascade=True)
    return Plan(made, routes=tuple(routes), smart=(smart,), providers={"openrouter": "openrouter"})


def open_plan(backends: int) -> Plan:
    """So many backends that take any model, and no mapping."""
    return Plan(
        tuple(BackendConfig(name=f"b{i}", protocol="openai-chat", base_url="http://host") for i in range(backends))
    )


def open_decision_us(backends: int = 1000, rounds: int = 7, calls: int = 1000) -> float:
    """The microseconds of a decision for a name that no rule names, with so many backends that take any model."""
    plan, facts = open_plan(backends), RoutingInput("anything", TEXT)
    return microseconds(lambda: decide(facts, plan), rounds, calls)


def microseconds(call: Callable[[], Decision], rounds: int, calls: int) -> float:
    call()
    best = float("inf")
    for _ in range(rounds):
        started = perf_counter()
        for _ in range(calls):
            call()
        best = min(best, (perf_counter() - started) / calls)
    return best * 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mappings", type=int, default=1000)
    parser.add_argument("--backends", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=1000)
    args = parser.parse_args()
    started = perf_counter()
    plan = a_plan(args.mappings, args.backends)
    built = (perf_counter() - started) * 1e3
    last = args.mappings // 4 - 1
    cases = {
        "an exact name": RoutingInput("model-7", TEXT),
        "an exact name, its backend down": RoutingInput("model-7", TEXT, down={"b7": "its breaker is open"}),
        "a prefix": RoutingInput("b3/anything", TEXT),
        "the first pattern": RoutingInput("family-0-x", TEXT),
        "the last pattern": RoutingInput(f"x-{last}-turbo", TEXT),
        "no mapping": RoutingInput("nobody-maps-this", TEXT),
        "a smart model": RoutingInput("auto", TEXT, features=RequestFeatures(length=400, code=12, tools=3)),
    }
    wide = open_plan(args.mappings)
    places = {name: (facts, plan) for name, facts in cases.items()}
    places[f"no mapping, {args.mappings} backends"] = RoutingInput("anything", TEXT), wide
    print(f"{args.mappings} mappings, {args.backends} backends: checked and compiled in {built:.0f} ms")
    slow = 0
    for name, (facts, where) in places.items():

        def call(facts: RoutingInput = facts, where: Plan = where) -> Decision:
            return decide(facts, where)

        cost = microseconds(call, args.rounds, args.calls)
        slow += cost >= TARGET_US
        print(f"  {name:32} {cost:7.2f} µs  {call().mode}")
    print(f"target: below {TARGET_US} µs: {'missed' if slow else 'met'}")
    return int(slow > 0)


if __name__ == "__main__":
    sys.exit(main())
