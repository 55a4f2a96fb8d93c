"""The laws of the strategies: shares, ties, probes, rest, and what moves when a target goes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.balance.strategy import (
    NAMED,
    PROBE_AFTER_S,
    PROBE_SHARE,
    STRATEGIES,
    Standing,
    Strategy,
    arrange,
    expected_ms,
)

BALANCING: list[Strategy] = [each for each in STRATEGIES if each != "order"]

standings = st.lists(
    st.builds(
        Standing,
        name=st.sampled_from("abcdefghij"),
        weight=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
        in_flight=st.integers(0, 20),
        ms=st.none() | st.floats(0, 1e5),
        measured_s=st.none() | st.floats(0, 100),
        price=st.none() | st.floats(0, 100),
        chosen=st.integers(0, 100),
        resting=st.booleans(),
    ),
    min_size=1,
    max_size=10,
    unique_by=lambda each: each.name,
)


def first(strategy: Strategy, targets: Sequence[Standing], die: float = 0.5, subject: bytes | None = b"s") -> Standing:
    return targets[arrange(strategy, targets, lambda: die, subject).order[0]]


@given(st.sampled_from(list(STRATEGIES)), standings, st.floats(0, 1, exclude_max=True), st.none() | st.binary())
def test_every_order_is_whole_and_has_those_that_rest_last(
    strategy: Strategy, targets: list[Standing], die: float, subject: bytes | None
) -> None:
    found = arrange(strategy, targets, lambda: die, subject)
    assert sorted(found.order) == list(range(len(targets)))
    ranks = [(targets[index].resting, targets[index].weight <= 0) for index in found.order]
    assert ranks == sorted(ranks)
    assert repr(targets[found.order[0]].name) in found.why


@given(st.lists(st.integers(1, 9), min_size=2, max_size=6))
def test_weighted_gives_each_its_share_of_evenly_spread_dice(weights: list[int]) -> None:
    targets = [Standing(f"t{index}", weight=float(weight)) for index, weight in enumerate(weights)]
    throws = sum(weights)
    taken = Counter(first("weighted", targets, (throw + 0.5) / throws).name for throw in range(throws))
    assert taken == {f"t{index}": weight for index, weight in enumerate(weights)}


def test_the_rest_of_the_chain_is_drawn_by_weight_too() -> None:
    targets = [Standing("a"), Standing("b", weight=2), Standing("c", weight=6)]
    dice = random.Random(7).random
    orders = [arrange("weighted", targets, dice).order for _ in range(6000)]
    after_a = Counter(order[1] for order in orders if order[0] == 0)
    assert after_a[2] / after_a[1] == pytest.approx(3, rel=0.25)


@given(standings)
def test_least_busy_takes_none_that_is_busier_for_its_weight(targets: list[Standing]) -> None:
    taken = first("least_busy", targets)
    up = [each for each in targets if each.resting == taken.resting and (each.weight > 0) == (taken.weight > 0)]
    load = (taken.in_flight + 1) / (taken.weight or 1)
    assert load == min((each.in_flight + 1) / (each.weight or 1) for each in up)


@given(st.integers(2, 8), st.integers(1, 60))
def test_least_busy_never_lets_equals_differ_by_more_than_one(count: int, requests: int) -> None:
    load, chosen = [0] * count, [0] * count
    for number in range(1, requests + 1):
        targets = [Standing(f"t{i}", in_flight=load[i], chosen=chosen[i]) for i in range(count)]
        taken = arrange("least_busy", targets, lambda: 0.5).order[0]
        load[taken] += 1
        chosen[taken] = number
        assert max(load) - min(load) <= 1


def test_of_idle_ones_that_comes_first_which_was_called_longest_ago() -> None:
    targets = [Standing("a", chosen=3), Standing("b", chosen=1), Standing("c", chosen=2)]
    assert arrange("least_busy", targets, lambda: 0.5).order == (1, 2, 0)


@given(standings)
def test_latency_takes_none_that_is_expected_later_unless_it_probes(targets: list[Standing]) -> None:
    taken = first("latency", targets, PROBE_SHARE)
    up = [each for each in targets if each.resting == taken.resting and (each.weight > 0) == (taken.weight > 0)]
    assert expected_ms(taken) == min(expected_ms(each) for each in up)


SLOW = Standing("slow", ms=900, measured_s=PROBE_AFTER_S)
FAST = Standing("fast", ms=10, measured_s=1)


@pytest.mark.parametrize(
    ("slow", "die", "taken"),
    [
        (SLOW, PROBE_SHARE - 1e-9, "slow"),
        (SLOW, PROBE_SHARE, "fast"),  # only a share of the requests probe
        (Standing("slow", ms=900, measured_s=PROBE_AFTER_S - 1), 0.0, "fast"),  # measured lately
        (Standing("slow", 1, 900, in_flight=1, ms=900, measured_s=99), 0.0, "fast"),  # a probe is under way
        (Standing("slow", ms=900, measured_s=99, resting=True), 0.0, "fast"),
        (Standing("slow", weight=0, ms=900, measured_s=99), 0.0, "fast"),
    ],
)
def test_probes(slow: Standing, die: float, taken: str) -> None:
    found = arrange("latency", [FAST, slow], lambda: die)
    assert [FAST, slow][found.order[0]].name == taken
    assert ("probes" in found.why) == (taken == "slow")


def test_one_that_was_never_called_is_called_once_and_then_judged() -> None:
    assert first("latency", [FAST, Standing("new")]).name == "new"
    assert first("latency", [FAST, Standing("new", in_flight=1)]).name == "fast"


def test_cost_takes_the_cheapest_and_the_unknown_last() -> None:
    targets = [Standing("unknown"), Standing("dear", price=9), Standing("cheap", price=1), Standing("free", price=0)]
    assert [targets[index].name for index in arrange("cost", targets, lambda: 0.5).order] == [
        *("free", "cheap", "dear", "unknown")
    ]


@given(st.binary(min_size=1), st.integers(2, 9), st.integers(0, 8))
def test_sticky_moves_only_what_the_removed_target_had(subject: bytes, count: int, gone: int) -> None:
    targets = [Standing(f"t{index}", weight=1.0 + index % 3) for index in range(count)]
    before = first("sticky", targets, subject=subject)
    left = [each for index, each in enumerate(targets) if index != gone % count]
    after = first("sticky", left, subject=subject)
    assert after == before or before not in left
    order = [targets[index] for index in arrange("sticky", targets, lambda: 0.5, subject).order]
    assert [left[index] for index in arrange("sticky", left, lambda: 0.5, subject).order] == [
        each for each in order if each in left
    ]


def test_sticky_shares_by_weight_and_needs_no_dice() -> None:
    targets = [Standing("a"), Standing("b", weight=3)]
    taken = Counter(first("sticky", targets, subject=str(number).encode()).name for number in range(4000))
    assert taken["b"] / taken["a"] == pytest.approx(3, rel=0.15)


def test_sticky_without_a_subject_is_weighted() -> None:
    targets = [Standing("a"), Standing("b")]
    assert [first("sticky", targets, die, None).name for die in (0.1, 0.9)] == ["a", "b"]


def test_the_reason_names_a_few_targets_and_tells_models_of_one_backend_apart() -> None:
    many = arrange("least_busy", [Standing(f"t{index}") for index in range(10)], lambda: 0.5)
    assert many.why.endswith(f"t3 0 in flight, and {10 - NAMED} more")
    two = arrange("cost", [Standing("a", "big", price=3), Standing("a", "small", price=1)], lambda: 0.5)
    assert two.why == "cost takes 'a/small': a/small $1, a/big $3"
