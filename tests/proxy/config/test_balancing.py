"""Balancing in a config: what loads, what is refused with which words, and what is only warned of."""

from __future__ import annotations

import pytest

from crosswire.proxy.balance.strategy import Balance, Hedge
from crosswire.proxy.config import load
from crosswire.proxy.errors import ConfigError
from crosswire.proxy.routing import RouteTarget

BASE = """\
backends:
  a: {protocol: openai-chat, base_url: "http://a/v1", api_key: [one-key, other-key]}
  b: {protocol: openai-chat, base_url: "http://b/v1", api_key: a-key}
  c: {protocol: openai-chat, base_url: "http://c/v1"}
"""


def route(text: str) -> str:
    return f"{BASE}routes:\n  - {{match: m, {text}}}\n"


def backend(keys: str) -> str:
    return BASE.replace("[one-key, other-key]}", f"[one-key, other-key], {keys}}}")


@pytest.mark.parametrize(
    ("text", "balance", "equals"),
    [
        ("to: [a, b]", None, 0),
        ("to: [a, b], strategy: order", None, 0),
        ("to: [a, b], strategy: latency", Balance("latency", name="m"), 2),
        ("to: [a, b], strategy: cost, fallback: [c]", Balance("cost", name="m"), 2),
        ("to: [a, b], strategy: sticky, sticky_by: client", Balance("sticky", "client", name="m"), 2),
        ("to: [a, b], hedge: {after_s: 2}", Balance(hedge=Hedge(2, None, 0.05), name="m"), 0),
        (
            "backend: a, fallback: [b], hedge: {after_s: 1, whole_after_s: 9, budget: 0.5}",
            Balance(hedge=Hedge(1, 9, 0.5), name="m"),
            0,
        ),
    ],
)
def test_what_loads(text: str, balance: Balance | None, equals: int) -> None:
    (found,) = load(route(text), "c.yaml", {}).plan.routes
    assert (found.balance, found.equals) == (balance, equals)


def test_weights() -> None:
    (found,) = load(
        route("to: [{backend: a, weight: 2.5}, {backend: b, weight: 0}, c], strategy: weighted"), "c", {}
    ).plan.routes
    assert found.targets == (RouteTarget("a", None, 2.5), RouteTarget("b", None, 0), RouteTarget("c", None, 1))


REFUSED = {
    "to: [a, b], strategy: fastest": "routes[0].strategy:",
    "backend: a, strategy: latency": "strategy: balances the targets in `to`, and there are none",
    "to: [a, b], fallback: [c]": "fallback: cannot be combined with to; keep one of them, or add a strategy",
    "to: [a, b], backend: c, strategy: cost": "backend: cannot be combined with to; keep one of them",
    "to: [{backend: a, weight: -1}, b], strategy: weighted": "to[0].weight:",
    "to: [{backend: a, weight: heavy}, b], strategy: weighted": "to[0].weight:",
    "to: [{backend: a, weight: 0}], strategy: weighted": "has only targets of weight 0",
    "to: [{backend: a, weight: 2}, a], strategy: weighted": "names a twice for one model",
    "to: [a, b], strategy: cost, sticky_by: client": "belongs to the strategy sticky, and this one is cost",
    "to: [a, b], sticky_by: client": "does nothing alone; add strategy: sticky",
    "to: [a, b], strategy: sticky, sticky_by: colour": "routes[0].sticky_by:",
    "to: [a, b], hedge: {}": "hedge.after_s: is missing",
    "to: [a, b], hedge: {after_s: 0}": "hedge.after_s: is 0",
    "to: [a, b], hedge: {after_s: 1, budget: 2}": "budget: is 2; give the share of requests",
    "to: [a, b], hedge: {after_s: 1, budget: 0}": "budget: is 0; give the share of requests",
    "to: [a, b], hedge: 2": "hedge:",
    "to: [a, b], hedge: {after: 2}": "hedge.after:",
}

REFUSED_KEYS = {
    "key_strategy: latency": "key_strategy:",
    "key_weights: [1, 2]": "key_weights: is looked at by weighted, least_busy, sticky alone",
    "key_strategy: weighted, key_weights: [1]": "has 1 weights, and api_key 2 keys",
    "key_strategy: weighted, key_weights: [0, 0]": "has only weights of 0",
    "key_strategy: weighted, key_weights: 3": "give a weight for each key",
}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        *((route(text), what) for text, what in REFUSED.items()),
        *((backend(k), what) for k, what in REFUSED_KEYS.items()),
    ],
)
def test_what_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text, "c.yaml", {})
    assert any(complaint in each for each in caught.value.complaints), caught.value.complaints


def test_a_weight_without_a_strategy_that_looks_at_it() -> None:
    (warning,) = load(route("to: [{backend: a, weight: 2}, b]"), "c.yaml", {}).warnings
    assert "has weights, which the strategy order does not look at; choose weighted, least_busy, sticky" in warning


def test_a_key_strategy_for_one_key() -> None:
    text = BASE.replace("api_key: a-key", "api_key: a-key, key_strategy: sticky")
    assert any("chooses among several keys, and there is one" in each for each in load(text, "c.yaml", {}).warnings)


def test_several_keys_are_noted_for_their_changed_default() -> None:
    assert any("backends.a.api_key: has several keys" in each for each in load(BASE, "c.yaml", {}).notes)
