"""Deviations of a snapshot: only what differs is shown, also where one list has an item more."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.conformance.snapshots.store import json_deviation

EVENTS = ["a", "b", "c", "d"]

DEVIATIONS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "equal": (EVENTS, EVENTS, {}),
    "another item": (EVENTS, ["a", "x", "c", "d"], {"$[1]": "x"}),
    "another item within": ([{"n": 1, "m": 2}], [{"n": 1, "m": 3}], {"$[0].m": 3}),
    "one item more": (EVENTS, ["a", "b", "x", "c", "d"], {"$[+2]": ["x"]}),
    "one item more at the end": (EVENTS, [*EVENTS, "x"], {"$[+4]": ["x"]}),
    "one item less": (EVENTS, ["a", "c", "d"], {"$[1]": "(absent)"}),
    "others, and one less": (EVENTS, ["a", "x", "d"], {"$[1]": "x", "$[2]": "(absent)"}),
    "others, and one more": (EVENTS, ["a", "x", "y", "c", "d"], {"$[1]": "x", "$[+2]": ["y"]}),
    "a key more": ({"a": 1}, {"a": 1, "b": 2}, {"$.b": 2}),
    "a key less": ({"a": 1, "b": 2}, {"a": 1}, {"$.b": "(absent)"}),
    "another type": ([1], {"a": 1}, {"$": {"a": 1}}),
    "true is not one": ([1], [True], {"$[0]": True}),
    "a field of an event": (['data: {"a": 1, "b": {"c": 2}}'], ['data: {"a": 1, "b": {"c": 3}}'], {"$[0].b.c": 3}),
    "an event's other name": (
        ['event: a\ndata: {"a": 1}'],
        ['event: b\ndata: {"a": 1}'],
        {"$[0]": 'event: b\ndata: {"a": 1}'},
    ),
    "an event written otherwise": (['data: {"a": 1}'], ['data: {"a":1}'], {"$[0]": 'data: {"a":1}'}),
    "an event more, and other fields": (
        ['data: {"type": "a", "n": 1}', 'data: {"type": "b", "n": 1}', ""],
        ['data: {"type": "a", "n": 2}', 'data: {"type": "c"}', 'data: {"type": "b", "n": 2}', ""],
        {"$[0].n": 2, "$[+1]": ['data: {"type": "c"}'], "$[1].n": 2},
    ),
}


@pytest.mark.parametrize("name", DEVIATIONS)
def test_deviations(name: str) -> None:
    base, other, deviation = DEVIATIONS[name]
    assert json_deviation(base, other) == deviation


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["a", "b"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["k", "l"]), inner, max_size=2),
    max_leaves=8,
)


@given(VALUES, VALUES)
def test_property_only_equal_values_have_no_deviation(one: Any, other: Any) -> None:
    assert (json_deviation(one, other) == {}) == (repr(one) == repr(other) or _same(one, other))


def _same(one: Any, other: Any) -> bool:
    """Equality without the order of keys, and without `True == 1`."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
