"""Key rings: which key a call gets, and which rest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.balance.key_ring import KeyRing


def taken(ring: KeyRing, now: float = 0.0, die: float = 0.5, subject: bytes | None = None) -> int:
    return ring.take(now, lambda: die, subject)


def test_least_busy_keys() -> None:
    ring = KeyRing("least_busy", [1, 1, 1])
    assert [taken(ring) for _ in range(4)] == [0, 1, 2, 0]
    ring.give_back(1)
    assert taken(ring) == 1
    assert [ring.in_flight(key) for key in range(3)] == [2, 1, 1]


def test_weighted_keys() -> None:
    ring = KeyRing("weighted", [3, 1])
    assert [taken(ring, die=(throw + 0.5) / 8) for throw in range(8)] == [0] * 6 + [1] * 2


def test_a_key_that_rests_is_not_taken_until_it_is_whole_again() -> None:
    ring = KeyRing("order", [1, 1])
    ring.rest(0, 10)
    assert (taken(ring, 9.9), taken(ring, 10)) == (1, 0)
    assert (ring.up(9.9), ring.up(10)) == ([1], [0, 1])


def test_a_shorter_rest_does_not_end_a_longer_one() -> None:
    ring = KeyRing("order", [1, 1])
    ring.rest(0, 60)
    ring.rest(0, 5)
    assert ring.rests(0, 30)


def test_where_all_rest_the_first_that_is_up_again_is_taken() -> None:
    ring = KeyRing("weighted", [1, 1, 1])
    for key, until in enumerate((30, 10, 20)):
        ring.rest(key, until)
    assert taken(ring) == 1


@given(st.binary(min_size=1), st.integers(2, 6))
def test_a_sticky_key_stays_while_another_one_rests(subject: bytes, count: int) -> None:
    ring = KeyRing("sticky", [1.0] * count)
    key = taken(ring, subject=subject)
    ring.rest((key + 1) % count, 10)
    assert taken(ring, subject=subject) == key
    ring.rest(key, 10)
    assert count == 1 or taken(ring, subject=subject) != key or count == 2
    assert taken(ring, 11, subject=subject) == key
