"""Tests of values that must fit a bound: they stay the same in every request, and distinct from others."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.ir import Loss
from crosswire.proxy.ir.bounded_values import alphanumeric_digest, bounded_user


@given(st.text(), st.integers(1, 30))
def test_a_digest_has_letters_and_digits_alone(text: str, length: int) -> None:
    assert re.fullmatch(f"[a-zA-Z0-9]{{{length}}}", alphanumeric_digest(text, length))
    assert alphanumeric_digest(text, length) == alphanumeric_digest(text, length)


def test_digests_of_ids_are_distinct() -> None:
    ids = {alphanumeric_digest(f"call_{n}", 9) for n in range(2000)}
    assert len(ids) == 2000


@given(st.text(), st.integers(1, 200) | st.none())
def test_a_user_fits_or_is_a_declared_digest(user: str, most: int | None) -> None:
    losses: list[Loss] = []
    found = bounded_user(user, most, losses)
    assert most is None or len(found) <= most
    assert losses == ([] if found == user else [Loss("user", "user", "approximated")])
    assert (found == user) is (most is None or len(user) <= most) or len(user) == most
